"""Address scopes with packets: untranslated within one, no way between two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.real.tenants import SERVE, Tenant, ask, pings
from wolke.lab import Lab, wait_for
from wolke.lab.furnish import Api, administrator

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
PING = {"protocol": "icmp"}
OUTSIDE = "198.51.100.254"


def soon(condition: Callable[[], Any]) -> bool:
    return bool(wait_for(condition, 30, every=0.2))


class Operator:
    """Things of an operator's, taken away in the opposite order."""

    def __init__(self, api: Api) -> None:
        self.api, self.made, self.last = api, list[str](), list[Callable[[], None]]()

    def create(self, path: str, kind: str, **body: Any) -> dict[str, Any]:
        reply = self.api.client.post(f"/network/v2.0/{path}", json={kind: body})
        assert reply.is_success, reply.text
        made: dict[str, Any] = reply.json()[kind]
        self.made.append(f"/network/v2.0/{path}/{made['id']}")
        return made

    def put(self, path: str, **body: Any) -> None:
        reply = self.api.client.put(f"/network/v2.0/{path}", json=body)
        assert reply.is_success, reply.text

    def end(self) -> None:
        for call in self.last:
            call()
        for path in reversed(self.made):
            reply = self.api.client.delete(path)
            assert reply.is_success, f"{path}: {reply.text}"


@pytest.fixture
def operator(lab: Lab) -> Iterator[Operator]:
    made = Operator(administrator(lab))
    yield made
    made.end()


@pytest.fixture
def tenant(operator: Operator, tenant: Callable[[str], Tenant]) -> Callable[[str], Tenant]:
    """Projects; they end before the operator's pools do."""
    return tenant


def drawn(project: Tenant, pool: dict[str, Any]) -> dict[str, Any]:
    network = project.create("network", name=pool["name"])
    subnet = project.create("subnet", network_id=network["id"], ip_version=4, subnetpool_id=pool["id"])
    return network | {"subnets": [subnet["id"]], "cidr": subnet["cidr"]}


def test_within_a_scope_nothing_is_translated_and_between_two_nothing_passes(
    lab: Lab, operator: Operator, tenant: Callable[[str], Tenant]
) -> None:
    world = operator.create("address-scopes", "address_scope", name="world", ip_version=4, shared=True)
    inner = operator.create("address-scopes", "address_scope", name="inner", ip_version=4, shared=True)

    def pool(name: str, prefix: str, scope: dict[str, Any] | None, length: int) -> dict[str, Any]:
        return operator.create(
            "subnetpools", "subnetpool", name=name, prefixes=[prefix], default_prefixlen=length, shared=True,
            address_scope_id=scope["id"] if scope else None,
        )  # fmt: skip

    # the public network's own subnet is taken into a pool of the scope
    outer = pool("outer", "198.51.103.0/24", world, 24)
    red = tenant("red")
    operator.put(f"subnetpools/{outer['id']}/onboard_network_subnets", network_id=red.public["id"])
    operator.made.remove(f"/network/v2.0/subnetpools/{outer['id']}")  # it has an allocation from now on
    operator.last.append(lambda: operator.put(f"subnetpools/{outer['id']}", subnetpool={"address_scope_id": None}))
    routed, private = pool("routed", "198.51.102.0/24", world, 28), pool("private", "10.60.0.0/16", inner, 24)
    one, two, plain = drawn(red, routed), drawn(red, private), red.network("10.61.0.0/24")
    router = red.create("router", name="red", external_gateway_info={"network_id": red.public["id"]})
    for network in (one, two, plain):
        red.call("PUT", f"routers/{router['id']}/add_router_interface", subnet_id=network["subnets"][0])
    fixed = router["external_gateway_info"]["external_fixed_ips"]
    gateway = next(one["ip_address"] for one in fixed if "." in one["ip_address"])
    group = red.group(PING, {"protocol": "tcp"})
    public, hidden, third = (red.server(network, host, group) for network, host in ((one, 1), (two, 2), (plain, 1)))
    lab.internet.run(["ip", "route", "replace", one["cidr"], "via", gateway])
    serving = lab.internet.popen(["python3", "-c", SERVE, "outside", "8080", "5353"])
    try:
        assert soon(lambda: ask(public.guest, OUTSIDE, 8080) == f"outside {public.address()}"), "it was translated"
        assert soon(lambda: ask(hidden.guest, OUTSIDE, 8080) == f"outside {gateway}"), "it was not translated"
        assert soon(lambda: pings(lab.internet, public.address()))
        for source, target in ((public, hidden), (hidden, public), (third, hidden), (hidden, third), (public, third)):
            assert not pings(source.guest, target.address()), f"{source.address()} reaches {target.address()}"
        # the operator takes the scope away: what kept them apart is gone
        operator.put(f"subnetpools/{private['id']}", subnetpool={"address_scope_id": None})
        assert soon(lambda: pings(hidden.guest, third.address())) and soon(lambda: pings(third.guest, hidden.address()))
        assert not pings(public.guest, hidden.address())
    finally:
        serving.terminate()
        serving.wait()
        lab.internet.run(["ip", "route", "delete", one["cidr"]], check=False)
