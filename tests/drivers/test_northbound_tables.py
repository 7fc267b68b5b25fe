"""What the northbound schema allows, for every table that we use: the fake refuses what the real one refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.drivers.northbound import (
    PORTS,
    every_table,
    group,
    inserts,
    port,
    rule,
    settled,
    switch,
)
from tests.drivers.ovsdb_server import OVN
from wolke.drivers.fake.tables import northbound_tables
from wolke.drivers.ovn.tables import tables_of
from wolke.drivers.rows import (
    Insert,
    Northbound,
    Ref,
    Refused,
    Row,
    Value,
    plan,
)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (Row("Nonsense", "k", "o/1"), "no such table"),
        (Row("NB_Global", "k", "o/1"), "set_options"),
        (Row("Load_Balancer_Group", "k", "o/1"), "cannot bear an owner"),
        (Row("Logical_Switch", "", "o/1"), "key or owner"),
        (Row("Logical_Switch", "k", ""), "key or owner"),
        (replace(group(), columns={"name": "other"}), "is not the key"),
        (replace(switch(), columns={"colour": "red"}), "no column colour"),
        (replace(switch(), columns={"name": 5}), "not a string"),
        (replace(switch(), columns={"name": "a\0b"}), "not text"),
        (replace(switch(), columns={"name": "\ud800"}), "not text"),
        (replace(switch(), columns={"name": None}), "may not be empty"),
        (replace(switch(), columns={"ports": frozenset({Ref("Logical_Switch_Port", "p")})}), "belongs to the rows"),
        (replace(switch(), columns={"other_config": {"a": 1}}), "not a string"),
        (replace(switch(), columns={"other_config": None}), "not a map"),
        (replace(switch(), columns={"external_ids": {"wolke-owner": "x"}}), "are ours"),
        (port(tag=4096), r"4096 is outside 1\.\.4095"),
        (port(tag=True), "not an integer"),
        (port(enabled=1), "not a boolean"),
        (port(addresses=["a"]), "not a frozenset"),  # type: ignore[arg-type]
        (port(dhcpv4_options=Ref("Port_Group", "pg")), "not a Ref to DHCP_Options"),
        (port(dhcpv4_options="subnet"), "not a Ref"),
        (rule(action="explode"), "none of"),
        (rule(priority=-1), "outside"),
        (rule(name="x" * 64), "outside"),
        (replace(rule(), columns={"match": "ip4"}), "column direction"),
        (Row("Meter", "m", "o/1", {"unit": "kbps"}), "column bands: may not be empty"),
        (replace(port(), parents=frozenset({("Logical_Switch", "net", "acls")})), "cannot list it"),
        (replace(port(), parents=frozenset({("Logical_Router", "net", "ports")})), "cannot list it"),
        (Row("Static_MAC_Binding", "k", "o/1", {"logical_port": "lrp", "ip": "10.0.0.1"}), "key must be made of"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_what_the_schema_does_not_allow_is_refused(north: Northbound, row: Row, why: str) -> None:
    north.apply(inserts(switch(), group()))
    with pytest.raises(Refused, match=why) as refusal:
        north.apply([Insert(row)])
    assert f"{row.table} {row.key}" in str(refusal.value)
    assert north.owners() == {"network/net", "security_group/pg"}


def test_the_schema_can_be_asked(north: Northbound) -> None:
    assert north.has("ACL")
    assert north.has("ACL", "label")
    assert not north.has("ACL", "colour")
    assert not north.has("Nonsense", "name")


# Every table we use ----------------------------------------------------------


def test_nothing_is_left_to_plan_after_writing_any_table(north: Northbound) -> None:
    rows = every_table()
    north.apply(inserts(*reversed(rows)))  # every reference a forward one
    assert settled(north, *rows)
    for owner in {row.owner for row in rows}:
        assert {row.key for row in north.rows(owner)} == {row.key for row in rows if row.owner == owner}
    found = [row for owner in north.owners() for row in north.rows(owner)]
    north.apply(plan([], found))
    assert north.owners() == set()


def test_the_fake_knows_the_installed_schema() -> None:
    installed = tables_of(json.loads((OVN / "ovn-nb.ovsschema").read_text()))
    for name, table in northbound_tables().items():
        assert (name, table.root, table.indexes) == (name, installed[name].root, installed[name].indexes)
        for column, kind in table.columns.items():
            assert (name, column, kind) == (name, column, installed[name].columns[column])


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
MAPS = st.dictionaries(TEXTS.filter(lambda key: not key.startswith("wolke-")), TEXTS, max_size=3)
GROUPS = st.sets(st.sampled_from(["pg0", "pg1", "pg2"]))
PORT_COLUMNS = st.fixed_dictionaries(
    {},
    optional={
        "addresses": st.frozensets(TEXTS, max_size=3),
        "options": MAPS,
        "external_ids": MAPS,
        "tag": st.none() | st.integers(1, 4095),
        "enabled": st.none() | st.booleans(),
        "type": TEXTS,
        "dhcpv4_options": st.none() | st.sampled_from(["o0", "o1"]).map(lambda key: Ref("DHCP_Options", key)),
    },
)
WISHES = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.tuples(PORT_COLUMNS, GROUPS))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wishes=st.lists(WISHES, min_size=1, max_size=3))
def test_any_wish_is_met_in_one_step(
    north: Northbound, wishes: list[dict[str, tuple[dict[str, Value], set[str]]]]
) -> None:
    options = [Row("DHCP_Options", key, "subnet/s", {"cidr": "10.0.0.0/24"}) for key in ("o0", "o1")]
    north.apply(inserts(switch(), *map(group, ("pg0", "pg1", "pg2")), *options))
    owners = [f"port/{key}" for key in "abc"]
    for wish in wishes:
        rows = [
            replace(port(key, **columns), parents=PORTS | {("Port_Group", one, "ports") for one in groups})
            for key, (columns, groups) in wish.items()
        ]
        north.apply(plan(rows, [row for owner in owners for row in north.rows(owner)]))
        found = [row for owner in owners for row in north.rows(owner)]
        assert plan(rows, found) == []
        assert {row.key for row in found} == set(wish)
