"""A rule in OVN's words: what it lets through, and on ports without connection tracking the answers to that.

Pure functions; matches: ovn-sb(5), table Logical_Flow.

A server's port has connection tracking, so a rule is one match. OVN tracks nothing on a router's ports: there each rule has a second
match for the other direction, which takes for an answer what looks like one (``docs/design/0011``).
"""

from __future__ import annotations

from typing import Any

from wolke.network import names
from wolke.network.security_groups.protocols import ANSWERS, ERRORS, ICMP, WITH_PORTS, number
from wolke.network.security_groups.spec import normalized

LOGGED_ALLOW, ALLOW, LOGGED_DROP, GROUP_LOGGED_DROP, DROP = 1003, 1002, 1001, 1000, 999  # priorities
# anything but the first segment of a connection: SYN without ACK
NO_OPENING = "(tcp.flags == 0/2 || tcp.flags == 0x10/0x10)"
NEIGHBOURS = "(nd || nd_rs || nd_ra || mldv1 || mldv2)"
FAMILY = {"IPv4": "ip4", "IPv6": "ip6"}
ICMP_NAME = {"IPv4": "icmp4", "IPv6": "icmp6"}


def side(direction: str, port: str) -> str:
    """The port's part of a match. ``port`` : ``@group`` or ``"name"``.

    >>> side("ingress", "@pg_1")
    'outport == @pg_1'
    """
    return f"{'outport' if direction == 'ingress' else 'inport'} == {port}"


def lport(direction: str) -> str:
    """The direction as ACL.direction names it: seen from the switch."""
    return "to-lport" if direction == "ingress" else "from-lport"


def opposite(direction: str) -> str:
    return "egress" if direction == "ingress" else "ingress"


def match(rule: Any) -> str:
    """What a rule lets through (without the port).

    >>> match(SecurityGroupRule(direction="ingress", ethertype="IPv4", protocol="tcp", port_range_min=80, port_range_max=80))
    'ip4 && tcp && tcp.dst == 80'
    """
    return " && ".join([FAMILY[rule.ethertype], *far(rule, rule.direction), *protocol(rule)])


def answer(rule: Any) -> str:
    """What goes the other way in answer to what a rule lets through; "" where nothing does.

    >>> answer(SecurityGroupRule(direction="ingress", ethertype="IPv4", protocol="udp", port_range_min=53, port_range_max=53))
    'ip4 && udp && udp.src == 53'
    """
    parts = answers(rule)
    return " && ".join([FAMILY[rule.ethertype], *far(rule, opposite(rule.direction)), *parts]) if parts else ""


def far(rule: Any, direction: str) -> list[str]:
    """Who is at the other end of a packet in that direction."""
    family, end = FAMILY[rule.ethertype], "src" if direction == "ingress" else "dst"
    found = []
    if rule.remote_ip_prefix:
        found.append(f"{family}.{end} == {normalized(rule.remote_ip_prefix)}")
    if rule.remote_group_id:
        found.append(f"{family}.{end} == ${names.port_group(rule.remote_group_id)}_{family}")
    if rule.remote_address_group_id:
        found.append(f"{family}.{end} == ${names.address_set(rule.remote_address_group_id, family)}")
    return found


def protocol(rule: Any) -> list[str]:
    if rule.protocol is None:
        return []
    value = number(str(rule.protocol), rule.ethertype)
    if value in ICMP:
        name, low, high = icmp_of(value), rule.port_range_min, rule.port_range_max
        typed = [f"{name}.type == {low}"] if low is not None else []
        return [name, *typed, *([f"{name}.code == {high}"] if high is not None else [])]
    if value not in WITH_PORTS:
        return [f"ip.proto == {value}"]
    return [WITH_PORTS[value], *ports(rule, f"{WITH_PORTS[value]}.dst")]


def icmp_of(value: int) -> str:
    return "icmp4" if value == 1 else "icmp6"


def ports(rule: Any, field: str) -> list[str]:
    low, high = rule.port_range_min, rule.port_range_max
    if low is None:
        return []
    return [f"{field} == {low}"] if low == high else [f"{field} >= {low}", f"{field} <= {high}"]


def answers(rule: Any) -> list[str]:
    """What of the rule's protocol is an answer; [] for nothing."""
    icmp = answering_types(rule)
    if rule.protocol is None:  # other protocols are answered where a rule names them
        return [f"((tcp && {NO_OPENING}) || {icmp} || {unnamed('udp')} || {unnamed('sctp')})"]
    value = number(str(rule.protocol), rule.ethertype)
    if value in ICMP:
        return [icmp] if icmp else []
    if value not in WITH_PORTS:
        return [f"ip.proto == {value}"]
    name = WITH_PORTS[value]
    if name == "tcp":
        return ["tcp", NO_OPENING, *ports(rule, "tcp.src")]
    return [name, *ports(rule, f"{name}.src")] if rule.port_range_min is not None else [unnamed(name)]


def unnamed(name: str) -> str:
    """An answer where a rule names no port: from a service's port to a client's."""
    return f"({name}.src < 1024 && {name}.dst >= 1024)"


def answering_types(rule: Any) -> str:
    name, known = ICMP_NAME[rule.ethertype], ANSWERS[rule.ethertype]
    if rule.protocol is None or rule.port_range_min is None:
        return f"{name}.type == {{{', '.join(map(str, known.values()))}}}"
    return f"{name}.type == {known[rule.port_range_min]}" if rule.port_range_min in known else ""


def errors(ethertype: str) -> str:
    """ICMP that tells of a conversation's errors; path MTU discovery lives on it."""
    return f"{ICMP_NAME[ethertype]}.type == {{{', '.join(map(str, ERRORS[ethertype]))}}}"
