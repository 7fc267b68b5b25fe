"""The hosts as OVN knows them: which can carry a gateway to which physical network, and which should not just now.

OVN:  ovn-sb(5), table Chassis. Copied into a table of ours, so that the rows of a router follow from the database alone.

OVN moves a gateway by itself when its host dies (BFD, 3 x 200 ms). Three things it does not do, and we do:

- A host that hears no other at all takes no gateway, because it might be the one that is cut off. With two hosts that is every case. So
  a host whose tunnels others report dead, and whose agent does not answer when it is asked, is no candidate any more.
- Where all candidates hear nobody and yet all are heard by us, one of them is chosen.
- A host that comes back takes its gateways back before it can carry them. It *rests* for a while: last in the order.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from sqlalchemy import delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from wolke.core.db import Base, Database, ring
from wolke.core.work import Again, Done, Item, Lane, Next, wake, wake_all
from wolke.network import hooks
from wolke.network.routers.table import Router
from wolke.wire.seen import Seen

log = logging.getLogger(__name__)
LOOK_SECONDS = 2.0
REST_SECONDS = 30.0
HOLD_SECONDS = 300.0  # that hosts are taken for isolated, unless one of their tunnels works again; then it is tried
PROBE_SECONDS = 1.0  # in which an agent has to take a connection
AGAIN_SECONDS = 10.0
TOPIC = "chassis"  # of the bell
LEFT = "host_left"  # kind of work item: its id is the host


class Chassis(Base):
    __tablename__ = "chassis"

    name: Mapped[str] = mapped_column(primary_key=True)  # system-id
    hostname: Mapped[str] = mapped_column(default="")
    physical_networks: Mapped[list[str]] = mapped_column(default=list)
    heard: Mapped[bool] = mapped_column(default=True)  # of its agent; one that never had any counts as heard
    isolated: Mapped[bool] = mapped_column(default=False)  # none of its tunnels works
    resting: Mapped[bool] = mapped_column(default=False)  # was away a moment ago
    seen_at: Mapped[float] = mapped_column(default=0.0)  # unix seconds of the last change


class ToldByHost(Base):
    """What a host's agent last said of its switch."""

    __tablename__ = "chassis_told"

    name: Mapped[str] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(default="")  # of its listener
    tunnels: Mapped[dict[str, Any]] = mapped_column(default=dict)  # chassis -> whether it is heard
    switching: Mapped[bool] = mapped_column(default=True)


def told_by_host(db: Session, picture: Seen) -> None:
    row = db.get(ToldByHost, picture.chassis) or ToldByHost(name=picture.chassis, tunnels={}, switching=True)
    new = (picture.address, dict(picture.tunnels), picture.switching)
    if (row.address, row.tunnels, row.switching) != new:
        row.address, row.tunnels, row.switching = new
        db.add(row)
        ring(db, TOPIC)


hooks.host_told.append(told_by_host)

# When each host's agent was last heard of (unix seconds), by host name. Whoever hears of agents adds a function here.
heard: list[Callable[[Session], Mapping[str, float]]] = []


def last_heard(db: Session) -> dict[str, float]:
    found: dict[str, float] = {}
    for tell in heard:
        found |= tell(db)
    return found


class Told(Protocol):
    """A host as the southbound database tells it."""

    @property
    def name(self) -> str: ...
    @property
    def hostname(self) -> str: ...
    @property
    def bridge_mappings(self) -> Mapping[str, str]: ...


class Hosts(Protocol):
    """Where the hosts are read from: OVN's southbound database, or memory in tests."""

    def chassis(self) -> Sequence[Told]: ...
    def remove(self, name: str) -> bool: ...

    def flows(self, priorities: Sequence[range]) -> Mapping[str, str]:
        """Logical flows of such priorities: the cookie that their flows bear on the hosts, and what they match."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What we keep of one host."""

    hostname: str
    physical_networks: list[str]
    heard: bool
    isolated: bool
    resting: bool


# What follows from what is told ---------------------------------------------------------------------------------------
def connected(tunnels: Mapping[str, Mapping[str, bool]], names: set[str]) -> tuple[set[str], set[str]]:
    """Hosts with a tunnel that works, and hosts whose tunnels are all dead. A tunnel works when neither end says otherwise.

    >>> connected({"a": {"b": False, "c": True}, "b": {}, "c": {"a": True}}, {"a", "b", "c"}) == ({"a", "c"}, {"b"})
    True
    """
    working, dead = set(), set()
    for name in names:
        ends = {other: up for other, up in tunnels.get(name, {}).items() if other in names}
        for other in names - {name}:
            if name in (said := tunnels.get(other, {})):
                ends[other] = ends.get(other, True) and said[name]
        if any(ends.values()):
            working.add(name)
        elif ends:
            dead.add(name)
    return working, dead


def answers(address: str) -> bool:
    """Whether an agent takes a connection. One that is asked and says nothing is not there."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), PROBE_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


class ChassisWatch(Lane):
    """A lane whose news come from OVN and from the agents; gateways are placed anew when hosts come, go or change.

    ``patience`` : seconds that an agent may be silent
    ``probe`` : whether the agent at an address answers
    """

    def __init__(self, hosts: Hosts, patience: float, probe: Callable[[str], bool] = answers) -> None:
        super().__init__("chassis")
        self.hosts, self.patience, self.probe = hosts, patience, probe
        self.last: dict[str, Facts] | None = None
        self.rest_until: dict[str, float] = {}  # unix seconds
        self.isolated_until: dict[str, float] = {}
        self.gone: dict[str, float] = {}  # since when it does not answer, unix seconds

    def told(self, database: Database) -> dict[str, Facts]:
        """What is known of each host now. Where all are silent, it is we who hear nothing."""
        present = self.hosts.chassis()
        names, hostnames = {one.name for one in present}, {one.name: one.hostname for one in present}
        with database.read() as db:
            last = last_heard(db)
            said = {row.name: row for row in db.execute(select(ToldByHost.__table__)) if row.name in names}
        now = database.clock()
        since = now - self.patience
        silent = {name for name in names if last.get(hostnames[name], since) < since}
        # With one candidate left OVN ends BFD, and nobody tells of tunnels any more: who did not answer is gone until he is heard.
        here = {name for name, at in self.gone.items() if last.get(hostnames.get(name, ""), 0.0) > at}
        self.gone = {name: at for name, at in self.gone.items() if name in names - here}
        if here:  # who hears nobody may hear them now
            self.isolated_until.clear()
        speaking = {name: row.tunnels for name, row in said.items() if name not in silent | self.gone.keys()}
        working, dead = connected(speaking, names)
        for name in dead - silent:
            if name in said and name not in self.gone and not self.probe(said[name].address):
                self.gone[name] = now
            self.isolated_until[name] = now + HOLD_SECONDS
        for name in working:
            self.gone.pop(name, None)
            self.isolated_until.pop(name, None)
        isolated = {name for name in names if self.isolated_until.get(name, 0.0) > now}
        silent |= self.gone.keys() | {name for name, row in said.items() if not row.switching}
        if silent == names:
            silent = set()
        new = names - self.last.keys() if self.last is not None else set()
        for name in silent | new | (dead if working else set()):
            self.rest_until[name] = now + REST_SECONDS
        resting = {name for name in names if self.rest_until.get(name, 0.0) > now}
        if resting == names:
            resting = set()
        return {
            one.name: Facts(one.hostname, sorted(one.bridge_mappings), one.name not in silent, one.name in isolated, one.name in resting)
            for one in present
        }  # fmt: skip

    def run_once(self, database: Database) -> int:
        told = self.told(database)
        if told == self.last:
            return 0
        with database.transaction() as db:
            rows = db.execute(select(Chassis.__table__))
            known = {row.name: Facts(*(getattr(row, field) for field in Facts.__slots__)) for row in rows}
            db.execute(delete(Chassis).where(Chassis.name.in_(known.keys() - told.keys())))
            db.execute(delete(ToldByHost).where(ToldByHost.name.in_(known.keys() - told.keys())))
            for name, facts in told.items():
                if known.get(name) != facts:
                    db.merge(Chassis(name=name, **asdict(facts), seen_at=database.clock()))
                    log.info("host %s: %s", name, facts)
            if known != told:
                gateways = db.scalars(select(Router.id).where(Router.gateway_port_id.is_not(None)))
                wake_all(db, [(Router.__tablename__, id) for id in gateways])
        self.last = told
        return 1

    def run(self, database: Database, stop: threading.Event) -> None:
        rung = threading.Event()
        quiet = database.bell.listen(TOPIC, rung.set)
        while not stop.is_set():
            rung.clear()
            try:
                self.run_once(database)
            except Exception:
                log.exception("chassis")
            rung.wait(LOOK_SECONDS)
        quiet()


# Leaving --------------------------------------------------------------------------------------------------------------
def leave(db: Session, host: str) -> None:
    """A host has gone for good: OVN is to forget it."""
    hooks.tell(hooks.host_goes, db, host)
    wake(db, LEFT, host)


class Leaving:
    """Takes hosts out of OVN until they stay away; one whose ovn-controller still runs comes back, and has to be turned off."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts

    def __call__(self, items: Sequence[Item]) -> Mapping[Item, Next]:
        found: dict[Item, Next] = {}
        for item in items:
            found[item] = Again(AGAIN_SECONDS) if self.hosts.remove(item.id) else Done()
        return found


def chassis_lanes(hosts: Hosts, patience: float) -> list[Lane]:
    return [ChassisWatch(hosts, patience), Lane("hosts that leave", [LEFT], Leaving(hosts))]
