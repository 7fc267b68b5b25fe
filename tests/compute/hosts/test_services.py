"""Services, hypervisors and aggregates, as operators see and change them."""

from __future__ import annotations

import pytest

from wolke.compute.hosts.processes import beat

NEWEST = {"X-OpenStack-Nova-API-Version": "2.90"}
BASE = "/compute/v2.1"


class Operator:
    """``get("os-services")`` -> body; ``version`` is the microversion of each call."""

    def __init__(self, client) -> None:
        self.client = client

    def send(self, method, path, version="2.90", status=200, **options):
        answer = self.client.request(
            method, f"{BASE}/{path}", headers={"X-OpenStack-Nova-API-Version": version}, **options
        )
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def get(self, path, version="2.90", status=200):
        return self.send("GET", path, version, status)


@pytest.fixture
def operator(cloud):
    return Operator(cloud.admin)


def test_services_are_the_hosts_and_the_control_planes_own(cloud, operator):
    cloud.add_host("h1")
    for binary in ("nova-conductor", "nova-scheduler", "nova-scheduler"):
        beat(cloud.app, binary)
    found = operator.get("os-services")["services"]
    assert [(one["binary"], one["state"], one["zone"]) for one in found] == [
        ("nova-conductor", "up", "internal"), ("nova-scheduler", "up", "internal"), ("nova-compute", "up", "nova"),
    ]  # fmt: skip
    cloud.now += 61
    assert {one["state"] for one in operator.get("os-services")["services"]} == {"down"}
    cloud.hosts["h1"].step()
    [host] = operator.get("os-services?binary=nova-compute")["services"]
    assert (host["host"], host["state"], len(host["id"])) == ("h1", "up", 36)
    assert isinstance(operator.get("os-services", "2.1")["services"][0]["id"], int)
    assert operator.get("os-services?host=nobody")["services"] == []


def test_a_disabled_host_takes_no_servers_until_it_is_enabled(cloud, farm, operator):
    cloud.add_host("h1")
    [service] = operator.get("os-services?binary=nova-compute")["services"]
    path = f"os-services/{service['id']}"
    changed = operator.send("PUT", path, json={"status": "disabled", "disabled_reason": "disk"})["service"]
    assert (changed["status"], changed["disabled_reason"]) == ("disabled", "disk")
    refused = farm.server()
    cloud.settle()
    assert farm.row(refused).host == ""
    assert operator.send("PUT", path, json={"status": "enabled"})["service"]["disabled_reason"] is None
    taken = farm.server()
    cloud.settle()
    assert farm.row(taken).host == "h1"
    assert operator.send("PUT", path, json={"forced_down": True})["service"]["state"] == "down"
    assert operator.get("os-hypervisors")["hypervisors"][0]["state"] == "down"


def test_older_microversions_name_the_host(cloud, operator):
    cloud.add_host("h1")
    named = {"host": "h1", "binary": "nova-compute"}
    calls = {
        "disable": (named, {"status": "disabled"}),
        "disable-log-reason": (named | {"disabled_reason": "x"}, {"status": "disabled", "disabled_reason": "x"}),
        "enable": (named, {"status": "enabled"}),
        "force-down": (named | {"forced_down": True}, {"forced_down": True}),
    }
    for name, (body, told) in calls.items():
        assert operator.send("PUT", f"os-services/{name}", "2.11", json=body)["service"] == named | told
        operator.send("PUT", f"os-services/{name}", "2.53", 404, json={"status": "enabled"})
    operator.send("PUT", "os-services/enable", "2.1", 404, json=named | {"host": "h9"})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"status": "off"},
        {"status": 1},
        {"disabled_reason": "x"},
        {"status": "enabled", "disabled_reason": "x"},
        {"forced_down": "maybe"},
        {"more": 1},
        {"status": "disabled", "disabled_reason": "x" * 256},
    ],
)
def test_malformed_changes_of_a_service_are_refused(cloud, operator, body):
    cloud.add_host("h1")
    [service] = operator.get("os-services?binary=nova-compute")["services"]
    operator.send("PUT", f"os-services/{service['id']}", status=400, json=body)
    assert operator.get("os-services?binary=nova-compute")["services"] == [service]


def test_a_host_is_taken_out_when_it_has_no_servers(cloud, farm, operator):
    cloud.add_host("h1")
    id = farm.server()
    cloud.settle()
    [service] = operator.get("os-services?binary=nova-compute")["services"]
    operator.send("DELETE", f"os-services/{service['id']}", status=409)
    farm.change(id, deleting=True)
    cloud.settle()
    operator.send("DELETE", f"os-services/{service['id']}", status=204)
    assert operator.get("os-hypervisors")["hypervisors"] == []
    operator.send("DELETE", f"os-services/{service['id']}", status=404)


def test_hypervisors_tell_what_is_taken(cloud, farm, operator):
    cloud.add_host("h1", vcpus=4, ram_mib=4096, disk_gib=100)
    server = farm.server(vcpus=2, ram_mib=1024, disk_gib=10)
    cloud.settle()
    [one] = operator.get("os-hypervisors/detail", "2.87")["hypervisors"]
    wanted = {
        "vcpus": 4, "vcpus_used": 2, "memory_mb": 4096, "memory_mb_used": 1024, "free_ram_mb": 3072, "local_gb": 100, "local_gb_used": 10,
        "free_disk_gb": 90, "running_vms": 1, "hypervisor_hostname": "h1", "hypervisor_type": "QEMU", "hypervisor_version": 7002022,
    }  # fmt: skip
    assert {name: one[name] for name in wanted} == wanted
    assert isinstance(operator.get("os-hypervisors/detail", "2.27")["hypervisors"][0]["cpu_info"], str)
    total = operator.get("os-hypervisors/statistics", "2.87")["hypervisor_statistics"]
    assert (total["count"], total["vcpus_used"], total["memory_mb"]) == (1, 2, 4096)
    operator.get("os-hypervisors/statistics", "2.88", 404)
    newest = operator.get(f"os-hypervisors/{one['id']}?with_servers=true", "2.88")["hypervisor"]
    assert "vcpus" not in newest and "uptime" in newest
    assert newest["servers"] == [{"uuid": server, "name": "web"}]
    assert operator.get("os-hypervisors/h1/servers", "2.52")["hypervisors"][0]["servers"][0]["uuid"] == server
    operator.get("os-hypervisors/00000000-0000-0000-0000-000000000000", status=404)
    operator.get("os-hypervisors/h9/search", "2.52", 404)


def test_hypervisors_come_in_pages(cloud, operator):
    for number in range(3):
        cloud.add_host(f"h{number}")
    first = operator.get("os-hypervisors?limit=2")
    marker = first["hypervisors"][-1]["id"]
    assert len(first["hypervisors"]) == 2 and f"marker={marker}" in first["hypervisors_links"][0]["href"]
    rest = operator.get(f"os-hypervisors?limit=2&marker={marker}")
    assert len(rest["hypervisors"]) == 1 and "hypervisors_links" not in rest
    assert [
        one["hypervisor_hostname"]
        for one in operator.get("os-hypervisors?hypervisor_hostname_pattern=1")["hypervisors"]
    ] == ["h1"]
    operator.get("os-hypervisors?limit=x", status=400)
    operator.get("os-hypervisors?marker=x", status=400)
    operator.get("os-hypervisors?hypervisor_hostname_pattern=zz", status=404)


def test_an_aggregate_with_a_zone_moves_its_hosts(cloud, farm, operator):
    cloud.add_host("h1")
    cloud.add_host("h2")
    body = {"aggregate": {"name": "east", "availability_zone": "east"}}
    made = operator.send("POST", "os-aggregates", json=body)["aggregate"]
    path = f"os-aggregates/{made['id']}"
    told = operator.send("POST", f"{path}/action", json={"add_host": {"host": "h1"}})["aggregate"]
    assert (told["hosts"], told["metadata"]) == (["h1"], {"availability_zone": "east"})
    east, anywhere = farm.server(availability_zone="east"), farm.server(availability_zone="nova")
    cloud.settle()
    assert (farm.row(east).host, farm.row(anywhere).host) == ("h1", "h2")
    operator.send("POST", f"{path}/action", status=409, json={"remove_host": {"host": "h1"}})  # it has servers
    other = operator.send("POST", "os-aggregates", json={"aggregate": {"name": "west", "availability_zone": "west"}})[
        "aggregate"
    ]
    operator.send("POST", f"os-aggregates/{other['id']}/action", status=409, json={"add_host": {"host": "h1"}})
    assert operator.get(f"os-aggregates/{other['id']}")["aggregate"]["hosts"] == []
    farm.change(east, deleting=True)
    cloud.settle()
    operator.send(
        "POST", f"{path}/action", json={"set_metadata": {"metadata": {"availability_zone": "far", "ssd": "true"}}}
    )
    assert farm.host("h1").zone == "far"
    operator.send("DELETE", path, status=400)
    operator.send("POST", f"{path}/action", json={"remove_host": {"host": "h1"}})
    assert farm.host("h1").zone == "nova"
    operator.send("DELETE", path)
    operator.get(path, status=404)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("os-aggregates", {"aggregate": {"name": ""}}, 400),
        ("os-aggregates", {"aggregate": {"name": "a", "availability_zone": "x:y"}}, 400),
        ("os-aggregates", {"aggregate": {"name": "taken"}}, 409),
        ("os-aggregates", {"name": "a"}, 400),
        ("os-aggregates/1/action", {}, 400),
        ("os-aggregates/1/action", {"add_host": {"host": "h9"}}, 404),
        ("os-aggregates/1/action", {"remove_host": {"host": "h1"}}, 404),
        ("os-aggregates/1/action", {"add_host": {"host": "h1"}, "remove_host": {"host": "h1"}}, 400),
        ("os-aggregates/1/action", {"set_metadata": {"metadata": {"k": 5}}}, 400),
        ("os-aggregates/99/action", {"add_host": {"host": "h1"}}, 404),
        ("os-aggregates/x/action", {"add_host": {"host": "h1"}}, 404),
    ],
)
def test_malformed_calls_on_aggregates(cloud, operator, path, body, status):
    cloud.add_host("h1")
    operator.send("POST", "os-aggregates", json={"aggregate": {"name": "taken"}})
    before = operator.get("os-aggregates")
    operator.send("POST", path, status=status, json=body)
    assert operator.get("os-aggregates") == before


@pytest.mark.parametrize("path", ["os-services", "os-hypervisors", "os-hypervisors/detail", "os-aggregates"])
def test_members_see_nothing_of_the_hosts(cloud, path):
    for client, status in ((cloud.member, 403), (cloud.stranger, 403), (cloud.nobody, 401)):
        assert client.get(f"{BASE}/{path}", headers=NEWEST).status_code == status
