"""Subnets: addresses, pools, gateways, and the DHCP options that follow."""

from __future__ import annotations

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net


def dhcp(cloud: Cloud, subnet_id: str) -> dict[str, str]:
    cloud.settle()
    return dict(cloud.north.table["DHCP_Options", subnet_id].columns["options"])  # type: ignore[arg-type]


def test_the_first_address_is_the_gateway_and_the_rest_is_given_out(net: Net) -> None:
    subnet = net.subnet(net.network(), "10.0.0.0/24")
    assert subnet["gateway_ip"] == "10.0.0.1"
    assert subnet["allocation_pools"] == [{"start": "10.0.0.2", "end": "10.0.0.254"}]


def test_a_gateway_in_the_middle_splits_the_pool(net: Net) -> None:
    subnet = net.subnet(net.network(), "10.0.0.0/28", gateway_ip="10.0.0.5")
    assert subnet["allocation_pools"] == [
        {"start": "10.0.0.1", "end": "10.0.0.4"},
        {"start": "10.0.0.6", "end": "10.0.0.14"},
    ]


def test_no_gateway_leaves_all_addresses(net: Net) -> None:
    subnet = net.subnet(net.network(), "10.0.0.0/28", gateway_ip=None)
    assert subnet["gateway_ip"] is None
    assert subnet["allocation_pools"] == [{"start": "10.0.0.1", "end": "10.0.0.14"}]


def test_dhcp_tells_mtu_routes_and_where_metadata_is(cloud: Cloud, net: Net) -> None:
    network = net.network()
    subnet = net.subnet(
        network,
        dns_nameservers=["198.51.100.53"],
        host_routes=[{"destination": "172.16.0.0/16", "nexthop": "10.0.0.9"}],
    )
    [metadata] = net.list("ports", f"network_id={network['id']}&device_owner=network:distributed")
    assert metadata["device_id"] == f"ovnmeta-{network['id']}"
    address = metadata["fixed_ips"][0]["ip_address"]
    options = dhcp(cloud, subnet["id"])
    assert options["mtu"] == "1442" and options["router"] == "10.0.0.1" and options["server_id"] == "10.0.0.1"
    assert options["dns_server"] == "{198.51.100.53}"
    assert options["classless_static_route"] == (
        f"{{169.254.169.254/32,{address}, 172.16.0.0/16,10.0.0.9, 0.0.0.0/0,10.0.0.1}}"
    )
    row = cloud.north.table["Logical_Switch_Port", metadata["id"]]
    assert row.columns["type"] == "localport"
    assert row.columns["addresses"] == frozenset({f"{metadata['mac_address']} {address}"})


def test_without_a_gateway_the_metadata_port_answers_dhcp(cloud: Cloud, net: Net) -> None:
    network = net.network()
    subnet = net.subnet(network, gateway_ip=None)
    [metadata] = net.list("ports", "device_owner=network:distributed")
    options = dhcp(cloud, subnet["id"])
    assert options["server_id"] == metadata["fixed_ips"][0]["ip_address"]
    assert "router" not in options and "0.0.0.0/0" not in options["classless_static_route"]


def test_a_changed_mtu_reaches_dhcp(cloud: Cloud, net: Net) -> None:
    network = net.network()
    subnet = net.subnet(network)
    net.update("network", network["id"], mtu=1400)
    assert dhcp(cloud, subnet["id"])["mtu"] == "1400"


def test_dhcp_is_switched_off_and_on(cloud: Cloud, net: Net) -> None:
    network = net.network()
    subnet = net.subnet(network)
    port = net.port(network)
    cloud.settle()
    net.update("subnet", subnet["id"], enable_dhcp=False)
    cloud.settle()
    assert ("DHCP_Options", subnet["id"]) not in cloud.north.table
    assert cloud.north.table["Logical_Switch_Port", port["id"]].columns["dhcpv4_options"] is None
    [metadata] = net.list("ports", "device_owner=network:distributed")
    assert metadata["fixed_ips"] == []
    net.update("subnet", subnet["id"], enable_dhcp=True)
    cloud.settle()
    assert cloud.north.table["Logical_Switch_Port", port["id"]].columns["dhcpv4_options"] is not None


def test_ports_make_themselves_addresses_on_slaac_subnets(cloud: Cloud, net: Net) -> None:
    network = net.network()
    before = net.port(network, mac_address="fa:16:3e:00:00:01")
    subnet = net.subnet(network, "2001:db8::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    after = net.port(network, mac_address="fa:16:3e:00:00:02")
    assert net.show("port", before["id"])["fixed_ips"] == [
        {"subnet_id": subnet["id"], "ip_address": "2001:db8::f816:3eff:fe00:1"}
    ]
    assert [ip["ip_address"] for ip in after["fixed_ips"]] == ["2001:db8::f816:3eff:fe00:2"]
    cloud.settle()
    assert ("DHCP_Options", subnet["id"]) not in cloud.north.table  # such guests ask nobody
    net.delete("subnet", subnet["id"])  # and hold nobody back
    assert net.show("port", before["id"])["fixed_ips"] == []


def test_dhcpv6_gives_addresses_or_only_name_servers(cloud: Cloud, net: Net) -> None:
    network = net.network()
    mode = "dhcpv6-stateful"
    stateful = net.subnet(
        network, "2001:db8:1::/64", ipv6_ra_mode=mode, ipv6_address_mode=mode, dns_nameservers=["2001:db8::53"]
    )
    mode = "dhcpv6-stateless"
    stateless = net.subnet(network, "2001:db8:2::/64", ipv6_ra_mode=mode, ipv6_address_mode=mode)
    port = net.port(network)
    assert len(port["fixed_ips"]) == 2
    assert dhcp(cloud, stateful["id"])["dns_server"] == "{2001:db8::53}"
    assert dhcp(cloud, stateless["id"])["dhcpv6_stateless"] == "true"
    reference = cloud.north.table["Logical_Switch_Port", port["id"]].columns["dhcpv6_options"]
    assert reference is not None and reference.key == stateful["id"]  # type: ignore[union-attr]


def test_the_metadata_port_goes_with_the_last_subnet(cloud: Cloud, net: Net) -> None:
    network = net.network()
    first, second = net.subnet(network, "10.0.0.0/24"), net.subnet(network, "10.0.1.0/24")
    [metadata] = net.list("ports", "device_owner=network:distributed")
    assert len(metadata["fixed_ips"]) == 2
    net.delete("subnet", first["id"])
    assert len(net.show("port", metadata["id"])["fixed_ips"]) == 1
    net.delete("subnet", second["id"])
    assert net.list("ports", "device_owner=network:distributed") == []
    cloud.settle()
    assert ("Logical_Switch_Port", metadata["id"]) not in cloud.north.table


def test_a_subnet_in_use_stays(net: Net) -> None:
    network = net.network()
    subnet = net.subnet(network)
    net.port(network)
    assert subnet["id"] in net.refused("DELETE", f"subnets/{subnet['id']}", 409, "SubnetInUse")


@pytest.mark.parametrize(
    ("body", "status", "type"),
    [
        ({"cidr": "10.0.0.0/24"}, 400, "InvalidInput"),  # the same again
        ({"cidr": "10.0.0.128/25"}, 400, "InvalidInput"),
        ({"cidr": "10.0.0.0/8"}, 400, "InvalidInput"),
        ({"cidr": "10.1.0.5/24"}, 400, "HTTPBadRequest"),  # host bits
        ({"cidr": "10.1.0.0"}, 400, "HTTPBadRequest"),
        ({"cidr": "0.0.0.0/0"}, 400, "InvalidInput"),
        ({"cidr": "10.1.0.0/31"}, 400, "InvalidInput"),  # no room for DHCP
        ({"cidr": "224.0.0.0/24"}, 400, "InvalidInput"),
        ({"cidr": "127.0.0.0/24"}, 400, "InvalidInput"),
        ({"cidr": "2001:db8::/64"}, 400, "InvalidInput"),  # of the other version
        ({"cidr": "10.1.0.0/24", "gateway_ip": "10.1.0.0"}, 400, "InvalidInput"),
        ({"cidr": "10.1.0.0/24", "gateway_ip": "10.1.0.255"}, 400, "InvalidInput"),
        ({"cidr": "10.1.0.0/24", "gateway_ip": "2001:db8::1"}, 400, "InvalidInput"),
        ({"cidr": "10.1.0.0/24", "gateway_ip": "nowhere"}, 400, "InvalidInput"),
        ({"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.1", "end": "10.1.0.9"}]}, 409,
         "GatewayConflictWithAllocationPools"),
        ({"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.2.0.1", "end": "10.2.0.9"}]}, 400,
         "OutOfBoundsAllocationPool"),
        ({"cidr": "10.1.0.0/24", "allocation_pools": [{"start": f"10.1.0.{n}", "end": f"10.1.0.{n}"} for n in range(2, 67)]},
         400, "HTTPBadRequest"),
        ({"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.9", "end": "10.1.0.2"}]}, 400,
         "InvalidAllocationPool"),
        ({"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.2", "end": "10.1.0.9"},
                                                      {"start": "10.1.0.5", "end": "10.1.0.12"}]}, 409,
         "OverlappingAllocationPools"),
        ({"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "here", "end": "there"}]}, 400, "HTTPBadRequest"),
        ({"cidr": "10.1.0.0/24", "dns_nameservers": ["2001:db8::1"]}, 400, "InvalidInput"),
        ({"cidr": "10.1.0.0/24", "dns_nameservers": ["one"]}, 400, "HTTPBadRequest"),
        ({"cidr": "10.1.0.0/24", "dns_nameservers": [f"10.1.0.{n}" for n in range(2, 8)]}, 400,
         "DNSNameServersExhausted"),
        ({"cidr": "10.1.0.0/24", "host_routes": [{"destination": "10.9.0.1/24", "nexthop": "10.1.0.2"}]}, 400,
         "HTTPBadRequest"),
        ({"cidr": "10.1.0.0/24", "host_routes": [{"destination": "10.9.0.0/24", "nexthop": "2001:db8::1"}]}, 400,
         "InvalidInput"),
        ({"cidr": "10.1.0.0/24", "host_routes": [{"destination": f"10.9.{n}.0/24", "nexthop": "10.1.0.2"}
                                                 for n in range(21)]}, 400, "HostRoutesExhausted"),
        ({"cidr": "10.1.0.0/24", "ipv6_ra_mode": "slaac"}, 400, "InvalidInput"),
        ({"cidr": "2001:db8::/64", "ip_version": 6, "ipv6_ra_mode": "magic"}, 400, "HTTPBadRequest"),
        ({"cidr": "2001:db8::/64", "ip_version": 6, "ipv6_ra_mode": "slaac",
          "ipv6_address_mode": "dhcpv6-stateful"}, 400, "InvalidInput"),
        ({"cidr": "2001:db8::/64", "ip_version": 6, "ipv6_ra_mode": "slaac", "enable_dhcp": False}, 400,
         "InvalidInput"),
        ({"cidr": "2001:db8::/80", "ip_version": 6, "ipv6_address_mode": "slaac"}, 400, "InvalidInput"),
        ({"cidr": "::/64", "ip_version": 6}, 400, "InvalidInput"),
        ({"ip_version": 4}, 400, "HTTPBadRequest"),  # neither CIDR nor pool
        ({"cidr": "10.1.0.0/24", "prefixlen": 26}, 400, "HTTPBadRequest"),
        ({"cidr": "10.1.0.0/24", "ip_version": 5}, 400, "HTTPBadRequest"),
        ({"cidr": "10.1.0.0/24", "ip_version": "four"}, 400, "HTTPBadRequest"),
        ({"cidr": "10.1.0.0/24", "colour": "red"}, 400, "HTTPBadRequest"),
        ({"cidr": "10.1.0.0/24", "name": "x" * 256}, 400, "HTTPBadRequest"),
        ({"cidr": "10.1.0.0/24", "enable_dhcp": "perhaps"}, 400, "HTTPBadRequest"),
        ({"cidr": "10.1.0.0/24", "subnetpool_id": "no-such-pool"}, 404, "SubnetPoolNotFound"),
        ({"cidr": "10.1.0.0/24", "use_default_subnetpool": True}, 400, "HTTPBadRequest"),
        ({"cidr": "10.1.0.0/24", "service_types": ["compute:nova"]}, 403, "PolicyNotAuthorized"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_changes_nothing(
    net: Net, body: dict[str, object], status: int, type: str
) -> None:
    network = net.network()
    net.subnet(network, "10.0.0.0/24")
    before = net.list("subnets"), net.list("ports")
    whole = {"subnet": {"network_id": network["id"], "ip_version": 4, **body}}
    net.refused("POST", "subnets", status, type, json=whole)
    assert (net.list("subnets"), net.list("ports")) == before


def test_pools_cut_subnets_and_say_when_they_are_empty(net: Net) -> None:
    pool = net.create("subnetpool", prefixes=["10.8.0.0/24"], default_prefixlen=26, min_prefixlen=25)
    network = net.network()
    body = {"network_id": network["id"], "ip_version": 4, "subnetpool_id": pool["id"]}
    cidrs = [net.create("subnet", **body)["cidr"] for _ in range(3)]
    assert cidrs == ["10.8.0.0/26", "10.8.0.64/26", "10.8.0.128/26"]
    assert net.create("subnet", **body, cidr="10.8.0.192/26")["cidr"] == "10.8.0.192/26"
    net.refused("POST", "subnets", 409, "SubnetAllocationError", json={"subnet": body})
    net.refused("POST", "subnets", 400, "MinPrefixSubnetAllocationError", json={"subnet": {**body, "prefixlen": 24}})
    net.refused("DELETE", f"subnetpools/{pool['id']}", 409, "SubnetPoolInUse")
    net.update("subnetpool", pool["id"], prefixes=["10.8.0.0/23"])
    assert net.create("subnet", **body)["cidr"] == "10.8.1.0/26"
    net.refused(
        "PUT", f"subnetpools/{pool['id']}", 400, "IllegalSubnetPoolPrefixUpdate",
        json={"subnetpool": {"prefixes": ["10.9.0.0/24"]}},
    )  # fmt: skip


def test_the_metadata_port_takes_the_lowest_address(net: Net) -> None:
    network = net.create("network")
    net.create("subnet", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")
    [port] = net.send("GET", f"ports?network_id={network['id']}").json()["ports"]
    assert (port["device_owner"], port["fixed_ips"][0]["ip_address"]) == ("network:distributed", "10.0.0.2")


def test_everybody_sees_the_subnets_of_a_way_out(cloud: Cloud, net: Net) -> None:
    outside = net.create("network", by=cloud.admin, name="public", **{"router:external": True})
    public = net.create("subnet", by=cloud.admin, network_id=outside["id"], cidr="198.51.100.0/24", ip_version=4)
    mine = net.subnet(net.network())
    assert (public["router:external"], mine["router:external"]) == (True, False)
    for query, ids in (("true", {public["id"]}), ("false", {mine["id"]})):
        assert {one["id"] for one in net.list("subnets", f"router:external={query}")} == ids
    assert {one["id"] for one in net.list("subnets", by=cloud.stranger)} == {public["id"]}
    assert net.show("subnet", public["id"], by=cloud.stranger)["router:external"] is True
    for method in ("PUT", "DELETE"):
        net.refused(
            method,
            f"subnets/{public['id']}",
            403,
            "PolicyNotAuthorized",
            by=cloud.stranger,
            json={"subnet": {"name": "n"}},
        )
    net.refused("GET", "subnets?router:external=perhaps", 400, "HTTPBadRequest")
    net.update("network", mine["network_id"], by=cloud.admin, shared=True)
    for query, ids in (("true", {mine["id"]}), ("false", {public["id"]})):
        assert {one["id"] for one in net.list("subnets", f"shared={query}", by=cloud.admin)} == ids
    net.update("network", mine["network_id"], by=cloud.admin, shared=False)
    net.update("network", outside["id"], by=cloud.admin, **{"router:external": False})
    assert net.list("subnets", by=cloud.stranger) == []
    assert net.show("subnet", public["id"], by=cloud.admin)["router:external"] is False
