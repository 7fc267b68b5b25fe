"""Network namespaces of the metadata service: one per network that has guests here.

A veth pair leads from the namespace to the integration bridge, where it is the network's logical port of type localport.
Everything may be repeated: a restarted agent finds its namespaces and goes on with them.
"""

from __future__ import annotations

import array
import errno
import ipaddress
import os
import socket
import struct
import threading
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from typing import Any, TypeVar

from pyroute2 import IPRoute, netns
from pyroute2.netlink.exceptions import NetlinkError

from wolke.drivers.hypervisor import VirtualSwitch
from wolke.wire.wanted import MetadataPort

T = TypeVar("T")
BRIDGE = "br-int"
PREFIX = "wolke-meta-"
INSIDE = "meta0"
OWN_ADDRESSES = ("169.254.169.254/32", "fe80::a9fe:a9fe/64")
PORT = 80
BACKLOG = 64
IFA_F_NODAD = 0x02
SIOCETHTOOL, ETHTOOL_STXCSUM, IFNAMSIZ = 0x8946, 0x17, 16


def name_of(network_id: str) -> str:
    return PREFIX + network_id[:11]


def outside_of(network_id: str) -> str:
    """The device on the host's side; 15 characters at most."""
    return f"wmo{network_id[:11]}"


def existing() -> set[str]:
    return {name for name in netns.listnetns() if name.startswith(PREFIX)}


def prepare(port: MetadataPort, switch: VirtualSwitch) -> None:
    """A namespace as ``port`` wishes it, with its place on the integration bridge."""
    name, outside = name_of(port.network_id), outside_of(port.network_id)
    if name not in netns.listnetns():
        netns.create(name)
    with IPRoute() as links:
        if not inside(name, lambda: bool(index_of(INSIDE))):
            remove_link(links, outside)  # its other end was lost with an older namespace
            peer = {"ifname": f"wmi{port.network_id[:11]}", "net_ns_fd": name}
            links.link("add", ifname=outside, kind="veth", peer=peer)
            inside(name, lambda: rename(peer["ifname"], INSIDE))
        index = links.link_lookup(ifname=outside)[0]
        links.link("set", index=index, mtu=port.mtu, state="up")
    checksum_off(outside)
    inside(name, lambda: dress(port))
    switch.add_port(BRIDGE, outside, port.port_id)


def sockets(name: str) -> list[socket.socket]:
    """Listening sockets in a namespace, v4 and v6."""
    families = [socket.AF_INET, socket.AF_INET6] if Path("/proc/sys/net/ipv6").exists() else [socket.AF_INET]
    return inside(name, lambda: [listening(family) for family in families])


def remove(name: str, switch: VirtualSwitch) -> None:
    """Take away a namespace, its devices and its place on the bridge."""
    outside = f"wmo{name.removeprefix(PREFIX)}"
    switch.remove_port(outside)
    with IPRoute() as links:
        remove_link(links, outside)
    if name in netns.listnetns():
        netns.remove(name)


def inside(name: str, work: Callable[[], T]) -> T:
    """What ``work`` gives inside a namespace. A thread of its own enters it and ends there; sockets stay usable."""
    result: list[T] = []
    trouble: list[BaseException] = []

    def enter() -> None:
        try:
            handle = os.open(f"/run/netns/{name}", os.O_RDONLY)
            try:
                netns.setns(handle)
            finally:
                os.close(handle)
            result.append(work())
        except BaseException as error:
            trouble.append(error)

    thread = threading.Thread(target=enter, name=f"in {name}")
    thread.start()
    thread.join()
    if trouble:
        raise trouble[0]
    return result[0]


def dress(port: MetadataPort) -> None:
    """MAC, MTU and exactly the wished addresses on the device inside."""
    # The only link-local address is the well-known one, and no router is believed.
    conf = Path("/proc/sys/net/ipv6/conf") / INSIDE
    has_ipv6 = conf.exists()
    if has_ipv6:
        (conf / "addr_gen_mode").write_text("1")
        (conf / "accept_ra").write_text("0")
    with IPRoute() as links:
        index = links.link_lookup(ifname=INSIDE)[0]
        [link] = links.get_links(index)
        if link.get_attr("IFLA_ADDRESS") != port.mac.lower():
            links.link("set", index=index, state="down")
            links.link("set", index=index, address=port.mac)
        links.link("set", index=index, mtu=port.mtu, state="up")
        links.link("set", index=links.link_lookup(ifname="lo")[0], state="up")
        wished = {ipaddress.ip_interface(text) for text in (*OWN_ADDRESSES, *port.addresses)}
        if not has_ipv6:
            wished = {address for address in wished if address.version == 4}
        found = {
            ipaddress.ip_interface(f"{address.get_attr('IFA_ADDRESS')}/{address['prefixlen']}")
            for address in links.get_addr(index=index)
        }
        for address in found - wished:
            links.addr("del", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)
        for address in wished - found:
            flags = {"flags": IFA_F_NODAD} if address.version == 6 else {}
            links.addr("add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen, **flags)
    checksum_off(INSIDE)


def index_of(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def rename(old: str, new: str) -> None:
    with IPRoute() as links:
        links.link("set", index=links.link_lookup(ifname=old)[0], ifname=new)


def remove_link(links: Any, name: str) -> None:
    for index in links.link_lookup(ifname=name):
        try:
            links.link("del", index=index)
        except NetlinkError as error:
            if error.code != errno.ENODEV:
                raise


def checksum_off(name: str) -> None:
    """Have checksums computed before packets leave: a userspace datapath passes them on as they are.

    Source: ethtool(8) ``-K NAME tx off``, linux/ethtool.h ETHTOOL_STXCSUM.
    """
    command = array.array("B", struct.pack("II", ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP", name.encode()[: IFNAMSIZ - 1], command.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        ioctl(handle, SIOCETHTOOL, request + bytes(24))


def listening(family: int) -> socket.socket:
    handle = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        handle.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    handle.bind(("", PORT))
    handle.listen(BACKLOG)
    return handle
