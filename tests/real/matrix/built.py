"""What has become of a topology in the cloud, and of its probes."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.real.matrix.topologies import Guest, Probe, Topology

Json = dict[str, Any]


def tag(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:10]


@dataclass
class Case:
    """One probe of a built topology, and what became of it."""

    built: Built
    probe: Probe
    id: str
    question: Json
    order: Json  # to the farm
    place: int  # number of the host it is sent from, 0 for outside
    answer: Json = field(default_factory=dict)  # of the model
    heard: list[str] | None = None

    @property
    def agrees(self) -> bool:
        return self.expected() == self.heard

    def expected(self) -> list[str] | None:
        """Who answers, and whom he sees; None for silence."""
        if not self.answer["reachable"]:
            return None
        last = self.answer["hops"][-1]
        if self.order["kind"] == "icmp":
            return ["pong", self.order["to"]]
        name = "internet" if last["at"]["type"] == "internet" else self.built.names[last["at"]["id"]]
        return [name, last["packet"]["source"]]

    def __str__(self) -> str:
        decided = self.answer["decided_by"]
        return (
            f"topology {self.built.plan.seed}: {self.probe} -> {self.order['to']}: model {self.expected()}"
            f" by {decided['kind']} {decided['id']}: {self.answer['sentence']} packets {self.heard}"
        )


@dataclass
class Built:
    """A topology as it stands in the cloud: names -> what the API made of them."""

    plan: Topology
    projects: list[str] = field(default_factory=lambda: [uuid.uuid4().hex, uuid.uuid4().hex])
    nets: dict[str, Json] = field(default_factory=dict)
    subnets: dict[tuple[str, int], Json] = field(default_factory=dict)
    routers: dict[str, Json] = field(default_factory=dict)
    groups: dict[str, Json] = field(default_factory=dict)
    ports: dict[str, Json] = field(default_factory=dict)
    floating: list[Json] = field(default_factory=list)
    floating6: list[Json] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # port id -> unique name of its guest
    cases: list[Case] = field(default_factory=list)
    plugged: set[str] = field(default_factory=set)

    @property
    def device(self) -> str:
        """Of the server with two cards."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, self.projects[0]))

    def cards(self, guest: Guest) -> list[tuple[str, Json]]:
        """(network, port) of each of its cards."""
        found = [(guest.net, self.ports[guest.name])]
        return [*found, (guest.second, self.ports[f"{guest.name}/2"])] if guest.second else found

    def unique(self, guest: Guest) -> str:
        return f"t{self.plan.seed}.{guest.name}"

    def place(self, guest: Guest, hosts: int) -> int:
        return 1 + (guest.host + self.plan.seed) % hosts
