"""What stands before a port: port security and security groups, with OVN's tracking of conversations.

Each logical port has a zone of its own in which conversations are tracked, as in OVN: a stateful rule that lets the first packet pass
lets the answers pass; a stateless one neither looks nor remembers.
"""

from __future__ import annotations

from collections import defaultdict
from ipaddress import IPv6Address

from wolke.network.doorman.policy import TCP
from wolke.network.reachability.picture import Group, Ip, Packet, Picture, Port, Rule
from wolke.network.reachability.verdict import (
    ADDRESS_PAIR,
    ALLOWED_BY_RULE,
    CONNTRACK,
    DOORMAN,
    NO_RULE,
    PORT_SECURITY,
    Decision,
    Thing,
    blocked,
    thing,
    traffic,
)
from wolke.network.security_groups.verdict import allowed_on_router, matches

Flow = tuple[int, Ip, int, Ip, int]


class Zones:
    """Conversations that have begun, per place that tracks them."""

    def __init__(self) -> None:
        self.seen: dict[str, set[Flow]] = defaultdict(set)

    def knows(self, place: str, packet: Packet) -> bool:
        return packet.flow in self.seen[place] or packet.back in self.seen[place]

    def answers(self, place: str, packet: Packet) -> bool:
        return packet.back in self.seen[place]

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


def allowed(group: Group, rule: Rule, direction: str, packet: Packet, at: Thing) -> Decision:
    one = Thing("security_group_rule", rule.id, "", group.project_id)
    return Decision(
        ALLOWED_BY_RULE,
        one,
        f"{direction} rule {rule.id} of {thing('security_group', group)} allows {traffic(packet)}",
        at,
        direction,
    )


def pass_port(picture: Picture, zones: Zones, port: Port, direction: str, packet: Packet) -> Decision | None:
    """What lets a packet pass a server's port; None where nothing stands there or the conversation is known.

    Raises
    ------
    Blocked: the doorman forbids it, no rule of a group allows it, or it answers what the port has not seen begin
    """
    tracked = picture.networks[port.network_id].stateful
    here = thing("port", port)
    guarded = port.secure and not port.trusted
    groups = [picture.groups[id] for id in port.groups if id in picture.groups] if guarded else []
    bare = first(picture, groups, direction, packet, stateful=False)
    opens_tcp = packet.protocol == TCP and not packet.answer
    if tracked and not bare and not opens_tcp and zones.knows(port.id, packet):
        return None
    pass_door(picture, port, direction, packet, port.project_id)
    if bare:
        return allowed(*bare, direction, packet, here)
    if tracked and packet.answer and packet.protocol == TCP:
        if any(not group.stateful for group in groups):
            raise refusal(groups, direction, packet, here)
        raise blocked(
            CONNTRACK, here, f"{here} has not seen the conversation begin that this answers: its first packet took another way", here
        )  # fmt: skip
    if not guarded:
        if tracked:
            zones.begin(port.id, packet)
        return None
    if tracked and (found := first(picture, groups, direction, packet, stateful=True)):
        zones.begin(port.id, packet)
        return allowed(*found, direction, packet, here)
    raise refusal(groups, direction, packet, here)


def check_rest(picture: Picture, port: Port, packet: Packet) -> None:
    """Raises Blocked: the rest of a TCP conversation does not leave. What a switch leads on has its new destination before the groups are
    asked from the second packet on, so they have to allow both."""
    groups = [picture.groups[id] for id in port.groups if id in picture.groups]
    guarded = port.secure and not port.trusted and packet.protocol == TCP
    if guarded and not first(picture, groups, "egress", packet, stateful=True):
        raise refusal(groups, "egress", packet, thing("port", port))


def first(
    picture: Picture, groups: list[Group], direction: str, packet: Packet, *, stateful: bool
) -> tuple[Group, Rule] | None:
    """The first rule that lets a packet pass, with its group."""
    for group in groups:
        if group.stateful is stateful:
            for rule in group.rules:
                if rule.direction == direction and matches(rule, packet, picture.members):
                    return group, rule
    return None


def pass_door(picture: Picture, port: Port, direction: str, packet: Packet, project_id: str) -> None:
    """Raises Blocked: the operator's doorman does not let it pass at this port."""
    says = picture.door.verdict(port.network_id, packet, direction)
    if not says.allowed:
        rule = Thing("doorman_rule", says.by, picture.door.names.get(says.by, ""), project_id)
        way = "into the cloud" if direction == "ingress" else "out of the cloud"
        if not picture.networks[port.network_id].external:
            way = "to a server" if direction == "ingress" else "out of a server"
        raise blocked(
            DOORMAN, rule, f"the operator's {rule} does not let {traffic(packet)} {way}", thing("port", port), direction
        )


def pass_router_port(picture: Picture, port: Port, direction: str, packet: Packet) -> Decision | None:
    """The same for the groups of a router's port, where nothing is remembered; ``ingress`` goes into the router. Raises Blocked."""
    groups = [picture.groups[id] for id in port.groups if id in picture.groups]
    if not groups:
        return None
    here = thing("port", port)
    for group in groups:
        if id := allowed_on_router(group.rules, direction, packet, picture.members):
            rule = next((rule for rule in group.rules if rule.id == id), None)
            return allowed(group, rule, direction, packet, here) if rule else None
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
