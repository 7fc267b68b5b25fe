"""Namespace guests: a network namespace behind a logical port, for packet matrices without booting anything."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any

from wolke.lab.node import Node


@dataclass(frozen=True)
class Guest:
    """One guest on one host. ``run`` and ``popen`` work as a node's do."""

    node: Node
    port_id: str

    @property
    def tag(self) -> str:
        """Short enough for interface names (15 characters), and the same for the same port."""
        return hashlib.sha1(self.port_id.encode(), usedforsecurity=False).hexdigest()[:10]

    def run(self, words: Sequence[str], **more: Any) -> subprocess.CompletedProcess[str]:
        return self.node.run(self._inside(words), **more)

    def popen(self, words: Sequence[str], **more: Any) -> subprocess.Popen[Any]:
        return self.node.popen(self._inside(words), **more)

    def _inside(self, words: Sequence[str]) -> list[str]:
        return ["nsenter", f"--net=/run/netns/g{self.tag}", *map(str, words)]

    def attach(self, mac: str, addresses: Sequence[str], gateways: Sequence[str], mtu: int) -> None:
        """Make the namespace and its veth pair, and bind the logical port to it.

        A veth pair and not an OVS internal port, because it survives vswitchd. Offload is off: nobody would finish the checksums.
        """
        inside, outside, space = f"i{self.tag}", f"o{self.tag}", f"g{self.tag}"
        ip = ["ip", "-n", space]
        self.node.run(["ip", "netns", "add", space])
        self.node.run(f"ip link add {outside} type veth peer name {inside} netns {space}".split())
        self.run(["ethtool", "-K", inside, "tx", "off"])
        self.node.run([*ip, "link", "set", inside, "name", "eth0", "address", mac, "mtu", str(mtu)])
        self.node.run([*ip, "link", "set", "lo", "up"])
        self.node.run([*ip, "link", "set", "eth0", "up"])
        self.node.run(["ip", "link", "set", outside, "up"])
        for address in addresses:
            late = ["nodad"] if ip_interface(address).version == 6 else []
            self.node.run([*ip, "address", "add", address, "dev", "eth0", *late])
        for gateway in gateways:
            self.node.run([*ip, "route", "add", "default", "via", gateway, "dev", "eth0"])
        words = ["ovs-vsctl", "--timeout=20", "add-port", "br-int", outside]
        self.node.run([*words, "--", "set", "interface", outside, f"external_ids:iface-id={self.port_id}"])

    def detach(self) -> None:
        """Take the port away and end the namespace; its processes are ended first."""
        pids = self.node.run(["ip", "netns", "pids", f"g{self.tag}"], check=False).stdout.split()
        if pids:
            self.node.run(["kill", "-9", *pids], check=False)
        self.node.run(["ovs-vsctl", "--timeout=20", "--if-exists", "del-port", f"o{self.tag}"], check=False)
        self.node.run(["ip", "netns", "delete", f"g{self.tag}"])
