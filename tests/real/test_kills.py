"""``kill -9`` of any process during fifty creates: what was acknowledged exists and works, nothing else stays, packets flow on.

Each process is killed twice: once in quiet, which tells how long the engine itself needs until packets flow again, and once in the middle
of fifty creates of every kind. The figures are printed (``-rP`` shows them), the states are asserted.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.real.orders import NETWORK, PATHS, Api, Orders, at_once
from tests.real.packets import Packets
from wolke.compute.hosts_table import Host
from wolke.compute.servers.table import Server
from wolke.core import config
from wolke.core.db import Database
from wolke.core.work import Work
from wolke.drivers import ovn
from wolke.lab import images, wait_for
from wolke.lab.cloud import config as config_of
from wolke.lab.furnish import administrator
from wolke.network.lane import KINDS, Site, drift

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
PROCESSES = (
    "api", "loops", "northd", "ovn-nb", "ovn-sb",
    "h1/agent", "h1/ovsdb", "h1/vswitchd", "h1/ovn-controller", "h1/libvirtd",
)  # fmt: skip
PATIENCE = 90  # seconds until everything is as it should be
QUIET = 5.0  # seconds: a gap that a process may cause of which no packet depends; two busy cores, not the engine
OWNED = (
    "Logical_Switch", "Logical_Router", "Logical_Switch_Port", "Logical_Router_Port", "NAT", "ACL", "Port_Group", "DHCP_Options",
)  # fmt: skip


# What stands all the time -------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def api(lab):
    api = Api(administrator(lab).client)
    [project] = [one["id"] for one in api.get("/identity/v3/projects", name="admin")["projects"]]
    more = {"router": 50, "floatingip": 100, "security_group": 100, "security_group_rule": 500}
    api.put(f"{NETWORK}/quotas/{project}", {"quota": more})
    return api


class Ground:
    """What fifty clients build upon, and guests that run all the while."""

    def __init__(self, lab, api: Api) -> None:
        self.api = api
        [self.outside] = api.list("network", name="public")
        self.network = api.make("network", name="kills")
        self.subnet = api.make(
            "subnet",
            name="kills",
            network_id=self.network["id"],
            ip_version=4,
            cidr="10.8.0.0/24",
            gateway_ip="10.8.0.1",
        )
        gateway = {"network_id": self.outside["id"]}
        self.router = api.make("router", name="kills", external_gateway_info=gateway)
        interface = f"{PATHS['router']}/{self.router['id']}"
        api.put(f"{interface}/add_router_interface", {"subnet_id": self.subnet["id"]})
        self.group = api.make("security_group", name="kills")
        for kind in ("icmp", "tcp"):
            rule = {"security_group_id": self.group["id"], "direction": "ingress", "ethertype": "IPv4"}
            api.make("security_group_rule", protocol=kind, **rule)
        self.empty = api.image("empty", "raw", bytes(1 << 20))
        self.tiny = api.image("tiny", "qcow2", images.built().read_bytes())
        self.least = api.make("flavor", name="kills.least", ram=64, vcpus=1, disk=1)
        self.small = api.make("flavor", name="kills.small", ram=256, vcpus=1, disk=1)
        self.ports = [self.port(f"standing-{number}") for number in (1, 2)]
        self.guests = [self.attach(lab.host(number), port) for number, port in enumerate(self.ports, 1)]
        nic = self.port("standing-3")
        self.server = self.serve("standing", self.tiny, self.small, "h1", nic)
        self.addresses = [address_of(self.ports[0]), address_of(nic)]

    def port(self, name: str):
        return self.api.make("port", name=name, network_id=self.network["id"], security_groups=[self.group["id"]])

    def attach(self, host, port):
        address = f"{address_of(port)}/24"
        return host.attach(port["id"], port["mac_address"], address, "10.8.0.1", mtu=1442)

    def serve(self, name: str, image: str, flavor, host: str, port):
        body = {"imageRef": image, "flavorRef": flavor["id"], "networks": [{"port": port["id"]}]}
        return self.api.make("server", name=name, availability_zone=f"nova:{host}", **body)

    def remove(self) -> None:
        for guest in self.guests:
            guest.detach()
        self.api.delete("server", self.server["id"])
        assert wait_for(lambda: not self.api.list("server"), PATIENCE, every=0.5)
        interface = f"{PATHS['router']}/{self.router['id']}"
        self.api.put(f"{interface}/remove_router_interface", {"subnet_id": self.subnet["id"]})
        self.api.delete("router", self.router["id"])
        for port in self.api.list("port", network_id=self.network["id"]):
            if not port["device_owner"].startswith("network:"):
                self.api.delete("port", port["id"])
        self.api.delete("network", self.network["id"])
        self.api.delete("security_group", self.group["id"])
        for flavor in (self.least, self.small):
            self.api.delete("flavor", flavor["id"])
        for image in (self.empty, self.tiny):
            assert self.api.client.delete(f"/image/v2/images/{image}").status_code == 204


def address_of(port) -> str:
    return str(port["fixed_ips"][0]["ip_address"])


@pytest.fixture(scope="module")
def ground(lab, api):
    ground = Ground(lab, api)
    yield ground
    ground.remove()


@pytest.fixture(scope="module")
def packets(lab, ground, tmp_path_factory):
    """From the guest on h2 to the one on h1, and to the QEMU guest on h1."""
    source, folder = ground.guests[1], tmp_path_factory.mktemp("packets")
    streams = [Packets(source, address, folder / f"{address}.txt") for address in ground.addresses]
    assert all(stream.flows(0, 300) for stream in streams), "the guests did not begin to answer"
    yield streams
    for stream in streams:
        stream.stop()


class Truth:
    """What the database says, beside what OVN has."""

    def __init__(self, lab) -> None:
        self.lab = lab
        settings = config.load(config_of(lab))
        self.database = Database(settings.database_url)
        self.north = ovn.Northbound(settings.northbound)
        self.north.start()
        self.site = Site(settings, self.north.has)

    def drift(self) -> list[str]:
        """Everything that is other than it should be; empty when the world agrees. Nothing is mended by looking."""
        try:
            found = [f"{kind}/{id}" for chunk in drift(self.database, self.north, self.site) for kind, id in chunk]
        except Exception as error:
            return [str(error)]
        with self.database.read() as db:
            late = select(Server.id).where(Server.deleted_at == 0, Server.seen_revision != Server.revision)
            found += [f"server/{id}" for id in db.scalars(late)]
            found += [
                f"host/{name}"
                for name in db.scalars(select(Host.name).where(Host.seen_revision != Host.wanted_revision))
            ]
            waiting = select(Work.kind, Work.id, Work.error).where(Work.kind.in_([*KINDS, "server"]))
            found += [f"work {row.kind}/{row.id} {row.error}" for row in db.execute(waiting)]
        return found

    def strays(self) -> list[str]:
        """Rows of OVN that nobody owns, and ports in the southbound database that the northbound one has not."""
        found = []
        for table in OWNED:
            rows = listed(self.lab.ovn_nbctl("--format=json", "--columns=_uuid,external_ids", "list", table))
            found += [f"{table} {uuid[1]}" for uuid, (_, ids) in rows if "wolke-owner" not in dict(ids)]
        north = names(self.lab.ovn_nbctl("--format=json", "--columns=name", "list", "Logical_Switch_Port"))
        north |= names(self.lab.ovn_nbctl("--format=json", "--columns=name", "list", "Logical_Router_Port"))
        south = names(self.lab.ovn_sbctl("--format=json", "--columns=logical_port", "list", "Port_Binding"))
        south = {name for name in south if not name.startswith("cr-")}  # of gateways, made by northd
        return found + sorted(north ^ south)

    def close(self) -> None:
        self.north.close()
        self.database.close()


def listed(text: str) -> list[list]:
    return json.loads(text)["data"]


def names(text: str) -> set[str]:
    return {name for [name] in listed(text)}


@pytest.fixture(scope="module")
def truth(lab, api):
    truth = Truth(lab)
    yield truth
    truth.close()


# Fifty creates ------------------------------------------------------------------------------------------------------
def fifty(orders: Orders, ground: Ground, prefix: str) -> list:
    """Stories that make fifty things: servers, networks with subnets, ports with floating IPs, ports, routers, rules, groups."""

    def network(number: int) -> None:
        made = orders.order("network", f"{prefix}-net-{number}")
        orders.order("subnet", f"{prefix}-subnet-{number}", network_id=made["id"], ip_version=4, cidr="10.9.0.0/24")

    def port(number: int) -> None:
        orders.order("port", f"{prefix}-port-{number}", network_id=ground.network["id"])

    def rule(number: int) -> None:
        which = {"protocol": "udp", "port_range_min": 1000 + number, "port_range_max": 1000 + number}
        group = {"security_group_id": ground.group["id"], "direction": "ingress", "ethertype": "IPv4"}
        orders.order("security_group_rule", f"{prefix}-rule-{number}", **which, **group)

    def group(number: int) -> None:
        orders.order("security_group", f"{prefix}-group-{number}")

    def router(number: int) -> None:
        orders.order("router", f"{prefix}-router-{number}", external_gateway_info={"network_id": ground.outside["id"]})

    def floating(number: int) -> None:
        groups = [ground.group["id"]]
        made = orders.order("port", f"{prefix}-led-{number}", network_id=ground.network["id"], security_groups=groups)
        orders.order(
            "floatingip", f"{prefix}-fip-{number}", floating_network_id=ground.outside["id"], port_id=made["id"]
        )

    def server(number: int) -> None:
        body = {"imageRef": ground.empty, "flavorRef": ground.least["id"], "networks": [{"uuid": ground.network["id"]}]}
        orders.order("server", f"{prefix}-server-{number}", availability_zone=f"nova:h{number}", **body)

    counts = ((server, 2), (network, 8), (floating, 4), (router, 4), (rule, 10), (port, 8), (group, 2))
    stories = [partial(story, number) for story, count in counts for number in range(1, count + 1)]
    return [story for start in range(5) for story in stories[start::5]]  # mixed


@pytest.fixture
def orders(api):
    """What is left of a test that failed does not stand in the next one's way."""
    orders = Orders(api)
    yield orders
    orders.delete_all()


@pytest.mark.parametrize("process", PROCESSES)
def test_killed_during_fifty_creates(lab, api, ground, packets, truth, orders, process):
    machine = qemu_of(lab, ground)
    quiet = killed_in_quiet(lab, packets, process)
    prefix = process.replace("/", "-")
    began = time.time()
    pool, pending = at_once(fifty(orders, ground, prefix))
    assert wait_for(lambda: len(orders.made) >= 12, 60), first_error(pending)
    lab.kill(process)
    at = time.time()
    lab.start(process)
    restarted = time.time() - at
    for one in pending:
        one.result()
    pool.shutdown()
    created = time.time() - began
    assert len(orders.made) == 50

    for kind, id, mark in orders.made:
        shown = api.show(kind, id)
        assert mark in (shown.get("name"), shown.get("description")), f"{kind} {id}"
    wait_for(lambda: not truth.drift(), PATIENCE, every=0.3)
    assert truth.drift() == []
    settled = time.time() - at
    wait_for(lambda: not truth.strays(), 30, every=0.3)  # northd's part
    assert truth.strays() == []
    servers = [id for kind, id, _ in orders.made if kind == "server"]
    wait_for(lambda: {api.status(id) for id in servers} == {"ACTIVE"}, PATIENCE, every=0.5)
    assert [api.status(id) for id in servers] == ["ACTIVE"] * len(servers)
    made_things_work(lab, api, ground, orders)

    assert all(stream.flows(time.time()) for stream in packets)
    loaded = [stream.longest(began) for stream in packets]
    print(
        f"{process}: longest gap in quiet {quiet[0]:.2f} s, QEMU {quiet[1]:.2f} s; during creates {loaded[0]:.2f} s, {loaded[1]:.2f} s; "
        f"50 creates {created:.1f} s, {orders.broken} broken connections; serves after {restarted:.1f} s; no drift after {settled:.1f} s"
    )
    for before, after in zip(quiet, loaded, strict=True):
        assert after < 3 * before + QUIET
    assert qemu_of(lab, ground) == machine, "the running guest is not the one that ran before"

    orders.delete_all()
    wait_for(lambda: not truth.drift() and not truth.strays(), PATIENCE, every=0.5)
    assert truth.drift() + truth.strays() == []
    assert guests(lab) == [machine[0]]


def first_error(pending: list[Future]) -> str:
    return str([one.exception() for one in pending if one.done() and one.exception()][:1])


def killed_in_quiet(lab, packets: list[Packets], process: str) -> list[float]:
    """How long packets stay away when nothing else happens."""
    began = time.time()
    lab.kill(process)
    lab.start(process)
    back = time.time()
    assert all(stream.flows(back) for stream in packets)
    return [stream.longest(began) for stream in packets]


def made_things_work(lab, api: Api, ground: Ground, orders: Orders) -> None:
    """A guest behind one of the new ports reaches the others and is reached by its new floating IP."""
    by_mark = {mark: id for _, id, mark in orders.made}
    [led] = [id for mark, id in by_mark.items() if mark.endswith("-led-1")]
    [fip] = [id for mark, id in by_mark.items() if mark.endswith("-fip-1")]
    guest = ground.attach(lab.host(1), api.show("port", led))
    try:
        assert wait_for(partial(reaches, guest, address_of(ground.ports[1])), 30), "the new port has no packets"
        address = api.show("floatingip", fip)["floating_ip_address"]
        assert wait_for(partial(reaches, lab.internet, address), 30), "the new floating IP leads nowhere"
        wait_for(lambda: api.show("port", led)["status"] == "ACTIVE", 30, every=0.2)
        assert api.show("port", led)["status"] == "ACTIVE"
    finally:
        guest.detach()


def reaches(source, address: str) -> bool:
    return source.run(["ping", "-n", "-c", "1", "-W", "1", address], check=False).returncode == 0


def guests(lab) -> list[str]:
    """Names of all guests that libvirt knows, on both hosts."""
    words = ["virsh", "-q", "-c", "qemu:///system", "list", "--all", "--name"]
    return [name for host in lab.hosts for name in host.run(words).stdout.split()]


def qemu_of(lab, ground: Ground) -> tuple[str, str]:
    """The standing server's guest: its name and the pid of its QEMU; both stay when everything around it dies."""
    [name] = [name for name in guests(lab) if ground.server["id"] in name]
    return name, lab.host(1).run(["cat", f"/run/libvirt/qemu/{name}.pid"]).stdout
