"""What a router does with a packet: where it goes, and what NAT makes of it.

OVN:  ovn-northd(8), logical router datapaths. Translation happens at the gateway port only: a floating IP or a forwarding is undone on the
way in, the source is rewritten on the way out, and a packet that leaves for an address of the same router's is looped back in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from wolke.network.reachability.filters import SCTP, TCP, UDP, Flow
from wolke.network.reachability.picture import GATEWAY_OWNER, Ip, Net, Packet, Picture, Port, Router
from wolke.network.reachability.verdict import ROUTE, Thing, blocked, thing


@dataclass(frozen=True, slots=True)
class Way:
    """One way that a router knows: out of this port, to this neighbour."""

    port: Port
    nexthop: Ip
    net: Net
    direct: bool


def gateways(picture: Picture, router: Router) -> list[Port]:
    return [port for port in picture.legs.get(router.id, ()) if port.device_owner == GATEWAY_OWNER]


def net_of(picture: Picture, subnet_id: str) -> Net:
    return picture.subnets[subnet_id].net


def ways(picture: Picture, router: Router, packet: Packet) -> list[Way]:
    """The best ways to the packet's destination: several are of equal worth (ECMP). Raises Blocked: there is none."""
    found: list[Way] = []
    legs = picture.legs.get(router.id, ())
    for leg in legs:
        for _, subnet_id in leg.addresses:
            subnet = picture.subnets[subnet_id]
            if packet.destination in subnet.net:
                found.append(Way(leg, packet.destination, subnet.net, True))
            if leg.device_owner == GATEWAY_OWNER and subnet.gateway and subnet.gateway.version == packet.version:
                found.append(Way(leg, subnet.gateway, subnet.net.supernet(new_prefix=0), False))
    for route in router.routes:
        if packet.destination in route.destination and (leg_of := leg_to(picture, legs, route.nexthop)):
            found.append(Way(leg_of, route.nexthop, route.destination, False))
    if not found:
        here = thing("router", router)
        raise blocked(ROUTE, here, f"{here} has no route to {packet.destination}", here)
    worth = max((way.net.prefixlen, way.direct) for way in found)
    return [way for way in found if (way.net.prefixlen, way.direct) == worth]


def leg_to(picture: Picture, legs: Sequence[Port], nexthop: Ip) -> Port | None:
    return next((leg for leg in legs if any(nexthop in net_of(picture, id) for _, id in leg.addresses)), None)


class Translations:
    """What the routers have rewritten, so that answers are rewritten back."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.sources: dict[str, dict[Flow, tuple[Ip, int]]] = defaultdict(dict)  # router -> answer -> who asked
        self.targets: dict[str, dict[Flow, tuple[Ip, int]]] = defaultdict(dict)  # router -> answer -> who was asked

    def inward(self, router: Router, packet: Packet) -> tuple[Packet, Thing | None]:
        """The packet after it came in by the gateway port, and what has rewritten it."""
        if asker := self.sources[router.id].get(packet.flow):
            return replace(packet, destination=asker[0], port=asker[1]), thing("router", router)
        one = self.picture.floating_by_address.get(packet.destination)
        if one is None or packet.answer:
            return packet, None
        if one.fixed and one.router_id == router.id:
            return self._to(router, packet, one.fixed, packet.port), Thing(
                "floatingip", one.id, str(one.address), one.project_id
            )
        for forwarding in self.picture.forwardings_of.get(one.id, ()):
            shift = packet.port - forwarding.outer
            if (
                forwarding.router_id == router.id
                and forwarding.protocol == packet.protocol
                and 0 <= shift < forwarding.count
                and packet.protocol in (TCP, UDP, SCTP)
            ):
                made = self._to(router, packet, forwarding.address, forwarding.inner + shift)
                return made, Thing("port_forwarding", forwarding.id, "", one.project_id)
        return packet, None

    def _to(self, router: Router, packet: Packet, address: Ip, port: int) -> Packet:
        made = replace(packet, destination=address, port=port)
        self.targets[router.id][made.back] = (packet.destination, packet.port)
        return made

    def outward(self, router: Router, gateway: Port, packet: Packet) -> tuple[Packet, Thing | None]:
        """The packet as it leaves by the gateway port, and what has rewritten it."""
        if asked := self.targets[router.id].get(packet.flow):
            return replace(packet, source=asked[0], source_port=asked[1]), thing("router", router)
        if packet.version == 6:
            return packet, None
        for one in self.picture.floating_by_target.get((router.id, packet.source), ()):
            if one.network_id == gateway.network_id:
                return self._from(router, packet, one.address), Thing(
                    "floatingip", one.id, str(one.address), one.project_id
                )
        own = gateway.address(4)
        if router.snat and own and self._inside(router, packet.source):
            return self._from(router, packet, own), thing("router", router)
        return packet, None

    def _from(self, router: Router, packet: Packet, address: Ip) -> Packet:
        made = replace(packet, source=address)
        self.sources[router.id][made.back] = (packet.source, packet.source_port)
        return made

    def _inside(self, router: Router, source: Ip) -> bool:
        """Whether the address is of a subnet that the router itself stands on."""
        return any(
            source in net_of(self.picture, id)
            for leg in self.picture.legs.get(router.id, ())
            if leg.device_owner != GATEWAY_OWNER
            for _, id in leg.addresses
        )

    def loops_back(self, router: Router, gateway: Port, packet: Packet) -> bool:
        """Whether what leaves by the gateway is meant for an address that the same router translates."""
        if packet.version == 6:
            return False
        one = self.picture.floating_by_address.get(packet.destination)
        if one and one.router_id == router.id and one.network_id == gateway.network_id:
            return True
        return router.snat and packet.destination == gateway.address(4) and packet.flow in self.sources[router.id]
