"""What compute is told of ports, what it may do with them, and what a guest reads of its network cards."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from tests.conftest import RED, Cloud
from tests.network.conftest import Net
from wolke.compute.hosts_table import Host
from wolke.network import facts


def read(cloud: Cloud, device: str) -> list[facts.PortFacts]:
    with cloud.app.database.read() as db:
        return facts.ports_of(db, [device]).get(device, [])


def card(net: Net, network: Any, address: str, device: str = "server-1", **more: Any) -> Any:
    fixed = [{"ip_address": address}]
    return net.port(network, device_id=device, device_owner="compute:nova", fixed_ips=fixed, **more)


def test_a_port_tells_all_that_a_server_needs(cloud: Cloud, net: Net) -> None:
    network = net.network(name="red")
    net.subnet(network, dns_nameservers=["198.51.100.53"])
    made = card(net, network, "10.0.0.5")
    [port] = read(cloud, "server-1")
    assert (port.id, port.network_name, port.mtu, port.up) == (made["id"], "red", 1442, False)
    assert port.mac_address == made["mac_address"] and [group.name for group in port.security_groups] == ["default"]
    [fixed] = port.fixed_ips
    assert (fixed.ip_address, fixed.cidr, fixed.gateway_ip) == ("10.0.0.5", "10.0.0.0/24", "10.0.0.1")
    assert fixed.dns_nameservers == ["198.51.100.53"] and fixed.enable_dhcp


def test_many_servers_cost_no_more_statements_than_one(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network)
    for n in range(20):
        card(net, network, f"10.0.0.{n + 10}", f"server-{n}")
    seen: list[str] = []
    with cloud.app.database.read() as db:
        event.listen(db.get_bind(), "before_cursor_execute", lambda *told: seen.append(told[2]))
        assert len(facts.ports_of(db, [f"server-{n}" for n in range(20)])) == 20
    assert len([one for one in seen if one.startswith("SELECT")]) == 4  # ports, addresses, groups, floating IPs


def test_the_metadata_service_is_where_dhcp_says(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network, "10.0.0.0/24")
    net.subnet(network, "10.0.1.0/25")
    [port] = net.list("ports", "device_owner=network:distributed")
    with cloud.app.database.read() as db:
        found = facts.metadata_ports(db, [network["id"], "no-such-network"])[network["id"]]
    assert (found.id, found.mac, found.mtu) == (port["id"], port["mac_address"], 1442)
    assert sorted(address.partition("/")[2] for address in found.addresses) == ["24", "25"]


def test_a_bound_port_moves_and_is_released(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network)
    own, lent = card(net, network, "10.0.0.5"), card(net, network, "10.0.0.6")
    cloud.settle()
    with cloud.app.database.transaction() as db:
        facts.bind(db, [own["id"], lent["id"]], "h1")
    cloud.settle()
    row = cloud.north.table["Logical_Switch_Port", own["id"]]
    assert row.columns["options"] == {"requested-chassis": "h1"}
    with cloud.app.database.transaction() as db:
        facts.release(db, {own["id"]: True, lent["id"]: False})
    cloud.settle()
    net.refused("GET", f"ports/{own['id']}", 404, "PortNotFound")
    free = net.show("port", lent["id"], by=cloud.admin)
    assert (free["device_id"], free["device_owner"], free["binding:host_id"]) == ("", "", "")
    assert ("Logical_Switch_Port", own["id"]) not in cloud.north.table
    assert cloud.north.table["Logical_Switch_Port", lent["id"]].columns["options"] == {}


def test_network_data_says_how_each_address_is_got(cloud: Cloud, net: Net) -> None:
    told, quiet = net.network(name="told"), net.network(name="quiet")
    net.subnet(told, "10.0.0.0/24")
    net.subnet(told, "2001:db8:1::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    net.subnet(
        quiet, "10.1.0.0/24", enable_dhcp=False, dns_nameservers=["198.51.100.53"],
        host_routes=[{"destination": "172.16.0.0/16", "nexthop": "10.1.0.9"}],
    )  # fmt: skip
    net.subnet(quiet, "2001:db8:2::/64", enable_dhcp=False)
    one = card(net, told, "10.0.0.5")
    cloud.now += 1
    fixed = [{"ip_address": "10.1.0.5"}, {"ip_address": "2001:db8:2::5"}]
    two = net.port(quiet, device_id="server-1", fixed_ips=fixed)
    data = facts.network_data(read(cloud, "server-1"))
    assert [(link["ethernet_mac_address"], link["mtu"], link["type"]) for link in data["links"]] == [
        (one["mac_address"], 1442, "ovs"), (two["mac_address"], 1442, "ovs"),
    ]  # fmt: skip
    assert [net["type"] for net in data["networks"]] == ["ipv4_dhcp", "ipv6_slaac", "ipv4", "ipv6"]
    assert data["networks"][2] | {"id": "", "link": "", "network_id": ""} == {
        "id": "", "link": "", "network_id": "", "type": "ipv4", "ip_address": "10.1.0.5", "netmask": "255.255.255.0",
        "routes": [
            {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.1.0.1"},
            {"network": "172.16.0.0", "netmask": "255.255.0.0", "gateway": "10.1.0.9"},
        ],
        "services": [{"type": "dns", "address": "198.51.100.53"}],
    }  # fmt: skip
    assert data["networks"][3]["routes"] == [{"network": "::", "netmask": "::", "gateway": "2001:db8:2::1"}]
    assert data["services"] == [{"type": "dns", "address": "198.51.100.53"}]
    links = {link["id"] for link in data["links"]}
    assert {net["link"] for net in data["networks"]} == links and len(links) == 2


@pytest.mark.parametrize("cidr", ["10.0.0.0/24", "2001:db8::/64"])
def test_addresses_are_unique_among_all_ports_of_a_subnet(net: Net, cidr: str) -> None:
    network = net.network()
    net.subnet(network, cidr)
    several = {"ports": [{"network_id": network["id"]}] * 30}
    ports = net.send("POST", "ports", json=several).json()["ports"]
    assert len({port["fixed_ips"][0]["ip_address"] for port in ports}) == 30


def test_agents_are_alive_while_their_host_is_heard_of(cloud: Cloud, net: Net) -> None:
    with cloud.app.database.transaction() as db:
        db.add(Host(name="h1", seen_at=cloud.now))
    cloud.settle()
    [agent] = net.list("agents", by=cloud.admin)
    assert (agent["host"], agent["binary"], agent["alive"]) == ("h1", "ovn-controller", True)
    cloud.now += 120
    assert net.show("agent", agent["id"], by=cloud.admin)["alive"] is False
    assert net.list("agents") == []
    net.refused("GET", f"agents/{agent['id']}", 404, "AgentNotFound")


def test_a_project_without_a_quota_of_its_own_has_the_default(cloud: Cloud, net: Net) -> None:
    assert net.send("GET", f"quotas/{RED}").json()["quota"]["port"] == 500
