"""The rest of the site: what stands on the same wires as the cloud and is none of it.

A node of its own with a switch on the provider segment and an address on the underlay. On it stand machines (network namespaces):
servers on VLANs, on VLANs inside of an outer tag, behind a foreign VTEP, and behind a leaf router that speaks EVPN. The kernel's own
VLAN devices are not needed: tags are put on by Open vSwitch, as a switch's ports do.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wolke.drivers.frr import Frr
from wolke.lab import engines, wires
from wolke.lab.node import Node
from wolke.lab.waiting import wait_for

if TYPE_CHECKING:
    from wolke.lab.lab import Lab

ADDRESS = f"{wires.UNDERLAY}.200"  # on the underlay
BRIDGE = "br-site"
SPARE = "spare"  # the second physical network


@dataclass(frozen=True)
class Machine:
    """One machine of the site; ``run`` and ``popen`` work as a node's do. Its card is ``eth0``."""

    node: Node
    name: str

    def run(self, words: Sequence[str], **more: Any) -> subprocess.CompletedProcess[str]:
        return self.node.run(self._inside(words), **more)

    def popen(self, words: Sequence[str], **more: Any) -> subprocess.Popen[Any]:
        return self.node.popen(self._inside(words), **more)

    def _inside(self, words: Sequence[str]) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.name}", *map(str, words)]

    def mac(self) -> str:
        return str(json.loads(self.run(["ip", "-j", "link", "show", "eth0"]).stdout)[0]["address"])


class Site:
    """``Site(lab).up()``, once the lab is; it goes with the lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.node = lab.node_named("site")
        self.routers: dict[str, Frr] = {}

    def up(self) -> Site:
        engines.configure(self.lab.directory, "site")
        self.node.create()
        wires.cable(self.lab.wires, "underlay", self.node, "underlay")
        self.node.run(["ip", "address", "replace", f"{ADDRESS}/24", "dev", "underlay"])
        wires.cable(self.lab.wires, "provider", self.node, "provider", bare=True)
        for daemon in engines.switch(self.node, lambda: None):
            self.lab.daemons.start(daemon)
        self.vsctl("set", "open_vswitch", ".", "other_config:vlan-limit=2")
        self.bridge(BRIDGE)
        self.vsctl("--may-exist", "add-port", BRIDGE, "provider")
        self._spare()
        return self

    def _spare(self) -> None:
        """A second physical network, plugged into each host and into a switch of the site."""
        wires.segment(self.lab.wires, SPARE)
        wires.cable(self.lab.wires, SPARE, self.node, SPARE, bare=True)
        self.bridge(f"site-{SPARE}")
        self.vsctl("--may-exist", "add-port", f"site-{SPARE}", SPARE)
        for host in self.lab.hosts:
            wires.cable(self.lab.wires, SPARE, host.node, SPARE, bare=True)
            host.run(["ovs-vsctl", "--timeout=20", "--may-exist", "add-port", f"br-{SPARE}", SPARE])

    def down(self) -> None:
        for router in self.routers.values():
            router.down()
        self.node.destroy()

    def vsctl(self, *words: str) -> None:
        self.node.run(["ovs-vsctl", "--timeout=20", *words])

    def bridge(self, name: str) -> None:
        self.vsctl("--may-exist", "add-br", name, "--", "set", "bridge", name, f"datapath_type={engines.datapath()}")

    # Machines -----------------------------------------------------------------
    def server(
        self, name: str, address: str, *, vlan: int = 0, outer: int = 0, mtu: int = 1500, bridge: str = BRIDGE
    ) -> Machine:
        """A server on the provider segment: untagged, on a VLAN, or on a VLAN inside of an outer tag (802.1ad)."""
        if outer:
            bridge = f"customer{outer}"
            self.bridge(bridge)
            inner, tunnel = f"in{outer}", f"out{outer}"
            self.vsctl(
                "--may-exist", "add-port", bridge, inner, "--", "set", "interface", inner, "type=patch", f"options:peer={tunnel}",
                "--", "--may-exist", "add-port", BRIDGE, tunnel,
                "--", "set", "interface", tunnel, "type=patch", f"options:peer={inner}",
                "--", "set", "port", tunnel, "vlan_mode=dot1q-tunnel", f"tag={outer}", "other_config:qinq-ethtype=802.1ad",
            )  # fmt: skip
        machine = self._machine(name, address, mtu)
        tag = [f"tag={vlan}"] if vlan else []
        self.vsctl("add-port", bridge, f"{name}-p", *(["--", "set", "port", f"{name}-p", *tag] if tag else []))
        return machine

    def vtep(self, name: str, address: str, vni: int, hosts: Sequence[str], *, port: int = 4789) -> Machine:
        """A server whose card is a VXLAN of the kernel, which knows the hosts' ends of tunnels and learns who is behind which."""
        self.remove(Machine(self.node, name))
        self.node.run(["ip", "netns", "add", name])
        self._vxlan("vx" + name, vni, port, "learning")
        machine = Machine(self.node, name)
        self.node.run(["ip", "link", "set", "vx" + name, "netns", name])
        machine.run(["ip", "link", "set", "vx" + name, "name", "eth0"])
        self._dress(machine, address, 1450)
        for host in hosts:
            machine.run(["bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "eth0", "dst", host])
        return machine

    def behind_leaf(self, name: str, address: str, vni: int, *, port: int = 4789) -> Machine:
        """A server on a bridge of the site's leaf router, whose VXLAN learns nothing but what BGP tells (``leaf``)."""
        bridge, tunnel = f"br{vni}", f"vx{vni}"
        if not wires.has_link(self.node, bridge):
            self.node.run(["ip", "link", "add", bridge, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0"])
            self._vxlan(tunnel, vni, port, "nolearning")
            self.node.run(["ip", "link", "set", tunnel, "master", bridge])
            self.node.run(["bridge", "link", "set", "dev", tunnel, "learning", "off"])
            for device in (tunnel, bridge):
                self.node.run(["sysctl", "-qw", f"net.ipv6.conf.{device}.disable_ipv6=1"])
                self.node.run(["ip", "link", "set", device, "up"])
        machine = self._machine(name, address, 1450)
        self.node.run(["ip", "link", "set", f"{name}-p", "master", bridge])
        return machine

    def leaf(self, asn: int, peers_asn: int, *more: str) -> Frr:
        """The site's router: FRR that speaks EVPN with whoever comes from the underlay. ``more`` : lines of its configuration."""
        config = [
            f"router bgp {asn}",
            f" bgp router-id {ADDRESS}",
            " no bgp default ipv4-unicast",
            " no bgp ebgp-requires-policy",
            " neighbor hosts peer-group",
            f" neighbor hosts remote-as {peers_asn}",
            " neighbor hosts timers 2 6",
            f" bgp listen range {wires.UNDERLAY}.0/24 peer-group hosts",
            " address-family l2vpn evpn",
            "  neighbor hosts activate",
            "  advertise-all-vni",
            " exit-address-family",
            "exit",
            *more,
        ]
        directory = self.lab.directory / "site" / "frr"
        directory.parent.mkdir(parents=True, exist_ok=True)
        router = self.routers["leaf"] = Frr(directory, prefix=self.node.enter())
        router.apply("\n".join(config))
        return router

    def remove(self, machine: Machine) -> None:
        """End a machine."""
        pids = self.node.run(["ip", "netns", "pids", machine.name], check=False).stdout.split()
        if pids:
            self.node.run(["kill", "-9", *pids], check=False)
        self.vsctl("--if-exists", "del-port", f"{machine.name}-p")
        # A namespace's cards go some time after it
        self.node.run(["ip", "link", "delete", f"{machine.name}-p"], check=False)
        self.node.run(["ip", "netns", "delete", machine.name], check=False)

    def _machine(self, name: str, address: str, mtu: int) -> Machine:
        """A namespace and its card; the other end is ``NAME-p``. One of that name goes first."""
        self.remove(Machine(self.node, name))
        self.node.run(["ip", "netns", "add", name])
        self.node.run(f"ip link add {name}-p type veth peer name {name}-i netns {name}".split())
        machine = Machine(self.node, name)
        machine.run(["ethtool", "-K", f"{name}-i", "tx", "off"])
        machine.run(["ip", "link", "set", f"{name}-i", "name", "eth0"])
        self.node.run(["sysctl", "-qw", f"net.ipv6.conf.{name}-p.disable_ipv6=1"])
        self.node.run(["ip", "link", "set", f"{name}-p", "up"])
        self._dress(machine, address, mtu)
        return machine

    @staticmethod
    def _dress(machine: Machine, address: str, mtu: int) -> None:
        machine.run(["ip", "link", "set", "eth0", "mtu", str(mtu), "up"])
        machine.run(["ip", "link", "set", "lo", "up"])
        machine.run(["ip", "address", "add", address, "dev", "eth0"])

    def _vxlan(self, name: str, vni: int, port: int, learning: str) -> None:
        words = f"ip link add {name} type vxlan id {vni} local {ADDRESS} dstport {port} noudpcsum {learning}"
        self.node.run(words.split())
        self.node.run(["ethtool", "-K", name, "tx", "off"])


@contextmanager
def frames(node: Node, interface: str, what: str, file: Path) -> Iterator[Path]:
    """What tcpdump(8) says of the frames that pass an interface while this goes on, with their tags."""
    with file.open("w") as out:
        watching = node.popen(["tcpdump", "-l", "-nn", "-e", "-i", interface, *what.split()], stdout=out, stderr=out)
        try:
            wait_for(lambda: "listening on" in file.read_text(), 20)
            yield file
        finally:
            watching.terminate()
            watching.wait()
