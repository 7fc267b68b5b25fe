"""Somebody dies at every step between wish and world; the end is the same as if nobody had."""

from __future__ import annotations

import itertools

import pytest

from wolke.compute.hosts import scheduler, seen, wanted
from wolke.compute.hosts_table import Host
from wolke.drivers.fake.hypervisor import FakeHypervisor

pytestmark = pytest.mark.slow

CALLS = ("define", "start", "resume", "power_off", "remove", "shut_down", "plug", "unplug")


class Killed(BaseException):
    """SIGKILL: nothing may catch it."""


class Killer:
    """Dies before or after the ``at``-th call of what it has been wrapped around."""

    def __init__(self, at: int, after: bool) -> None:
        self.left, self.after, self.died = at, after, False

    def around(self, call):
        def wrapped(*args, **kwargs):
            self.left -= 1
            fatal = self.left == 0
            if fatal and not self.after:
                self.died = True
                raise Killed
            result = call(*args, **kwargs)
            if fatal:
                self.died = True
                raise Killed
            return result

        return wrapped


def life(cloud, farm, step):
    """Two servers come, one stops and starts again, one goes; ``step()`` works until all is quiet, through a death if need be."""
    network = farm.network()
    one = farm.server(farm.port(network)["id"])
    two = farm.server(farm.port(network)["id"])
    step()
    farm.change(one, "stop", power="stopped", hard=True)
    step()
    farm.change(one, "start", power="running", boot=farm.row(one).boot + 1)
    farm.change(two, "delete", deleting=True)
    step()
    return one, two


def end(cloud, farm, host, one, two):
    """What everybody agrees on afterwards."""
    row = farm.row(one)
    return {
        "guests": [(id == one, machine.state, len(machine.nics)) for id, machine in host.hypervisor.machines.items()],
        "disks": [id == one for id in host.disks.roots],
        "first": (row.host, row.seen_state, row.seen_boot, row.seen_error, row.seen_revision == row.revision),
        "second": (farm.row(two).host, farm.row(two).deleted_at > 0),
        "actions": (farm.actions(one), farm.actions(two)),
        "ports": sorted(port["status"] for port in cloud.admin.get("/network/v2.0/ports?device_owner=compute:nova").json()["ports"]),
    }  # fmt: skip


WANTED = {
    "guests": [(True, "running", 1)],
    "disks": [True],
    "first": ("h1", "running", 2, "", True),
    "second": ("", True),
    "actions": ({"create": "", "stop": "", "start": ""}, {"create": "", "delete": ""}),
    "ports": ["ACTIVE"],
}


def settle(cloud, host, killer):
    """Until all is quiet; whoever dies is started again, and leases and back-offs run out."""
    for _ in range(6):
        try:
            host.step()  # a host that has been silent for a minute would get no servers
            cloud.settle()
        except Killed:
            host.restart()
        cloud.now += 61


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_the_agent_dies_at_every_driver_call(cloud, farm, after, monkeypatch):
    killed = 0
    for at in itertools.count(1):
        name = f"h{at}" if at > 1 else "h1"
        host = cloud.add_host("h1") if at == 1 else fresh(cloud, name)
        killer = Killer(at, after)
        for call in CALLS:
            monkeypatch.setattr(host.hypervisor, call, killer.around(getattr(host.hypervisor, call)))
        one, two = life(cloud, farm, lambda host=host, killer=killer: settle(cloud, host, killer))
        found = end(cloud, farm, host, one, two)
        assert found == WANTED | {"first": (name, *WANTED["first"][1:])}, f"call {at}"
        killed += killer.died
        if not killer.died:
            break
        gone(cloud, farm, one)
    assert killed >= 8  # define, start, resume of both; power off; start and resume again; remove


def fresh(cloud, name):
    """A new host alone: the others take no more servers."""
    with cloud.app.database.transaction() as db:
        for host in db.query(Host):
            host.disabled = True
    return cloud.add_host(name)


def gone(cloud, farm, id):
    farm.change(id, "delete", deleting=True)
    cloud.settle()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("module", "call"),
    [(scheduler, "bump"), (scheduler, "claims"), (seen, "record_host"), (seen, "end_actions"), (seen, "forget"), (wanted, "cards_of")],
)  # fmt: skip
@pytest.mark.parametrize("at", [1, 2, 3])
def test_the_control_plane_dies_in_the_middle_of_its_transaction(cloud, farm, monkeypatch, module, call, at, after):
    host = cloud.add_host("h1")
    killer = Killer(at, after)
    monkeypatch.setattr(module, call, killer.around(getattr(module, call)))
    one, two = life(cloud, farm, lambda: settle(cloud, host, killer))
    assert end(cloud, farm, host, one, two) == WANTED
    assert killer.died or (call in ("bump", "claims") and at == 3) or (call == "forget" and at > 1)


def test_what_is_wrapped_exists():
    assert all(hasattr(FakeHypervisor, call) for call in CALLS)
