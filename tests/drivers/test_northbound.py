"""The promises of ``Northbound``, kept by the fake and by OVN's own schema in a real ovsdb-server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.drivers.northbound import (
    PORTS,
    group,
    inserts,
    port,
    raises_unavailable,
    router,
    rule,
    settled,
    switch,
)
from tests.waiting import wait_for
from wolke.drivers.fake.northbound import Northbound as Fake
from wolke.drivers.ovn import Northbound as Real
from wolke.drivers.rows import (
    Delete,
    Insert,
    MissingRow,
    Northbound,
    Ref,
    Refused,
    Row,
    Unavailable,
    Update,
    plan,
)

# Adding, changing, taking away -----------------------------------------------


def test_a_row_that_was_written_is_found_with_its_owner(north: Northbound) -> None:
    north.apply(inserts(switch(), port(addresses=frozenset({"02:00:00:00:00:01 10.0.0.5"}))))
    [found] = north.rows("port/port")
    assert (found.table, found.key, found.owner) == ("Logical_Switch_Port", "port", "port/port")
    assert found.columns["addresses"] == {"02:00:00:00:00:01 10.0.0.5"}
    assert found.columns["name"] == "port"
    assert found.parents == PORTS
    assert north.owners() == {"network/net", "port/port"}
    assert north.rows("port/other") == []


def test_a_change_writes_what_differs_and_leaves_the_rest(north: Northbound) -> None:
    north.apply(inserts(switch(), port(type="router", options={"router-port": "a"}, enabled=False)))
    wanted = port(options={"mcast_flood": "true"}, tag=7, enabled=None)
    north.apply(plan([wanted], north.rows("port/port")))
    [found] = north.rows("port/port")
    assert found.columns["options"] == {"mcast_flood": "true"}
    assert (found.columns["tag"], found.columns["enabled"], found.columns["type"]) == (7, None, "router")
    assert settled(north, wanted)


def test_external_ids_are_merged_with_our_own(north: Northbound) -> None:
    wanted = replace(switch(), columns={"external_ids": {"net": "blue"}})
    north.apply(inserts(wanted))
    assert north.rows("network/net")[0].columns["external_ids"] == {"net": "blue"}
    changed = replace(wanted, columns={"external_ids": {"net": "red"}})
    north.apply(plan([changed], north.rows("network/net")))
    assert settled(north, changed)
    assert north.owners() == {"network/net"}


def test_a_row_may_change_hands(north: Northbound) -> None:
    north.apply(inserts(switch()))
    [found] = north.rows("network/net")
    north.apply(plan([replace(switch(), owner="network/other")], [found]))
    assert north.owners() == {"network/other"}
    assert north.rows("network/net") == []


def test_deleting_a_switch_takes_its_ports_along(north: Northbound) -> None:
    north.apply(inserts(switch(), port()))
    north.apply(plan([], north.rows("network/net")))
    assert north.owners() == set()


def test_deleting_what_is_not_there_is_no_error(north: Northbound) -> None:
    north.apply([Delete(switch()), Delete(port())])
    north.apply([])
    assert north.owners() == set()


def test_inserting_again_writes_over(north: Northbound) -> None:
    north.apply(inserts(switch(), group(), port(tag=1)))
    again = replace(port(tag=2), parents=PORTS | {("Port_Group", "pg", "ports")})
    north.apply(inserts(again))
    assert settled(north, again)


def test_nobody_writes_over_or_deletes_the_row_of_another_owner(north: Northbound) -> None:
    north.apply(inserts(group()))
    with pytest.raises(Refused, match="Port_Group pg: belongs to security_group/pg"):
        north.apply(inserts(replace(group(), owner="security_group/thief")))
    north.apply([Delete(replace(group(), owner="security_group/thief"))])
    assert settled(north, group())


# Memberships -----------------------------------------------------------------


def test_membership_comes_and_goes_with_the_member(north: Northbound) -> None:
    other = group("pg2")
    north.apply(inserts(switch(), group(), other, port("a"), port("b")))
    in_both = replace(port("a"), parents=PORTS | {("Port_Group", "pg", "ports"), ("Port_Group", "pg2", "ports")})
    b_too = replace(port("b"), parents=PORTS | {("Port_Group", "pg", "ports")})
    north.apply(plan([in_both, b_too], north.rows("port/a") + north.rows("port/b")))
    assert settled(north, in_both, b_too)
    in_one = replace(in_both, parents=PORTS | {("Port_Group", "pg2", "ports")})
    north.apply(plan([in_one], north.rows("port/a")))
    assert settled(north, in_one, b_too)
    north.apply(plan([], north.rows("port/b")))
    north.apply(plan([], north.rows("security_group/pg2")))
    assert [row.parents for row in north.rows("port/a")] == [PORTS]
    assert settled(north, group(), switch())


def test_a_rule_goes_when_it_leaves_its_group(north: Northbound) -> None:
    north.apply(inserts(group(), rule("a"), rule("b")))
    north.apply(plan([], north.rows("rule/a")))
    assert north.owners() == {"security_group/pg", "rule/b"}
    north.apply(plan([], north.rows("security_group/pg")))
    assert north.owners() == set()


def test_a_row_that_nothing_lists_is_refused(north: Northbound) -> None:
    north.apply(inserts(group()))
    with pytest.raises(Refused, match="Logical_Switch_Port port: nothing would list it"):
        north.apply(inserts(Row("Logical_Switch_Port", "port", "port/port")))
    with pytest.raises(Refused, match="nothing would list it"):  # a port group holds no port alive
        weakly = frozenset({("Port_Group", "pg", "ports")})
        north.apply(inserts(Row("Logical_Switch_Port", "port", "port/port", {}, weakly)))


# References ------------------------------------------------------------------


def test_references_find_rows_that_stand_and_rows_of_the_same_call(north: Northbound) -> None:
    v4 = Row("DHCP_Options", "subnet-4", "subnet/4", {"cidr": "10.0.0.0/24", "options": {"lease_time": "43200"}})
    v6 = Row("DHCP_Options", "subnet-6", "subnet/6", {"cidr": "2001:db8::/64"})
    north.apply(inserts(switch(), v4))
    wanted = port(dhcpv4_options=Ref("DHCP_Options", "subnet-4"), dhcpv6_options=Ref("DHCP_Options", "subnet-6"))
    north.apply(inserts(wanted, v6))  # the reference stands before its target
    assert settled(north, wanted, v4, v6)
    north.apply(plan([], north.rows("subnet/4")))
    assert north.rows("port/port")[0].columns["dhcpv4_options"] is None


def test_a_strong_reference_keeps_its_target(north: Northbound) -> None:
    gateways = Row("HA_Chassis_Group", "gw", "router/gw")
    member = Row(
        "HA_Chassis",
        "gw-host1",
        "router/gw",
        {"chassis_name": "host1", "priority": 3},
        frozenset({("HA_Chassis_Group", "gw", "ha_chassis")}),
    )
    wanted = port(type="external", ha_chassis_group=Ref("HA_Chassis_Group", "gw"))
    north.apply(inserts(switch(), gateways, member, wanted))
    with pytest.raises(Refused):
        north.apply(plan([], north.rows("router/gw")))
    assert settled(north, gateways, member, wanted)
    north.apply(plan([], north.rows("router/gw") + north.rows("port/port")))
    assert north.owners() == {"network/net"}


def test_a_row_that_goes_with_its_parent_still_keeps_its_target(north: Northbound) -> None:
    gateways = Row("HA_Chassis_Group", "gw", "router/gw")
    north.apply(inserts(switch(), gateways, port(ha_chassis_group=Ref("HA_Chassis_Group", "gw"))))
    with pytest.raises(Refused, match="HA_Chassis_Group"):
        north.apply([Delete(switch()), Delete(gateways)])
    north.apply([Delete(switch()), Delete(gateways), Delete(port())])
    assert north.owners() == set()


def test_a_meter_and_its_bands_come_together(north: Northbound) -> None:
    band = Row("Meter_Band", "m-band", "qos/m", {"action": "drop", "rate": 100})
    meter = Row("Meter", "m", "qos/m", {"unit": "kbps", "bands": frozenset({Ref("Meter_Band", "m-band")})})
    north.apply(inserts(meter, band))
    assert settled(north, meter, band)
    with pytest.raises(Refused, match="m-band"):
        north.apply([Delete(band)])
    other = Row("Meter_Band", "m-other", "qos/m", {"action": "drop", "rate": 200})
    swapped = replace(meter, columns={"unit": "pktps", "bands": frozenset({Ref("Meter_Band", "m-other")})})
    north.apply(plan([swapped, other], north.rows("qos/m")))
    assert settled(north, swapped, other)
    north.apply(plan([], north.rows("qos/m")))
    assert north.owners() == set()


@pytest.mark.parametrize(
    "change",
    [
        Insert(port()),
        Insert(replace(router(), columns={"copp": Ref("Copp", "nowhere")})),
        Update(switch(), {"other_config": {"a": "b"}}),
        Update(group(), {}, join=frozenset({("Logical_Switch", "gone", "ports")})),
    ],
    ids=["parent", "reference", "row", "joined"],
)
def test_what_is_not_there_is_named(north: Northbound, change: Insert | Update) -> None:
    if change.row == group():
        change = Update(port(), {}, join=frozenset({("Port_Group", "nowhere", "ports")}))
        north.apply(inserts(switch(), port()))
    with pytest.raises(MissingRow, match=r"(net|nowhere) is not there"):
        north.apply([change])


# All or nothing --------------------------------------------------------------


def test_one_refused_change_undoes_the_others(north: Northbound) -> None:
    bound = {"logical_port": "lrp", "dst_ip": "198.51.100.1"}
    north.apply(inserts(Row("BFD", "one", "router/1", bound)))
    with pytest.raises(Refused, match="BFD"):
        north.apply(inserts(switch(), Row("BFD", "two", "router/2", bound)))
    with pytest.raises(MissingRow):
        north.apply([*inserts(switch()), Update(group(), {})])
    assert north.owners() == {"router/1"}


# What others do meanwhile ----------------------------------------------------


def test_ports_going_up_are_told_and_told_again_to_who_comes_later(
    north: Northbound, request: pytest.FixtureRequest
) -> None:
    heard: list[tuple[str, bool]] = []
    later: list[tuple[str, bool]] = []
    north.watch(lambda *news: heard.append(news))
    north.apply(inserts(switch(), port("a"), port("b")))
    wait_for(lambda: set(heard) == {("a", False), ("b", False)})
    if isinstance(north, Fake):
        north.set_up("a", True)
    else:
        up = {"op": "update", "table": "Logical_Switch_Port", "where": [["name", "==", "a"]], "row": {"up": True}}
        request.getfixturevalue("server").transact(up)
    wait_for(lambda: heard[2:] == [("a", True)])
    north.watch(lambda *news: later.append(news))
    wait_for(lambda: set(later) >= {("a", True), ("b", False)})


def test_options_of_others_are_left_alone(north: Northbound) -> None:
    north.set_options({"mac_prefix": "02:00:00", "northd_probe_interval": "1000"})
    north.set_options({"northd_probe_interval": "5000", "use_logical_dp_groups": "true"})
    north.set_options({"use_logical_dp_groups": None, "absent": None})
    assert isinstance(north, Fake | Real)
    assert north.options() == {"mac_prefix": "02:00:00", "northd_probe_interval": "5000"}


def test_an_unreachable_database_says_so_and_works_again(north: Northbound, request: pytest.FixtureRequest) -> None:
    north.apply(inserts(switch(), port()))
    if isinstance(north, Fake):
        north.reachable = False
        impatient: Northbound = north
    else:
        server = request.getfixturevalue("server")
        impatient = Real(server.remote, patience=0.2)
        impatient.start()
        assert settled(impatient, switch())
        server.kill()
    with pytest.raises(Unavailable):
        impatient.apply(inserts(group()))
    wait_for(lambda: raises_unavailable(impatient))
    if isinstance(north, Fake):
        north.reachable = True
    else:
        server.start()
        impatient.close()
    north.apply(inserts(group()))
    assert settled(north, switch(), port(), group())
