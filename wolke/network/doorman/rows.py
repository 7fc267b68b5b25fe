"""The door in OVN: for each network that has one a Port_Group and ACLs that drop.

They are drops only, above everything a project says (security groups stand at 1003 and less). An ACL that allows there would pass the
security groups of the same switch, too; what earlier rules allow is subtracted instead, see ``policy.drops``.

OVN:  ovn-nb(5), tables Port_Group, ACL, Address_Set, Logical_Router_Policy. On routers' ports northd keeps ACLs out of connection tracking.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from sqlalchemy.orm import Session

from wolke.drivers.rows import Row, Value
from wolke.network import names
from wolke.network.doorman import policy, reader
from wolke.network.doorman.legs import Leg, legs
from wolke.network.doorman.places import DOOR
from wolke.network.doorman.policy import Drop
from wolke.network.doorman.spans import EVERY, Spans, intersect, networks_of, of_networks
from wolke.network.lane import Site, single

PRIORITY, GUARD = 30000, 30001
MOST_LISTED = 8  # prefixes that stand in a match; more become an Address_Set
WAYS = {"ingress": ("to-lport", "outport", "src", "dst"), "egress": ("from-lport", "inport", "dst", "src")}
# What hides its port from us and is put together behind us (RFC 1858): a first fragment without its whole header, and IPv6 whose headers
# are cut before the last of them, which Open vSwitch has as protocol 0 and as no fragment (RFC 7112)
TINY = "((ip.first_frag && ((tcp && tcp.src == 0 && tcp.dst == 0) || (sctp && sctp.src == 0 && sctp.dst == 0))) || (ip6 && ip.proto == 0))"
NAMES = {policy.TCP: "tcp", policy.UDP: "udp", policy.SCTP: "sctp", policy.ICMP: "icmp4", policy.ICMPV6: "icmp6"}
Same = tuple[tuple[int, ...], tuple[int, ...]]
FLAGS = {policy.OPENING: "tcp.flags == 0x2/0x12", policy.LATER: "!(tcp.flags == 0x2/0x12)"}


def rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    """The rows of all doors."""
    door = reader.load(db)
    made: dict[tuple[str, str], Row] = {}
    compiled: dict[tuple[Same, str], list[Drop]] = {}
    for network in sorted(door.networks):
        group = names.door(network)
        made[names.GROUP, group] = Row(names.GROUP, group, names.owner(*DOOR), {})
        for way in WAYS:
            key = (same(door, network), way)
            if key not in compiled:
                compiled[key] = policy.drops(door.rules, door.exemptions, network, way)
            for row in [*acls(network, way, compiled[key]), guard(network, way)]:
                made[row.table, row.key] = row
            for drop in compiled[key]:
                for row in address_sets(drop):
                    made[row.table, row.key] = row
    for leg in legs(db):
        its = same(door, leg.network_id)
        for drop in past(leg, compiled[its, "ingress"]):
            for row in [_into(leg, match(drop, "ingress"), PRIORITY, drop.rule_id), *address_sets(drop)]:
                made[row.table, row.key] = row
        for drop in compiled[its, "egress"] if leg.beside else ():
            for row in [_out_by(leg, match(drop, "egress"), drop.rule_id), *address_sets(drop)]:
                made[row.table, row.key] = row
        for row in [_into(leg, TINY, GUARD, "fragments"), *([_out_by(leg, TINY, "fragments")] if leg.beside else [])]:
            made[row.table, row.key] = row
    return list(made.values())


def same(door: reader.Door, network: str) -> Same:
    """What doors have in common whose drops are the same: the rules that stand there, and the exceptions that hold there."""
    rules = (at for at, rule in enumerate(door.rules) if rule.networks is None or network in rule.networks)
    return tuple(rules), tuple(at for at, one in enumerate(door.exemptions) if one.holds_at(network))


def past(leg: Leg, drops: Sequence[Drop]) -> list[Drop]:
    """What of the drops concerns the networks behind a router."""
    found = []
    for drop in drops:
        if local := intersect(drop.local, of_networks(leg.behind, drop.version)):
            found.append(replace(drop, local=local))
    return found


def _into(leg: Leg, question: str, priority: int, name: str) -> Row:
    columns: dict[str, Value] = {
        "direction": "to-lport", "priority": priority, "match": f'outport == "{leg.port_id}" && {question}', "action": "drop", "name": name,
    }  # fmt: skip
    key = f"{leg.port_id}/ingress/{digest(question + name)}"
    return Row("ACL", key, names.owner(*DOOR), columns, frozenset({(names.SWITCH, leg.network_id, "acls")}))


def _out_by(leg: Leg, question: str, name: str) -> Row:
    """The router knows by which of its ports a packet came, the switch outside only what the packet says."""
    came = ", ".join(f'"{names.router_port(id)}"' for id in leg.beside)
    columns: dict[str, Value] = {
        "priority": PRIORITY, "match": f'inport == {{{came}}} && outport == "{names.router_port(leg.port_id)}" && {question}',
        "action": "drop",
    }  # fmt: skip
    key = f"{leg.port_id}/egress/{digest(question + name)}"
    parent = frozenset({("Logical_Router", leg.router_id, "policies")})
    return Row("Logical_Router_Policy", key, names.owner(*DOOR), columns, parent)


def acls(network: str, way: str, drops: Sequence[Drop]) -> list[Row]:
    return [_acl(network, way, match(drop, way), PRIORITY, drop.rule_id) for drop in drops]


def guard(network: str, way: str) -> Row:
    return _acl(network, way, TINY, GUARD, "fragments")


def _acl(network: str, way: str, question: str, priority: int, name: str) -> Row:
    direction, side, _, _ = WAYS[way]
    group = names.door(network)
    columns: dict[str, Value] = {
        "direction": direction, "priority": priority, "match": f"{side} == @{group} && {question}", "action": "drop", "name": name,
    }  # fmt: skip
    key = f"{network}/{way}/{digest(question + name)}"
    return Row("ACL", key, names.owner(*DOOR), columns, frozenset({(names.GROUP, group, "acls")}))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def match(drop: Drop, way: str) -> str:
    """What is dropped, in OVN's words (without the port group).

    >>> from wolke.network.doorman.policy import Rule, drops
    >>> smtp = Rule(id="1", action="deny", direction="ingress", version=4, protocol=6, ports=(25, 25))
    >>> [match(drop, "ingress") for drop in drops([smtp], [], "n", "ingress")]
    ['ip4 && tcp && tcp.dst == 25']
    """
    family, (_, _, far, near) = f"ip{drop.version}", WAYS[way]
    parts = [family]
    for side, spans in ((far, drop.remote), (near, drop.local)):
        if spans != EVERY[drop.version]:
            parts.append(f"{family}.{side} == {listed(spans, drop.version)}")
    if drop.protocols != policy.PROTOCOLS:
        parts.append(numbers("ip.proto", drop.protocols))
    [*_, (first, last)] = drop.protocols
    if first == last and len(drop.protocols) == 1 and (name := NAMES.get(first)):
        one, two = ("type", "code") if name.startswith("icmp") else ("dst", "src")
        parts[-1] = name
        parts += [numbers(f"{name}.{part}", spans) for part, spans in ((one, drop.ports), (two, drop.sources))
                  if spans != policy.NUMBERS]  # fmt: skip
        if drop.opening in FLAGS:
            parts.append(FLAGS[drop.opening])
    return " && ".join(parts)


def numbers(field: str, spans: Spans) -> str:
    """
    >>> numbers("tcp.dst", ((25, 25), (80, 90)))
    '(tcp.dst == 25 || (tcp.dst >= 80 && tcp.dst <= 90))'
    """
    texts = [
        f"{field} == {first}" if first == last else f"({field} >= {first} && {field} <= {last})"
        for first, last in spans
    ]
    return texts[0].strip("()") if len(texts) == 1 else f"({' || '.join(texts)})"


def listed(spans: Spans, version: int) -> str:
    name, networks = prefixes(spans, version)
    if len(networks) > MOST_LISTED:
        return f"${name}"
    return f"{{{', '.join(networks)}}}" if len(networks) > 1 else networks[0]


@lru_cache(256)
def prefixes(spans: Spans, version: int) -> tuple[str, tuple[str, ...]]:
    """The fewest prefixes, and the name of a set of them. It follows from what it holds: a set that changes is another one."""
    networks = tuple(map(str, networks_of(spans, version)))
    return f"door_{digest(' '.join(networks))}", networks


def address_sets(drop: Drop) -> list[Row]:
    """The Address_Sets that a drop's match mentions."""
    made = []
    for spans in (drop.remote, drop.local):
        if spans != EVERY[drop.version]:
            name, networks = prefixes(spans, drop.version)
            if len(networks) > MOST_LISTED:
                columns: dict[str, Value] = {"addresses": frozenset(networks)}
                made.append(Row("Address_Set", name, names.owner(*DOOR), columns))
    return made


single(*DOOR, rows)
