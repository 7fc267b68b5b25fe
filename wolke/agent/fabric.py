"""EVPN on this host: a network namespace per zone with a bridge and a VXLAN of the kernel for each network, and FRR's part of it.

The namespace is the zone's VRF (FRR takes namespaces for VRFs, kernels without ``vrf`` devices have it too): a gateway that hosts answer
for lives in there, and neither meets another zone nor the host itself. The VXLANs' packets leave by the host's own namespace, where they
were made. A veth pair per network leads to the zone's bridge of Open vSwitch. MACs and flood lists come from BGP alone (RFC 8365),
prefixes by a VXLAN of their own where the zone has an ``l3_vni`` (RFC 9136); FRR does both (``routing``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, netns
from pyroute2.netlink.exceptions import NetlinkError

from wolke.agent.namespaces import IFA_F_NODAD, checksum_off, index_of, inside, remove_link
from wolke.agent.routing import PREFIX, space_of
from wolke.drivers.hypervisor import DriverError
from wolke.drivers.layout import LaidPort
from wolke.wire.wanted import Zone, ZoneSegment

Address = IPv4Interface | IPv6Interface
LEARN_NOTHING = {"learning": 0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Net:
    """One VXLAN with its bridge, as a zone's namespace is to hold it."""

    number: int  # VNI
    veth: str = ""  # outside end of the pair to Open vSwitch; "" for the VXLAN of prefixes
    mac: str = ""  # of the bridge, where it answers for gateways
    gateways: frozenset[Address] = frozenset()

    @property
    def bridge(self) -> str:
        return f"br{self.number}"

    @property
    def tunnel(self) -> str:
        return f"vx{self.number}"

    @property
    def port(self) -> str:
        return f"in{self.number}"

    @property
    def members(self) -> tuple[str, ...]:
        """The bridge's ports."""
        return (self.tunnel, self.port) if self.veth else (self.tunnel,)


def veth_of(zone: Zone, segment: ZoneSegment) -> str:
    """The end of a network's pair on the host's side; 15 characters at most, the same at any time."""
    return "wzo" + hashlib.sha256(f"{zone.id} {segment.network_id}".encode()).hexdigest()[:11]


def nets_of(zone: Zone) -> list[Net]:
    """A zone's networks, and the VXLAN that its prefixes go by."""
    found = [
        Net(
            number=segment.number,
            veth=veth_of(zone, segment),
            mac=zone.gateway_mac if segment.gateways else "",
            gateways=frozenset(ip_interface(one) for one in segment.gateways),
        )
        for segment in zone.segments
    ]
    return [*found, Net(number=zone.l3_vni)] if zone.l3_vni else found


class KernelFabric:
    """``wolke.agent.zones.Fabric`` on the kernel's bridges and VXLANs.

    Parameters
    ----------
    own : this host's end of tunnels
    trouble : what is wrong with the routing daemons, "" for nothing; without them nobody learns of anybody
    made : told when there is a new namespace, which they wait for
    show : what one of FRR's commands shows
    """

    def __init__(
        self,
        own: str,
        trouble: Callable[[], str] = str,
        made: Callable[[], None] = lambda: None,
        show: Callable[[str], Mapping[str, Any]] = lambda _: {},
    ) -> None:
        self.own, self.trouble, self.made, self.show = own, trouble, made, show

    def apply(self, zones: Sequence[Zone]) -> dict[str, str]:
        wanted = {space_of(zone.id): zone for zone in zones}
        errors: dict[str, str] = {}
        for space in netns.listnetns():
            if space.startswith(PREFIX) and space not in wanted:
                inside(space, lambda: clear((), self.own, 0))  # FRR may hold the namespace for a while
                netns.remove(space)
        for space, zone in wanted.items():
            try:
                self._make(space, zone)
            except (NetlinkError, OSError) as error:
                errors[zone.id] = f"EVPN devices: {error}"
        if wanted and (trouble := self.trouble()):
            errors |= {zone.id: f"routing: {trouble}" for zone in zones if zone.id not in errors}
        return errors

    def sessions(self) -> dict[str, str]:
        try:
            told = self.show("show bgp l2vpn evpn summary")
        except DriverError:
            return {}  # daemons that are still to be started
        return {address: str(peer.get("state", "")) for address, peer in sorted(told.get("peers", {}).items())}

    @staticmethod
    def ports(zone: Zone, bridge: str) -> tuple[LaidPort, ...]:
        return tuple(
            LaidPort(name=veth_of(zone, segment), bridge=bridge, zone=zone.id, tag=segment.tag)
            for segment in zone.segments
        )

    # Making -------------------------------------------------------------------------------------------------------
    def _make(self, space: str, zone: Zone) -> None:
        if space not in netns.listnetns():
            netns.create(space)
            self.made()
        nets = nets_of(zone)
        inside(space, lambda: clear(nets, self.own, zone.udp_port))
        there = inside(space, names)
        with IPRoute() as here:
            for net in nets:
                if net.tunnel not in there:
                    here.link(
                        "add", ifname=net.tunnel, kind="vxlan", net_ns_fd=space, vxlan_id=net.number,
                        vxlan_local=self.own, vxlan_port=zone.udp_port, vxlan_learning=0, vxlan_udp_csum=0,
                    )  # fmt: skip
                if net.veth and net.port not in there:
                    remove_link(here, net.veth)
                    peer = {"ifname": net.port, "net_ns_fd": space}
                    here.link("add", ifname=net.veth, kind="veth", peer=peer)
                if net.veth:
                    raise_link(here, net.veth, zone.mtu)
        for net in nets:
            if net.veth:
                quiet(net.veth)
                checksum_off(net.veth)
        inside(space, lambda: dress(nets, zone.mtu))


def names() -> set[str]:
    with IPRoute() as links:
        return {link.get_attr("IFLA_IFNAME") for link in links.get_links()}


def clear(nets: Sequence[Net], own: str, port: int) -> None:
    """Take away what no network needs, and tunnels that end elsewhere. In the zone's namespace."""
    wanted = {"lo", *(name for net in nets for name in (net.bridge, *net.members))}
    with IPRoute() as links:
        for link in links.get_links():
            name = link.get_attr("IFLA_IFNAME")
            other = name.startswith("vx") and tunnel_of(link) not in ((own, port), ("", 0))
            if name not in wanted or other:
                remove_link(links, name)


def tunnel_of(link: Any) -> tuple[str, int]:
    """Where a VXLAN ends and its UDP port; ("", 0) of another device."""
    about = link.get_attr("IFLA_LINKINFO")
    if not about or about.get_attr("IFLA_INFO_KIND") != "vxlan":
        return "", 0
    data = about.get_attr("IFLA_INFO_DATA")
    return str(data.get_attr("IFLA_VXLAN_LOCAL")), int(data.get_attr("IFLA_VXLAN_PORT"))


def dress(nets: Sequence[Net], mtu: int) -> None:
    """Bridges with their ports and gateways. In the zone's namespace."""
    for setting in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        write(setting, "1")
    with IPRoute() as links:
        raise_link(links, "lo", 0)
        for net in nets:
            if not links.link_lookup(ifname=net.bridge):
                links.link("add", ifname=net.bridge, kind="bridge", br_forward_delay=0, br_mcast_snooping=0)
            master = links.link_lookup(ifname=net.bridge)[0]
            for name in net.members:
                index = links.link_lookup(ifname=name)[0]
                [link] = links.get_links(index)
                if link.get_attr("IFLA_MASTER") != master:
                    links.link("set", index=index, master=master)
                quiet(name)
                raise_link(links, name, mtu)
            links.brport("set", index=links.link_lookup(ifname=net.tunnel)[0], **LEARN_NOTHING)
            if net.veth:
                checksum_off(net.port)
            address(links, net, master)
            raise_link(links, net.bridge, mtu)


def address(links: Any, net: Net, index: int) -> None:
    """Exactly the gateways on the bridge, under the MAC that they have on every host."""
    if net.gateways:
        [link] = links.get_links(index)
        if link.get_attr("IFLA_ADDRESS") != net.mac:
            links.link("set", index=index, address=net.mac)
    with_v6 = any(one.version == 6 for one in net.gateways)
    write(f"net/ipv6/conf/{net.bridge}/disable_ipv6", "0" if with_v6 or not net.veth else "1")
    write(f"net/ipv6/conf/{net.bridge}/accept_ra", "0")
    # All hosts ask under one MAC, and the answer reaches the host that the neighbour is on: that one learns it, BGP tells the others.
    write(f"net/ipv4/conf/{net.bridge}/arp_accept", "1")
    write(f"net/ipv6/conf/{net.bridge}/accept_untracked_na", "1")
    found = {
        ip_interface(f"{one.get_attr('IFA_ADDRESS')}/{one['prefixlen']}")
        for one in links.get_addr(index=index)
        if one["scope"] == 0
    }
    for one in found - net.gateways:
        links.addr("del", index=index, address=str(one.ip), prefixlen=one.network.prefixlen)
    for one in net.gateways - found:
        flags: Mapping[str, int] = {"flags": IFA_F_NODAD} if one.version == 6 else {}  # all hosts have it
        links.addr("add", index=index, address=str(one.ip), prefixlen=one.network.prefixlen, **flags)


def raise_link(links: Any, name: str, mtu: int) -> None:
    index = links.link_lookup(ifname=name)[0]
    [link] = links.get_links(index)
    if mtu and link.get_attr("IFLA_MTU") != mtu:
        links.link("set", index=index, mtu=mtu)
    if not link["flags"] & 1:  # IFF_UP
        links.link("set", index=index, state="up")


def quiet(name: str) -> None:
    """The device speaks no IPv6 of its own to the network that it carries."""
    if index_of(name):
        write(f"net/ipv6/conf/{name}/disable_ipv6", "1")


def write(setting: str, value: str) -> None:
    path = Path("/proc/sys") / setting
    if path.exists() and path.read_text().strip() != value:
        path.write_text(value)
