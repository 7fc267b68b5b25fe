"""What a port may have beside addresses and groups: bindings, learnt MACs, pairs, DHCP options, a monitor's word."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.conftest import PERSONAS, RED, Cloud, persona
from tests.network.conftest import BASE, Net
from wolke.network.ports.dhcp import OPTIONS


def lsp(cloud: Cloud, port: Any) -> Any:
    cloud.settle()
    return cloud.north.table["Logical_Switch_Port", port["id"]].columns


# Bindings ------------------------------------------------------------------------------------------------------------
class Bindings:
    """The bindings of one port, as the cloud's own service."""

    def __init__(self, cloud: Cloud, port: Any) -> None:
        self.by, self.path = cloud.client("service"), f"{BASE}/ports/{port['id']}/bindings"

    def send(self, method: str, path: str = "", code: int = 200, *, by: TestClient | None = None, **body: Any) -> Any:
        more = {"json": {"binding": body}} if body else {}
        answer = (by or self.by).request(method, f"{self.path}{path}", **more)
        assert answer.status_code == code, answer.text
        return answer.json() if answer.content else None

    def hosts(self) -> dict[str, str]:
        return {one["host"]: one["status"] for one in self.send("GET")["bindings"]}


def test_a_port_is_made_ready_for_another_host_and_moves(cloud: Cloud, net: Net) -> None:
    port = net.port(net.network())
    bindings = Bindings(cloud, port)
    assert bindings.hosts() == {}
    first = bindings.send("POST", code=201, host="h1")["binding"]
    assert (first["status"], first["vif_type"], first["vnic_type"]) == ("ACTIVE", "ovs", "normal")
    assert lsp(cloud, port)["options"] == {"requested-chassis": "h1"}
    second = bindings.send("POST", code=201, host="h2", profile={"migrating_to": "h2"})["binding"]
    assert (second["status"], second["profile"]) == ("INACTIVE", {"migrating_to": "h2"})
    assert lsp(cloud, port)["options"] == {"requested-chassis": "h1,h2", "activation-strategy": "rarp"}
    assert net.show("port", port["id"], by=cloud.admin)["binding:host_id"] == "h1"
    activated = bindings.send("PUT", "/h2/activate")
    assert (activated["host"], activated["status"]) == ("h2", "ACTIVE")
    assert bindings.hosts() == {"h2": "ACTIVE", "h1": "INACTIVE"}
    shown = net.show("port", port["id"], by=cloud.admin)
    assert (shown["binding:host_id"], shown["binding:profile"]) == ("h2", {"migrating_to": "h2"})
    bindings.send("DELETE", "/h1", 204)
    assert lsp(cloud, port)["options"] == {"requested-chassis": "h2"}
    assert bindings.send("PUT", "/h2", profile={"a": 1})["binding"]["profile"] == {"a": 1}
    assert bindings.send("GET", "/h2")["binding"]["status"] == "ACTIVE"
    bindings.send("DELETE", "/h2", 204)
    assert bindings.hosts() == {} and lsp(cloud, port)["options"] == {}


def test_bindings_are_the_operators_and_go_with_their_port(cloud: Cloud, net: Net) -> None:
    port = net.port(net.network())
    bindings = Bindings(cloud, port)
    for host in ("h1", "h2"):
        bindings.send("POST", code=201, by=cloud.admin, host=host)
    for by, status in ((cloud.member, 403), (cloud.reader, 403), (cloud.stranger, 404)):
        bindings.send("GET", code=status, by=by)
        bindings.send("POST", code=status, by=by, host="h3")
        bindings.send("PUT", "/h2/activate", status, by=by)
        bindings.send("DELETE", "/h2", status, by=by)
    assert bindings.hosts() == {"h1": "ACTIVE", "h2": "INACTIVE"}
    net.delete("port", port["id"])
    bindings.send("GET", code=404)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "", {"host": ""}, 400),
        ("POST", "", {"host": "h" * 256}, 400),
        ("POST", "", {"vnic_type": "normal"}, 400),
        ("POST", "", {"host": "h3", "vnic_type": "direct"}, 400),
        ("POST", "", {"host": "h3", "profile": "fast"}, 400),
        ("POST", "", {"host": "h3", "status": "ACTIVE"}, 400),
        ("POST", "", {"host": "h1"}, 409),
        ("POST", "", {"host": "h2"}, 409),
        ("PUT", "/h1/activate", {}, 409),
        ("PUT", "/h3/activate", {}, 404),
        ("PUT", "/h3", {"profile": {}}, 404),
        ("PUT", "/h2", {"host": "h3"}, 400),
        ("PUT", "/h2", {"vnic_type": "macvtap"}, 400),
        ("DELETE", "/h3", {}, 404),
        ("GET", "/h3", {}, 404),
        ("GET", "?colour=red", {}, 400),
    ],
)
def test_bindings_that_cannot_be(
    cloud: Cloud, net: Net, method: str, path: str, body: dict[str, Any], status: int
) -> None:
    bindings = Bindings(cloud, net.port(net.network()))
    for host in ("h1", "h2"):
        bindings.send("POST", code=201, host=host)
    bindings.send(method, path, status, **body)
    assert bindings.hosts() == {"h1": "ACTIVE", "h2": "INACTIVE"}


# Learning, security, MACs --------------------------------------------------------------------------------------------
def test_macs_are_learnt_where_port_security_is_off_unless_told_otherwise(cloud: Cloud, net: Net) -> None:
    network = net.network()
    secure, free = net.port(network), net.port(network, port_security_enabled=False)
    assert (secure["mac_learning_enabled"], free["mac_learning_enabled"]) == (False, True)
    assert "unknown" in lsp(cloud, free)["addresses"] and "unknown" not in lsp(cloud, secure)["addresses"]
    assert net.update("port", free["id"], mac_learning_enabled=False)["mac_learning_enabled"] is False
    assert lsp(cloud, free)["addresses"] == {free["mac_address"]}
    assert [port["id"] for port in net.list("ports", "mac_learning_enabled=true")] == []
    net.update("port", free["id"], mac_learning_enabled=None)
    assert [port["id"] for port in net.list("ports", "mac_learning_enabled=true")] == [free["id"]]
    body = {"port": {"mac_learning_enabled": True}}
    net.refused("PUT", f"ports/{secure['id']}", 409, "MacLearningNeedsNoPortSecurity", json=body)
    body = {"port": {"network_id": network["id"], "mac_learning_enabled": True}}
    net.refused("POST", "ports", 409, "MacLearningNeedsNoPortSecurity", json=body)
    net.update("port", free["id"], mac_learning_enabled=True)
    assert net.update("port", free["id"], port_security_enabled=True)["mac_learning_enabled"] is False


def test_a_new_mac_is_drawn_on_request(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network, "2001:db8:1::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    port = net.port(network, mac_address=None)
    after = net.update("port", port["id"], by=cloud.admin, mac_address=None)
    assert after["mac_address"] != port["mac_address"] and after["mac_address"].startswith("fa:16:3e:")
    assert after["fixed_ips"] != port["fixed_ips"]
    net.refused("PUT", f"ports/{port['id']}", 403, "PolicyNotAuthorized", json={"port": {"mac_address": None}})


def test_pairs_of_both_versions(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network)
    pairs = [
        {"ip_address": "0.0.0.0/0"},
        {"ip_address": "2001:DB8::/32"},
        {"ip_address": "fe80::1", "mac_address": "00-00-5E-00-02-01"},
    ]
    port = net.port(network, allowed_address_pairs=pairs)
    mac = port["mac_address"]
    assert port["allowed_address_pairs"] == [
        {"ip_address": "0.0.0.0/0", "mac_address": mac},
        {"ip_address": "2001:db8::/32", "mac_address": mac},
        {"ip_address": "fe80::1", "mac_address": "00:00:5e:00:02:01"},
    ]
    [fixed] = port["fixed_ips"]
    own = f"{mac} {fixed['ip_address']} 0.0.0.0/0 2001:db8::/32"
    assert lsp(cloud, port)["port_security"] == {own, "00:00:5e:00:02:01 fe80::1"}


def test_a_monitor_says_how_the_hosts_network_is(cloud: Cloud, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = persona("monitor", RED, "member", "reader", "data_plane_integrator")
    monkeypatch.setitem(PERSONAS, "monitor", monitor)
    port = net.port(net.network())
    assert port["data_plane_status"] is None
    for by in (cloud.client("monitor"), cloud.admin):
        for said in ("DOWN", "ACTIVE", None):
            assert net.update("port", port["id"], by=by, data_plane_status=said)["data_plane_status"] == said
    path, body = f"ports/{port['id']}", {"port": {"data_plane_status": "DOWN"}}
    net.refused("PUT", path, 403, "PolicyNotAuthorized", json=body)
    body["port"]["data_plane_status"] = "perhaps"
    net.refused("PUT", path, 400, "HTTPBadRequest", by=cloud.admin, json=body)


def test_many_ports_at_once_in_order_or_none(net: Net) -> None:
    network = net.network()
    net.subnet(network)
    wanted = [{"network_id": network["id"], "name": f"p{n}", "tags": [f"t{n}"]} for n in range(8)]
    made = net.send("POST", "ports", json={"ports": wanted}).json()["ports"]
    assert [(port["name"], port["tags"]) for port in made] == [(f"p{n}", [f"t{n}"]) for n in range(8)]
    assert len({port["mac_address"] for port in made}) == 8
    before = net.list("ports")
    wanted[5]["fixed_ips"] = [{"ip_address": made[0]["fixed_ips"][0]["ip_address"]}]  # type: ignore[assignment]
    net.refused("POST", "ports", 409, "IpAddressInUse", json={"ports": wanted})
    assert net.list("ports") == before


def test_empty_strings_are_values_to_filter_by(net: Net) -> None:
    network = net.network()
    nameless, named = net.port(network), net.port(network, name="x", device_id="d", description="words")
    for field in ("name", "device_id", "description"):
        assert [port["id"] for port in net.list("ports", f"{field}=")] == [nameless["id"]]
    assert [port["id"] for port in net.list("ports", "name=x")] == [named["id"]]


# DHCP ----------------------------------------------------------------------------------------------------------------
VALUES = {  # one good value for each way a value is read
    "address": "10.0.0.9", "boot_server": "10.0.0.7",
    "addresses": "10.0.0.8,10.0.0.9", "flag": "1", "words": "pxe/boot.0", "host": "boot.example", "read": "100",
    "domains": "a.example,b.example", "routes": "10.1.0.0/16,10.0.0.9",
}  # fmt: skip


@pytest.mark.parametrize("version", [4, 6])
def test_every_option_that_ovn_knows(cloud: Cloud, net: Net, version: int) -> None:
    network = net.network()
    modes = {"ipv6_ra_mode": "dhcpv6-stateful", "ipv6_address_mode": "dhcpv6-stateful"} if version == 6 else {}
    subnet = net.subnet(network, "2001:db8:1::/64" if version == 6 else "10.0.0.0/24", **modes)
    names = {ovn: spelt for spelt, (ovn, _) in reversed(OPTIONS[version].items()) if not spelt.isdigit()}

    def value(spelt: str) -> str:
        found = VALUES[OPTIONS[version][spelt][1].__name__]
        return "2001:db8:1::8,2001:db8:1::9" if version == 6 and found.startswith("10.") else found

    options = [{"opt_name": name, "opt_value": value(name), "ip_version": version} for name in names.values()]
    port = net.port(network, extra_dhcp_opts=options)
    assert port["extra_dhcp_opts"] == options
    cloud.settle()
    told = cloud.north.table["DHCP_Options", f"{subnet['id']} {port['id']}"].columns["options"]
    assert told.keys() >= names.keys()
    if version == 4:
        assert (told["dns_server"], told["bootfile_name"]) == ("{10.0.0.8, 10.0.0.9}", '"pxe/boot.0"')
        assert (told["domain_search_list"], told["mtu"]) == ('"a.example,b.example"', "100")
        assert told["classless_static_route"] == "{10.1.0.0/16,10.0.0.9}"


def test_dhcp_may_be_off_for_one_port(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network)
    port = net.port(network, extra_dhcp_opts=[{"opt_name": "dhcp_disabled", "opt_value": "true"}])
    assert lsp(cloud, port)["dhcpv4_options"] is None


@pytest.mark.parametrize(
    ("name", "value", "version"),
    [
        ("colour", "red", 4),
        ("router", "10.0.0.1", 6),
        ("router", "2001:db8::1", 4),
        ("router", "somewhere", 4),
        ("dns-server", "10.0.0.1", 6),
        ("dns-server", "10.0.0.1,", 4),
        ("dns-server", "10.0.0.1; drop", 4),
        ("mtu", "67", 4),
        ("mtu", "65536", 4),
        ("mtu", "1e3", 4),
        ("mtu", "", 4),
        ("lease-time", "-1", 4),
        ("T1", "5", 4),
        ("default-ttl", "256", 4),
        ("ip-forward-enable", "maybe", 4),
        ("netmask", "10.0.0.1,10.0.0.2", 4),
        ("bootfile-name", 'x"; next; /* ', 4),
        ("bootfile-name", "back\\slash", 4),
        ("bootfile-name", "new\nline", 4),
        ("domain-name", "", 4),
        ("domain-search", "a b", 4),
        ("domain-search", "ex ample", 6),
        ("classless-static-route", "10.0.0.0/8", 4),
        ("classless-static-route", "10.0.0.1/8,10.0.0.1", 4),
        ("classless-static-route", "10.0.0.0/8,2001:db8::1", 4),
        ("server-id", "me", 4),
        ("ia-addr", "2001:db8::1", 6),
        ("dhcp_disabled", "perhaps", 4),
        ("0", "1", 4),
    ],
)
def test_options_that_nobody_could_tell(net: Net, name: str, value: str, version: int) -> None:
    port = net.port(net.network())
    body = {"port": {"extra_dhcp_opts": [{"opt_name": name, "opt_value": value, "ip_version": version}]}}
    message = net.refused("PUT", f"ports/{port['id']}", 400, "HTTPBadRequest", json=body)
    assert "extra_dhcp_opts" in message and name in message
    assert net.show("port", port["id"]) == port


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"allowed_address_pairs": [{"ip_address": "224.0.0.1"}]}, 400),
        ({"allowed_address_pairs": [{"ip_address": "ff02::1"}]}, 400),
        ({"allowed_address_pairs": [{"ip_address": "239.0.0.0/8"}]}, 400),
        ({"allowed_address_pairs": [{"ip_address": "10.0.0.1", "mac_address": "01:00:5e:00:00:01"}]}, 400),
        ({"allowed_address_pairs": [{"ip_address": "10.0.0.1", "mac_address": "x"}]}, 400),
        ({"allowed_address_pairs": [{"ip_address": "10.0.0.0/33"}]}, 400),
        ({"allowed_address_pairs": {"ip_address": "10.0.0.1"}}, 400),
        ({"mac_learning_enabled": "perhaps"}, 400),
        ({"port_security_enabled": None}, 400),
        ({"binding:vnic_type": "baremetal"}, 400),
        ({"binding:vnic_type": 5}, 400),
        ({"data_plane_status": "ACTIVE"}, 400),  # of a port that is there
        ({"propagate_uplink_status": True}, 400),  # nothing here has an uplink of its own
        ({"numa_affinity_policy": "required"}, 400),
        ({"hints": {}}, 400),
        ({"trusted": True}, 400),
        ({"device_profile": "gpu"}, 400),
    ],
)
def test_ports_that_cannot_be(net: Net, body: dict[str, Any], status: int) -> None:
    network = net.network()
    before = net.list("ports")
    answer = net.send("POST", "ports", json={"port": {"network_id": network["id"], **body}})
    assert answer.status_code == status and next(iter(body)) in answer.text, answer.text
    assert net.list("ports") == before


def test_pages_end_where_neutrons_do(net: Net) -> None:
    network = net.network()
    ids = sorted(net.port(network)["id"] for _ in range(3))
    answer = net.send("GET", "ports?limit=0").json()
    assert sorted(port["id"] for port in answer["ports"]) == ids and "ports_links" not in answer, "no pages"
    beyond = net.send("GET", f"ports?limit=2&sort_key=id&marker={ids[-1]}").json()
    assert beyond["ports"] == [] and [link["rel"] for link in beyond["ports_links"]] == ["previous"]
    back = net.send("GET", beyond["ports_links"][0]["href"].partition("/v2.0/")[2]).json()
    assert [port["id"] for port in back["ports"]] == ids[1:]
