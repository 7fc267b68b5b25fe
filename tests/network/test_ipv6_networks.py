"""Networks with IPv6: metadata port, advertisements, what DHCPv6 tells."""

from __future__ import annotations

from typing import Any

from tests.conftest import Cloud
from tests.network.conftest import Net
from wolke.network import facts

DNS = ["2001:db8:5::53", "2001:db8:5::54"]


def modes(mode: str) -> dict[str, str]:
    return {"ipv6_ra_mode": mode, "ipv6_address_mode": mode}


def told(cloud: Cloud, net: Net, *subnets: Any) -> Any:
    """What a router with these subnets advertises on their network."""
    router = net.create("router")
    for subnet in subnets:
        net.send("PUT", f"routers/{router['id']}/add_router_interface", json={"subnet_id": subnet["id"]})
    cloud.settle()
    ports = [row for row in cloud.north.rows(f"router/{router['id']}") if row.table == "Logical_Router_Port"]
    assert len(ports) == 1
    return ports[0].columns["ipv6_ra_configs"]


def test_a_network_with_ipv6_alone_has_a_metadata_port(cloud: Cloud, net: Net) -> None:
    network = net.network()
    subnet = net.subnet(network, "fd00:1::/64", **modes("slaac"))
    owner = "device_owner=network:distributed"
    [port] = net.list("ports", f"network_id={network['id']}&{owner}", by=cloud.admin)
    assert port["fixed_ips"] == []
    with cloud.app.database.read() as db:
        found = facts.metadata_ports(db, [network["id"]])[network["id"]]
    assert (found.id, found.addresses) == (port["id"], [])
    four = net.subnet(network, "10.0.0.0/24")
    [port] = net.list("ports", f"network_id={network['id']}&{owner}", by=cloud.admin)
    assert [one["subnet_id"] for one in port["fixed_ips"]] == [four["id"]]
    net.delete("subnet", four["id"])
    [port] = net.list("ports", f"network_id={network['id']}&{owner}", by=cloud.admin)
    assert port["fixed_ips"] == []
    net.delete("subnet", subnet["id"])
    assert net.list("ports", f"network_id={network['id']}", by=cloud.admin) == []
    plain = net.network()
    net.subnet(plain, "fd00:1::/64", enable_dhcp=False)
    assert net.list("ports", f"network_id={plain['id']}", by=cloud.admin) == []


def test_advertisements_tell_mode_mtu_and_name_service(cloud: Cloud, net: Net) -> None:
    network = net.network(mtu=1400, dns_domain="red.example.")
    first = net.subnet(network, "fd00:1::/64", dns_nameservers=DNS, **modes("slaac"))
    second = net.subnet(network, "fd00:2::/64", **modes("slaac"))
    options = told(cloud, net, first, second)
    assert {name: options[name] for name in ("address_mode", "mtu", "rdnss", "dnssl", "send_periodic")} == {
        "address_mode": "slaac", "mtu": "1400", "rdnss": DNS[0], "dnssl": "red.example", "send_periodic": "true",
    }  # fmt: skip


def test_a_change_of_the_subnet_is_advertised(cloud: Cloud, net: Net) -> None:
    network = net.network()
    subnet = net.subnet(network, "fd00:1::/64", **modes("dhcpv6-stateful"))
    assert told(cloud, net, subnet)["address_mode"] == "dhcpv6_stateful"
    net.update("subnet", subnet["id"], dns_nameservers=[DNS[1]])
    net.update("network", network["id"], mtu=1300)
    cloud.settle()
    [port] = net.list("ports", f"network_id={network['id']}&device_owner=network:router_interface", by=cloud.admin)
    [row] = [row for row in cloud.north.rows(f"router/{port['device_id']}") if row.table == "Logical_Router_Port"]
    options: Any = row.columns["ipv6_ra_configs"]
    assert (options["rdnss"], options["mtu"]) == (DNS[1], "1300")


def test_dhcpv6_tells_name_servers_and_the_network_s_domain(cloud: Cloud, net: Net) -> None:
    network = net.network(dns_domain="red.example.")
    subnet = net.subnet(network, "fd00:1::/64", dns_nameservers=DNS, **modes("dhcpv6-stateless"))
    cloud.settle()
    [row] = cloud.north.rows(f"subnet/{subnet['id']}")
    options: Any = row.columns["options"]
    assert options["dhcpv6_stateless"] == "true" and options["domain_search"] == '"red.example"'
    assert options["dns_server"] == "{" + ", ".join(DNS) + "}"


def test_addresses_left_are_counted_beyond_64_bits(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network, "fd00:1::/48", gateway_ip=None, enable_dhcp=False)
    net.port(network)
    shown = net.send("GET", f"network-ip-availabilities/{network['id']}", by=cloud.admin).json()
    [one] = shown["network_ip_availability"]["subnet_ip_availability"]
    assert (one["ip_version"], one["total_ips"], one["used_ips"]) == (6, 2**80 - 1, 1)
    assert net.send("GET", "network-ip-availabilities?ip_version=6", by=cloud.admin).status_code == 200
