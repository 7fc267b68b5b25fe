"""The world outside of the cloud: what it has a way to."""

from __future__ import annotations

from ipaddress import ip_network

from wolke.network.reachability.picture import Ip, Network, Packet, Picture

PRIVATE = tuple(
    ip_network(net)
    for net in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "fc00::/7",
        "fe80::/10",
    )
)


def is_private(ip: Ip) -> bool:
    """Whether the world outside has no way to the address."""
    return any(ip in net for net in PRIVATE if net.version == ip.version)


def is_ours(picture: Picture, ip: Ip) -> bool:
    """Whether the address is of the cloud's own, so that nobody else has it."""
    return any(subnet.ours and ip in subnet.net for subnet in picture.subnets.values())


def entrance(picture: Picture, packet: Packet) -> tuple[Network, Ip] | None:
    """Where packets for an address come in from outside: the network, and the next hop on it."""
    for subnet in picture.subnets.values():
        network = picture.networks[subnet.network_id]
        if network.external and network.physical and packet.destination in subnet.net:
            return network, packet.destination
    led = [(net, nexthop) for net, nexthop in picture.published if packet.destination in net]
    for _, nexthop in sorted(led, key=lambda found: -found[0].prefixlen):
        for network in picture.networks.values():
            if network.external and (network.id, nexthop) in picture.holders:
                return network, nexthop
    return None
