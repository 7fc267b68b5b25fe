"""A packet's walk through a picture, there and back, place by place as OVN's pipelines have it.

The first packet is sent as its sender would send it, and an answer from wherever it arrives. Every place either lets it pass, rewrites
it or raises ``Blocked``. What places remember of the first packet (conversations, translations) the answer finds again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wolke.network.doorman.policy import ICMP, ICMPV6
from wolke.network.owners import FLOATING, GATEWAY
from wolke.network.reachability.filters import (
    Zones,
    check_receiver,
    check_rest,
    check_sender,
    pass_door,
    pass_port,
    pass_router_port,
)
from wolke.network.reachability.guests import handed_on_by, way_of_guest
from wolke.network.reachability.outside import entrance, is_ours, is_private
from wolke.network.reachability.picture import Ip, Network, Packet, Picture, Port, Router
from wolke.network.reachability.routing import Translations, check_scopes, gateways, leads_behind, ways
from wolke.network.reachability.verdict import (
    ADMIN_DOWN,
    FLOATING_IP,
    INTERNET,
    NAT,
    NO_PATH,
    OPEN,
    PORT_DOWN,
    ROUTE,
    ROUTER_ITSELF,
    Blocked,
    Decision,
    Hop,
    Thing,
    Verdict,
    blocked,
    thing,
)

MOST_HOPS = 64
MOST_WAYS = 16  # of equal worth that are walked
ECHO = {ICMP: (8, 0), ICMPV6: (128, 129)}  # request and reply


def answer_to(packet: Packet) -> Packet:
    """What the one who got the packet sends back."""
    back = replace(
        packet,
        source=packet.destination,
        destination=packet.source,
        source_port=packet.port,
        port=packet.source_port,
        answer=True,
    )
    if packet.protocol in ECHO and packet.icmp_type == ECHO[packet.protocol][0]:
        return replace(back, icmp_type=ECHO[packet.protocol][1])
    return back


class Walk:
    """One packet and its answer. ``choices`` says which of several ways of equal worth is taken, in the order they are met;
    ``powered`` takes every port for plugged and every gateway for carried."""

    def __init__(self, picture: Picture, choices: Sequence[int] = (), *, powered: bool = False) -> None:
        self.picture, self.powered = picture, powered
        self.zones, self.translations = Zones(), Translations(picture)
        self.choices, self.met = list(choices), list[int]()
        self.hops: list[Hop] = []
        self.last_rule: Decision | None = None
        self.left_by: Router | None = None  # towards the world outside
        self.claims: dict[tuple[str, Ip], Port] = {}  # addresses that the sender speaks from and that are not its own
        self.now: Packet | None = None  # the packet where it is
        self.replied = False  # it is an answer to what its sender's port has seen begin, and still on that switch

    # Both ways -------------------------------------------------------------------------------------------------------
    def verdict(self, source: Port | None, packet: Packet, mac: str = "") -> Verdict:
        """The verdict on a conversation that begins with this packet; ``source=None`` sends it from the world outside."""
        end: Thing | None = None
        there: tuple[Hop, ...] = ()
        if source:
            self.claims = {(source.network_id, packet.source): source}
        try:
            arrived, end, got = self.send(source, packet, mac)
            decision = self.last_rule or Decision(
                OPEN, end, f"nothing stands between {packet.source} and {packet.destination}"
            )
            there, self.hops = tuple(self.hops), []
            back = answer_to(got)
            home, _, last = self.send(arrived, back, "", back=True)
            if home is not source:
                who = thing("port", home) if isinstance(home, (Port, Router)) else INTERNET
                raise blocked(NAT, who, f"the answer goes to {who} and not to who has asked")
            if (last.source, last.source_port) != (packet.destination, packet.port):
                via = thing("router", self.left_by) if self.left_by else end
                raise blocked(
                    NAT,
                    via,
                    f"the answer comes from {last.source} and not from {packet.destination}, so nobody takes it for one",
                )
        except Blocked as no:
            way = "on the way back" if there else "on the way there"
            sentence = f"No: {way}, {no.decision.why}."
            hops, rest = (there, tuple(self.hops)) if there else (tuple(self.hops), ())
            return Verdict(
                False, no.decision, hops, rest, sentence, packet, self.now, end, "back" if there else "there"
            )
        return Verdict(True, decision, there, tuple(self.hops), self._yes(end, decision), packet, None, end)

    @staticmethod
    def _yes(end: Thing, decision: Decision) -> str:
        return f"Yes, {end} is reached: {decision.why}."

    def send(
        self, source: Port | Router | None, packet: Packet, mac: str, *, back: bool = False
    ) -> tuple[Port | Router | None, Thing, Packet]:
        """Where the packet arrives: a port, a router or (None) the world outside; and the packet as it is there."""
        if source is None:
            return self.from_outside(packet, back=back)
        if isinstance(source, Router):
            return self.from_router(source, packet)
        self.check_up(source)
        return self.from_guest(source, packet, mac or source.mac)

    def hop(self, at: Thing, did: str, packet: Packet, rule: Decision | None = None, by: Thing | None = None) -> None:
        if len(self.hops) >= MOST_HOPS:
            raise blocked(ROUTE, at, f"the packet goes round in circles at {at}", at)
        self.hops.append(Hop(at, did, packet, rule, by))
        if rule and not packet.answer:
            self.last_rule = rule

    def choose(self, count: int) -> int:
        at = len(self.met)
        self.met.append(count)
        return self.choices[at] if at < len(self.choices) else 0

    # Guests ----------------------------------------------------------------------------------------------------------
    def check_up(self, port: Port) -> None:
        here = thing("port", port)
        self.check_admin(port)
        if not (port.up or self.powered):
            raise blocked(PORT_DOWN, here, f"{here} is plugged on no host: its server is down or not there", here)

    def check_admin(self, port: Port) -> None:
        here = thing("port", port)
        if not port.admin_up:
            raise blocked(ADMIN_DOWN, here, f"{here} is switched off (admin_state_up)", here)
        if port.shut:
            raise blocked(ADMIN_DOWN, here, f"{here} is shut: a right on its network's zone has been revoked", here)
        network = self.picture.networks[port.network_id]
        if not network.admin_up:
            its = thing("network", network)
            raise blocked(ADMIN_DOWN, its, f"{its} is switched off (admin_state_up)", here)

    def from_guest(self, port: Port, packet: Packet, mac: str) -> tuple[Port | Router | None, Thing, Packet]:
        self.now = packet
        nexthop = way_of_guest(self.picture, port, packet)
        check_sender(port, packet, mac)
        rule = pass_port(self.picture, self.zones, port, "egress", packet)
        self.replied = rule is None and self.zones.answers(port.id, packet)
        self.hop(thing("port", port), "sent", packet, rule)
        network = self.picture.networks[port.network_id]
        if self.zones.knows(port.id, packet):  # what stateless groups let out is not looked at for forwardings either
            led, by = self.translations.at_switch(port, packet)
            packet = self.rewritten(thing("network", network), packet, led, by)
            if by:
                check_rest(self.picture, port, packet)
        return self.across(self.picture.networks[port.network_id], packet, nexthop)

    def to_guest(self, port: Port, packet: Packet) -> tuple[Port | Router | None, Thing, Packet]:
        here = thing("port", port)
        self.check_admin(port)
        packet = self.translations.back_at_switch(port, packet)
        rule = pass_port(self.picture, self.zones, port, "ingress", packet)
        check_receiver(port, packet)
        self.check_up(port)
        pairs = (pair.net for pair in port.pairs if pair.net.version == packet.version)
        claimed = self.claims.get((port.network_id, packet.destination)) is port
        mine = claimed or port.has(packet.destination) or any(packet.destination in net for net in pairs)
        out = None if mine else handed_on_by(self.picture, port, packet)
        if out is None:
            self.hop(here, "received", packet, rule)
            if not mine:
                raise blocked(
                    NO_PATH,
                    here,
                    f"{here} gets packets for {packet.destination}, which is not its own, and leads nowhere else",
                    here,
                )
            return port, here, packet
        self.hop(here, "handed on by the server, if it routes", packet, rule)
        return self.from_guest(out, packet, out.mac)

    # Switches --------------------------------------------------------------------------------------------------------
    def across(self, network: Network, packet: Packet, nexthop: Ip) -> tuple[Port | Router | None, Thing, Packet]:
        """To whoever has an address on a network."""
        self.now = packet
        port = self.picture.holders.get((network.id, nexthop))
        port = port or self.claims.get((network.id, nexthop))
        if port is None:
            port = next(iter(self.picture.by_pair.get((network.id, nexthop), ())), None)
        if port is None:
            if network.physical:
                return self.to_outside(network, packet)
            its = thing("network", network)
            raise blocked(NO_PATH, its, f"nobody has {nexthop} on {its}", its)
        if port.device_owner == FLOATING:
            return self.to_floating(port, packet)
        if port.of_router:
            return self.into_router(port, packet)
        if port.trusted:
            raise blocked(
                NO_PATH, thing("port", port), f"{nexthop} is the network's own and serves nothing but its servers"
            )
        return self.to_guest(port, packet)

    def to_floating(self, port: Port, packet: Packet) -> tuple[Port | Router | None, Thing, Packet]:
        one = self.picture.floating.get(port.device_id)
        plate = Thing("floatingip", port.device_id, str(packet.destination), one.project_id if one else "")
        router = self.picture.routers.get(one.router_id or "") if one else None
        for gateway in gateways(self.picture, router) if router else ():
            if gateway.network_id == port.network_id:
                return self.into_router(gateway, packet)
        raise blocked(FLOATING_IP, plate, f"{plate} leads nowhere: it is associated with no port")

    # Routers ---------------------------------------------------------------------------------------------------------
    def check_router(self, port: Port) -> Router:
        router = self.picture.routers[port.device_id]
        here = thing("router", router)
        if not router.admin_up:
            raise blocked(ADMIN_DOWN, here, f"{here} is switched off (admin_state_up)", here)
        self.check_admin(port)
        if port.id in router.uncarried and not self.powered:
            network = thing("network", self.picture.networks[port.network_id])
            raise blocked(PORT_DOWN, here, f"no host that reaches {network} carries the gateway of {here}", here)
        return router

    def into_router(
        self, port: Port, packet: Packet, *, looped: bool = False
    ) -> tuple[Port | Router | None, Thing, Packet]:
        router = self.check_router(port)
        here = thing("router", router)
        gateway = port.device_owner == GATEWAY
        # OVN keeps what the sender's port knows up to the router's port, and lets answers pass there
        if not looped and not self.replied:
            if gateway or leads_behind(self.picture, router, port, packet.destination):
                pass_door(self.picture, port, "ingress", packet, router.project_id)
            if rule := pass_router_port(self.picture, port, "ingress", packet):
                self.hop(thing("port", port), "let into the router", packet, rule)
        if gateway:
            packet = self.rewritten(here, packet, *self.translations.inward(router, packet))
        if any(leg.has(packet.destination) for leg in self.picture.legs[router.id]) and not self.translated(
            router, packet
        ):
            return self.at_router(router, packet)
        found = ways(self.picture, router, packet)
        way = found[self.choose(len(found)) if len(found) > 1 else 0]
        check_scopes(self.picture, router, port, way, packet)
        self.hop(here, f"routed to {way.nexthop}", packet)
        return self.out_of_router(router, way.port, packet, way.nexthop, came_by=port)

    def from_router(self, router: Router, packet: Packet) -> tuple[Port | Router | None, Thing, Packet]:
        self.now = packet
        way = ways(self.picture, router, packet)[0]
        self.hop(thing("router", router), "answered", packet)
        return self.out_of_router(router, way.port, packet, way.nexthop)

    def rewritten(self, here: Thing, before: Packet, packet: Packet, by: Thing | None) -> Packet:
        if by:
            self.now = packet
            what = "source" if before.source != packet.source else "destination"
            self.hop(here, f"{what} {getattr(before, what)} became {getattr(packet, what)} ({by})", packet, by=by)
        return packet

    def translated(self, router: Router, packet: Packet) -> bool:
        """Whether this answers something that left with the router's own address."""
        return packet.answer and any(packet.destination == flow[3] for flow in self.translations.sources[router.id])

    def at_router(self, router: Router, packet: Packet) -> tuple[Port | Router | None, Thing, Packet]:
        here = thing("router", router)
        if packet.protocol in ECHO and packet.icmp_type == ECHO[packet.protocol][0]:
            self.hop(here, "answered by the router", packet)
            return router, here, packet
        raise blocked(
            ROUTER_ITSELF, here, f"{packet.destination} is an address of {here}, which answers nothing but pings", here
        )

    def out_of_router(
        self, router: Router, port: Port, packet: Packet, nexthop: Ip, came_by: Port | None = None
    ) -> tuple[Port | Router | None, Thing, Packet]:
        self.check_router(port)
        self.replied = False
        network, loops = self.picture.networks[port.network_id], False
        if port.device_owner == GATEWAY:
            self.translations.check_forwarding(router, port, packet)
            packet = self.rewritten(thing("router", router), packet, *self.translations.outward(router, port, packet))
            self.left_by = router
            loops = self.translations.loops_back(router, port, packet)
            if loops and self.translations.stays_on_host(router, port, packet):
                return self.into_router(port, packet, looped=True)
            pass_door(self.picture, port, "egress", packet, router.project_id)
        elif came_by and came_by.id != port.id and came_by.device_owner != GATEWAY:
            pass_door(self.picture, port, "egress", packet, router.project_id)
        if rule := pass_router_port(self.picture, port, "egress", packet):
            self.hop(thing("port", port), "let out of the router", packet, rule)
        if loops:
            return self.into_router(port, packet)
        return self.across(network, packet, nexthop)

    # The world outside -----------------------------------------------------------------------------------------------
    def to_outside(self, network: Network, packet: Packet) -> tuple[Port | Router | None, Thing, Packet]:
        plate = INTERNET if network.external else thing("network", network)
        near = any(
            packet.destination in subnet.net
            for subnet in self.picture.subnets.values()
            if subnet.network_id == network.id
        )
        if not near and network.external:
            if entrance(self.picture, packet):
                self.hop(plate, "led back into the cloud", packet)
                return self.from_outside(packet, back=packet.answer)
            if is_private(packet.destination) or is_ours(self.picture, packet.destination):
                raise blocked(
                    NO_PATH,
                    plate,
                    f"outside of the cloud no way leads to {packet.destination}",
                    thing("network", network),
                )
        self.hop(plate, "received", packet)
        return None, plate, packet

    def from_outside(self, packet: Packet, *, back: bool) -> tuple[Port | Router | None, Thing, Packet]:
        self.now = packet
        found = entrance(self.picture, packet)
        if found is None:
            if back and self.left_by:
                via = thing("router", self.left_by)
                raise blocked(
                    NAT,
                    via,
                    f"{via} does not translate {packet.destination}, and outside of the cloud no way leads back to it",
                    via,
                )
            raise blocked(NO_PATH, INTERNET, f"outside of the cloud no way leads to {packet.destination}", INTERNET)
        network, nexthop = found
        self.hop(INTERNET, "sent", packet)
        return self.across(network, packet, nexthop)


def verdict(picture: Picture, source: Port | None, packet: Packet, mac: str = "", *, powered: bool = False) -> Verdict:
    """The verdict on a conversation. Where several ways are of equal worth, any may be taken: each has to work."""
    walk = Walk(picture, powered=powered)
    result = walk.verdict(source, packet, mac)
    open_ways = [walk.met]
    tried = 1
    choices = walk.choices + [0] * (len(walk.met) - len(walk.choices))
    while result.reachable and tried < MOST_WAYS and (choices := following(choices, open_ways[-1])):
        walk = Walk(picture, choices, powered=powered)
        result = walk.verdict(source, packet, mac)
        open_ways.append(walk.met)
        choices = choices + [0] * (len(walk.met) - len(choices))
        tried += 1
    if not result.reachable and walk.met:
        result = replace(
            result, sentence=f"{result.sentence} This is one of several ways of equal worth: others may work."
        )
    return result


def following(choices: Sequence[int], counts: Sequence[int]) -> list[int]:
    """The next combination of choices, depth first; [] after the last.

    >>> following([0, 0], [2, 2]), following([0, 1], [2, 2]), following([1, 1], [2, 2])
    ([0, 1], [1], [])
    """
    made = list(choices)
    for at in range(len(made) - 1, -1, -1):
        if made[at] + 1 < counts[at]:
            return [*made[:at], made[at] + 1]
    return []
