"""What stands before a port: port security and security groups, with OVN's tracking of conversations.

Each logical port has a zone of its own in which conversations are tracked, as in OVN: a stateful rule that lets the first packet pass
lets the answers pass; a stateless one neither looks nor remembers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from ipaddress import IPv6Address

from wolke.network.reachability.picture import Group, Ip, Packet, Picture, Port, Rule
from wolke.network.reachability.verdict import (
    ADDRESS_PAIR,
    ALLOWED_BY_RULE,
    CONNTRACK,
    NO_RULE,
    PORT_SECURITY,
    Decision,
    Thing,
    blocked,
    thing,
    traffic,
)

TCP, UDP, ICMP, ICMPV6, SCTP = 6, 17, 1, 58, 132
Flow = tuple[int, Ip, int, Ip, int]


class Zones:
    """Conversations that have begun, per place that tracks them."""

    def __init__(self) -> None:
        self.seen: dict[str, set[Flow]] = defaultdict(set)

    def knows(self, place: str, packet: Packet) -> bool:
        return packet.flow in self.seen[place] or packet.back in self.seen[place]

    def begin(self, place: str, packet: Packet) -> None:
        self.seen[place].add(packet.flow)


def link_local(mac: str) -> Ip:
    """
    >>> str(link_local("fa:16:3e:00:00:01"))
    'fe80::f816:3eff:fe00:1'
    """
    parts = [int(part, 16) for part in mac.split(":")]
    parts[0] ^= 2
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes([*parts[:3], 0xFF, 0xFE, *parts[3:]]))


def may_have(port: Port, ip: Ip, mac: str = "") -> bool:
    """Whether port security takes the address for one of the port's, behind that MAC (any of the port's without one)."""
    if port.has(ip) or (ip.version == 6 and ip == link_local(port.mac)):
        return mac in ("", port.mac)
    if any(ip in pair.net for pair in port.pairs if pair.net.version == ip.version and mac in ("", pair.mac)):
        return True
    bare = not port.addresses and not any(pair.mac == port.mac for pair in port.pairs)  # only the MAC is looked at
    return bare and mac in ("", port.mac)


def check_sender(port: Port, packet: Packet, mac: str) -> None:
    """Raises Blocked: the port may not send from this address."""
    if not port.secure or port.trusted or may_have(port, packet.source, mac):
        return
    known = mac == port.mac or any(pair.mac == mac for pair in port.pairs)
    what = f"from {packet.source}" if known else f"with MAC {mac}"
    here = thing("port", port)
    raise blocked(
        PORT_SECURITY,
        here,
        f"port security of {here} lets nothing out {what}: it is no address or pair of the port",
        here,
    )


def check_receiver(port: Port, packet: Packet) -> None:
    """Raises Blocked: port security lets nothing in for an address that the port may not have."""
    if not port.secure or port.trusted or may_have(port, packet.destination):
        return
    here = thing("port", port)
    raise blocked(
        ADDRESS_PAIR, here,
        f"port security of {here} lets nothing in for {packet.destination}: no allowed address pair of the port has it", here,
    )  # fmt: skip


def matches(rule: Rule, packet: Packet, picture: Picture) -> bool:
    """Whether a rule means this packet; its direction has been looked at."""
    if rule.version != packet.version:
        return False
    far = packet.source if rule.direction == "ingress" else packet.destination
    if rule.prefix is not None and far not in rule.prefix:
        return False
    if rule.remote_group is not None:
        group = picture.groups.get(rule.remote_group)
        if group is None or far not in group.members:
            return False
    if rule.remote_addresses is not None and not any(
        far in net for net in rule.remote_addresses if net.version == far.version
    ):
        return False
    if rule.protocol is None:
        return True
    if rule.protocol != packet.protocol:
        return False
    if rule.low is None and rule.high is None:
        return True
    if packet.protocol in (ICMP, ICMPV6):
        return rule.low in (None, packet.icmp_type) and rule.high in (None, packet.icmp_code)
    return (rule.low or 0) <= packet.port <= (65535 if rule.high is None else rule.high)


def rules_of(groups: list[Group], direction: str, *, stateful: bool) -> Iterator[tuple[Group, Rule]]:
    for group in groups:
        if group.stateful is stateful:
            yield from ((group, rule) for rule in group.rules if rule.direction == direction)


def allowed(group: Group, rule: Rule, direction: str, packet: Packet, at: Thing) -> Decision:
    one = Thing("security_group_rule", rule.id, "", group.project_id)
    return Decision(
        ALLOWED_BY_RULE,
        one,
        f"{direction} rule {rule.id} of {thing('security_group', group)} allows {traffic(packet)}",
        at,
        direction,
    )


def pass_groups(picture: Picture, zones: Zones, port: Port, direction: str, packet: Packet) -> Decision | None:
    """What lets a packet pass a port's security groups; None where none stand there or the conversation is known.

    Raises
    ------
    Blocked: no rule allows it, or it answers what the port has not seen begin
    """
    tracked = picture.networks[port.network_id].stateful
    here = thing("port", port)
    groups = [picture.groups[id] for id in port.groups if id in picture.groups]
    guarded = port.secure and not port.trusted
    if guarded:
        for group, rule in rules_of(groups, direction, stateful=False):
            if matches(rule, packet, picture):
                return allowed(group, rule, direction, packet, here)
    if tracked:
        if zones.knows(port.id, packet):
            return None
        if packet.answer and packet.protocol == TCP and not any(not group.stateful for group in groups if guarded):
            raise blocked(
                CONNTRACK, here, f"{here} has not seen the conversation begin that this answers: its first packet took another way",
                here,
            )  # fmt: skip
    if not guarded:
        zones.begin(port.id, packet)
        return None
    if tracked and not (packet.answer and packet.protocol == TCP):
        for group, rule in rules_of(groups, direction, stateful=True):
            if matches(rule, packet, picture):
                zones.begin(port.id, packet)
                return allowed(group, rule, direction, packet, here)
    raise refusal(groups, direction, packet, here)


def refusal(groups: list[Group], direction: str, packet: Packet, here: Thing) -> Exception:
    far = f"from {packet.source}" if direction == "ingress" else f"to {packet.destination}"
    if not groups:
        why = f"{here} has port security and no security group, so nothing passes"
        return blocked(NO_RULE, here, why, here, direction)
    bare = [group for group in groups if packet.answer and not group.stateful]
    asked = bare or groups
    names = " and ".join(str(thing("security_group", group)) for group in asked)
    what = f"the answer ({traffic(packet)})" if packet.answer else traffic(packet)
    why = f"no {direction} rule of {'stateless ' if bare else ''}{names} on {here} allows {what} {far}"
    return blocked(NO_RULE, thing("security_group", asked[0]), why, here, direction)
