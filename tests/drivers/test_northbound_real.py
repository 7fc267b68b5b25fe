"""The real northbound among others: killed servers, second writers, waiting hosts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.drivers.northbound import PORTS, group, inserts, port, raises_unavailable, rule, settled, switch
from tests.drivers.ovsdb_server import OVN, OvsdbServer
from tests.waiting import wait_for
from wolke.drivers.ovn import Northbound as Real
from wolke.drivers.ovn.compose import compose
from wolke.drivers.ovsdb import Operation
from wolke.drivers.rows import Insert, MissingRow, Row, Unavailable, Update, plan

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OvsdbServer]:
    made = OvsdbServer(tmp_path, OVN / "ovn-nb.ovsschema")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def real(server: OvsdbServer) -> Iterator[Real]:
    made = Real(server.remote, patience=20)
    made.start()
    yield made
    made.close()


def count(server: OvsdbServer, table: str) -> int:
    return len(server.transact({"op": "select", "table": table, "where": [], "columns": ["_uuid"]})[0]["rows"])


def test_a_killed_server_costs_only_time(server: OvsdbServer, real: Real) -> None:
    real.apply(inserts(switch()))
    wrong: list[BaseException] = []

    def write(number: int) -> None:
        for count in range(40):
            row = port(f"{number}-{count}")
            try:
                real.apply(plan([row], real.rows(row.owner)))
            except BaseException as error:
                wrong.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for goal in (10, 60):
        wait_for(lambda goal=goal: raises_unavailable(real) or len(real.owners()) > goal)
        server.kill()
        server.start()
    for writer in writers:
        writer.join()
    assert wrong == []
    rows = [port(f"{number}-{count}") for number in range(4) for count in range(40)]
    assert settled(real, *rows)
    assert len(real.owners()) == 161


def test_what_changed_while_the_connection_was_lost_is_seen(server: OvsdbServer, real: Real) -> None:
    heard: list[tuple[str, bool]] = []
    real.apply(inserts(switch(), group(), port("a"), port("b")))
    real.watch(lambda *news: heard.append(news))
    server.kill()
    server.transact_offline(
        {"op": "update", "table": "Logical_Switch_Port", "where": [], "row": {"up": True}},
        {"op": "delete", "table": "Port_Group", "where": []},
    )
    server.start()
    wait_for(lambda: not raises_unavailable(real) and real.owners() == {"network/net", "port/a", "port/b"})
    wait_for(lambda: set(heard) >= {("a", True), ("b", True)})


def test_two_writers_meet(server: OvsdbServer, real: Real) -> None:
    other = Real(server.remote, patience=20)
    other.start()
    real.apply(inserts(switch(), group()))
    rows = [port(f"p{number}") for number in range(30)] + [rule(f"r{number}") for number in range(30)]

    def write(north: Real, order: list[Row]) -> None:
        for row in order:
            north.apply(plan([row], north.rows(row.owner)))

    try:
        wait_for(lambda: settled(other, switch(), group()))
        writers = [
            threading.Thread(target=write, args=(real, rows)),
            threading.Thread(target=write, args=(other, rows)),
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        wait_for(lambda: settled(real, *rows) and settled(other, *rows))
        wait_for(lambda: count(server, "ACL") == 30)
    finally:
        other.close()


def test_of_two_rows_with_one_key_only_one_stays(server: OvsdbServer, real: Real) -> None:
    real.apply(inserts(group(), rule()))
    ids = ["map", [["wolke-key", "rule"], ["wolke-owner", "rule/rule"]]]
    row = {"priority": 1, "direction": "to-lport", "match": "ip4", "action": "drop", "external_ids": ids}
    listed = ["acls", "insert", ["set", [["named-uuid", "twin"]]]]
    for _ in range(4):  # uuids decide which one stays; both shall happen
        server.transact(
            {"op": "insert", "table": "ACL", "uuid-name": "twin", "row": row},
            {"op": "mutate", "table": "Port_Group", "where": [], "mutations": [listed]},
        )
        wait_for(lambda: count(server, "ACL") == 1)
        wait_for(lambda: len(real.rows("rule/rule")) == 1 and not real._index.twins)
        real.apply(plan([rule()], real.rows("rule/rule")))
        assert settled(real, rule(), group())


def apply_while(real: Real, changes: list[Insert], world: Callable[[], object]) -> None:
    """Apply from a copy that the world leaves behind between composing and writing."""
    happened = False

    def racing() -> list[Operation]:
        nonlocal happened
        operations = compose(changes, real._index)
        if not happened:
            world()
            happened = True
        return operations

    real._link.transact(racing)


def test_a_parent_that_another_writer_deletes_meanwhile_is_missed(server: OvsdbServer, real: Real) -> None:
    real.apply(inserts(switch()))
    gone = {"op": "delete", "table": "Logical_Switch", "where": []}
    with pytest.raises(MissingRow, match="Logical_Switch net"):
        apply_while(real, inserts(port()), lambda: server.transact(gone))


def test_a_row_that_another_writer_inserts_meanwhile_is_written_over(server: OvsdbServer, real: Real) -> None:
    ids = ["map", [["wolke-key", "pg"], ["wolke-owner", group().owner]]]
    faster = {"op": "insert", "table": "Port_Group", "row": {"name": "pg", "external_ids": ids}}
    wanted = replace(group(), columns={"external_ids": {"by": "us"}})
    apply_while(real, inserts(wanted), lambda: server.transact(faster))
    assert settled(real, wanted)
    assert count(server, "Port_Group") == 1


def test_a_batch_larger_than_any_buffer_goes_through(server: OvsdbServer, real: Real) -> None:
    rows = [port(f"p{number}", options={"text": "x" * 1000}) for number in range(1500)]
    real.apply(inserts(switch(), *rows))
    assert settled(real, rows[0], rows[-1])
    assert count(server, "Logical_Switch_Port") == 1500


def test_what_others_change_is_told_and_what_we_change_is_not(server: OvsdbServer, real: Real) -> None:
    told: list[set[str]] = []
    real.follow(told.append)
    wait_for(lambda: told == [{"*"}])
    real.apply(inserts(switch(), group(), replace(port(), parents=PORTS | {("Port_Group", "pg", "ports")})))
    real.apply([Update(port(), {"enabled": False})])
    assert told == [{"*"}]
    mine = [["name", "==", "port"]]
    server.transact({"op": "update", "table": "Logical_Switch_Port", "where": mine, "row": {"up": True}})  # northd
    server.transact({"op": "update", "table": "Logical_Switch_Port", "where": mine, "row": {"enabled": True}})
    wait_for(lambda: told[1:] == [{port().owner}])
    server.transact({"op": "update", "table": "Port_Group", "where": [], "row": {"ports": ["set", []]}})
    wait_for(lambda: told[2:] == [{port().owner}])  # a membership is the child's
    server.transact({"op": "delete", "table": "Logical_Switch", "where": []})
    wait_for(lambda: set().union(*told[3:]) == {port().owner, switch().owner})


def test_strays_are_found_and_taken_off(server: OvsdbServer, real: Real) -> None:
    real.apply(inserts(switch(), group()))
    told: list[set[str]] = []
    real.follow(told.append)
    acl = {"priority": 1, "direction": "to-lport", "match": "ip", "action": "allow"}
    server.transact(
        {"op": "insert", "table": "ACL", "uuid-name": "a", "row": acl},
        {"op": "mutate", "table": "Port_Group", "where": [], "mutations": [["acls", "insert", ["named-uuid", "a"]]]},
        {"op": "insert", "table": "Logical_Switch", "row": {"name": "theirs"}},
    )
    wait_for(lambda: "" in set().union(*told))
    [stray] = real.strays()
    assert (stray.table, stray.owner, stray.columns["action"]) == ("ACL", "", "allow")
    assert stray.parents == {("Port_Group", "pg", "acls")}
    real.evict([stray])
    assert real.strays() == [] and count(server, "ACL") == 0 and count(server, "Logical_Switch") == 2


def test_after_a_reconnect_anything_may_be_other(server: OvsdbServer, real: Real) -> None:
    real.apply(inserts(switch()))
    told: list[set[str]] = []
    real.follow(told.append)
    wait_for(lambda: told == [{"*"}])
    server.kill()
    server.start()
    wait_for(lambda: told[1:] == [{"*"}])


def test_the_second_of_two_remotes_serves(server: OvsdbServer, tmp_path: Path) -> None:
    north = Real(f"unix:{tmp_path}/nobody,{server.remote}", patience=20)
    north.start()
    try:
        north.apply(inserts(switch()))
        assert settled(north, switch())
    finally:
        north.close()


def test_an_open_connection_ends_with_close(server: OvsdbServer) -> None:
    north = Real(server.remote)
    north.start()
    north.apply(inserts(switch()))
    north.close()
    with pytest.raises(Unavailable):
        north.rows("network/net")
    with pytest.raises(Unavailable):
        north.apply(inserts(group()))
