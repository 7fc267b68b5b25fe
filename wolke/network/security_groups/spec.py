"""What a rule may say: fields as they are sent, made canonical or refused by name. Rules and their templates share it.

API:  https://docs.openstack.org/api-ref/network/v2/#security-group-rules-security-group-rules
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, UnsetType
from sqlalchemy import select

from wolke.core.bodies import Body, Text255
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.core.paging import whole_number
from wolke.network.addresses import ip_interface
from wolke.network.errors import InvalidInput
from wolke.network.security_groups.protocols import ICMP, NUMBERS, ONLY_IPV6, WITH_PORTS, number

REMOTES = ("remote_ip_prefix", "remote_group_id", "remote_address_group_id")
ALL_PORTS = (1, 65535)


class SecurityGroupRuleInvalidProtocol(BadRequest):
    pass


class SecurityGroupRuleInvalidEtherType(BadRequest):
    pass


class SecurityGroupMultipleRemoteEntites(BadRequest):
    """Neutron's own spelling."""


class SecurityGroupProtocolRequiredWithPorts(BadRequest):
    pass


class SecurityGroupInvalidPortRange(BadRequest):
    pass


class SecurityGroupInvalidProtocolForPort(BadRequest):
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


class Spec(Body, kw_only=True):
    direction: Literal["ingress", "egress"]
    ethertype: str | None = "IPv4"
    protocol: str | int | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: Text255 | None = None
    remote_group_id: Text255 | UnsetType | None = UNSET
    remote_address_group_id: Text255 | UnsetType | None = UNSET


def shown(rule: Any) -> Json:
    """What is shown of a rule's meaning."""
    return {
        "direction": rule.direction,
        "ethertype": rule.ethertype,
        "protocol": rule.protocol,
        "port_range_min": rule.port_range_min,
        "port_range_max": rule.port_range_max,
        "remote_ip_prefix": rule.remote_ip_prefix,
        "remote_group_id": rule.remote_group_id,
        "remote_address_group_id": rule.remote_address_group_id,
    }


def canonical(body: Spec) -> Json:
    """The columns of ``Meaning``. Raises BadRequest, in many kinds: what was sent makes no sense; the message names it."""
    ethertype = {"ipv4": "IPv4", "ipv6": "IPv6"}.get(str(body.ethertype or "IPv4").lower(), "")
    if not ethertype:
        raise SecurityGroupRuleInvalidEtherType(
            f"Security group rule for ethertype '{body.ethertype}' not supported. Allowed values are ['IPv4', 'IPv6']."
        )
    protocol = canonical_protocol(body.protocol, ethertype)
    low, high = body.port_range_min, body.port_range_max
    if (low, high) == ALL_PORTS and protocol is not None and number(protocol, ethertype) in WITH_PORTS:
        low = high = None
    check_ports(protocol, ethertype, low, high)
    found: Json = {
        "direction": body.direction,
        "ethertype": ethertype,
        "protocol": protocol,
        "port_range_min": low,
        "port_range_max": high,
        "remote_ip_prefix": canonical_prefix(body.remote_ip_prefix, ethertype),
        "remote_group_id": body.remote_group_id or None,
        "remote_address_group_id": body.remote_address_group_id or None,
    }
    if sum(found[name] is not None for name in REMOTES) > 1:
        raise SecurityGroupMultipleRemoteEntites(
            "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided."
        )
    return found


def canonical_protocol(protocol: str | int | None, ethertype: str) -> str | None:
    """The protocol as it is kept: a known name in lower case, or a number from 0 to 255; None for any."""
    if protocol is None or str(protocol).lower() in ("any", ""):
        return None
    text = str(protocol).lower()
    value = whole_number(text)
    if (value is None or value > 255) and text not in NUMBERS:
        raise SecurityGroupRuleInvalidProtocol(
            f"Security group rule protocol {protocol} not supported. Only protocol values {sorted(NUMBERS)} and integer"
            " representations [0 to 255] are supported."
        )
    if ethertype == "IPv4" and number(text, ethertype) in ONLY_IPV6:
        raise SecurityGroupEthertypeConflictWithProtocol(f"Invalid ethertype IPv4 for protocol {text}.")
    if ethertype == "IPv6":
        return {"icmp": "ipv6-icmp", "icmpv6": "ipv6-icmp", "1": "58"}.get(text, text)
    return text


def check_ports(protocol: str | None, ethertype: str, low: int | None, high: int | None) -> None:
    """Raises BadRequest where ports, or ICMP type and code, do not go with the protocol."""
    if low is None and high is None:
        return
    if protocol is None:
        raise SecurityGroupProtocolRequiredWithPorts("Must also specify protocol if port range is given.")
    value = number(protocol, ethertype)
    if value in ICMP:
        for field, given in (("type (port_range_min)", low), ("code (port_range_max)", high)):
            if given is not None and not 0 <= given <= 255:
                raise SecurityGroupInvalidIcmpValue(f"Invalid value for ICMP {field} {given}. It must be 0 to 255.")
        if low is None:
            raise SecurityGroupMissingIcmpType(
                f"ICMP code (port-range-max) {high} is provided but ICMP type (port-range-min) is missing."
            )
        return
    # for DCCP and UDP-Lite, too: OVN cannot tell their ports, and all ports is not what was said
    if value not in WITH_PORTS:
        raise SecurityGroupInvalidProtocolForPort(
            f"Ports cannot be specified for protocol {protocol}. Ports are only supported for"
            f" {', '.join(name.upper() for name in WITH_PORTS.values())}."
        )
    for given in (low, high):
        if given is not None and not 1 <= given <= 65535:
            raise SecurityGroupInvalidPortValue(f"Invalid value for port {given}: it must be from 1 to 65535.")
    if low is None or high is None or low > high:
        raise SecurityGroupInvalidPortRange("For TCP/UDP protocols, port_range_min must be <= port_range_max")


def canonical_prefix(prefix: str | None, ethertype: str) -> str | None:
    """The prefix with its length, as Neutron keeps it: host bits stay. It must be of the family that the ethertype says."""
    if prefix in (None, ""):
        return None
    try:
        found = ip_interface(str(prefix))
    except ValueError as error:
        raise InvalidInput(f"'{prefix}' is not a valid IP subnet (remote_ip_prefix)") from error
    if f"IPv{found.version}" != ethertype:
        raise SecurityGroupRuleParameterConflict(f"Conflicting value ethertype {ethertype} for CIDR {prefix}")
    return str(found.with_prefixlen)


def normalized(prefix: str | None) -> str | None:
    """The prefix without host bits, which is what OVN gets.

    >>> normalized("10.9.0.7/16")
    '10.9.0.0/16'
    """
    return str(ip_interface(prefix).network) if prefix else None


def twin(ctx: Ctx, table: type[Any], wanted: Json, *conditions: Any) -> str | None:
    """The id of a rule of a table that says the same in perhaps other words."""
    query = select(table).where(*conditions)
    for name in (
        "direction",
        "ethertype",
        "port_range_min",
        "port_range_max",
        "remote_group_id",
        "remote_address_group_id",
    ):
        query = query.where(getattr(table, name).is_not_distinct_from(wanted[name]))
    for rule in ctx.db.scalars(query):
        if said(rule.protocol, rule.remote_ip_prefix, rule.ethertype) == said(
            wanted["protocol"], wanted["remote_ip_prefix"], wanted["ethertype"]
        ):
            return str(rule.id)
    return None


def said(protocol: str | None, prefix: str | None, ethertype: str) -> tuple[int | None, str | None]:
    """Protocol and prefix in the only words for them; all addresses are as good as none named."""
    net = normalized(prefix)
    everybody = net in (None, "0.0.0.0/0", "::/0")
    return None if protocol is None else number(protocol, ethertype), None if everybody else net
