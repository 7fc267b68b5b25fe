"""The control plane dies, or works twice, at any moment of a story: the end is the one without."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import pytest

from tests.crash.conftest import Worlds
from tests.crash.world import AFTER, BEFORE, COMMITTED, Killed, Moments, World
from wolke.wire.seen import State

pytestmark = pytest.mark.slow
NETWORK, COMPUTE, IMAGE = "/network/v2.0", "/compute/v2.1", "/image/v2"
PATHS = {
    "network": f"{NETWORK}/networks", "subnet": f"{NETWORK}/subnets", "port": f"{NETWORK}/ports", "router": f"{NETWORK}/routers",
    "floatingip": f"{NETWORK}/floatingips", "security_group": f"{NETWORK}/security-groups",
    "security_group_rule": f"{NETWORK}/security-group-rules", "server": f"{COMPUTE}/servers",
}  # fmt: skip
Json = dict[str, Any]


class Client:
    """Who writes the story. After a broken connection he looks whether his thing is there before he asks again."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.again = False

    def ask(self, method: str, path: str, **more: Any) -> Any:
        try:
            reply = self.world.admin.request(method, path, **more)
        except (Killed, CancelledError, RuntimeError) as death:  # as the client in this process sees it
            assert self.world.moments.struck, death
            raise Killed from death
        if self.world.moments.struck and reply.status_code == 500:
            raise Killed
        return reply

    def good(self, method: str, path: str, **more: Any) -> Any:
        reply = self.ask(method, path, **more)
        assert reply.is_success, f"{method} {path}: {reply.status_code} {reply.text}"
        return reply

    def find(self, kind: str, name: str) -> Json | None:
        key = "description" if kind in ("floatingip", "security_group_rule") else "name"
        for one in self.good("GET", PATHS[kind] + ("/detail" if kind == "server" else "")).json()[f"{kind}s"]:
            if one[key] == name:
                return dict(one)
        return None

    def of(self, kind: str, name: str) -> Json:
        found = self.find(kind, name)
        assert found, f"{kind} {name} is not there"
        return found

    def id(self, kind: str, name: str) -> str:
        return str(self.of(kind, name)["id"])

    def make(self, kind: str, name: str, **body: Any) -> None:
        if self.again and self.find(kind, name):
            return
        key = "description" if kind in ("floatingip", "security_group_rule") else "name"
        self.good("POST", PATHS[kind], json={kind: {key: name, **body}})

    def change(self, kind: str, name: str, **body: Any) -> None:
        self.good("PUT", f"{PATHS[kind]}/{self.id(kind, name)}", json={kind: body})

    def delete(self, kind: str, name: str) -> None:
        if found := self.find(kind, name):
            self.good("DELETE", f"{PATHS[kind]}/{found['id']}")
        else:
            assert self.again

    def interface(self, verb: str) -> None:
        """Of the router, on the subnet."""
        subnet = {"subnet_id": self.id("subnet", "red")}
        reply = self.ask("PUT", f"{PATHS['router']}/{self.id('router', 'red')}/{verb}_router_interface", json=subnet)
        assert reply.is_success or self.again, reply.text

    def act(self, action: str, body: Any = None) -> None:
        """On the server, once: the second time it is there already, or under way."""
        reply = self.ask("POST", f"{PATHS['server']}/{self.id('server', 'web')}/action", json={action: body})
        assert reply.is_success or (self.again and reply.status_code == 409), reply.text

    def card(self, verb: str) -> None:
        """A second card of the server comes or goes."""
        path = f"{PATHS['server']}/{self.id('server', 'web')}/os-interface"
        port = self.id("port", "second")
        there = port in self.good("GET", path).text
        if verb == "add" and not there:
            self.good("POST", path, json={"interfaceAttachment": {"port_id": port}})
        if verb == "remove" and there:
            self.good("DELETE", f"{path}/{port}")

    # Images have another way of speaking
    def image(self) -> Json | None:
        return next(iter(self.good("GET", f"{IMAGE}/images", params={"name": "disk"}).json()["images"]), None)

    def new_image(self) -> None:
        if self.image() is None:
            about = {"name": "disk", "disk_format": "raw", "container_format": "bare"}
            self.good("POST", f"{IMAGE}/images", json=about)

    def stage(self) -> None:
        self.put("stage", "uploading")

    def put(self, where: str, state: str) -> None:
        found = self.image()
        assert found
        if self.again:
            self.world.now += 3600  # an upload that was cut off may be made again when its lease is over
        octets = {"content-type": "application/octet-stream"}
        self.good("PUT", f"{IMAGE}/images/{found['id']}/{where}", content=bytes(1024), headers=octets)

    def bring(self) -> None:
        found = self.image()
        assert found
        if found["status"] == "uploading":
            self.good("POST", f"{IMAGE}/images/{found['id']}/import", json={"method": {"name": "glance-direct"}})

    def drop_image(self) -> None:
        if found := self.image():
            self.good("DELETE", f"{IMAGE}/images/{found['id']}")


Step = Callable[[Client], None]
RULE = {"direction": "ingress", "ethertype": "IPv4", "protocol": "tcp", "port_range_min": 80, "port_range_max": 80}
# What is given out by lot is never an address that means something
RED = {"ip_version": 4, "cidr": "10.0.0.0/24", "allocation_pools": [{"start": "10.0.0.100", "end": "10.0.0.199"}]}
OUTSIDE = {
    "ip_version": 4,
    "cidr": "198.51.100.0/24",
    "allocation_pools": [{"start": "198.51.100.100", "end": "198.51.100.199"}],
}
NETWORKS: list[Step] = [
    lambda c: c.make("network", "red"),
    lambda c: c.make("subnet", "red", network_id=c.id("network", "red"), **RED),
    lambda c: c.change("subnet", "red", dns_nameservers=["192.0.2.53"]),
    lambda c: c.make("security_group", "web"),
    lambda c: c.make("security_group_rule", "http", security_group_id=c.id("security_group", "web"), **RULE),
    lambda c: c.make("port", "p", network_id=c.id("network", "red"), security_groups=[c.id("security_group", "web")]),
    lambda c: c.change("port", "p", security_groups=[], port_security_enabled=False),
    lambda c: c.change("network", "red", mtu=1300),
    lambda c: c.change("network", "red", admin_state_up=False),
    lambda c: c.delete("security_group_rule", "http"),
    lambda c: c.delete("port", "p"),
    lambda c: c.delete("security_group", "web"),
    lambda c: c.delete("subnet", "red"),
    lambda c: c.delete("network", "red"),
]
FLAT = {"router:external": True, "provider:network_type": "flat", "provider:physical_network": "public"}
ROUTERS: list[Step] = [
    lambda c: c.make("network", "outside", **FLAT),
    lambda c: c.make("subnet", "outside", network_id=c.id("network", "outside"), **OUTSIDE),
    lambda c: c.make("network", "red"),
    lambda c: c.make("subnet", "red", network_id=c.id("network", "red"), **RED),
    lambda c: c.make("port", "p", network_id=c.id("network", "red")),
    lambda c: c.make("router", "red", external_gateway_info={"network_id": c.id("network", "outside")}),
    lambda c: c.interface("add"),
    lambda c: c.make("floatingip", "f", floating_network_id=c.id("network", "outside"), port_id=c.id("port", "p")),
    lambda c: c.change("router", "red", routes=[{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}]),
    lambda c: c.change("floatingip", "f", port_id=None),
    lambda c: c.change("floatingip", "f", port_id=c.id("port", "p")),
    lambda c: c.delete("floatingip", "f"),
    lambda c: c.change("router", "red", routes=[]),
    lambda c: c.interface("remove"),
    lambda c: c.change("router", "red", external_gateway_info={}),
    lambda c: c.delete("router", "red"),
    lambda c: c.delete("port", "p"),
    lambda c: c.delete("network", "red"),
    lambda c: c.delete("network", "outside"),
]
SERVERS: list[Step] = [
    lambda c: c.new_image(),
    lambda c: c.stage(),
    lambda c: c.bring(),
    lambda c: c.make("network", "red"),
    lambda c: c.make("subnet", "red", network_id=c.id("network", "red"), **RED),
    lambda c: c.make(
        "server", "web", imageRef=(c.image() or {})["id"], flavorRef="42", networks=[{"uuid": c.id("network", "red")}]
    ),
    lambda c: c.make("port", "second", network_id=c.id("network", "red")),
    lambda c: c.card("add"),
    lambda c: c.card("remove"),
    lambda c: c.act("os-stop"),
    lambda c: c.act("os-start"),
    lambda c: c.delete("server", "web"),
    lambda c: c.drop_image(),
    lambda c: c.delete("port", "second"),
    lambda c: c.delete("network", "red"),
]
STORIES = {"networks": NETWORKS, "routers": ROUTERS, "servers": SERVERS}


def played(worlds: Worlds, story: list[Step], at: int = -1, *, twice: bool = False) -> list[list[str]]:
    """How the world is after each step that was struck; nothing for a step without such a moment.

    At the ``at``-th moment of every step the process dies; ``twice``: a second one comes in between. -1: nothing happens.
    What has only been read is lost with the process, so it dies after what it has done; a second process does harm in between.
    """
    ends: list[list[str]] = []
    with worlds() as world:
        world.add_host("h1")
        world.rest()
        for number, step in enumerate(story):
            world.moments = moments = (
                Moments(at, world.another_process, (BEFORE, AFTER))
                if twice
                else Moments(at, killed, (AFTER, COMMITTED))
            )
            tell(world, step)
            settle(world)
            world.moments = Moments()
            if moments.struck:
                world.rest()
            if moments.struck or at < 0:
                assert world.drift() == [], f"moment {at} of step {number}"
                ends.append(world.end())
            else:
                ends.append([])
    return ends


def difference(one: list[str], other: list[str]) -> str:
    """Lines that only one of them has; the names do not count if there are others."""
    plain = [Counter(re.sub("<[0-9a-f]{8}>", "<>", line) for line in lines) for lines in (one, other)]
    first, second = plain if plain[0] != plain[1] else (Counter(one), Counter(other))
    return "\n".join(["", *(f"+ {line}" for line in first - second), *(f"- {line}" for line in second - first)])


def killed() -> None:
    raise Killed


def tell(world: World, step: Step) -> None:
    client = Client(world)
    try:
        step(client)
    except Killed:
        world.restart()
        client.again = True
        step(client)


def settle(world: World) -> None:
    try:
        world.settle()
    except Killed:
        world.restart()


@pytest.fixture(scope="module", params=STORIES)
def told(request, worlds) -> tuple[list[Step], list[list[str]]]:
    """A story, and what comes of each step when nothing goes wrong."""
    return STORIES[request.param], played(worlds, STORIES[request.param])


def test_the_stories_themselves(told):
    story, ends = told
    last = [line for line in ends[-1] if line.startswith(("ovn", "port ", "network ", "router ", "h1"))]
    assert not [line for line in last if "red" in line]
    assert len({tuple(end) for end in ends}) > len(story) / 2, "the steps change nothing that is compared"
    if story is SERVERS:
        assert any(str(State.RUNNING) in line for line in ends[5])


@pytest.mark.parametrize(("twice", "least"), [(False, 5), (True, 2)], ids=["dies", "works-twice"])
def test_any_moment_leads_to_the_same_end(worlds, told, twice, least):
    story, whole = told
    at, steps = 0, len(story)
    while steps:
        ends = played(worlds, story[:steps], at, twice=twice)
        for number, (one, other) in enumerate(zip(ends, whole, strict=False)):
            assert one in ([], other), f"moment {at} of step {number}: {difference(one, other)}"
        at += 1
        steps = max((number + 1 for number, end in enumerate(ends) if end), default=0)
    assert at >= least


# A process that sleeps ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("gone", [False, True], ids=["changed", "deleted"])
def test_a_process_that_slept_leaves_nothing_old(worlds, gone):
    """It read, its lease ran out, the wish changed, another process did it: then it wakes and goes on with what it read."""

    def meanwhile() -> None:
        if gone:
            client.delete("subnet", "red")
        else:
            client.change("subnet", "red", dns_nameservers=["192.0.2.2"])
        world.another_process()

    for at in range(30):
        with worlds() as world:
            client = Client(world)
            for step in NETWORKS[:2]:
                step(client)
            world.settle()
            client.change("subnet", "red", dns_nameservers=["192.0.2.1"])
            world.moments = moments = Moments(at, meanwhile)
            world.settle()
            world.moments = Moments()
            if not moments.struck:
                break
            world.rest()
            assert world.drift() == [], f"moment {at}"
            servers = [
                row.columns["options"].get("dns_server")
                for row in world.north.table.values()
                if row.table == "DHCP_Options"
            ]
            assert servers == ([] if gone else ["{192.0.2.2}"]), f"moment {at}"
    assert at > 2
