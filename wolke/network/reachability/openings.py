"""What the world outside can reach of a port or a floating IP: security groups, translations and the doorman together.

The same walk decides as for a single question. Between two numbers that no rule names, every port has the same fate; so one packet is sent
for each such range, and for each range of senders that rules tell apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from wolke.network.doorman.policy import ICMP, ICMPV6, SCTP, SERVICES, TCP, UDP
from wolke.network.reachability.outside import is_private
from wolke.network.reachability.picture import Ip, Net, Packet, Picture, Port, Rule
from wolke.network.reachability.question import A_PORT, ANYBODY
from wolke.network.reachability.verdict import Decision
from wolke.network.reachability.walk import verdict

LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Opening:
    """Ports that are open to some senders. ``low = high = 0`` where the protocol has no ports."""

    address: Ip  # that the world outside sends to
    protocol: int
    low: int
    high: int
    sources: Net | None  # None: everybody
    decisions: tuple[Decision, ...]  # the rules that open it


def open_ports(picture: Picture, *, port_id: str = "", floating_id: str = "") -> list[Opening]:
    """Everything that is open from outside, whether the server runs or not: by address, protocol, sender and port."""
    found: list[Opening] = []
    for address in entrances(picture, port_id, floating_id):
        targets = targets_of(picture, address, port_id)
        senders = sources(picture, targets, address.version)
        for protocol in protocols(picture, targets, address.version):
            everybody: list[Opening] = []
            for net in senders:
                opened = opened_to(picture, address, protocol, net, senders, targets)
                if net is None:
                    everybody = opened
                found += opened if net is None else [one for one in opened if not covered(one, everybody)]
    return found


def entrances(picture: Picture, port_id: str, floating_id: str) -> list[Ip]:
    """Addresses that lead there from outside."""
    if floating_id:
        return [picture.floating[floating_id].address]
    found = [ip for ip, _ in picture.ports[port_id].addresses if not is_private(ip)]
    for one in picture.floating.values():
        led = any(forwarding.port_id == port_id for forwarding in picture.forwardings_of.get(one.id, ()))
        if one.port_id == port_id or led:
            found.append(one.address)
    return found


def targets_of(picture: Picture, address: Ip, port_id: str) -> list[Port]:
    one = picture.floating_by_address.get(address)
    ids = {port_id} if one is None else {one.port_id, *(f.port_id for f in picture.forwardings_of.get(one.id, ()))}
    return [picture.ports[id] for id in sorted(id for id in ids if id) if id in picture.ports]


def protocols(picture: Picture, targets: Sequence[Port], version: int) -> list[int]:
    """Those that are usual, and those that rules name."""
    usual = {TCP, UDP, SCTP, ICMP if version == 4 else ICMPV6}
    named = {rule.protocol for rule in rules(picture, targets) if rule.version == version}
    return sorted(usual | {number for number in named if number is not None})


def rules(picture: Picture, targets: Sequence[Port]) -> Iterable[Rule]:
    for port in targets:
        for id in port.groups:
            if group := picture.groups.get(id):
                yield from (rule for rule in group.rules if rule.direction == "ingress")


def sources(picture: Picture, targets: Sequence[Port], version: int) -> list[Net | None]:
    """Everybody, then the senders that rules tell apart, larger nets first."""
    nets = {rule.prefix for rule in rules(picture, targets) if rule.prefix is not None}
    nets |= {net for rule in rules(picture, targets) for net in rule.remote_addresses or ()}
    nets |= {net for rule in picture.door.rules for net in rule.remote or ()}
    nets |= {net for one in picture.door.exemptions for net in one.remote or ()}
    some = [net for net in nets if net.version == version and net.prefixlen]
    return [None, *sorted(some, key=lambda net: (net.prefixlen, int(net.network_address)))]


def somebody_in(net: Net | None, others: Sequence[Net | None], version: int) -> Ip | None:
    """An address of a net that is in no smaller one; None where smaller ones fill it."""
    if net is None:
        return ANYBODY[version]
    smaller = [
        one for one in others if one is not None and one.prefixlen > net.prefixlen and one.network_address in net
    ]
    ends = [one.broadcast_address for one in smaller]
    edges: list[Ip] = [net.network_address, *(end + 1 for end in ends if int(end) < int(net.broadcast_address))]
    return next((ip for ip in edges if not any(ip in one for one in smaller)), None)


def cuts(picture: Picture, targets: Sequence[Port], address: Ip, protocol: int) -> list[int]:
    """First ports of the ranges whose ports all have the same fate."""
    found = {1, SERVICES}
    for rule in rules(picture, targets):
        if rule.protocol in (None, protocol) and rule.low is not None:
            found |= {rule.low, (rule.high if rule.high is not None else rule.low) + 1}
    for door in picture.door.rules:
        if door.ports and door.protocol in (None, protocol):
            found |= {door.ports[0], door.ports[1] + 1}
    one = picture.floating_by_address.get(address)
    moved: set[int] = set()
    for forwarding in picture.forwardings_of.get(one.id, ()) if one else ():
        if forwarding.protocol == protocol:
            moved |= {forwarding.first, forwarding.last + 1}
            moved |= {outer for cut in found if (outer := forwarding.from_outside(cut))}
    return sorted(cut for cut in found | moved if 1 <= cut <= LAST_PORT)


def opened_to(
    picture: Picture,
    address: Ip,
    protocol: int,
    net: Net | None,
    senders: Sequence[Net | None],
    targets: Sequence[Port],
) -> list[Opening]:
    sender = somebody_in(net, senders, address.version)
    if sender is None:
        return []
    packet = Packet(sender, address, protocol, A_PORT)
    if protocol not in (TCP, UDP, SCTP):
        echo = replace(packet, icmp_type={ICMP: 8, ICMPV6: 128}.get(protocol, 0))
        found = verdict(picture, None, echo, powered=True)
        return [Opening(address, protocol, 0, 0, net, (found.decision,))] if found.reachable else []
    opened: list[Opening] = []
    starts = cuts(picture, targets, address, protocol)
    for low, high in zip(starts, [*(start - 1 for start in starts[1:]), LAST_PORT], strict=True):
        found = verdict(picture, None, replace(packet, port=low), powered=True)
        if not found.reachable:
            continue
        before = opened[-1] if opened else None
        if before and before.high == low - 1:
            known = any(one.thing == found.decision.thing for one in before.decisions)
            more = () if known else (found.decision,)
            opened[-1] = replace(before, high=high, decisions=(*before.decisions, *more))
        else:
            opened.append(Opening(address, protocol, low, high, net, (found.decision,)))
    return opened


def covered(one: Opening, by: Iterable[Opening]) -> bool:
    """Whether everybody has that opening anyway."""
    left = one.low
    for other in sorted((other for other in by if other.protocol == one.protocol), key=lambda other: other.low):
        if other.low <= left <= other.high:
            left = other.high + 1
    return left > one.high
