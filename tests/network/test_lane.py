"""The northbound lane: what is due becomes rows, whatever stands against it meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from tests.conftest import Cloud
from tests.network.conftest import Net
from wolke.core.work import Work
from wolke.drivers.rows import Delete, Insert, Row, Update
from wolke.network.lane import KINDS, SWEEP_SECONDS, Site, drift
from wolke.network.networks.table import Network

PORT, SWITCH = "Logical_Switch_Port", "Logical_Switch"


def drifted(cloud: Cloud) -> list[tuple[str, str]]:
    site = Site(cloud.app.config, cloud.north.has)
    return [one for chunk in drift(cloud.app.database, cloud.north, site) for one in chunk]


def waiting(cloud: Cloud) -> dict[tuple[str, str], str]:
    """What is still to be done in OVN, with its error."""
    with cloud.app.database.read() as db:
        rows = db.execute(select(Work.kind, Work.id, Work.error).where(Work.kind.in_(KINDS)))
        return {(row.kind, row.id): row.error for row in rows}


def some(net: Net, ports: int = 3) -> tuple[Any, list[Any]]:
    network = net.network()
    net.subnet(network)
    return network, [net.port(network) for _ in range(ports)]


def test_when_all_is_done_nothing_differs_and_nothing_waits(cloud: Cloud, net: Net) -> None:
    network, _ = some(net)
    assert drifted(cloud) != []
    cloud.settle()
    assert drifted(cloud) == [] and waiting(cloud) == {}
    with cloud.app.database.read() as db:
        row = db.execute(select(Network.revision, Network.seen_revision).where(Network.id == network["id"])).one()
    assert row.revision == row.seen_revision


def test_a_port_does_not_wait_for_a_network_that_is_due_later(cloud: Cloud, net: Net) -> None:
    cloud.settle()  # the sweep has been, and would find the network otherwise
    _, ports = some(net)
    with cloud.app.database.transaction() as db:
        db.execute(update(Work).where(Work.kind.in_(("network", "subnet"))).values(due=cloud.now + 600))
    cloud.settle()
    assert all((PORT, port["id"]) in cloud.north.table for port in ports)


def test_one_row_that_ovn_refuses_stops_no_other(cloud: Cloud, net: Net) -> None:
    _, ports = some(net, 8)
    stray = Row(SWITCH, "stray", "somebody/else", {"name": "stray"})
    taken = Row(PORT, ports[3]["id"], "somebody/else", {"type": ""}, frozenset({(SWITCH, "stray", "ports")}))
    cloud.north.apply([Insert(stray), Insert(taken)])
    cloud.settle()
    assert [one["id"] for one in ports if cloud.north.table[PORT, one["id"]].owner == "somebody/else"] == [
        ports[3]["id"]
    ]
    [(item, error)] = waiting(cloud).items()
    assert item == ("port", ports[3]["id"]) and "somebody/else" in error
    cloud.north.apply([Delete(taken)])
    cloud.now += 10
    cloud.settle()
    assert drifted(cloud) == [] and waiting(cloud) == {}


def test_what_was_asked_while_ovn_was_away_is_done_when_it_is_back(cloud: Cloud, net: Net) -> None:
    cloud.north.reachable = False
    network, ports = some(net)
    cloud.settle()
    assert cloud.north.table == {} and set(waiting(cloud)) >= {("network", network["id"]), ("port", ports[0]["id"])}
    net.delete("port", ports[1]["id"])
    cloud.north.reachable = True
    cloud.now += 10
    cloud.settle()
    assert drifted(cloud) == [] and waiting(cloud) == {}
    assert (PORT, ports[0]["id"]) in cloud.north.table and (PORT, ports[1]["id"]) not in cloud.north.table


def test_dying_between_writing_and_recording_loses_nothing(cloud: Cloud, net: Net) -> None:
    _, ports = some(net)
    apply = cloud.north.apply

    class Killed(BaseException):
        pass

    def dies(changes: list[Any]) -> None:
        apply(changes)
        raise Killed

    cloud.north.apply = dies
    with pytest.raises(Killed):
        cloud.settle()
    cloud.north.apply = apply
    assert waiting(cloud) != {}
    cloud.now += 120  # the lease of the dead process runs out
    cloud.settle()
    assert drifted(cloud) == [] and waiting(cloud) == {} and (PORT, ports[0]["id"]) in cloud.north.table


def test_the_sweep_mends_what_somebody_else_has_changed(cloud: Cloud, net: Net) -> None:
    _, ports = some(net)
    cloud.settle()
    row = cloud.north.table[PORT, ports[0]["id"]]
    gone = cloud.north.table[PORT, ports[1]["id"]]
    ghost = Row(SWITCH, "ghost", "network/ghost", {"name": "ghost"})
    foreign = Row(SWITCH, "foreign", "somebody/else", {"name": "foreign"})
    cloud.north.apply(
        [Update(row, {"addresses": frozenset({"unknown"})}), Delete(gone), Insert(ghost), Insert(foreign)]
    )
    assert set(drifted(cloud)) == {("port", ports[0]["id"]), ("port", ports[1]["id"]), ("network", "ghost")}
    cloud.now += SWEEP_SECONDS
    cloud.settle()
    assert drifted(cloud) == [] and cloud.north.table[PORT, ports[0]["id"]].columns == row.columns
    assert (SWITCH, "ghost") not in cloud.north.table
    assert (SWITCH, "foreign") in cloud.north.table  # what is not ours is left alone
