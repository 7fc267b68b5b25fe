"""Names of ports: what they may be, the domain that they stand in, and the records that OVN answers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net
from wolke.network import facts


def records(cloud: Cloud, port: Any) -> dict[str, str]:
    cloud.settle()
    row = cloud.north.table.get(("DNS", port["id"]))
    return dict(row.columns["records"]) if row else {}


def named(net: Net, network: Any, **more: Any) -> Any:
    fixed = {"fixed_ips": [{"ip_address": "10.0.0.5"}]}
    return net.port(network, **{"dns_name": "web", "device_id": "server", **fixed, **more})


def test_the_domain_is_the_ports_or_the_networks_or_the_clouds(cloud: Cloud, net: Net) -> None:
    network = net.network()
    subnet = net.subnet(network)
    port = named(net, network)

    def domain() -> str:
        shown = net.show("port", port["id"])
        [about] = shown["dns_assignment"]
        found = about["fqdn"].removeprefix("web.").removesuffix(".")
        back = "5.0.0.10.in-addr.arpa"
        assert records(cloud, port) == {"web": "10.0.0.5", f"web.{found}": "10.0.0.5", back: f"web.{found}"}
        told = cloud.north.table["DHCP_Options", subnet["id"]].columns["options"]["domain_name"]
        assert told == f'"{net.show("network", network["id"])["dns_domain"].rstrip(".") or "cloud.internal"}"'
        return str(found)

    assert domain() == "cloud.internal"
    assert net.update("network", network["id"], dns_domain="Red.Example.")["dns_domain"] == "red.example."
    assert domain() == "red.example"
    assert net.update("port", port["id"], dns_domain="web.example.")["dns_domain"] == "web.example."
    assert domain() == "web.example"
    net.update("port", port["id"], dns_domain="")
    net.update("network", network["id"], dns_domain="")
    assert domain() == "cloud.internal"


def test_on_another_s_network_a_name_stands_below_the_network_s_domain_only(cloud: Cloud, net: Net) -> None:
    """OVN answers the network's servers for all names on it: a guest of the network's would be whoever he says he is."""
    network = net.network(by=cloud.admin, shared=True, dns_domain="common.example.")
    net.subnet(network, by=cloud.admin)
    more = {"by": cloud.stranger, "device_id": "server"}
    one = net.port(network, dns_name="www.bank.example", **more)
    two = net.port(network, dns_name="www", dns_domain="bank.example.", **more)
    assert {name for name in records(cloud, one) if "arpa" not in name} == {"www.bank.example.common.example"}
    assert {name for name in records(cloud, two) if "arpa" not in name} == {"www", "www.common.example"}
    assert {about["fqdn"] for about in two["dns_assignment"]} == {"www.common.example."}
    own = net.network(by=cloud.stranger)
    net.subnet(own, by=cloud.stranger)
    assert "www.bank.example" in records(cloud, net.port(own, dns_name="www.bank.example", **more))


def test_a_name_changes_and_goes(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network)
    port = named(net, network)
    assert "web" in records(cloud, port)
    net.update("port", port["id"], dns_name="Shop")
    assert records(cloud, port).keys() == {"shop", "shop.cloud.internal", "5.0.0.10.in-addr.arpa"}
    net.update("port", port["id"], fixed_ips=[{"ip_address": "10.0.0.6"}])
    assert records(cloud, port)["shop"] == "10.0.0.6"
    net.update("port", port["id"], device_id="")
    assert records(cloud, port) == {}
    net.update("port", port["id"], device_id="server")
    net.update("port", port["id"], dns_name="")
    assert records(cloud, port) == {}
    assert net.show("port", port["id"])["dns_assignment"][0]["hostname"] == "host-10-0-0-6"


def test_a_lent_port_gives_its_servers_name_back(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network)
    lent, own = named(net, network), named(net, network, dns_name="mine", fixed_ips=[])
    with cloud.app.database.transaction() as db:
        ids = (lent["id"], own["id"])
        facts.release(db, dict.fromkeys(ids, False), dict.fromkeys(ids, "web"))
    assert records(cloud, lent) == {}
    assert [net.show("port", port["id"])["dns_name"] for port in (lent, own)] == ["", "mine"]


def test_both_versions_have_the_name(cloud: Cloud, net: Net) -> None:
    network = net.network(dns_domain="red.example.")
    net.subnet(network)
    net.subnet(network, "2001:db8:1::/64")
    port = named(net, network, fixed_ips=[{"ip_address": "10.0.0.5"}, {"ip_address": "2001:db8:1::5"}])
    found = records(cloud, port)
    assert found["web"] == found["web.red.example"] == "10.0.0.5 2001:db8:1::5"
    assert found[f"5.{'0.' * 19}1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"] == "web.red.example"


def test_the_same_name_in_several_networks(cloud: Cloud, net: Net) -> None:
    ports = []
    for _ in range(2):
        network = net.network()
        net.subnet(network)
        ports.append(named(net, network))
    cloud.settle()
    parents = [cloud.north.table["DNS", port["id"]].parents for port in ports]
    assert parents == [{("Logical_Switch", port["network_id"], "dns_records")} for port in ports]


def test_a_full_name_is_kept_below_its_domain(net: Net) -> None:
    network = net.network(dns_domain="red.example.")
    net.subnet(network)
    assert named(net, network, dns_name="a.b.red.example.")["dns_assignment"][0]["fqdn"] == "a.b.red.example."
    assert net.port(network, dns_name="A-1.b")["dns_name"] == "a-1.b"


@pytest.mark.parametrize(
    "body",
    [
        {"dns_name": "-web"},
        {"dns_name": "web-"},
        {"dns_name": "web..shop"},
        {"dns_name": "we b"},
        {"dns_name": "x" * 64},
        {"dns_name": ".".join(["x" * 60] * 5)},
        {"dns_name": "web.8"},
        {"dns_name": "web.somewhere.else."},
        {"dns_name": "cloud.internal."},
        {"dns_name": 'web" ; drop'},
        {"dns_name": 5},
        {"dns_name": None},
        {"dns_domain": "no.dot"},
        {"dns_domain": "two..dots."},
        {"dns_domain": "."},
        {"dns_domain": "under_score."},
        {"dns_domain": f"{'x' * 64}."},
    ],
)
def test_what_is_no_name_is_refused(net: Net, body: dict[str, Any]) -> None:
    network = net.network()
    port = net.port(network)
    field = next(iter(body))
    message = net.refused("PUT", f"ports/{port['id']}", 400, "HTTPBadRequest", json={"port": body})
    assert field in message
    whole = {"port": {"network_id": network["id"], **body}}
    assert field in net.refused("POST", "ports", 400, "HTTPBadRequest", json=whole)
    if field == "dns_domain":
        assert field in net.refused("POST", "networks", 400, "HTTPBadRequest", json={"network": body})
        assert field in net.refused("PUT", f"networks/{network['id']}", 400, "HTTPBadRequest", json={"network": body})
    assert net.show("port", port["id"]) == port
