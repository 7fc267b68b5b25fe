"""Metering labels with packets: known numbers by source NAT and by floating IP, in both directions, on two hosts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from time import time
from typing import Any

import pytest

from tests.real.tenants import Server, Tenant, pings
from tests.real.test_routers import second
from wolke.drivers.traffic import PLAIN
from wolke.lab import Lab, wait_for
from wolke.lab.site import Machine
from wolke.lab.wires import OUTSIDE

__all__ = ["second"]

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
SECONDS = 120  # samples are taken every half minute
WORLD = OUTSIDE[4].partition("/")[0]
FRAME = 98  # bytes of a ping with its Ethernet header
PING = {"protocol": "icmp"}
PRIORITY = re.compile(r"priority=(\d+),")
FIGURES = ("packets_in", "packets_out", "bytes_in", "bytes_out")


class Scene:
    """Three servers behind a router: one on each host that goes out by source NAT, and one that has a floating IP."""

    def __init__(self, lab: Lab, red: Tenant) -> None:
        self.lab, self.red = lab, red
        self.network = red.network("10.0.0.0/24")
        self.router = red.router(self.network)
        group = red.group(PING)
        self.near, self.quiet = self.server(1, "10.0.0.10", group), self.server(1, "10.0.0.11", group)
        self.far = self.server(2, "10.0.0.12", group)
        self.named = self.server(2, "10.0.0.13", group)
        floating = red.create("floatingip", floating_network_id=red.public["id"], port_id=self.named.port["id"])
        self.address: str = floating["floating_ip_address"]
        self.labels: list[str] = []

    def server(self, host: int, address: str, group: dict[str, Any]) -> Server:
        return self.red.server(self.network, host, group, fixed_ips=[{"ip_address": address}])

    def make(self, kind: str, **body: Any) -> str:
        path = f"/network/v2.0/metering/{kind.replace('_', '-')}s"
        reply = self.red.admin.client.post(path, json={kind: body})
        assert reply.is_success, reply.text
        return str(reply.json()[kind]["id"])

    def label(self, *rules: tuple[str, dict[str, Any]], **body: Any) -> str:
        id = self.make("metering_label", name="real", project_id=self.router["project_id"], **body)
        self.labels.append(id)
        for direction, rule in rules:
            self.make("metering_label_rule", metering_label_id=id, direction=direction, **rule)
        return id

    def told(self, label: str) -> Any:
        [found] = self.red.admin.get("/wolke/v1/metering", label_id=label)["metering"]
        return found

    def figures(self, label: str) -> list[int]:
        told = self.told(label)
        return [told[name] for name in FIGURES]

    def sampled(self) -> None:
        """Returns after a sample that began later than this call; a label that comes and goes has one taken."""
        for _ in range(2):  # the first one may have been under way
            since = time()
            assert wait_for(lambda since=since: self.nudged() > since, SECONDS, every=1)

    def nudged(self) -> float:
        self.red.admin.client.delete(f"/network/v2.0/metering/metering-labels/{self.make('metering_label')}")
        return datetime.fromisoformat(self.told(self.labels[0])["counted_at"]).timestamp()

    def counts(self, label: str, wanted: list[int]) -> None:
        """Exactly these figures, and no more after another sample."""
        assert wait_for(lambda: self.figures(label) == wanted, SECONDS, every=1), f"{self.figures(label)}, not {wanted}"
        self.sampled()
        assert self.figures(label) == wanted

    def end(self) -> None:
        for id in self.labels:
            self.red.admin.client.delete(f"/network/v2.0/metering/metering-labels/{id}")


@pytest.fixture
def scene(lab: Lab, tenant: Callable[[str], Tenant]) -> Iterator[Scene]:
    made = Scene(lab, tenant("metered"))
    yield made
    made.end()


def send(node: Any, address: str, count: int) -> None:
    """So many pings, each of which is answered."""
    assert answered(node, address, count), f"not all of {count} pings to {address} were answered"


def answered(node: Any, address: str, count: int) -> bool:
    said = node.run(["ping", "-c", str(count), "-i", "0.05", "-W", "2", address], check=False).stdout
    return f"{count} packets transmitted, {count} received" in said


def written_anew(node: Any, since: float) -> bool:
    """Whether a host's flows that count are all younger than that time."""
    lines = node.run(["ovs-ofctl", "dump-flows", "br-int"]).stdout.splitlines()
    meters = [line for line in lines if (found := PRIORITY.search(line)) and int(found[1]) in PLAIN]
    ages = [float(line.partition("duration=")[2].partition("s,")[0]) for line in meters]
    return bool(ages) and max(ages) < time() - since


def pinged(before: list[int], inward: int, outward: int) -> list[int]:
    """Figures after so many more pings in each direction."""
    return [one + more for one, more in zip(before, (inward, outward, inward * FRAME, outward * FRAME), strict=True)]


def test_each_label_counts_its_own(lab: Lab, scene: Scene) -> None:
    everything = {"remote_ip_prefix": "0.0.0.0/0"}
    quiet = {"remote_ip_prefix": "10.0.0.11", "excluded": True}
    most = scene.label(*((direction, one) for direction in ("ingress", "egress") for one in (everything, quiet)))
    pair = scene.label(
        ("egress", {"source_ip_prefix": "10.0.0.10", "destination_ip_prefix": WORLD}),
        ("ingress", {"source_ip_prefix": f"{WORLD}/31"}),
    )
    asks = [(one.guest, WORLD) for one in (scene.near, scene.far, scene.quiet)] + [(lab.internet, scene.address)]

    def warm() -> bool:
        return all(pings(node, address) for node, address in asks)

    assert wait_for(lambda: warm() and scene.figures(pair)[1] and all(scene.figures(most)), SECONDS, every=1)
    scene.sampled()
    before = {label: scene.figures(label) for label in (most, pair)}

    send(scene.near.guest, WORLD, 10)  # by source NAT, from either host
    send(scene.far.guest, WORLD, 20)
    send(scene.quiet.guest, WORLD, 40)  # excluded
    send(lab.internet, scene.address, 80)  # by the floating IP, on the guest's own host
    send(scene.near.guest, scene.far.address(), 5)  # passes no gateway
    after = {most: pinged(before[most], 10 + 20 + 80, 10 + 20 + 80), pair: pinged(before[pair], 10 + 20 + 40, 10)}
    for label, figures in after.items():
        scene.counts(label, figures)

    began = time()
    for host in lab.hosts:
        lab.kill(f"{host.name}/ovn-controller")
        lab.start(f"{host.name}/ovn-controller")
    assert wait_for(lambda: all(written_anew(host.node, began) for host in lab.hosts) and warm(), SECONDS, every=1)
    scene.sampled()
    for label, figures in after.items():
        assert all(now >= then for now, then in zip(scene.figures(label), figures, strict=True)), "they never decrease"

    def calm() -> list[int]:
        """The figures before ten pings of which none was lost: the gateway may move, and comes home after half a minute."""
        scene.sampled()
        found = scene.figures(most)
        return found if answered(scene.far.guest, WORLD, 7) and answered(lab.internet, scene.address, 3) else []

    found = wait_for(calm, SECONDS, every=1)
    assert found, "pings get lost"
    scene.counts(most, pinged(found, 10, 10))


def test_a_floating_ip_on_another_gateway_is_counted_where_it_leaves(
    lab: Lab, scene: Scene, second: tuple[dict[str, Any], Machine]
) -> None:
    """The routes lead out by the first gateway; what a floating IP of the second one sends is led out there."""
    network, upstream = second
    red, path = scene.red, f"routers/{scene.router['id']}"
    red.call("PUT", f"{path}/add_external_gateways", router={"external_gateways": [{"network_id": network["id"]}]})
    floating = red.create("floatingip", floating_network_id=network["id"], port_id=scene.near.port["id"])
    address = floating["floating_ip_address"]
    label = scene.label(
        ("egress", {"source_ip_prefix": "10.0.0.0/24"}),
        ("egress", {"destination_ip_prefix": "203.0.113.0/24", "excluded": True}),
        ("ingress", {"remote_ip_prefix": "10.0.0.0/24"}),
    )
    upstream.run(["ip", "address", "replace", "192.0.2.7/32", "dev", "lo"])
    upstream.run(["ip", "address", "replace", "203.0.113.7/32", "dev", "lo"])
    far, left_out = (scene.near.guest, "192.0.2.7"), (scene.near.guest, "203.0.113.7")
    asks = [far, left_out, (upstream, address), (scene.far.guest, WORLD)]

    def warm() -> bool:
        return all(pings(node, goal) for node, goal in asks)

    assert wait_for(lambda: warm() and all(scene.figures(label)), SECONDS, every=1)
    scene.sampled()
    before = scene.figures(label)
    send(*far, 10)  # led out by the second gateway
    send(*left_out, 20)
    send(upstream, address, 40)  # on the gateway's own network
    send(scene.far.guest, WORLD, 80)  # by the first gateway
    scene.counts(label, pinged(before, 10 + 20 + 40 + 80, 10 + 40 + 80))
    red.delete("floatingip", floating["id"])
    red.call("PUT", f"{path}/remove_external_gateways", router={"external_gateways": [{"network_id": network["id"]}]})
