"""Which QoS rules work here, and what they take.

API:  https://docs.openstack.org/api-ref/network/v2/#list-qos-rule-types
"""

from __future__ import annotations

from typing import Any

from wolke.core import policy
from wolke.core.db import Json
from wolke.core.errors import BadRequest, NotFound
from wolke.core.http import Ctx
from wolke.core.parameters import TRUTH
from wolke.network.qos.rules import MARKS, MOST
from wolke.network.qos.table import BANDWIDTH, DSCP, EGRESS, INGRESS, PACKETS
from wolke.network.service import network

FLAGS = ("all_rules", "all_supported")
rule = policy.rule("get_rule_type", policy.logged_in)
details = policy.rule("get_rule_type:drivers", policy.admin)


class QosRuleTypeNotFound(NotFound):
    pass


def span(name: str) -> Json:
    return {"parameter_name": name, "parameter_type": "range", "parameter_values": {"start": 0, "end": MOST}}


def choices(name: str, values: list[Any]) -> Json:
    return {"parameter_name": name, "parameter_type": "choices", "parameter_values": values}


# type -> its parameters
TYPES: dict[str, list[Json]] = {
    BANDWIDTH: [span("max_kbps"), span("max_burst_kbps"), choices("direction", [INGRESS, EGRESS])],
    DSCP: [choices("dscp_mark", list(MARKS))],
    PACKETS: [span("max_kpps"), span("max_burst_kpps"), choices("direction", [INGRESS, EGRESS])],
}


@network.call("GET", "/v2.0/qos/rule-types", rule=rule)
def list_types(ctx: Ctx) -> Json:
    """The types of QoS rules that work; ``all_rules`` and ``all_supported`` ask the same here."""
    ctx.require(rule, policy.Target(None))
    for name in ctx.query:
        if name not in (*FLAGS, "type", "fields"):
            raise BadRequest(f"['{name}'] is invalid attribute for filtering")
        if name in FLAGS and ctx.query[name].lower() not in TRUTH:
            raise BadRequest(f"Invalid input for {name}: '{ctx.query[name]}' is not true or false")
    if all(TRUTH[ctx.query.get(name, "false").lower()] for name in FLAGS):
        raise BadRequest("Only one of all_rules and all_supported can be given.")
    asked = ctx.query.getlist("type") or TYPES
    return {"rule_types": [{"type": type} for type in TYPES if type in asked]}


@network.call("GET", "/v2.0/qos/rule-types/{rule_type}", rule=details)
def show_type(ctx: Ctx) -> Json:
    """What rules of one type take."""
    ctx.require(details, policy.Target(None))
    type = ctx.path["rule_type"]
    if type not in TYPES:
        raise QosRuleTypeNotFound(f"Rule type {type} could not be found: use one of {', '.join(TYPES)}.")
    return {"rule_type": {"type": type, "drivers": [{"name": "ovn", "supported_parameters": TYPES[type]}]}}
