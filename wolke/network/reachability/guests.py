"""What servers do with packets, as far as the network has told them: by DHCP, by router advertisements, by how their ports lie."""

from __future__ import annotations

from wolke.network.reachability.picture import Ip, Packet, Picture, Port, Subnet
from wolke.network.reachability.verdict import GATEWAY, NO_PATH, Thing, blocked, thing


def way_of_guest(picture: Picture, port: Port, packet: Packet) -> Ip:
    """The next hop of what a server sends. Raises Blocked: it knows none."""
    subnets = [picture.subnets[id] for ip, id in port.addresses if ip.version == packet.version]
    if any(packet.destination in subnet.net for subnet in subnets):
        return packet.destination
    told = [(net, nexthop) for subnet in subnets for net, nexthop in subnet.host_routes if packet.destination in net]
    if told:
        return max(told, key=lambda route: route[0].prefixlen)[1]
    own = [subnet for subnet in subnets if packet.source in subnet.net]
    for subnet in [*own, *subnets]:
        if subnet.gateway:
            return subnet.gateway
    here = thing("port", port)
    if not subnets:
        raise blocked(NO_PATH, here, f"{here} has no IPv{packet.version} address", here)
    its = subnet_plate(subnets[0])
    raise blocked(GATEWAY, its, f"{its} has no gateway, so {here} has no way to {packet.destination}", here)


def subnet_plate(subnet: Subnet) -> Thing:
    return Thing("subnet", subnet.id, subnet.name or str(subnet.net), subnet.project_id)


def handed_on_by(picture: Picture, port: Port, packet: Packet) -> Port | None:
    """The port by which the server hands on what it gets for others, if it routes; None where it could lead nowhere."""
    siblings = picture.devices.get(port.device_id, ()) if port.device_id else (port,)
    for one in siblings:
        if any(packet.destination in picture.subnets[id].net for _, id in one.addresses):
            return one
    for one in siblings:
        ways = [id for ip, id in one.addresses if ip.version == packet.version and picture.subnets[id].gateway]
        if one is not port and ways:
            return one
    return None
