"""The unmodified ``openstack`` command's network group against a real API process, as an operator and a project would use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.flows.conftest import Api

pytestmark = [pytest.mark.flows, pytest.mark.timeout(900)]


def column(rows: list[dict[str, Any]], name: str = "Name") -> set[Any]:
    return {row[name] for row in rows}


@pytest.fixture(scope="module", autouse=True)
def outside(api: Api) -> Iterator[str]:
    """An external network that routers and floating IPs can use."""
    api.openstack("network create --external public")
    words = "subnet create public-v4 --network public --subnet-range 198.51.100.0/24 --gateway 198.51.100.1 --no-dhcp"
    api.openstack(words, "--allocation-pool", "start=198.51.100.10,end=198.51.100.99")
    yield "public"


def test_networks_and_subnets(api: Api) -> None:
    made = api.shown("network create red --description rot --mtu 1300 --tag blau --disable-port-security")
    assert (made["mtu"], made["tags"], made["port_security_enabled"]) == (1300, ["blau"], False)
    api.openstack("network set red --name pink --enable-port-security --tag grün")
    shown = api.shown("network show pink")
    assert (shown["name"], sorted(shown["tags"]), shown["status"]) == ("pink", ["blau", "grün"], "ACTIVE")
    api.openstack("network unset pink --tag blau")
    assert column(api.shown("network list --tags grün")) == {"pink"}
    assert column(api.shown("network list --external")) == {"public"}
    pool = ["--allocation-pool", "start=10.9.0.10,end=10.9.0.20"]
    route = ["--host-route", "destination=192.168.5.0/24,gateway=10.9.0.5"]
    api.openstack("subnet create s4 --network pink --subnet-range 10.9.0.0/24 --dns-nameserver 9.9.9.9", *pool, *route)
    v6 = "--subnet-range fd00:9::/64 --ip-version 6 --ipv6-ra-mode slaac --ipv6-address-mode slaac"
    assert api.shown(f"subnet create s6 --network pink {v6}")["ipv6_ra_mode"] == "slaac"
    api.openstack("subnet set s4 --gateway 10.9.0.2 --no-dhcp --dns-nameserver 149.112.112.112")
    shown = api.shown("subnet show s4")
    assert (shown["gateway_ip"], shown["enable_dhcp"]) == ("10.9.0.2", False)
    assert set(shown["dns_nameservers"]) == {"9.9.9.9", "149.112.112.112"}
    api.openstack("subnet unset s4 --dns-nameserver 9.9.9.9", *route)
    assert api.shown("subnet show s4")["host_routes"] == []
    assert column(api.shown("subnet list --network pink --ip-version 6")) == {"s6"}
    assert api.shown("subnet show public-v4")["router:external"] is True
    [used] = [row for row in api.shown("ip availability list") if row["Network Name"] == "pink"]
    assert used["Total IPs"] > 10 and used["Used IPs"] == 0
    assert used["Total IPs in Allocation Pool"] < used["Total IPs in Subnet"]
    assert api.shown("ip availability show pink")["network_name"] == "pink"
    api.openstack("subnet delete s4 s6")
    api.openstack("network delete pink")
    assert "No Network found" in api.openstack("network show pink", fails=True)


def test_subnet_pools(api: Api) -> None:
    api.openstack("subnet pool create pool --pool-prefix 10.128.0.0/16 --default-prefix-length 26")
    api.openstack("network create pooled")
    assert api.shown("subnet create drawn --network pooled --subnet-pool pool")["cidr"].endswith("/26")
    api.openstack("subnet pool set pool --pool-prefix 10.129.0.0/16 --description more")
    assert len(api.shown("subnet pool show pool")["prefixes"]) >= 1
    assert column(api.shown("subnet pool list")) == {"pool"}
    api.openstack("network delete pooled")
    api.openstack("subnet pool delete pool")


def test_ports(api: Api) -> None:
    api.openstack("network create lan")
    api.openstack(
        "subnet create lan4 --network lan --subnet-range 10.8.0.0/24 --allocation-pool start=10.8.0.100,end=10.8.0.199"
    )
    fixed = ["--fixed-ip", "subnet=lan4,ip-address=10.8.0.50"]
    made = api.shown("port create web --network lan --description site --tag front", *fixed)
    assert made["fixed_ips"] == [{"subnet_id": made["fixed_ips"][0]["subnet_id"], "ip_address": "10.8.0.50"}]
    api.openstack("port set web --disable --allowed-address ip-address=10.8.0.60 --name shop")
    shown = api.shown("port show shop")
    assert shown["admin_state_up"] is False and shown["allowed_address_pairs"][0]["ip_address"] == "10.8.0.60"
    api.openstack("port set shop --no-security-group --no-allowed-address --disable-port-security")
    assert api.shown("port show shop")["security_group_ids"] == []
    assert column(api.shown("port list --network lan --fixed-ip ip-address=10.8.0.50")) == {"shop"}
    assert column(api.shown("port list --tags front")) == {"shop"}
    api.openstack("port unset shop --tag front", "--fixed-ip", "subnet=lan4,ip-address=10.8.0.50")
    shown = api.shown("port show shop")
    assert (shown["tags"], shown["fixed_ips"]) == ([], [])
    api.openstack("port delete shop")
    api.openstack("network delete lan")


def test_security_groups(api: Api) -> None:
    made = api.shown("security group create web --description site --stateless --tag a")
    assert made["stateful"] is False and len(made["rules"]) == 2
    rule = api.shown("security group rule create web --protocol tcp --dst-port 80:90 --remote-ip 10.0.0.0/8")
    assert (rule["port_range_min"], rule["port_range_max"], rule["direction"]) == (80, 90, "ingress")
    api.openstack("security group rule create web --protocol icmp --icmp-type 8 --icmp-code 0")
    api.openstack("security group rule create web --protocol udp --egress --ethertype IPv6 --remote-group web")
    assert "already exists" in api.openstack(
        "security group rule create web --protocol tcp --dst-port 80:90 --remote-ip 10.0.0.0/8", fails=True
    )
    assert len(api.shown("security group rule list web")) == 5
    assert len(api.shown("security group rule list web --protocol tcp")) == 1
    assert api.shown("security group rule show", rule["id"])["id"] == rule["id"]
    api.openstack("security group rule delete", rule["id"])
    api.openstack("security group set web --name shop --description b --stateful")
    api.openstack("security group unset shop --tag a")
    assert api.shown("security group show shop")["tags"] == []
    assert {"shop", "default"} <= column(api.shown("security group list"))
    api.openstack("security group delete shop")


def test_what_new_security_groups_are(api: Api) -> None:
    group = "security group default statefulness"
    api.openstack("project create loose")
    site = api.shown(f"{group} create --stateful")
    made = api.shown(f"{group} create --stateless --project loose")
    assert (site["project_id"], made["stateful"]) == (None, False)
    assert column(api.shown(f"{group} list --project loose"), "ID") == {made["id"]}
    assert api.shown("security group create plain")["stateful"] is True
    assert api.shown("security group create plain --project loose")["stateful"] is False
    api.openstack(f"{group} set {made['id']} --stateful")
    assert api.shown(f"{group} show {made['id']}")["stateful"] is True
    assert "already exists for project" in api.openstack(f"{group} create --stateless --project loose", fails=True)
    api.openstack(f"{group} delete {made['id']} {site['id']}")
    assert api.shown(f"{group} list") == []


def test_routers_and_floating_ips(api: Api) -> None:
    api.openstack("network create inside")
    api.openstack("subnet create in4 --network inside --subnet-range 10.7.0.0/24")
    assert api.shown("router create r --external-gateway public --tag x")["external_gateway_info"]["enable_snat"]
    api.openstack("router add subnet r in4")
    [interface] = api.shown("port list --router r --device-owner network:router_interface")
    assert interface["Fixed IP Addresses"][0]["ip_address"] == "10.7.0.1"
    api.openstack("router add route r", "--route", "destination=192.168.6.0/24,gateway=10.7.0.9")
    api.openstack("router set r --description d", "--route", "destination=192.168.7.0/24,gateway=10.7.0.9")
    assert len(api.shown("router show r")["routes"]) == 2
    api.openstack("router remove route r", "--route", "destination=192.168.6.0/24,gateway=10.7.0.9")
    api.openstack("router unset r", "--route", "destination=192.168.7.0/24,gateway=10.7.0.9")
    api.openstack("router set r --disable-snat --external-gateway public")
    shown = api.shown("router show r")
    assert (shown["routes"], shown["external_gateway_info"]["enable_snat"]) == ([], False)
    port = api.shown("port create server --network inside")["id"]
    other = api.shown("port create other --network inside")["id"]
    floating = api.shown(f"floating ip create public --port {port} --description d --tag t")
    assert floating["fixed_ip_address"] == api.shown(f"port show {port}")["fixed_ips"][0]["ip_address"]
    address = floating["floating_ip_address"]
    api.openstack(f"floating ip set {address} --port {other}")
    assert column(api.shown(f"floating ip list --port {other}"), "Floating IP Address") == {address}
    assert "required by one or more floating IPs" in api.openstack("router unset r --external-gateway", fails=True)
    api.openstack(f"floating ip unset {address} --port --tag t")
    assert api.shown(f"floating ip show {address}")["port_id"] is None
    asked = api.shown("floating ip create public --floating-ip-address 198.51.100.77")
    assert asked["floating_ip_address"] == "198.51.100.77"
    api.openstack(f"floating ip delete {address} 198.51.100.77")
    api.openstack("router unset r --external-gateway")
    api.openstack("router remove subnet r in4")
    api.openstack("router delete r")
    api.openstack("port delete server other")
    api.openstack("network delete inside")


def test_quotas_agents_extensions(api: Api) -> None:
    api.openstack("project create small")
    api.openstack("network create first --project small")
    refused = api.openstack("quota set small --networks 0", fails=True)
    assert "Quota limit 0 for network must be greater than or equal to already used 1" in refused
    api.openstack("quota set small --networks 0 --force")
    api.openstack("network delete first")
    api.openstack("quota set small --networks 3 --floating-ips 1 --secgroup-rules 7")
    shown = {row["Resource"].replace("_", "-"): row["Limit"] for row in api.shown("quota show --network small")}
    assert (shown["networks"], shown["floating-ips"], shown["security-group-rules"]) == (3, 1, 7)
    assert api.shown("network agent list") == []  # no host has joined
    assert {"router", "security-group"} <= column(api.shown("extension list --network"), "Alias")
    assert api.shown("availability zone list --network")
