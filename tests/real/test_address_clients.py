"""The unmodified ``openstack`` client: address scopes, pools, subnets cut from them, floating IPv6, segments, BGP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from wolke.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
Client = Callable[..., Any]


@pytest.fixture
def later() -> Iterator[ExitStack]:
    """What is called afterwards, in the opposite order."""
    with ExitStack() as stack:
        yield stack


def test_scopes_pools_and_subnets(lab: Lab, openstack: Client, later: ExitStack) -> None:
    def made(*words: str, gone: str, cloud: str = "admin") -> Any:
        shown = openstack(*words, cloud=cloud)
        later.callback(openstack, *gone.split(), shown["id"], cloud=cloud)
        return shown

    scope = made("address", "scope", "create", "world6", "--ip-version", "6", "--share", gone="address scope delete")
    assert scope["ip_version"] == 6 and scope["shared"] is True
    openstack("address", "scope", "set", "--name", "earth6", scope["id"])
    assert openstack("address", "scope", "show", "earth6")["id"] == scope["id"]
    assert [one["ID"] for one in openstack("address", "scope", "list", "--ip-version", "6")] == [scope["id"]]
    pool = made(
        "subnet", "pool", "create", "routed", "--pool-prefix", "2001:db8:a000::/40", "--default-prefix-length", "64",
        "--address-scope", "earth6", "--share", "--default", gone="subnet pool delete",
    )  # fmt: skip
    assert pool["address_scope_id"] == scope["id"] and pool["is_default"] is True
    openstack("subnet", "pool", "set", "--no-address-scope", pool["id"])
    openstack("subnet", "pool", "set", "--pool-prefix", "2001:db8:b000::/40", pool["id"])
    shown = openstack("subnet", "pool", "show", pool["id"])
    assert (shown["address_scope_id"] is None and len(shown["prefixes"]) == 2) or "2001:db8:a000::/39" in shown[
        "prefixes"
    ]
    cut = {}
    slaac = ["--ipv6-ra-mode", "slaac", "--ipv6-address-mode", "slaac"]
    for name, how in (
        ("named", ["--subnet-pool", pool["id"]]),
        ("default", ["--use-default-subnet-pool"]),
        ("delegated", ["--use-prefix-delegation"]),
    ):
        network = made("network", "create", name, gone="network delete", cloud="demo")
        words = ["subnet", "create", name, "--network", network["id"], "--ip-version", "6", *how, *slaac]
        cut[name] = openstack(*words, cloud="demo")
    assert {one["subnetpool_id"] for one in cut.values()} == {pool["id"]}
    assert len({one["cidr"] for one in cut.values()}) == 3
    quota = openstack("quota", "show", "demo", "--network")
    assert {one["Resource"]: one["Limit"] for one in quota}["routed_prefix"] == 10 if isinstance(quota, list) else True
    openstack("quota", "set", "--subnets", "50", "demo")
    openstack("ip", "availability", "show", openstack("network", "show", "named", cloud="demo")["id"])
    assert openstack("network", "segment", "list", "--network", "named")


def test_floating_ipv6(lab: Lab, openstack: Client, later: ExitStack) -> None:
    router = openstack("router", "create", "edge6", "--external-gateway", "public", cloud="demo")
    later.callback(openstack, "router", "delete", router["id"], cloud="demo")
    network = openstack("network", "create", "edge6", cloud="demo")
    later.callback(openstack, "network", "delete", network["id"], cloud="demo")
    subnet = openstack(
        "subnet", "create", "edge6", "--network", network["id"], "--ip-version", "6", "--subnet-range", "fd00:77::/64",
        "--ipv6-ra-mode", "slaac", "--ipv6-address-mode", "slaac", cloud="demo",
    )  # fmt: skip
    openstack("router", "add", "subnet", router["id"], subnet["id"], cloud="demo")
    later.callback(openstack, "router", "remove", "subnet", router["id"], subnet["id"], cloud="demo")
    port = openstack("port", "create", "edge6", "--network", network["id"], cloud="demo")
    later.callback(openstack, "port", "delete", port["id"], cloud="demo")
    fixed = port["fixed_ips"][0]["ip_address"]
    floating = openstack(
        "floating", "ip", "create", "public", "--port", port["id"], "--fixed-ip-address", fixed, cloud="demo"
    )
    later.callback(openstack, "floating", "ip", "delete", floating["id"], cloud="demo")
    assert ":" in floating["floating_ip_address"] and floating["fixed_ip_address"].startswith("fd00:77::")


def test_bgp(lab: Lab, openstack: Client, later: ExitStack) -> None:
    speaker = openstack("bgp", "speaker", "create", "edge", "--local-as", "4200000007", "--ip-version", "6")
    later.callback(openstack, "bgp", "speaker", "delete", speaker["id"])
    peer = openstack(
        "bgp", "peer", "create", "tor", "--peer-ip", "2001:db8::fe", "--remote-as", "64520", "--auth-type", "md5",
        "--password", "sesame",
    )  # fmt: skip
    later.callback(openstack, "bgp", "peer", "delete", peer["id"])
    openstack("bgp", "speaker", "add", "peer", "edge", "tor")
    openstack("bgp", "speaker", "add", "network", "edge", "public")
    shown = openstack("bgp", "speaker", "show", "edge")
    assert shown["peers"] == [peer["id"]] and len(shown["networks"]) == 1
    openstack("bgp", "speaker", "set", "--no-advertise-tenant-networks", "edge")
    assert openstack("bgp", "speaker", "list", "advertised", "routes", "edge") == []
    openstack("bgp", "peer", "set", "--name", "leaf", "tor")
    assert [one["Name"] for one in openstack("bgp", "peer", "list")] == ["leaf"]
    openstack("bgp", "speaker", "remove", "network", "edge", "public")
    openstack("bgp", "speaker", "remove", "peer", "edge", "leaf")
