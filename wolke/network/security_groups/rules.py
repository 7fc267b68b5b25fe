"""Security group rules.

API:  https://docs.openstack.org/api-ref/network/v2/#security-group-rules-security-group-rules
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any, Literal

from sqlalchemy import select

from wolke.core.bodies import UNSET, Text255, UnsetType
from wolke.core.db import Json
from wolke.core.errors import BadRequest, Conflict, NotFound
from wolke.core.http import Ctx
from wolke.core.paging import whole_number
from wolke.core.quota import quota, rows_of
from wolke.network.errors import InvalidInput
from wolke.network.security_groups.protocols import ICMP, NUMBERS, ONLY_IPV6, WITH_PORTS, number
from wolke.network.security_groups.table import SecurityGroup, SecurityGroupRule
from wolke.network.service import Collection, CreateBody, standard

quota("network", "security_group_rule", 100, rows_of(SecurityGroupRule))


class SecurityGroupRuleNotFound(NotFound):
    pass


class SecurityGroupRuleExists(Conflict):
    pass


class SecurityGroupRuleInvalidProtocol(BadRequest):
    pass


class SecurityGroupRuleInvalidEtherType(BadRequest):
    pass


class SecurityGroupRemoteGroupAndRemoteIpPrefix(BadRequest):
    pass


class SecurityGroupProtocolRequiredWithPorts(BadRequest):
    pass


class SecurityGroupInvalidPortRange(BadRequest):
    pass


class SecurityGroupInvalidPortValue(BadRequest):
    pass


class SecurityGroupInvalidIcmpValue(BadRequest):
    pass


class SecurityGroupMissingIcmpType(BadRequest):
    pass


class SecurityGroupRuleParameterConflict(BadRequest):
    pass


class SecurityGroupEthertypeConflictWithProtocol(BadRequest):
    pass


# What the API takes and gives ---------------------------------------------------------------------------------------
class Create(CreateBody, kw_only=True):
    security_group_id: str
    direction: Literal["ingress", "egress"]
    ethertype: str | None = "IPv4"
    protocol: str | int | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: Text255 | None = None
    remote_group_id: Text255 | UnsetType | None = UNSET


def view(rule: Any) -> Json:
    shown = standard(rule)
    del shown["name"], shown["tags"]
    return shown | {
        "security_group_id": rule.security_group_id,
        "direction": rule.direction,
        "ethertype": rule.ethertype,
        "protocol": rule.protocol,
        "port_range_min": rule.port_range_min,
        "port_range_max": rule.port_range_max,
        "remote_ip_prefix": rule.remote_ip_prefix,
        "remote_group_id": rule.remote_group_id,
        "normalized_cidr": rule.remote_ip_prefix,
    }


def canonical_protocol(protocol: str | int | None, ethertype: str) -> str | None:
    """The protocol as it is kept: a known name in lower case, or a number from 0 to 255; None for any."""
    if protocol is None or str(protocol).lower() in ("any", ""):
        return None
    text = str(protocol).lower()
    if (value := whole_number(text)) is not None and value <= 255:
        return text
    if text not in NUMBERS:
        raise SecurityGroupRuleInvalidProtocol(
            f"Security group rule protocol {protocol} not supported. Only protocol values {sorted(NUMBERS)} and integer"
            " representations [0 to 255] are supported."
        )
    if text in ONLY_IPV6 and ethertype == "IPv4":
        raise SecurityGroupEthertypeConflictWithProtocol(f"Invalid ethertype IPv4 for protocol {text}.")
    return text


def check_ports(protocol: str | None, ethertype: str, low: int | None, high: int | None) -> None:
    """Raises BadRequest where ports, or ICMP type and code, do not go with the protocol."""
    if low is None and high is None:
        return
    if protocol is None:
        raise SecurityGroupProtocolRequiredWithPorts("Must also specify protocol if port range is given.")
    value = number(protocol, ethertype)
    if value in ICMP:
        for field, given in (("type (port-range-min)", low), ("code (port-range-max)", high)):
            if given is not None and not 0 <= given <= 255:
                raise SecurityGroupInvalidIcmpValue(f"Invalid value for ICMP {field} {given}. It must be 0 to 255.")
        if low is None:
            raise SecurityGroupMissingIcmpType(
                f"ICMP code (port-range-max) {high} is provided but ICMP type (port-range-min) is missing."
            )
        return
    if value not in WITH_PORTS:
        raise SecurityGroupInvalidPortRange(f"Port range cannot be specified for protocol {protocol}.")
    for given in (low, high):
        if given is not None and not (0 if value == 136 else 1) <= given <= 65535:
            raise SecurityGroupInvalidPortValue(f"Invalid value for port {given}: it must be from 1 to 65535.")
    if low is None or high is None or low > high:
        raise SecurityGroupInvalidPortRange("For TCP/UDP protocols, port_range_min must be <= port_range_max")


def canonical_prefix(prefix: str | None, ethertype: str) -> str | None:
    """The CIDR without host bits, of the family that the ethertype says."""
    if prefix in (None, ""):
        return None
    try:
        network = ip_network(str(prefix), strict=False)
    except ValueError as error:
        raise InvalidInput(f"'{prefix}' is not a valid IP subnet (remote_ip_prefix)") from error
    if f"IPv{network.version}" != ethertype:
        raise SecurityGroupRuleParameterConflict(f"Conflicting value ethertype {ethertype} for CIDR {prefix}")
    return str(network)


# What the calls do --------------------------------------------------------------------------------------------------
security_group_rules = Collection[SecurityGroupRule](
    "/v2.0/security-group-rules", "security_group_rule", "security_group_rules", SecurityGroupRule, view, wakes="",
    error=SecurityGroupRuleNotFound, title="Security group rule", quota="security_group_rule",
)  # fmt: skip


@security_group_rules.create
def create(ctx: Ctx, body: Create) -> SecurityGroupRule:
    from wolke.network.security_groups.groups import security_groups

    ethertype = {"ipv4": "IPv4", "ipv6": "IPv6"}.get(str(body.ethertype or "IPv4").lower(), "")
    if not ethertype:
        raise SecurityGroupRuleInvalidEtherType(
            f"Security group rule for ethertype '{body.ethertype}' not supported. Allowed values are ['IPv4', 'IPv6']."
        )
    protocol = canonical_protocol(body.protocol, ethertype)
    check_ports(protocol, ethertype, body.port_range_min, body.port_range_max)
    prefix = canonical_prefix(body.remote_ip_prefix, ethertype)
    remote = body.remote_group_id or None
    if prefix and remote:
        raise SecurityGroupRemoteGroupAndRemoteIpPrefix("Only remote_ip_prefix or remote_group_id may be provided.")
    group = security_groups.find(ctx, body.security_group_id, "update_security_group")
    if remote:
        security_groups.seen(ctx, remote)
    rule = SecurityGroupRule(
        project_id=group.project_id, description=body.description, security_group_id=group.id, direction=body.direction,
        ethertype=ethertype, protocol=protocol, port_range_min=body.port_range_min, port_range_max=body.port_range_max,
        remote_ip_prefix=prefix, remote_group_id=remote,
    )  # fmt: skip
    if twin := same(ctx, rule):
        raise SecurityGroupRuleExists(f"Security group rule already exists. Rule id is {twin}.")
    ctx.wake(SecurityGroup.__tablename__, group.id)
    return rule


def same(ctx: Ctx, rule: SecurityGroupRule) -> str | None:
    """The id of a rule that says the same."""
    meaning = (
        "security_group_id",
        "direction",
        "ethertype",
        "port_range_min",
        "port_range_max",
        "remote_ip_prefix",
        "remote_group_id",
    )
    query = select(SecurityGroupRule.id, SecurityGroupRule.protocol)
    for name in meaning:
        query = query.where(getattr(SecurityGroupRule, name).is_not_distinct_from(getattr(rule, name)))
    wanted = None if rule.protocol is None else number(rule.protocol, rule.ethertype)
    for id, protocol in ctx.db.execute(query):
        if (None if protocol is None else number(protocol, rule.ethertype)) == wanted:
            return str(id)
    return None


@security_group_rules.delete
def remove(ctx: Ctx, rule: SecurityGroupRule) -> None:
    ctx.wake(SecurityGroup.__tablename__, rule.security_group_id)
