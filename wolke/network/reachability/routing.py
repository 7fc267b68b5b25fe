"""What a router does with a packet: where it goes, and what NAT makes of it.

OVN:  ovn-northd(8), logical router datapaths. Translation happens at the gateway port only: a floating IP or a forwarding is undone on the
way in, the source is rewritten on the way out, and a packet that leaves for an address of the same router's is looped back in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from wolke.network.doorman.legs import behind
from wolke.network.owners import GATEWAY
from wolke.network.reachability.filters import Flow
from wolke.network.reachability.picture import Forwarding, Ip, Net, Packet, Picture, Port, Router
from wolke.network.reachability.verdict import ADDRESS_SCOPE, FLOATING_IP, NAT, ROUTE, Thing, blocked, thing, traffic


@dataclass(frozen=True, slots=True)
class Way:
    """One way that a router knows: out of this port, to this neighbour."""

    port: Port
    nexthop: Ip
    net: Net
    direct: bool = False


def gateways(picture: Picture, router: Router) -> list[Port]:
    return [port for port in picture.legs.get(router.id, ()) if port.device_owner == GATEWAY]


def net_of(picture: Picture, subnet_id: str) -> Net:
    return picture.subnets[subnet_id].net


def leads_behind(picture: Picture, router: Router, port: Port, address: Ip) -> bool:
    """Whether an address is behind a router, as seen from one of its inner ports on a network that has a door."""
    if port.network_id not in picture.door.networks or port.device_owner == GATEWAY:
        return False
    others = [leg for leg in picture.legs.get(router.id, ()) if leg.device_owner != GATEWAY and leg.id != port.id]
    nets = [net_of(picture, id) for leg in others for _, id in leg.addresses]
    routes = [(route.destination, route.nexthop) for route in router.routes]
    return any(address in net for net in behind(nets, routes))


def ways(picture: Picture, router: Router, packet: Packet) -> list[Way]:
    """The best ways to the packet's destination: several are of equal worth (ECMP). Raises Blocked: there is none."""
    for detour in router.detours:
        if packet.source == detour.source and not any(packet.destination in net for net in detour.near):
            port = picture.ports[detour.port_id]
            return [Way(port, detour.nexthop, net_of(picture, port.addresses[0][1]))]
    found = [
        Way(leg, packet.destination, net, True)
        for leg in picture.legs.get(router.id, ())
        for net in (net_of(picture, id) for _, id in leg.addresses)
        if packet.destination in net
    ]
    for route in router.routes:
        if packet.destination in route.destination:
            found.append(Way(picture.ports[route.port_id], route.nexthop, route.destination))
    if not found:
        here = thing("router", router)
        raise blocked(ROUTE, here, f"{here} has no route to {packet.destination}", here)
    worth = max((way.net.prefixlen, way.direct) for way in found)
    return [way for way in found if (way.net.prefixlen, way.direct) == worth]


# Address scopes ------------------------------------------------------------------------------------------------------
def scope(picture: Picture, leg: Port, version: int) -> str | None:
    """The scope of a leg's addresses, "" for none; None where it has no address of that version."""
    found = [picture.subnets[id].scope_id for ip, id in leg.addresses if ip.version == version]
    return next((one for one in reversed(found) if one), "") if found else None


def check_scopes(picture: Picture, router: Router, came_by: Port, way: Way, packet: Packet) -> None:
    """Raises Blocked: a router forwards nothing between two scopes, but IPv4 that it translates."""
    out_gate, in_gate = way.port.device_owner == GATEWAY, came_by.device_owner == GATEWAY
    if (out_gate or in_gate) and (packet.version == 4 or out_gate == in_gate):
        return
    one, other = scope(picture, came_by, packet.version), scope(picture, way.port, packet.version)
    near = out_gate or any(packet.destination in net_of(picture, id) for _, id in way.port.addresses)
    if one is None or other is None or one == other or not near:
        return
    if out_gate and not any(packet.source in net_of(picture, id) for _, id in came_by.addresses):
        return
    here = thing("router", router)
    name = Thing("address_scope", one or other)
    raise blocked(
        ADDRESS_SCOPE, name, f"{here} forwards nothing between {scoped(one)} and {scoped(other)}", here
    )  # fmt: skip


def scoped(id: str) -> str:
    return f"address scope {id}" if id else "networks of no address scope"


# Translation ---------------------------------------------------------------------------------------------------------
class Translations:
    """What the routers have rewritten, so that answers are rewritten back."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.sources: dict[str, dict[Flow, tuple[Ip, int]]] = defaultdict(dict)  # router -> answer -> who asked
        # router or port -> answer -> who was asked
        self.targets: dict[str, dict[Flow, tuple[Ip, int]]] = defaultdict(dict)

    def inward(self, router: Router, packet: Packet) -> tuple[Packet, Thing | None]:
        """The packet after it came in by the gateway port, and what has rewritten it."""
        if asker := self.sources[router.id].get(packet.flow):
            return replace(packet, destination=asker[0], port=asker[1]), thing("router", router)
        one = self.picture.floating_by_address.get(packet.destination)
        if one is None or packet.answer or one.router_id != router.id or packet.version == 6:
            return packet, None  # IPv6 is routed as it is
        if one.fixed:
            plate = Thing("floatingip", one.id, str(one.address), one.project_id)
            return self._to(router.id, packet, one.fixed, packet.port), plate
        return self.forwarded(router.id, packet, self.picture.forwardings_of.get(one.id, ()), one.project_id)

    def forwarded(
        self, place: str, packet: Packet, among: Iterable[Forwarding], project_id: str
    ) -> tuple[Packet, Thing | None]:
        for forwarding in among:
            if port := forwarding.led_to(packet):
                plate = Thing("port_forwarding", forwarding.id, "", project_id)
                return self._to(place, packet, forwarding.address, port), plate
        return packet, None

    def at_switch(self, port: Port, packet: Packet) -> tuple[Packet, Thing | None]:
        """A forwarding is done at once for servers behind its router: their switch does it."""
        one = self.picture.floating_by_address.get(packet.destination)
        if one is None or packet.answer:
            return packet, None
        held = self.picture.forwardings_of.get(one.id, ())
        near = [f for f in held if any(leg.network_id == port.network_id for leg in self.inner_legs(f.router_id))]
        return self.forwarded(port.id, packet, near, one.project_id)

    def inner_legs(self, router_id: str) -> list[Port]:
        return [leg for leg in self.picture.legs.get(router_id, ()) if leg.device_owner != GATEWAY]

    def back_at_switch(self, port: Port, packet: Packet) -> Packet:
        asked = self.targets[port.id].get(packet.flow)
        return replace(packet, source=asked[0], source_port=asked[1]) if asked else packet

    def _to(self, place: str, packet: Packet, address: Ip, port: int) -> Packet:
        made = replace(packet, destination=address, port=port)
        self.targets[place][made.back] = (packet.destination, packet.port)
        return made

    def outward(self, router: Router, gateway: Port, packet: Packet) -> tuple[Packet, Thing | None]:
        """The packet as it leaves by the gateway port, and what has rewritten it."""
        if asked := self.targets[router.id].get(packet.flow):
            return replace(packet, source=asked[0], source_port=asked[1]), thing("router", router)
        for one in self.picture.floating_by_target.get((router.id, packet.source), ()):
            if one.network_id == gateway.network_id and packet.version == 4:
                plate = Thing("floatingip", one.id, str(one.address), one.project_id)
                return self._from(router, packet, one.address), plate
        nats = [nat for nat in router.source_nats if nat.port_id == gateway.id and packet.source in nat.inside]
        if nats:
            nat = max(nats, key=lambda nat: nat.inside.prefixlen)
            return self._from(router, packet, nat.outside), thing("router", router)
        return packet, None

    def _from(self, router: Router, packet: Packet, address: Ip) -> Packet:
        made = replace(packet, source=address)
        self.sources[router.id][made.back] = (packet.source, packet.source_port)
        return made

    def check_forwarding(self, router: Router, gateway: Port, packet: Packet) -> None:
        """Raises Blocked: what is led on by ports only is led on where it comes in from outside, or by the asker's own switch."""
        one = self.picture.floating_by_address.get(packet.destination)
        if one is None or one.fixed or one.router_id != router.id or one.network_id != gateway.network_id:
            return
        plate, here = Thing("floatingip", one.id, str(one.address), one.project_id), thing("router", router)
        if any(forwarding.led_to(packet) for forwarding in self.picture.forwardings_of.get(one.id, ())):
            why = f"{plate} is led on for the world outside and by the switches of {here}, but not behind other routers or stateless groups"
            raise blocked(NAT, plate, why, here)
        raise blocked(FLOATING_IP, plate, f"no port forwarding of {plate} leads {traffic(packet)} on", here)

    def loops_back(self, router: Router, gateway: Port, packet: Packet) -> bool:
        """Whether what leaves by the gateway is meant for an address that the same router translates."""
        one = self.picture.floating_by_address.get(packet.destination)
        if one and one.fixed and one.router_id == router.id and one.network_id == gateway.network_id:
            return packet.version == 4
        own = any(nat.port_id == gateway.id and nat.outside == packet.destination for nat in router.source_nats)
        return own and packet.flow in self.sources[router.id]

    def stays_on_host(self, router: Router, gateway: Port, packet: Packet) -> bool:
        """Whether what loops back does so on one host. Else, or where nobody knows, it crosses the external network between two."""
        carrier = router.carriers.get(gateway.id, "")

        def host(address: Ip) -> str:
            one = self.picture.floating_by_address.get(address)
            if not (one and one.fixed and one.port_id and router.distributed):
                return carrier
            port = self.picture.ports.get(one.port_id)
            return port.host if port else ""

        return bool(host(packet.source)) and host(packet.source) == host(packet.destination)
