"""``cloud``: the whole control plane in this process, with its own database and clock, and hosts that live in memory."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from sqlalchemy.engine.default import DefaultDialect
from starlette.testclient import TestClient

from tests import postgres
from wolke import cloud as control
from wolke.core.app import App, quiet_app
from wolke.core.auth import Caller
from wolke.core.config import Config, PhysicalNetwork
from wolke.core.errors import Unauthorized
from wolke.dev.hosts import FakeHost
from wolke.drivers import rows
from wolke.drivers.fake.northbound import Northbound
from wolke.drivers.ovn.southbound import Chassis
from wolke.network.chassis import Hosts
from wolke.wire.seen import Capacity

MAPPINGS = {"ovn-bridge-mappings": "public:br-ex"}
RED, BLUE, DOMAIN = "11111111111111111111111111111111", "22222222222222222222222222222222", "default"


def persona(name: str, project: str, *roles: str, **more: Any) -> Caller:
    return Caller(
        user_id=f"user-{name}", user_name=name, user_domain_id=DOMAIN, project_id=project, project_name=f"project-{project[:1]}",
        project_domain_id=DOMAIN, roles=frozenset(roles), expires_at=time.time() + 3600, audit_id=name, **more,
    )  # fmt: skip


PERSONAS = {
    "admin": persona("admin", RED, "admin", "manager", "member", "reader"),
    "manager": persona("manager", RED, "manager", "member", "reader"),
    "service": persona("service", BLUE, "service"),
    "member": persona("member", RED, "member", "reader"),
    "reader": persona("reader", RED, "reader"),
    "stranger": persona("stranger", BLUE, "member", "reader"),
}


# SQLAlchemy keeps what it has compiled by dialect and engine, and each test has engines of its own: that was half of a test's time
COMPILED: dict[Any, Any] = {}
DefaultDialect.__eq__ = lambda self, other: type(self) is type(other)
DefaultDialect.__hash__ = lambda self: hash(type(self))


class FakeHosts:
    """Hosts in OVN that reach the physical network ``public``."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    def chassis(self) -> list[Any]:
        return [
            Chassis(name=name, hostname=name, encap_ip="", other_config=MAPPINGS, nb_cfg=0, nb_cfg_at=0.0)
            for name in self.names
        ]

    def remove(self, name: str) -> bool:
        known = name in self.names
        self.names = [one for one in self.names if one != name]
        return known

    def flows(self, priorities: Sequence[range]) -> dict[str, str]:
        return {}


class Cloud:
    """The control plane and a client for each persona: ``cloud.member.get("/network/v2.0/ports")``."""

    def __init__(self, directory: Path, url: str = "", *, new: bool = False) -> None:
        """``new``: make tables and the first rows; else ``directory`` and the database are copies of a cloud that has them."""
        self.now = 1_800_000_000.0
        self.app: App = quiet_app(
            Config(state=str(directory), database=url, threads=4, physical_networks={"public": PhysicalNetwork()}),
            clock=lambda: self.now,
        )
        for engine in (self.app.database._writer, self.app.database._reader):
            engine.update_execution_options(compiled_cache=COMPILED)
        if new:
            self.app.database.create_tables()
        self.north = self.app.add(rows.Northbound, Northbound())
        self.chassis = self.app.add(Hosts, FakeHosts("h1"))
        self.hosts: dict[str, FakeHost] = {}
        control.assemble(self.app)
        self.app.authenticate = self.authenticate
        if new:
            control.bootstrap(self.app)
        self.lanes = control.lanes(self.app)
        self.web = control.web(self.app)
        self.ending = ExitStack()
        self.loop = self.ending.enter_context(start_blocking_portal())  # one for all calls, as in a server
        self.admin, self.member, self.reader, self.stranger = map(
            self.client, ("admin", "member", "reader", "stranger")
        )
        self.nobody = self.connected()

    @staticmethod
    def authenticate(token: str) -> Caller:
        if token not in PERSONAS:
            raise Unauthorized("The request you have made requires authentication.")
        return PERSONAS[token]

    def client(self, name: str, **headers: str) -> TestClient:
        return self.connected({"X-Auth-Token": name, **headers})

    def apart(self, name: str) -> TestClient:
        """A client with a loop of its own: while it reads its body from a test, others can be called."""
        made = self.client(name)
        made.portal = None
        return made

    def connected(self, headers: dict[str, str] | None = None) -> TestClient:
        made = TestClient(self.web, headers=headers, raise_server_exceptions=False)
        made.portal = self.loop
        return made

    def at_once(self, *calls: Callable[[TestClient], Any], by: str = "member") -> list[Any]:
        """What each call got, all made at the same moment: ``at_once(*[lambda api: api.post(...)] * 8)``."""
        with self.client(by) as api, ThreadPoolExecutor(len(calls)) as threads:
            return list(threads.map(lambda call: call(api), calls))

    def add_host(self, name: str, **capacity: int) -> FakeHost:
        """A host in memory that has joined and told what it has: ``vcpus=16, ram_mib=65536, disk_gib=1000``."""
        has = Capacity(**{"vcpus": 16, "ram_mib": 65536, "disk_gib": 1000} | capacity)
        place = self.app.config.state_path / "hosts" / name
        host = FakeHost(self.app, name, place, north=self.north, capacity=has, clock=lambda: self.now)
        self.hosts[name] = host
        host.step()
        return host

    def settle(self, rounds: int = 50) -> None:
        """Run the loops and the hosts until nothing is due."""
        for _ in range(rounds):
            busy = sum(lane.run_once(self.app.database) for lane in self.lanes)
            if not busy + sum(host.step() for host in self.hosts.values()):
                return
        raise AssertionError("the loops do not come to rest")

    def close(self) -> None:
        self.ending.close()
        self.app.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgresql", action="store_true", help="run on a PostgreSQL server that is started for it")
    parser.addoption("--update-golden", action="store_true", help="write what is seen as what is expected")


def memory() -> TemporaryDirectory[str]:
    """A temporary directory, in memory where the machine has one."""
    return TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Engines, guests and other people's clients may take their time on a busy machine."""
    for item in items:
        slow = item.get_closest_marker("real") or item.get_closest_marker("flows")
        if slow and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.Server]:
    with postgres.server() as server:
        yield server


@pytest.fixture(scope="session")
def template(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The state directory of a cloud that has just been made; with PostgreSQL, the database ``wolke`` belongs to it."""
    url = ""
    if request.config.getoption("--postgresql"):
        server: postgres.Server = request.getfixturevalue("postgresql")
        server.admin("CREATE DATABASE wolke")
        url = server.url("wolke")
    with memory() as directory:
        Cloud(Path(directory), url, new=True).close()
        yield Path(directory)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of this test's own on PostgreSQL; "" for a SQLite file."""
    if not request.config.getoption("--postgresql"):
        yield ""
        return
    server: postgres.Server = request.getfixturevalue("postgresql")
    with server.database() as url:
        yield url


@pytest.fixture
def made_database(request: pytest.FixtureRequest, template: Path) -> Iterator[str]:
    """What goes with a copy of ``template``: a copy of its database on PostgreSQL; "" as SQLite's file is in it."""
    if not request.config.getoption("--postgresql"):
        yield ""
        return
    server: postgres.Server = request.getfixturevalue("postgresql")
    with server.database("wolke") as url:
        yield url


@pytest.fixture(autouse=True)
def _draws(request: pytest.FixtureRequest) -> None:
    """Addresses are drawn (``wolke/network/ports/ipam.py``): here the same ones each time."""
    random.seed(request.node.nodeid)


@pytest.fixture
def state() -> Iterator[Path]:
    """An empty state directory."""
    with memory() as directory:
        yield Path(directory)


@pytest.fixture
def cloud(state: Path, template: Path, made_database: str) -> Iterator[Cloud]:
    shutil.copytree(template, state, dirs_exist_ok=True)
    made = Cloud(state, made_database)
    yield made
    made.close()


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """``golden("network/port.txt", text)``: equal to the file in ``tests/golden``, or written with ``--update-golden``."""

    def compare(name: str, text: str) -> None:
        path = Path(__file__).parent / "golden" / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert text == path.read_text(), f"{path.name} differs: ./run golden, then read the diff"

    return compare
