"""Ports: addresses, groups, DHCP options, names, and the logical switch port that follows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import RED, Cloud
from tests.network.conftest import Net


def lsp(cloud: Cloud, port: Any) -> Any:
    cloud.settle()
    return cloud.north.table["Logical_Switch_Port", port["id"]]


def test_a_port_gets_an_address_and_the_default_group(cloud: Cloud, net: Net) -> None:
    network = net.network()
    subnet = net.subnet(network)
    port = net.port(network, name="web", device_id="somewhere")
    [fixed] = port["fixed_ips"]
    [default] = net.list("security-groups", "name=default")
    assert fixed["subnet_id"] == subnet["id"] and fixed["ip_address"].startswith("10.0.0.")
    assert port["security_groups"] == [default["id"]]
    assert port["status"] == "DOWN" and port["mac_address"].startswith("fa:16:3e:")
    assert net.show("port", port["id"]) == port
    row, mac, ip = lsp(cloud, port), port["mac_address"], fixed["ip_address"]
    assert row.columns["addresses"] == row.columns["port_security"] == frozenset({f"{mac} {ip}"})
    assert row.columns["dhcpv4_options"].key == subnet["id"]
    assert row.parents == {
        ("Logical_Switch", network["id"], "ports"),
        ("Port_Group", "pg_drop", "ports"),
        ("Port_Group", f"pg_{default['id'].replace('-', '_')}", "ports"),
    }


def test_it_is_active_once_a_host_has_plugged_it(cloud: Cloud, net: Net) -> None:
    port = net.port(net.network())
    cloud.settle()
    cloud.north.set_up(port["id"], True)
    cloud.settle()
    assert net.show("port", port["id"])["status"] == "ACTIVE"
    assert [one["id"] for one in net.list("ports", "status=ACTIVE")] == [port["id"]]
    cloud.north.set_up(port["id"], False)
    cloud.settle()
    assert net.show("port", port["id"])["status"] == "DOWN"


def test_its_row_goes_with_it(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network)
    port = net.port(network, dns_name="web", device_id="x", extra_dhcp_opts=[{"opt_name": "mtu", "opt_value": "1300"}])
    cloud.settle()
    assert len(cloud.north.rows(f"port/{port['id']}")) == 3
    net.delete("port", port["id"])
    cloud.settle()
    assert cloud.north.rows(f"port/{port['id']}") == []
    net.refused("GET", f"ports/{port['id']}", 404, "PortNotFound")


def test_addresses_that_were_asked_for(net: Net) -> None:
    network = net.network()
    one, two = net.subnet(network, "10.0.0.0/24"), net.subnet(network, "10.0.1.0/24")
    port = net.port(network, fixed_ips=[{"ip_address": "10.0.1.7"}, {"subnet_id": one["id"]}])
    assert port["fixed_ips"][0] == {"subnet_id": two["id"], "ip_address": "10.0.1.7"}
    assert port["fixed_ips"][1]["subnet_id"] == one["id"]
    assert net.port(network, fixed_ips=[])["fixed_ips"] == []


def test_fixed_ips_are_replaced_and_what_may_stay_stays(cloud: Cloud, net: Net) -> None:
    network = net.network()
    subnet = net.subnet(network)
    port = net.port(network)
    [before] = port["fixed_ips"]
    after = net.update(
        "port",
        port["id"],
        fixed_ips=[{"subnet_id": subnet["id"]}, {"subnet_id": subnet["id"], "ip_address": "10.0.0.77"}],
    )["fixed_ips"]
    assert before in after and {"subnet_id": subnet["id"], "ip_address": "10.0.0.77"} in after
    assert "10.0.0.77" in next(iter(lsp(cloud, port).columns["addresses"]))
    net.update("port", port["id"], fixed_ips=[])
    assert lsp(cloud, port).columns["addresses"] == frozenset({port["mac_address"]})


def test_an_address_is_given_back(net: Net) -> None:
    network = net.network()
    net.subnet(network, "10.0.0.0/29", enable_dhcp=False)  # .2 to .6
    ports = [net.port(network) for _ in range(5)]
    assert len({port["fixed_ips"][0]["ip_address"] for port in ports}) == 5
    body = {"port": {"network_id": network["id"]}}
    net.refused("POST", "ports", 409, "IpAddressGenerationFailure", json=body)
    net.delete("port", ports[2]["id"])
    assert net.port(network)["fixed_ips"][0]["ip_address"] == ports[2]["fixed_ips"][0]["ip_address"]


def test_many_at_once_never_get_the_same_address(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network, "10.0.0.0/26", enable_dhcp=False)  # 61 addresses

    def make(_: int) -> int:
        return int(net.send("POST", "ports", json={"port": {"network_id": network["id"]}}).status_code)

    with cloud.member, ThreadPoolExecutor(8) as threads:  # one event loop for all threads
        answers = list(threads.map(make, range(70)))
    assert (answers.count(201), answers.count(409)) == (61, 9)
    ports = net.list("ports", f"network_id={network['id']}")
    assert len({port["fixed_ips"][0]["ip_address"] for port in ports}) == 61
    assert len({port["mac_address"] for port in ports}) == 61


def test_the_quota_is_exact_however_many_ask_at_once(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network)
    net.send("PUT", f"quotas/{RED}", by=cloud.admin, json={"quota": {"port": 10}})

    def make(_: int) -> str:
        answer = net.send("POST", "ports", json={"port": {"network_id": network["id"]}}).json()
        return str(answer.get("NeutronError", {}).get("type", "made"))

    with cloud.member, ThreadPoolExecutor(8) as threads:  # one event loop for all threads
        answers = list(threads.map(make, range(20)))
    assert (answers.count("made"), answers.count("OverQuota")) == (10, 10)


def test_several_in_one_call_are_all_made_or_none(net: Net) -> None:
    network = net.network()
    net.subnet(network, "10.0.0.0/29", enable_dhcp=False)
    several = {"ports": [{"network_id": network["id"], "name": f"p{n}"} for n in range(3)]}
    answer = net.send("POST", "ports", json=several)
    assert answer.status_code == 201 and [port["name"] for port in answer.json()["ports"]] == ["p0", "p1", "p2"]
    net.refused("POST", "ports", 409, "IpAddressGenerationFailure", json=several)  # room for two more only
    assert len(net.list("ports")) == 3


def test_port_security_off_lets_everything_through(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network)
    port = net.port(network, port_security_enabled=False)
    assert port["security_groups"] == []
    row = lsp(cloud, port)
    assert row.columns["port_security"] == frozenset() and "unknown" in row.columns["addresses"]
    assert row.parents == {("Logical_Switch", network["id"], "ports")}


def test_port_security_cannot_go_while_groups_are_there(net: Net) -> None:
    network = net.network()
    net.subnet(network)
    port = net.port(network)
    change = {"port": {"port_security_enabled": False}}
    net.refused("PUT", f"ports/{port['id']}", 409, "PortSecurityPortHasSecurityGroup", json=change)
    net.update("port", port["id"], port_security_enabled=False, security_groups=[])


def test_allowed_address_pairs_may_speak_too(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network)
    port = net.port(network, fixed_ips=[{"ip_address": "10.0.0.5"}], mac_address="fa:16:3e:00:00:05")
    net.update(
        "port", port["id"],
        allowed_address_pairs=[{"ip_address": "10.0.0.50"}, {"ip_address": "10.0.9.0/24", "mac_address": "00:00:5e:00:01:01"}],
    )  # fmt: skip
    row = lsp(cloud, port)
    assert row.columns["port_security"] == {"fa:16:3e:00:00:05 10.0.0.5 10.0.0.50", "00:00:5e:00:01:01 10.0.9.0/24"}
    assert row.columns["addresses"] == {"fa:16:3e:00:00:05 10.0.0.5", "00:00:5e:00:01:01"}


def test_dhcp_options_of_its_own(cloud: Cloud, net: Net) -> None:
    network = net.network()
    subnet = net.subnet(network)
    options = [
        {"opt_name": "bootfile-name", "opt_value": "pxelinux.0"},
        {"opt_name": "server-ip-address", "opt_value": "10.0.0.9"},
    ]
    port = net.port(network, extra_dhcp_opts=options)
    key = f"{subnet['id']} {port['id']}"
    assert lsp(cloud, port).columns["dhcpv4_options"].key == key
    told = cloud.north.table["DHCP_Options", key].columns["options"]
    assert told["bootfile_name"] == '"pxelinux.0"' and told["next_server"] == "10.0.0.9"
    assert told["router"] == "10.0.0.1"
    net.update("subnet", subnet["id"], dns_nameservers=["198.51.100.53"])
    cloud.settle()
    assert cloud.north.table["DHCP_Options", key].columns["options"]["dns_server"] == "{198.51.100.53}"
    net.update("port", port["id"], extra_dhcp_opts=[{"opt_name": name, "opt_value": None} for name in
                                                    ("bootfile-name", "server-ip-address")])  # fmt: skip
    assert lsp(cloud, port).columns["dhcpv4_options"].key == subnet["id"]
    assert ("DHCP_Options", key) not in cloud.north.table


def test_its_name_is_known_inside_the_network(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network)
    port = net.port(network, dns_name="web", device_id="s", fixed_ips=[{"ip_address": "10.0.0.5"}])
    assert port["dns_assignment"] == [{"hostname": "web", "ip_address": "10.0.0.5", "fqdn": "web.cloud.internal."}]
    cloud.settle()
    row = cloud.north.table["DNS", port["id"]]
    assert row.columns["records"] == {
        "web": "10.0.0.5", "web.cloud.internal": "10.0.0.5", "5.0.0.10.in-addr.arpa": "web.cloud.internal",
    }  # fmt: skip
    assert row.parents == {("Logical_Switch", network["id"], "dns_records")}


def test_a_bound_port_asks_for_its_host(cloud: Cloud, net: Net) -> None:
    port = net.port(net.network())
    net.update("port", port["id"], by=cloud.admin, **{"binding:host_id": "n1"})
    assert lsp(cloud, port).columns["options"] == {"requested-chassis": "n1"}
    seen = net.show("port", port["id"], by=cloud.admin)
    assert (seen["binding:host_id"], seen["binding:vif_type"]) == ("n1", "ovs")
    assert "binding:host_id" not in net.show("port", port["id"])


def test_down_means_down(cloud: Cloud, net: Net) -> None:
    network = net.network()
    port = net.port(network, admin_state_up=False)
    assert lsp(cloud, port).columns["enabled"] is False
    net.update("port", port["id"], admin_state_up=True)
    assert lsp(cloud, port).columns["enabled"] is True
    net.update("network", network["id"], admin_state_up=False)
    assert lsp(cloud, port).columns["enabled"] is False


def test_ports_are_found_by_what_they_have(net: Net) -> None:
    network = net.network()
    subnet = net.subnet(network)
    port = net.port(network, fixed_ips=[{"ip_address": "10.0.0.5"}], device_id="d", device_owner="compute:nova")
    net.port(network, fixed_ips=[{"ip_address": "10.0.0.6"}])
    for query in (
        "fixed_ips=ip_address%3D10.0.0.5",
        f"fixed_ips=ip_address%3D10.0.0.5&fixed_ips=subnet_id%3D{subnet['id']}",
        f"mac_address={port['mac_address'].upper()}",
        "device_id=d",
        "device_owner=compute:nova",
        f"id={port['id']}",
        f"security_groups={port['security_groups'][0]}&device_id=d",
        "fixed_ips=ip_address_substr%3D0.5&admin_state_up=True",
    ):
        assert [one["id"] for one in net.list("ports", query)] == [port["id"]], query


def test_what_is_not_shown_cannot_be_guessed_either(cloud: Cloud, net: Net) -> None:
    port = net.port(net.network())
    net.update("port", port["id"], by=cloud.admin, **{"binding:host_id": "h1"})
    assert len(net.list("ports", "binding:host_id=h1", by=cloud.admin)) == 1
    assert net.list("ports", "binding:host_id=h1") == net.list("ports", "binding:host_id=h2") == []
    assert net.send("GET", "ports?sort_key=binding:host_id").status_code == 400
    assert net.list("networks", "provider:network_type=geneve") == []


def test_a_project_does_not_see_anothers_ports(cloud: Cloud, net: Net) -> None:
    port = net.port(net.network())
    assert net.list("ports", by=cloud.stranger) == []
    net.refused("GET", f"ports/{port['id']}", 404, "PortNotFound", by=cloud.stranger)
    net.refused("DELETE", f"ports/{port['id']}", 404, "PortNotFound", by=cloud.stranger)
    body = {"port": {"network_id": port["network_id"]}}
    net.refused("POST", "ports", 404, "NetworkNotFound", by=cloud.stranger, json=body)


def test_on_a_shared_network_everybody_has_ports_but_not_every_address(cloud: Cloud, net: Net) -> None:
    network = net.network(shared=True, by=cloud.admin)
    net.subnet(network, by=cloud.admin)
    theirs = net.port(network, by=cloud.stranger)
    assert theirs["fixed_ips"] and theirs["project_id"] != network["project_id"]
    for body in (
        {"fixed_ips": [{"ip_address": "10.0.0.9"}]},
        {"mac_address": "fa:16:3e:00:00:09"},
        {"device_owner": "network:dhcp"},
        {"allowed_address_pairs": [{"ip_address": "10.0.0.1"}]},
        {"port_security_enabled": False},
        {"binding:host_id": "n1"},
    ):
        whole = {"port": {"network_id": network["id"], **body}}
        net.refused("POST", "ports", 403, "PolicyNotAuthorized", by=cloud.stranger, json=whole)
    assert theirs["id"] in [port["id"] for port in net.list("ports")]  # whoever owns the network sees all its ports
    net.refused("PUT", f"networks/{network['id']}", 409, "InvalidSharedSetting", by=cloud.admin,
                json={"network": {"shared": False}})  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "type"),
    [
        ({"fixed_ips": [{"ip_address": "10.0.0.5"}]}, 409, "IpAddressInUse"),
        ({"fixed_ips": [{"ip_address": "10.0.0.0"}]}, 400, "InvalidIpForSubnet"),
        ({"fixed_ips": [{"ip_address": "10.0.0.255"}]}, 400, "InvalidIpForSubnet"),
        ({"fixed_ips": [{"ip_address": "10.9.0.1"}]}, 400, "InvalidIpForNetwork"),
        ({"fixed_ips": [{"ip_address": "somewhere"}]}, 400, "HTTPBadRequest"),
        ({"fixed_ips": [{}]}, 400, "InvalidInput"),
        ({"fixed_ips": [{"subnet_id": "no-such-subnet"}]}, 400, "InvalidInput"),
        ({"fixed_ips": [{"ip_address": "10.0.0.9"}, {"ip_address": "10.0.0.9"}]}, 400, "HTTPBadRequest"),
        ({"fixed_ips": [{"ip_address": f"10.0.0.{n}"} for n in range(10, 16)]}, 400, "InvalidInput"),
        ({"fixed_ips": "10.0.0.9"}, 400, "HTTPBadRequest"),
        ({"fixed_ips": [{"address": "10.0.0.9"}]}, 400, "HTTPBadRequest"),
        ({"mac_address": "fa:16:3e:00:00:05"}, 409, "MacAddressInUse"),
        ({"mac_address": "fa:16:3e:00:00"}, 400, "HTTPBadRequest"),
        ({"mac_address": "01:00:5e:00:00:01"}, 400, "HTTPBadRequest"),  # multicast
        ({"mac_address": "00:00:00:00:00:00"}, 400, "HTTPBadRequest"),
        ({"security_groups": ["no-such-group"]}, 404, "SecurityGroupNotFound"),
        ({"security_groups": "default"}, 400, "HTTPBadRequest"),
        ({"port_security_enabled": False, "allowed_address_pairs": [{"ip_address": "10.0.0.1"}]}, 409,
         "AddressPairAndPortSecurityRequired"),
        ({"allowed_address_pairs": [{"ip_address": "x"}]}, 400, "HTTPBadRequest"),
        ({"allowed_address_pairs": [{"ip_address": "10.0.0.1"}, {"ip_address": "10.0.0.1"}]}, 400,
         "DuplicateAddressPairInRequest"),
        ({"allowed_address_pairs": [{"ip_address": f"10.0.0.{n}"} for n in range(11)]}, 400,
         "AllowedAddressPairExhausted"),
        ({"allowed_address_pairs": [{"mac_address": "fa:16:3e:00:00:01"}]}, 400, "HTTPBadRequest"),
        ({"extra_dhcp_opts": [{"opt_value": "1"}]}, 400, "HTTPBadRequest"),
        ({"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1", "ip_version": 5}]}, 400, "HTTPBadRequest"),
        ({"extra_dhcp_opts": [{"opt_name": f"{n}", "opt_value": "1"} for n in range(65)]}, 400, "HTTPBadRequest"),
        ({"tags": [f"{n}" for n in range(51)]}, 400, "HTTPBadRequest"),
        ({"binding:host_id": "n1"}, 403, "PolicyNotAuthorized"),
        ({"binding:vnic_type": "direct"}, 400, "HTTPBadRequest"),
        ({"dns_name": "not a name"}, 400, "HTTPBadRequest"),
        ({"name": "x" * 256}, 400, "HTTPBadRequest"),
        ({"name": 5}, 400, "HTTPBadRequest"),
        ({"admin_state_up": "perhaps"}, 400, "HTTPBadRequest"),
        ({"colour": "red"}, 400, "HTTPBadRequest"),
        ({"network_id": "no-such-network"}, 404, "NetworkNotFound"),
        ({"network_id": None}, 400, "HTTPBadRequest"),
        ({"tenant_id": "somebody-else"}, 400, "HTTPBadRequest"),
        ({"status": "ACTIVE"}, 400, "HTTPBadRequest"),
        ({"id": "mine"}, 400, "HTTPBadRequest"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_changes_nothing(
    cloud: Cloud, net: Net, body: dict[str, object], status: int, type: str
) -> None:
    network = net.network()
    net.subnet(network)
    net.port(network, fixed_ips=[{"ip_address": "10.0.0.5"}], mac_address="fa:16:3e:00:00:05")
    before = net.list("ports", by=cloud.admin)
    net.refused("POST", "ports", status, type, json={"port": {"network_id": network["id"], **body}})
    assert net.list("ports", by=cloud.admin) == before


def test_the_networks_own_ports_go_with_their_owner_only(net: Net) -> None:
    network = net.network()
    net.subnet(network)
    [metadata] = net.list("ports", "device_owner=network:distributed")
    net.refused("DELETE", f"ports/{metadata['id']}", 409, "ServicePortInUse")


def test_ports_are_found_by_how_they_got_their_addresses(net: Net) -> None:
    network = net.network()
    net.subnet(network, enable_dhcp=False)
    bare, full = net.port(network, fixed_ips=[])["id"], net.port(network)["id"]
    for allocation, id in (("none", bare), ("immediate", full)):
        assert [one["id"] for one in net.list("ports", f"ip_allocation={allocation}")] == [id]
    assert [one["id"] for one in net.list("ports", "sort_key=ip_allocation&sort_dir=desc")] == [bare, full]
    assert net.list("ports", "ip_allocation=deferred") == []


def test_dhcp_tells_no_way_to_a_metadata_port_that_is_somebody_else_s_now(cloud: Cloud, net: Net) -> None:
    network = net.network()
    subnet = net.subnet(network)

    def told() -> bool:
        cloud.settle()
        options = cloud.north.table["DHCP_Options", subnet["id"]].columns["options"]
        return "169.254.169.254" in options.get("classless_static_route", "")

    [port] = net.list("ports", f"network_id={network['id']}&device_owner=network:distributed")
    assert told()
    net.update("port", port["id"], by=cloud.admin, device_owner="compute:nova")
    assert not told()
