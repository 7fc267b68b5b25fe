"""As ``test_wakes``, with calls on scopes, pools and floating IPv6 drawn more often than others."""

from __future__ import annotations

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net
from tests.network.test_wakes import Mischief, differences, drifted

CALLS = 60
OWN = "own_"


class Addresses(Mischief):
    """Calls of this file are named ``own_``."""

    def __init__(self, cloud: Cloud, net: Net, seed: int) -> None:
        super().__init__(cloud, net, seed)
        self.own = [getattr(self, name) for name in sorted(dir(self)) if name.startswith(OWN)]

    def version(self) -> int:
        return self.draw.choice([4, 6])

    def own_scope(self) -> None:
        if self.draw.random() < 0.8:
            self.send(
                "POST", "address-scopes", {"address_scope": {"name": "s", "ip_version": self.version(), "shared": True}}
            )
        else:
            self.send("DELETE", f"address-scopes/{self.any('address-scopes')['id']}")

    def own_pool(self) -> None:
        at, version = self.fresh(), self.version()
        prefix = f"10.{at}.0.0/16" if version == 4 else f"2001:db8:{at:x}00::/40"
        scope = self.any("address-scopes", ip_version=version)["id"] if self.maybe() else None
        pool = {
            "name": "p",
            "prefixes": [prefix],
            "default_prefixlen": 24 if version == 4 else 64,
            "shared": self.maybe(),
        }
        self.send("POST", "subnetpools", {"subnetpool": {**pool, "address_scope_id": scope}})

    def own_cut(self) -> None:
        pool = self.any("subnetpools")
        network = self.any("networks", **{"router:external": False})
        slaac = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"} if pool.get("ip_version") == 6 else {}
        body = {
            "network_id": network["id"],
            "ip_version": pool.get("ip_version", 4),
            "subnetpool_id": pool["id"],
            **slaac,
        }
        self.send("POST", "subnets", {"subnet": body})

    own_cut_more = own_cut

    def own_put_pool_into_scope(self) -> None:
        pool = self.any("subnetpools")
        scope = self.any("address-scopes", ip_version=pool.get("ip_version", 4))["id"] if self.maybe() else None
        self.send("PUT", f"subnetpools/{pool['id']}", {"subnetpool": {"address_scope_id": scope}})

    own_put_pool_elsewhere = own_put_pool_into_scope

    def own_onboard(self) -> None:
        network = self.any("networks")
        self.send(
            "PUT", f"subnetpools/{self.any('subnetpools')['id']}/onboard_network_subnets", {"network_id": network["id"]}
        )

    def own_floating_v6(self) -> None:
        outside = self.any("networks", **{"router:external": True})
        outer = self.any("subnets", network_id=outside["id"], ip_version=6)
        port = {"port_id": self.any("ports", device_owner="")["id"]} if self.maybe() else {}
        body = {"floating_network_id": outside["id"], "subnet_id": outer["id"], **port}
        self.send("POST", "floatingips", {"floatingip": body})

    def own_move(self) -> None:
        port_id = self.draw.choice([None, self.any("ports", device_owner="")["id"]])
        self.send("PUT", f"floatingips/{self.any('floatingips')['id']}", {"floatingip": {"port_id": port_id}})

    own_move_again = own_move

    def own_leg(self) -> None:
        self.do_add_interface()

    def own_ports(self) -> None:
        self.do_create_port()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_left_for_the_sweep(cloud: Cloud, net: Net, seed: int) -> None:
    network = {
        "name": "public",
        "router:external": True,
        "provider:network_type": "flat",
        "provider:physical_network": "public",
    }
    outside = net.create("network", by=cloud.admin, **network)
    for subnet in ({"ip_version": 4, "cidr": "198.51.100.0/24"}, {"ip_version": 6, "cidr": "2001:db8::/64"}):
        net.create("subnet", by=cloud.admin, network_id=outside["id"], enable_dhcp=False, **subnet)
    mischief = Addresses(cloud, net, seed)
    mischief.do_create_network()
    net.create("router", by=cloud.admin, external_gateway_info={"network_id": outside["id"]})
    seen: set[str] = set()
    for _ in range(CALLS):
        calls = mischief.own if mischief.draw.random() < 0.8 else mischief.calls
        mischief.draw.choice(calls)()
        cloud.settle()
        assert drifted(cloud) == [], "\n".join([*mischief.done[-8:], *differences(cloud)])
        seen |= {row.table for owner in cloud.north.owners() for row in cloud.north.rows(owner)}
    assert "Logical_Router_Static_Route" in seen, "nothing was routed: the calls were all refused"
