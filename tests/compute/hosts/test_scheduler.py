"""Which host a server goes to, and that no room is given away twice."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from sqlalchemy import func, select, update

from wolke.compute.hosts.scheduler import NO_VALID_HOST, Ask, Room, choose, fits, schedule
from wolke.compute.hosts_table import Host
from wolke.compute.server_groups import ServerGroup
from wolke.compute.servers.table import Server

ROOM = Room(
    name="h1", zone="nova", vcpus=4, ram_mib=8192, disk_gib=100, vcpus_allowed=16, ram_allowed=8192, disk_allowed=100
)
ASK = Ask(vcpus=2, ram_mib=2048, disk_gib=10)


@pytest.mark.parametrize(
    ("room", "ask", "yes"),
    [
        ({}, {}, True),
        ({"vcpus_used": 14}, {}, True),
        ({"vcpus_used": 15}, {}, False),
        ({"ram_used": 6144}, {}, True),
        ({"ram_used": 6145}, {}, False),
        ({"disk_used": 91}, {}, False),
        ({}, {"vcpus": 5}, False),  # more than the machine has, though the ratio would allow it
        ({"ram_allowed": 99999.0}, {"ram_mib": 8193}, False),
        ({}, {"zone": "nova"}, True),
        ({}, {"zone": "east"}, False),
        ({}, {"host": "h2"}, False),
        ({}, {"policy": "affinity"}, True),  # the first of its group goes anywhere
        ({}, {"policy": "affinity", "members": {"h2": 1}}, False),
        ({}, {"policy": "affinity", "members": {"h1": 3}}, True),
        ({}, {"policy": "anti-affinity", "members": {"h1": 1}}, False),
        ({}, {"policy": "anti-affinity", "members": {"h1": 1}, "max_per_host": 2}, True),
        ({}, {"policy": "soft-anti-affinity", "members": {"h1": 9}}, True),
        ({}, {"same": frozenset({"h1"})}, True),
        ({}, {"same": frozenset()}, False),  # beside a server that is nowhere
        ({}, {"different": frozenset({"h1"})}, False),
    ],
)
def test_a_host_takes_what_fits(room, ask, yes):
    assert fits(replace(ROOM, **room), replace(ASK, **ask)) is yes


def test_the_host_with_most_free_memory_is_chosen():
    rooms = [
        replace(ROOM, name="a", ram_used=4096),
        replace(ROOM, name="b", ram_used=1024),
        replace(ROOM, name="c", ram_used=2048),
    ]
    assert choose(rooms, ASK).name == "b"
    assert choose(rooms, replace(ASK, policy="soft-affinity", members={"a": 1})).name == "a"
    assert choose(rooms, replace(ASK, policy="soft-anti-affinity", members={"b": 1})).name == "c"
    assert choose(rooms, replace(ASK, ram_mib=8192)) is None


def test_servers_spread_over_the_hosts_and_hosts_are_told(cloud, farm):
    for name in ("h1", "h2"):
        cloud.add_host(name, ram_mib=2048)
    before = farm.host("h1").wanted_revision
    ids = [farm.server() for _ in range(4)]
    cloud.settle()
    assert sorted(farm.row(id).host for id in ids) == ["h1", "h1", "h2", "h2"]
    assert farm.host("h1").wanted_revision > before
    assert all(farm.row(id).seen_state == "running" for id in ids)


def test_where_there_is_no_room_the_server_says_so(cloud, farm):
    cloud.add_host("h1", ram_mib=1024)
    ids = [farm.server() for _ in range(3)]
    cloud.settle()
    [left] = [id for id in ids if not farm.row(id).host]
    assert farm.row(left).schedule_error == NO_VALID_HOST
    assert farm.actions(left) == {"create": NO_VALID_HOST}
    farm.change(left, deleting=True)
    cloud.settle()
    assert farm.row(left).deleted_at == cloud.now


@pytest.mark.parametrize("column", [{"disabled": True}, {"forced_down": True}, {"seen_at": 0.0}])
def test_a_host_that_is_down_or_disabled_takes_none(cloud, farm, column):
    cloud.add_host("h1")
    with cloud.app.database.transaction() as db:
        db.execute(update(Host).values(**column))
    id = farm.server()
    schedule(cloud.app, id)
    assert (farm.row(id).host, farm.row(id).schedule_error) == ("", NO_VALID_HOST)


def test_a_host_that_is_silent_only_now_is_waited_for(cloud, farm):
    """As after a restart of the control plane: no host has told anything for longer than it may."""
    host = cloud.add_host("h1", ram_mib=1024)
    host.link.away = True
    cloud.now += 90
    small, large = farm.server(), farm.server(ram_mib=2048)
    cloud.settle()
    assert [(farm.row(id).host, farm.row(id).schedule_error) for id in (small, large)] == [
        ("", ""),
        ("", NO_VALID_HOST),
    ]
    host.link.away = False
    cloud.now += 1
    host.step()
    cloud.settle()
    assert farm.row(small).host == "h1"
    host.link.away = True
    cloud.now += 90
    given_up = farm.server()
    cloud.settle()
    cloud.now += 61
    cloud.settle()
    assert farm.row(given_up).schedule_error == NO_VALID_HOST


def test_a_server_that_is_being_deleted_holds_its_room(cloud, farm):
    host = cloud.add_host("h1", ram_mib=512)
    first = farm.server()
    cloud.settle()
    host.link.away = True  # so it is not removed
    farm.change(first, deleting=True)
    second = farm.server()
    cloud.settle()
    assert farm.row(second).schedule_error == NO_VALID_HOST
    host.link.away = False
    cloud.settle()
    third = farm.server()
    cloud.settle()
    assert (farm.row(first).deleted_at, farm.row(third).host) == (cloud.now, "h1")


def test_a_group_keeps_its_servers_apart(cloud, farm):
    for name in ("h1", "h2"):
        cloud.add_host(name)
    with cloud.app.database.transaction() as db:
        db.add(ServerGroup(id="g", policy="anti-affinity"))
    ids = [farm.server(group_id="g") for _ in range(3)]
    cloud.settle()
    assert sorted(farm.row(id).host for id in ids) == ["", "h1", "h2"]


def test_an_operators_host_and_zone_are_kept(cloud, farm):
    for name in ("h1", "h2", "h3"):
        cloud.add_host(name)
    with cloud.app.database.transaction() as db:
        db.execute(update(Host).where(Host.name == "h3").values(zone="east"))
    one, two, three = (
        farm.server(host_wanted="h2"),
        farm.server(availability_zone="east"),
        farm.server(availability_zone="west"),
    )
    cloud.settle()
    assert [farm.row(id).host for id in (one, two, three)] == ["h2", "h3", ""]


def test_claims_at_the_same_time_never_exceed_the_room(cloud, farm):
    """Eight schedulers at once, each twice with servers of its own and once with everybody's, and room for five."""
    for number in range(5):
        cloud.add_host(f"h{number}", ram_mib=512)
    image = farm.image()
    common = farm.server(image=image)
    mine = [[farm.server(image=image), common, farm.server(image=image)] for _ in range(8)]
    start = threading.Barrier(8)

    def claim(ids):
        start.wait()
        for id in ids:
            schedule(cloud.app, id)

    threads = [threading.Thread(target=claim, args=(ids,)) for ids in mine]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with cloud.app.database.read() as db:
        there = dict(db.execute(select(Server.host, func.count()).group_by(Server.host)).all())
        told = db.scalar(select(func.sum(Host.wanted_revision)))
    assert there == {"h0": 1, "h1": 1, "h2": 1, "h3": 1, "h4": 1, "": 12}
    assert told == 5 + 5  # each host was told once


def test_a_server_is_scheduled_once(cloud, farm):
    cloud.add_host("h1")
    id = farm.server()
    cloud.settle()
    revision = farm.host("h1").wanted_revision
    schedule(cloud.app, id)
    assert (farm.row(id).host, farm.host("h1").wanted_revision) == ("h1", revision)


def test_ports_follow_their_server(cloud, farm):
    cloud.add_host("h1")
    port = farm.port(farm.network())
    farm.server(port["id"])
    cloud.settle()
    seen = cloud.admin.get(f"/network/v2.0/ports/{port['id']}").json()["port"]
    assert (seen["binding:host_id"], seen["status"]) == ("h1", "ACTIVE")
