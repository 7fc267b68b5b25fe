"""Drift: what somebody else changes in OVN is noticed at once, undone, and can be read by the operator."""

from __future__ import annotations

import time
import urllib.request
import uuid
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net
from wolke.core.measuring import serve_metrics
from wolke.drivers.rows import Delete, Insert, Row, Update
from wolke.network.lane import Site, drift
from wolke.wire.seen import Capacity, Seen
from wolke.wire.seen import Drift as Told

PORT, SWITCH = "Logical_Switch_Port", "Logical_Switch"


def drifted(cloud: Cloud) -> list[tuple[str, str]]:
    return [
        one
        for chunk in drift(cloud.app.database, cloud.north, Site(cloud.app.config, cloud.north.has))
        for one in chunk
    ]


def listed(cloud: Cloud, query: str = "") -> list[dict[str, Any]]:
    answer = cloud.admin.get(f"/wolke/v1/drift?{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["drift"]
    return found


@pytest.fixture
def ports(cloud: Cloud, net: Net) -> list[Any]:
    network = net.network()
    net.subnet(network)
    made = [net.port(network) for _ in range(3)]
    cloud.settle()
    return made


def test_what_we_write_ourselves_is_no_drift(cloud: Cloud, net: Net, ports: list[Any]) -> None:
    net.update("port", ports[0]["id"], admin_state_up=False)
    net.delete("port", ports[1]["id"])
    cloud.settle()
    assert listed(cloud) == [] and cloud.admin.get("/wolke/v1/drift").json()["places"]["northbound"]["noticed"] == 0


def test_a_change_by_hand_is_noticed_and_undone_without_waiting_for_the_sweep(cloud: Cloud, ports: list[Any]) -> None:
    one, gone = (cloud.north.table[PORT, port["id"]] for port in ports[:2])
    cloud.north.by_hand(Update(one, {"addresses": frozenset({"unknown"})}), Delete(gone))
    cloud.settle()
    assert drifted(cloud) == [] and cloud.north.table[PORT, one.key].columns == one.columns
    found = {record["name"]: record for record in listed(cloud)}
    changed, missing = found[f"port/{one.key}"], found[f"port/{gone.key}"]
    assert changed["kind"] == "differs" and "addresses" in changed["details"][0]
    assert missing["kind"] == "missing" and missing["details"] == [f"{PORT} {gone.key} is missing"]
    assert all(record["undone_at"] and record["place"] == "northbound" for record in found.values())


def test_a_change_that_the_database_is_about_to_make_is_no_drift(cloud: Cloud, net: Net, ports: list[Any]) -> None:
    row = cloud.north.table[PORT, ports[0]["id"]]
    net.update("port", row.key, admin_state_up=False)  # not done yet
    cloud.north.by_hand(Update(row, {"enabled": True}))
    cloud.settle()
    assert listed(cloud) == [] and drifted(cloud) == []


def test_what_hangs_on_ours_and_is_nobodys_is_taken_off_and_the_rest_is_left_alone(
    cloud: Cloud, ports: list[Any]
) -> None:
    columns = {"match": "ip", "action": "allow", "priority": 32767, "direction": "to-lport"}
    back_door = Row("ACL", str(uuid.uuid4()), "", columns, frozenset({("Port_Group", "pg_drop", "acls")}))
    own_switch = Row(SWITCH, "theirs", "", {"name": "theirs"})
    cloud.north.by_hand(Insert(back_door), Insert(own_switch))
    cloud.settle()
    assert ("ACL", back_door.key) not in cloud.north.table and (SWITCH, "theirs") in cloud.north.table
    [record] = listed(cloud)
    assert (record["kind"], record["name"]) == ("foreign", "Port_Group pg_drop") and "allow" in record["details"][0]


def test_a_database_restored_from_an_older_copy_is_made_whole_at_once(cloud: Cloud, net: Net, ports: list[Any]) -> None:
    backup = dict(cloud.north.table)
    project = ports[0]["project_id"]
    net.send("PUT", f"quotas/{project}", by=cloud.admin, json={"quota": {"network": 500}})
    later = [net.network(name=f"later-{n}") for n in range(120)]
    net.delete("port", ports[0]["id"])
    cloud.settle()
    cloud.north.forget_all(backup)
    assert len(drifted(cloud)) == 121
    cloud.settle()  # the clock stands still: no sweep is due
    assert drifted(cloud) == [] and (SWITCH, later[0]["id"]) in cloud.north.table
    assert (PORT, ports[0]["id"]) not in cloud.north.table
    found = listed(cloud)
    assert len(found) == 100 and any(
        "more" in record["name"] for record in listed(cloud, "standing=false&kind=differs")
    )
    assert listed(cloud, "standing=true") == []
    places = cloud.admin.get("/wolke/v1/drift").json()["places"]
    assert places["northbound"]["standing"] == 0 and places["northbound"]["noticed"] == 101


def test_ovns_own_settings_are_set_and_kept(cloud: Cloud) -> None:
    cloud.settle()
    assert cloud.north.nb_options == {"bfd-min-rx": "200", "bfd-min-tx": "200", "bfd-mult": "3"} and listed(cloud) == []
    cloud.north.set_options({"bfd-mult": "30"})
    cloud.north._tell_followers({"NB_Global"})
    cloud.settle()
    assert cloud.north.nb_options["bfd-mult"] == "3"
    assert [record["name"] for record in listed(cloud)] == ["NB_Global"]


def test_ovn_away_while_drift_is_looked_for_loses_nothing(cloud: Cloud, ports: list[Any]) -> None:
    row = cloud.north.table[PORT, ports[0]["id"]]
    cloud.north.by_hand(Delete(row))
    cloud.north.reachable = False
    cloud.settle()
    cloud.north.reachable = True
    cloud.settle()
    assert (PORT, row.key) in cloud.north.table and [one["name"] for one in listed(cloud)] == [f"port/{row.key}"]


def picture(*drift: Told) -> Seen:
    return Seen(
        host="h1", agent="0", revision=0, capacity=Capacity(vcpus=1, ram_mib=1, disk_gib=1), chassis="h1",
        hypervisor="qemu", address="", drift=drift,
    )  # fmt: skip


def test_what_a_host_tells_is_kept_once(cloud: Cloud) -> None:
    from wolke.compute.hosts.seen import record

    id = str(uuid.uuid4())
    told = Told(id=id, kind="flows", name="br-int", details=("2 flows are missing",), noticed_at=cloud.now, count=2)
    undone = Told(
        id=id, kind="flows", name="br-int", details=told.details, noticed_at=cloud.now, undone_at=cloud.now + 1, count=2
    )
    for one in (told, told):
        with cloud.app.database.transaction() as db:
            record(db, picture(one))
    [found] = listed(cloud, "place=h1&standing=true")
    assert (found["id"], found["kind"], found["count"], found["undone_at"]) == (id, "flows", 2, None)
    with cloud.app.database.transaction() as db:
        record(db, picture(undone))
    assert listed(cloud, "standing=true") == [] and listed(cloud, "place=h1")[0]["undone_at"]


def test_who_may_look_and_what_is_refused(cloud: Cloud) -> None:
    assert cloud.member.get("/wolke/v1/drift").status_code == 403
    assert cloud.nobody.get("/wolke/v1/drift").status_code == 401
    for query in ("standing=perhaps", "owner=me", "limit=-1", "sort_key=rows", "marker=none"):
        answer = cloud.admin.get(f"/wolke/v1/drift?{query}")
        assert answer.status_code == 400, query
        assert query.partition("=")[0] in answer.json()["error"]["message"]
    assert cloud.admin.get("/wolke/v1/drift/none").status_code == 404


def test_the_loops_tell_their_figures(cloud: Cloud, ports: list[Any]) -> None:
    cloud.north.by_hand(Delete(cloud.north.table[PORT, ports[0]["id"]]))
    cloud.settle()
    server = serve_metrics(cloud.app, "127.0.0.1:0")
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        text = urllib.request.urlopen(f"{url}/metrics", timeout=5).read().decode()
        assert 'wolke_drift_total{kind="missing",place="northbound"}' in text
        assert 'wolke_drift_standing{place="northbound"} 0.0' in text and "wolke_work_waiting" in text
        with pytest.raises(HTTPError, match="404"):
            urllib.request.urlopen(f"{url}/else", timeout=5)
        cloud.app.config.metrics_from = ("192.0.2.1",)
        with pytest.raises(HTTPError, match="403"):
            urllib.request.urlopen(f"{url}/metrics", timeout=5)
    finally:
        server.shutdown()


def test_a_sweep_of_things_that_change_all_the_time_finds_nothing(cloud: Cloud, net: Net, ports: list[Any]) -> None:
    """Wishes that come between two looks are no drift, however often one looks."""
    end = time.monotonic() + 1
    while time.monotonic() < end:
        net.update("port", ports[0]["id"], admin_state_up=False)
        cloud.now += 300
        cloud.settle()
        net.update("port", ports[0]["id"], admin_state_up=True)
    assert listed(cloud) == []
