"""What this API makes of OVN is what a real northbound database takes and gives back unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cloud
from tests.drivers.ovsdb_server import OVN, OvsdbServer
from tests.network.conftest import Net
from wolke.core.work import Done, Item
from wolke.drivers.ovn.northbound import Northbound
from wolke.network.lane import KINDS, Reconciler, Site, drift


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Northbound]:
    server = OvsdbServer(tmp_path, OVN / "ovn-nb.ovsschema")
    server.start()
    made = Northbound(server.remote, patience=20)
    made.start()
    yield made
    made.close()
    server.kill()


def a_bit_of_everything(cloud: Cloud, net: Net) -> None:
    outside = net.network(by=cloud.admin, name="outside", **{
        "router:external": True, "provider:network_type": "flat", "provider:physical_network": "public",
    })  # fmt: skip
    net.subnet(outside, "198.51.100.0/24", by=cloud.admin, enable_dhcp=False)
    net.network(by=cloud.admin, name="tagged", **{
        "provider:network_type": "vlan", "provider:physical_network": "public", "provider:segmentation_id": 7,
    })  # fmt: skip
    inside = net.network(name="inside")
    subnet = net.subnet(
        inside, "10.0.0.0/24", dns_nameservers=["198.51.100.53"],
        host_routes=[{"destination": "172.16.0.0/16", "nexthop": "10.0.0.9"}],
    )  # fmt: skip
    for n, mode in enumerate(("slaac", "dhcpv6-stateful", "dhcpv6-stateless")):
        net.subnet(inside, f"2001:db8:{n}::/64", ipv6_ra_mode=mode, ipv6_address_mode=mode)
    options: list[Any] = [
        {"opt_name": "bootfile-name", "opt_value": "pxelinux.0"},
        {"opt_name": "domain-search", "opt_value": "example.org", "ip_version": 6},
    ]
    port = net.port(
        inside, dns_name="web", device_id="s", extra_dhcp_opts=options,
        allowed_address_pairs=[{"ip_address": "10.0.9.0/24", "mac_address": "00:00:5e:00:01:01"}],
    )  # fmt: skip
    net.update("port", port["id"], by=cloud.admin, **{"binding:host_id": "h1"})
    net.port(inside, port_security_enabled=False, admin_state_up=False)
    router = net.create("router", name="r", external_gateway_info={"network_id": outside["id"]})
    attached = net.send("PUT", f"routers/{router['id']}/add_router_interface", json={"subnet_id": subnet["id"]})
    assert attached.status_code == 200, attached.text
    net.create("floatingip", floating_network_id=outside["id"], port_id=port["id"])
    label = net.send("POST", "metering/metering-labels", by=cloud.admin, json={"metering_label": {}}).json()
    rule = {"direction": "egress", "source_ip_prefix": "10.0.0.0/24", "destination_ip_prefix": "192.0.2.0/24"}
    rule["metering_label_id"] = label["metering_label"]["id"]
    net.send("POST", "metering/metering-label-rules", by=cloud.admin, json={"metering_label_rule": rule})
    group = net.create("security_group", name="web")
    net.create(
        "security_group_rule", security_group_id=group["id"], direction="ingress", protocol="tcp",
        port_range_min=80, port_range_max=81, remote_ip_prefix="198.51.100.0/24",
    )  # fmt: skip


def everything(cloud: Cloud) -> list[Item]:
    with cloud.app.database.read() as db:
        return [Item(name, id, 1, 0) for name, one in KINDS.items() for id in one.after(db, "")]


def test_all_rows_are_taken_and_given_back(cloud: Cloud, net: Net, real: Northbound) -> None:
    a_bit_of_everything(cloud, net)
    cloud.settle()  # hosts are known, so that gateways have a place
    site = Site(cloud.app.config, real.has)
    items = everything(cloud)
    results = Reconciler(cloud.app.database, real, site)(items)
    assert {item: result for item, result in results.items() if result != Done()} == {}
    assert [one for chunk in drift(cloud.app.database, real, site) for one in chunk] == []
    tables = {row.table for item in items for row in real.rows(f"{item.kind}/{item.id}")}
    assert tables >= {
        "Logical_Switch", "Logical_Switch_Port", "DHCP_Options", "DNS", "Port_Group", "ACL", "Logical_Router",
        "Logical_Router_Port", "NAT", "Logical_Router_Static_Route",
    }  # fmt: skip
    changes: list[Any] = []
    apply, real.apply = real.apply, changes.extend  # type: ignore[method-assign]
    Reconciler(cloud.app.database, real, site)(items)
    real.apply = apply  # type: ignore[method-assign]
    assert changes == []  # a second look finds nothing to do
