"""Hosts of a lab, as tests use them: run a command there, plug a namespace guest in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wolke.lab import wires
from wolke.lab.guests import Guest
from wolke.lab.node import LabError, Node
from wolke.lab.waiting import wait_for


@dataclass(frozen=True)
class Host:
    """A host of the lab."""

    node: Node
    number: int

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def address(self) -> str:
        """On the underlay."""
        return wires.host_address(self.number)

    def run(self, words: Sequence[str], **more: Any) -> Any:
        return self.node.run(words, **more)

    def popen(self, words: Sequence[str], **more: Any) -> Any:
        return self.node.popen(words, **more)

    def attach(
        self,
        port_id: str,
        mac: str,
        addresses: str | Sequence[str],
        gateway: str | Sequence[str] = (),
        *,
        mtu: int = 1442,
        seconds: float = 30,
    ) -> Guest:
        """A namespace guest behind a logical port; returns when ovn-controller has installed the port's flows.

        ``addresses`` with prefix length; ``seconds=0`` does not wait.
        """
        guest = Guest(self.node, port_id)
        guest.attach(mac, as_list(addresses), as_list(gateway), mtu)
        if seconds and not wait_for(lambda: self.installed(guest), seconds, every=0.1):
            raise LabError(f"{self.name}: ovn-controller did not install logical port {port_id} within {seconds} s")
        return guest

    def installed(self, guest: Guest) -> bool:
        words = [
            "ovs-vsctl",
            "--timeout=5",
            "--if-exists",
            "get",
            "interface",
            f"o{guest.tag}",
            "external_ids:ovn-installed",
        ]
        return "true" in self.node.run(words, check=False).stdout


def as_list(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)
