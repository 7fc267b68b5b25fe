"""Where gateways may be: hosts that come, go, fall silent, hear nobody, come back, and leave for good."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net
from wolke.compute.hosts.seen import record
from wolke.network.chassis import HOLD_SECONDS, REST_SECONDS, ChassisWatch
from wolke.wire.seen import Capacity, Seen


class Gateways:
    """A router with a gateway, three hosts that tell what they hear, and agents that answer or do not."""

    def __init__(self, cloud: Cloud, net: Net) -> None:
        self.cloud, self.dead = cloud, set[str]()
        cloud.chassis.names = ["h1", "h2", "h3"]
        [self.watch] = [lane for lane in cloud.lanes if isinstance(lane, ChassisWatch)]
        self.watch.probe = lambda address: address.partition(":")[0] not in self.dead
        outside = net.create("network", by=cloud.admin, **{
            "name": "public", "router:external": True, "provider:network_type": "flat", "provider:physical_network": "public",
        })  # fmt: skip
        net.create("subnet", by=cloud.admin, network_id=outside["id"], ip_version=4, cidr="198.51.100.0/24")
        net.create("router", external_gateway_info={"network_id": outside["id"]})
        for host in cloud.chassis.names:
            self.tell(host)

    def tell(self, host: str, *, switching: bool = True, **given: bool | None) -> None:
        """``given`` : other hosts that it does not hear (False), or that BFD does not watch (None)."""
        others = dict.fromkeys(set(self.cloud.chassis.names) - {host}, True) | given
        tunnels = {name: up for name, up in others.items() if up is not None and name != host}
        with self.cloud.app.database.transaction() as db:
            record(db, Seen(
                host=host, agent="0", revision=0, capacity=Capacity(vcpus=1, ram_mib=1, disk_gib=1), chassis=host,
                hypervisor="qemu", address=f"{host}:1", tunnels=tunnels, switching=switching,
            ))  # fmt: skip

    def order(self) -> list[str]:
        """Candidates, best first."""
        self.cloud.settle()
        rows = [row for (table, _), row in self.cloud.north.table.items() if table == "HA_Chassis"]
        return [
            str(row.columns["chassis_name"]) for row in sorted(rows, key=lambda row: -int(str(row.columns["priority"])))
        ]


@pytest.fixture
def gateways(cloud: Cloud, net: Net) -> Iterator[Gateways]:
    yield Gateways(cloud, net)


def test_a_host_that_nobody_hears_is_asked_and_carries_nothing_when_it_does_not_answer(gateways: Gateways) -> None:
    first, second, third = gateways.order()
    gateways.dead = {first}
    for host in (second, third):
        gateways.tell(host, **{first: False})
    assert gateways.order() == [second, third]
    agents = gateways.cloud.admin.get("/network/v2.0/agents").json()["agents"]
    assert {agent["host"]: agent["alive"] for agent in agents} == {first: False, second: True, third: True}
    shown = gateways.cloud.admin.get(f"/wolke/v1/hosts/{first}").json()["host"]
    assert (shown["state"], shown["gateways"]) == ("down", "none")


def test_agents_are_found_and_sorted_by_what_they_say(gateways: Gateways, net: Net) -> None:
    gateways.dead = {gateways.order()[0]}

    def hosts(query: str) -> list[str]:
        return [one["host"] for one in net.list("agents", query, by=gateways.cloud.admin)]

    assert hosts("") == hosts("sort_key=host") == ["h1", "h2", "h3"] == hosts("availability_zone=nova&topic=n/a")
    assert hosts("sort_key=alive&sort_dir=asc&sort_key=host&sort_dir=desc") == ["h3", "h2", "h1"]
    assert hosts("host=h1&host=h3&sort_key=host&sort_dir=desc") == ["h3", "h1"] and hosts("description=mine") == []
    assert net.list("agents", "host=h2&fields=host", by=gateways.cloud.admin) == [{"host": "h2"}]
    for query in ("sort_key=configurations", "sort_key=host&sort_dir=up", "colour=red"):
        net.refused("GET", f"agents?{query}", 400, "HTTPBadRequest", by=gateways.cloud.admin)


def test_one_that_comes_back_rests_before_it_takes_its_gateways_again(gateways: Gateways) -> None:
    first, second, third = gateways.order()
    gateways.dead = {first}
    for host in (second, third):
        gateways.tell(host, **{first: False})
    gateways.order()
    gateways.dead = set()
    for host in (first, second, third):
        gateways.tell(host)
    assert gateways.order() == [second, third, first]
    gateways.cloud.now += REST_SECONDS + 1
    assert gateways.order() == [first, second, third]


def test_of_two_hosts_the_other_carries_it(gateways: Gateways) -> None:
    gateways.cloud.chassis.names = ["h1", "h2"]
    first, second = gateways.order()
    gateways.dead = {first}
    gateways.tell(second, **{first: False})
    assert gateways.order() == [second]
    gateways.tell(second, **{first: None})  # with one candidate OVN watches no tunnel any more
    gateways.cloud.now += 20
    assert gateways.order() == [second]
    gateways.dead = set()
    gateways.tell(first, **{second: None})
    assert gateways.order() == [second, first]


def test_of_two_hosts_that_hear_each_other_no_more_one_is_chosen(gateways: Gateways) -> None:
    gateways.cloud.chassis.names = ["h1", "h2"]
    first, second = gateways.order()
    gateways.tell(first, **{second: False})
    gateways.tell(second, **{first: False})
    assert gateways.order() == [first]
    for host in (first, second):
        gateways.tell(host, **{first: None, second: None})
    gateways.cloud.now += 20
    assert gateways.order() == [first], "it does not swing to and fro"
    gateways.cloud.now += HOLD_SECONDS
    assert gateways.order() == [first, second], "it is tried again"


def test_a_switch_that_does_not_run_carries_nothing_though_its_agent_answers(gateways: Gateways) -> None:
    first, second, third = gateways.order()
    gateways.tell(first, switching=False)
    assert gateways.order() == [second, third]


def test_a_host_that_is_new_to_ovn_rests_first(gateways: Gateways) -> None:
    first, second, third = gateways.order()
    gateways.cloud.chassis.names = [second, third]
    assert gateways.order() == [second, third]
    gateways.cloud.chassis.names = [first, second, third]
    assert gateways.order() == [second, third, first]
    gateways.cloud.now += REST_SECONDS + 1
    assert gateways.order() == [first, second, third]


def test_when_all_are_silent_it_is_we_who_hear_nothing(gateways: Gateways) -> None:
    before = gateways.order()
    gateways.dead = set(before)
    gateways.cloud.now += 1000
    assert gateways.order() == before


def test_a_host_that_leaves_for_good_is_forgotten_everywhere(gateways: Gateways) -> None:
    api, first = gateways.cloud.admin, gateways.order()[0]
    assert api.delete(f"/wolke/v1/hosts/{first}").status_code == 204
    assert first not in gateways.order() and first not in gateways.cloud.chassis.names
    assert api.get(f"/wolke/v1/hosts/{first}").status_code == 404
    assert api.delete(f"/wolke/v1/hosts/{first}").status_code == 404
    assert first not in [host["name"] for host in api.get("/wolke/v1/hosts").json()["hosts"]]
    assert first not in [agent["host"] for agent in api.get("/network/v2.0/agents").json()["agents"]]


def test_who_may_add_and_remove_hosts_and_what_is_refused(gateways: Gateways) -> None:
    cloud = gateways.cloud
    gateways.order()
    for call in (lambda api: api.get("/wolke/v1/hosts"), lambda api: api.delete("/wolke/v1/hosts/h1"),
                 lambda api: api.post("/wolke/v1/hosts", json={"host": {"name": "h4"}})):  # fmt: skip
        assert call(cloud.member).status_code == 403
    made: Any = cloud.admin.post("/wolke/v1/hosts", json={"host": {"name": "h4"}})
    assert made.status_code == 201 and made.json()["host"]["join_token"].startswith("wolke-join.")
    for name in ("", "H4", "wolke-control", "a b", "x" * 64):
        answer = cloud.admin.post("/wolke/v1/hosts", json={"host": {"name": name}})
        assert answer.status_code == 400, name
