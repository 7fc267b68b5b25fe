"""The pure verdict says what the ACLs say; here against a small evaluator of their matches."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from types import SimpleNamespace
from typing import Any

import pytest

from wolke.network.security_groups import acls, verdict
from wolke.network.security_groups.verdict import Ip, Net

NAMES = {"tcp": 6, "udp": 17, "sctp": 132, "icmp4": 1, "icmp6": 58}


@dataclass(frozen=True)
class Packet:
    source: Ip
    destination: Ip
    protocol: int
    source_port: int = 40000
    port: int = 80
    icmp_type: int = 0
    icmp_code: int = 0
    answer: bool = False


@dataclass(frozen=True)
class Rule:
    id: str
    direction: str
    version: int
    protocol: int | None = None
    low: int | None = None
    high: int | None = None
    prefix: Net | None = None
    remote_group: str | None = None
    remote_addresses: tuple[Net, ...] | None = None


def row(rule: Rule) -> Any:
    """The rule as the table has it."""
    return SimpleNamespace(
        direction=rule.direction, ethertype=f"IPv{rule.version}", protocol=None if rule.protocol is None else str(rule.protocol),
        port_range_min=rule.low, port_range_max=rule.high, remote_ip_prefix=str(rule.prefix) if rule.prefix else None,
        remote_group_id=rule.remote_group, remote_address_group_id="a" if rule.remote_addresses is not None else None,
    )  # fmt: skip


def holds(match: str, packet: Packet, sets: dict[str, Any]) -> bool:
    """What OVN makes of a match, for the words that we use."""
    family = f"ip{packet.source.version}"
    ends = {"src": packet.source, "dst": packet.destination}
    ports = {"src": packet.source_port, "dst": packet.port}

    def value(found: re.Match[str]) -> str:
        field, sign, wanted = found[1], found[2], found[3]
        name, _, part = field.partition(".")
        if name in ("ip4", "ip6"):
            if name != family:
                return "False"
            nets = sets[wanted[1:]] if wanted[0] == "$" else [ip_network(wanted)]
            return str(any(ends[part] in net for net in nets))
        if field == "ip.proto":
            return str(packet.protocol == int(wanted))
        if packet.protocol != NAMES[name]:
            return "False"
        if field == "tcp.flags":  # the first packet has SYN alone, answers have ACK
            bits, mask = (int(one, 0) for one in wanted.split("/"))
            return str((0x10 if packet.answer else 0x02) & mask == bits)
        have = {"type": packet.icmp_type, "code": packet.icmp_code}.get(part, ports.get(part, -1))
        if wanted[0] == "{":
            return str(have in {int(one) for one in wanted[1:-1].split(",")})
        return str(
            {"==": have == int(wanted), ">=": have >= int(wanted), "<=": have <= int(wanted), "<": have < int(wanted)}[
                sign
            ]
        )

    text = re.sub(r"(\w+\.\w+) (==|>=|<=|<) (\{[^}]*\}|[^ ()]+)", value, match)
    for name, number in NAMES.items():
        text = re.sub(rf"\b{name}\b", str(packet.protocol == number), text)
    for version in (4, 6):
        text = re.sub(rf"\bip{version}\b", str(packet.source.version == version), text)
    return bool(eval(text.replace("&&", " and ").replace("||", " or "), {}))


RULES = [
    Rule(f"{direction} {version} {protocol} {low}-{high} {far}", direction, version, protocol, low, high, **remote)
    for direction in ("ingress", "egress")
    for version, ends in ((4, ("10.0.0.0/24", "10.0.0.7")), (6, ("fd00::/64", "fd00::7")))
    for protocol, low, high in (
        (None, None, None), (6, None, None), (6, 80, 80), (6, 1000, 2000), (17, None, None), (17, 53, 53), (132, 80, 90),
        (58 if version == 6 else 1, None, None), (58 if version == 6 else 1, 128 if version == 6 else 8, None),
        (58 if version == 6 else 1, 3, 0), (47, None, None), (136, None, None),
    )
    for far, remote in (
        ("anybody", {}), ("prefix", {"prefix": ip_network(ends[0])}), ("group", {"remote_group": "g"}),
        ("addresses", {"remote_addresses": (ip_network(ends[1]),)}),
    )
]  # fmt: skip
MEMBERS = {"g": frozenset({ip_address("10.0.0.7"), ip_address("fd00::7")})}


def packets() -> list[Packet]:
    found = []
    for near, fars in (
        ("192.168.0.9", ("10.0.0.7", "10.0.0.8", "10.9.0.1")),
        ("fd11::9", ("fd00::7", "fd00::8", "fd01::1")),
    ):
        for far, turned in itertools.product(fars, (False, True)):
            ends = (ip_address(near), ip_address(far)) if turned else (ip_address(far), ip_address(near))
            for protocol, one, two in itertools.product((6, 17, 132), (53, 80, 1500, 40000), (53, 80, 1500, 40000)):
                found += [Packet(*ends, protocol, one, two, answer=answer) for answer in (False, True)]
            icmp = 58 if ":" in near else 1
            found += [Packet(*ends, icmp, 0, 0, type, code) for type in (0, 3, 5, 8, 128, 129, 135) for code in (0, 4)]
            found += [Packet(*ends, protocol, 0, 0) for protocol in (47, 50, 136)]
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_verdict_and_acls_say_the_same_of_every_rule(rule: Rule) -> None:
    sets = {
        "pg_g_ip4": [ip_network("10.0.0.7")], "pg_g_ip6": [ip_network("fd00::7")],
        "ag_a_ip4": [ip_network("10.0.0.7")], "ag_a_ip6": [ip_network("fd00::7")],
    }  # fmt: skip
    forth, back = acls.match(row(rule)), acls.answer(row(rule))
    always = [acls.errors("IPv4"), acls.errors("IPv6")]
    seen = set()
    for packet, direction in itertools.product(packets(), ("ingress", "egress")):
        server = holds(forth, packet, sets) if direction == rule.direction else False
        assert (verdict.allowed([rule], direction, packet, MEMBERS) == rule.id) is server, (packet, direction)
        router = server or (direction != rule.direction and bool(back) and holds(back, packet, sets))
        said = verdict.allowed_on_router([rule], direction, packet, MEMBERS)
        if said in (verdict.ERROR_RULE, verdict.NEIGHBOUR_RULE):
            assert any(holds(one, packet, sets) for one in always) or packet.icmp_type in verdict.NEIGHBOURS
        else:
            assert (said == rule.id) is router, (packet, direction, forth, back)
        seen.add((server, router))
    assert (True, True) in seen and (False, False) in seen


def test_the_first_rule_that_allows_is_named() -> None:
    rules = [Rule("ssh", "ingress", 4, 6, 22, 22), Rule("web", "ingress", 4, 6, 80, 80), Rule("all", "ingress", 4)]
    packet = Packet(ip_address("10.0.0.7"), ip_address("10.0.0.8"), 6)
    assert verdict.allowed(rules, "ingress", packet, {}) == "web"
    assert verdict.allowed(rules, "egress", packet, {}) is None
    assert verdict.allowed_on_router(rules, "egress", packet, {}) is None, "a SYN is no answer"
