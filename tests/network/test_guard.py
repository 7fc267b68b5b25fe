"""What no guest may do, as rows: no DHCP server, no router, no storm, and a share of ovn-controller's time for each network alone."""

from __future__ import annotations

from tests.conftest import Cloud
from tests.network.conftest import Net
from wolke.drivers.rows import Ref
from wolke.network.guard import SWITCH_PUNTS


def test_guests_are_neither_dhcp_servers_nor_routers_whatever_their_groups_say(cloud: Cloud) -> None:
    cloud.settle()
    guards = {
        key: row for (table, key), row in cloud.north.table.items() if table == "ACL" and key.startswith("guard-")
    }
    assert set(guards) == {"guard-dhcpv4", "guard-dhcpv6", "guard-reroute"}
    for row in guards.values():
        assert row.columns["action"] == "drop" and row.columns["direction"] == "from-lport"
        assert row.parents == {("Port_Group", "pg_drop", "acls")}
        allows = [
            int(str(other.columns["priority"]))
            for (table, _), other in cloud.north.table.items()
            if table == "ACL" and str(other.columns["action"]).startswith("allow")
        ]
        assert max(allows) < int(str(row.columns["priority"])) < 30000


def test_each_network_and_router_has_limits_of_its_own(cloud: Cloud, net: Net) -> None:
    networks = [net.network(), net.network()]
    router = net.create("router")
    cloud.settle()
    table = cloud.north.table
    for network in networks:
        name = f"guard-{network['id']}"
        assert table["Logical_Switch", network["id"]].columns["copp"] == Ref("Copp", name)
        assert table["Copp", name].columns["meters"] == dict.fromkeys(SWITCH_PUNTS, name)
        assert table["Meter", name].columns["unit"] == "pktps"
        storm = table["QoS", f"storm-{network['id']}"]
        assert storm.columns["bandwidth"] == {"rate": 2000, "burst": 2000} and "eth.mcast" in str(
            storm.columns["match"]
        )
        assert storm.parents == {("Logical_Switch", network["id"], "qos_rules")}
    assert table["Logical_Router", router["id"]].columns["copp"] == Ref("Copp", f"guard-{router['id']}")
    net.delete("network", networks[0]["id"])
    net.delete("router", router["id"])
    cloud.settle()
    left = {key for (kind, key) in cloud.north.table if kind in ("Copp", "Meter", "QoS")}
    assert not any(networks[0]["id"] in key or router["id"] in key for key in left)
    assert any(networks[1]["id"] in key for key in left)


def test_hosts_are_told_who_may_advertise_routers(cloud: Cloud, net: Net) -> None:
    host = cloud.add_host("h1")
    network = net.network()
    port = net.port(network)
    cloud.settle()
    assert host.agent.wanted.routing_ports == ()
    net.update("port", port["id"], port_security_enabled=False, security_groups=[])
    cloud.settle()
    assert host.agent.wanted.routing_ports == (port["id"],)
    appliance = net.port(network, port_security_enabled=False)
    net.update("port", port["id"], port_security_enabled=True)
    cloud.settle()
    assert host.agent.wanted.routing_ports == (appliance["id"],)


def test_an_operator_may_have_no_limits(cloud: Cloud, net: Net) -> None:
    cloud.app.config.storm_kbit = cloud.app.config.punts_per_second = 0
    network = net.network()
    cloud.settle()
    assert {kind for (kind, _) in cloud.north.table} & {"Copp", "QoS"} == set()
    assert cloud.north.table["Logical_Switch", network["id"]].columns["copp"] is None
