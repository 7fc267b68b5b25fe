"""Whatever the API changes wakes what OVN must hear of: after any call, the loops leave nothing for the sweep to find.

Calls are drawn at random from all that alter rows; a seed that failed fails again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from tests.conftest import Cloud
from tests.network.conftest import Net
from wolke.core.work import Work
from wolke.drivers.rows import plan
from wolke.network.lane import Site, drift, wanted

CALLS = 60  # per seed


def drifted(cloud: Cloud) -> list[tuple[str, str]]:
    """What the sweep would mend."""
    site = Site(cloud.app.config, cloud.north.has)
    return [one for chunk in drift(cloud.app.database, cloud.north, site) for one in chunk]


def differences(cloud: Cloud) -> list[str]:
    """What the sweep would do, and why the lane has not."""
    site = Site(cloud.app.config, cloud.north.has)
    with cloud.app.database.read() as db:
        changes = [
            f"{name}/{id}: {change}"
            for name, id in drifted(cloud)
            for change in plan(wanted(db, name, [id], site)[id], cloud.north.rows(f"{name}/{id}"))
        ]
        return [
            *changes,
            *(f"waits: {row.kind}/{row.id}: {row.error}" for row in db.execute(select(Work.__table__)) if row.error),
        ]


class Mischief:
    """Calls on things that are there, some of them refused."""

    def __init__(self, cloud: Cloud, net: Net, seed: int) -> None:
        self.cloud, self.net, self.draw = cloud, net, random.Random(seed)
        self.done: list[str] = []
        self.calls: list[Callable[[], None]] = [
            getattr(self, name) for name in sorted(dir(self)) if name.startswith("do_")
        ]
        self.number, self.order = 0, dict[str, int]()

    def send(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.net.send(method, path, by=self.cloud.admin, json=body)
        self.done.append(f"{method} {path} {body} -> {answer.status_code}")
        assert answer.status_code < 500, self.done[-1] + answer.text
        return answer.json() if answer.content else None

    def any(self, kinds: str, **like: Any) -> Any:
        """One of the things there are, or a thing that is not there."""
        found = self.net.list(kinds, by=self.cloud.admin)
        found.sort(key=lambda one: self.order.setdefault(one["id"], len(self.order)))
        able = [one for one in found if all(one[name] == value for name, value in like.items())]
        return self.draw.choice(able) if able else {"id": "nowhere", "network_id": "nowhere", "fixed_ips": []}

    def maybe(self) -> bool:
        return self.draw.random() < 0.5

    def fresh(self) -> int:
        self.number += 1
        return self.number

    # Networks and subnets ------------------------------------------------------------------------------------------
    def do_create_network(self) -> None:
        network = self.send(
            "POST", "networks", {"network": {"name": "n", "port_security_enabled": self.draw.random() < 0.8}}
        )
        self.send("POST", "subnets", {"subnet": {"network_id": network["network"]["id"], **self.cidr()}})

    def cidr(self) -> dict[str, Any]:
        at = self.fresh()
        if self.maybe():
            return {"ip_version": 4, "cidr": f"10.{at}.0.0/24", "enable_dhcp": self.maybe()}
        mode = self.draw.choice(["slaac", "dhcpv6-stateful", "dhcpv6-stateless"])
        modes = self.draw.choice([{}, {"ipv6_ra_mode": mode, "ipv6_address_mode": mode}])
        return {"ip_version": 6, "cidr": f"fd00:{at:x}::/64", **modes}

    def do_create_subnet(self) -> None:
        network = self.any("networks", **{"router:external": False})
        self.send("POST", "subnets", {"subnet": {"network_id": network["id"], **self.cidr()}})

    def do_update_network(self) -> None:
        change = self.draw.choice([{"mtu": self.draw.randint(1280, 1400)}, {"admin_state_up": self.maybe()}, {"name": "other"},
                                   {"port_security_enabled": self.maybe()}, {"dns_domain": "example.org."}])  # fmt: skip
        self.send("PUT", f"networks/{self.any('networks')['id']}", {"network": change})

    def do_update_subnet(self) -> None:
        subnet = self.any("subnets")
        change = self.draw.choice([{"enable_dhcp": self.maybe()}, {"dns_nameservers": ["9.9.9.9"]}, {"gateway_ip": None},
                                   {"host_routes": [{"destination": "192.168.7.0/24", "nexthop": "10.1.0.9"}]},
                                   {"gateway_ip": "198.51.100.2"}, {"gateway_ip": "198.51.100.1"}])  # fmt: skip
        self.send("PUT", f"subnets/{subnet['id']}", {"subnet": change})

    def do_delete_subnet(self) -> None:
        self.send("DELETE", f"subnets/{self.any('subnets')['id']}")

    def do_delete_network(self) -> None:
        self.send("DELETE", f"networks/{self.any('networks', **{'router:external': False})['id']}")

    # Ports and security groups -------------------------------------------------------------------------------------
    def do_create_port(self) -> None:
        network = self.any("networks", **{"router:external": False})
        more = self.draw.choice([{}, {"dns_name": "web"}, {"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1300"}]},
                                 {"binding:host_id": "h1", "device_owner": "compute:nova"}, {"security_groups": []}])  # fmt: skip
        self.send("POST", "ports", {"port": {"network_id": network["id"], **more}})

    def do_update_port(self) -> None:
        port, group = self.any("ports"), self.any("security-groups")
        subnet = self.any("subnets", network_id=port["network_id"])
        change = self.draw.choice([
            {"admin_state_up": self.maybe()}, {"name": "p"}, {"dns_name": "db"}, {"security_groups": [group["id"]]},
            {"security_groups": []}, {"fixed_ips": [{"subnet_id": subnet["id"]}]}, {"fixed_ips": []}, {"binding:host_id": "h2"},
            {"port_security_enabled": self.maybe()}, {"allowed_address_pairs": [{"ip_address": "10.0.0.99"}]},
            {"mac_address": f"fa:16:3e:00:00:{self.draw.randrange(256):02x}"},
            {"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": None}]}, {"device_id": "server"}, {"dns_domain": "own.example."},
            {"mac_learning_enabled": self.draw.choice([None, False, True])}, {"mac_address": None},
        ])  # fmt: skip
        self.send("PUT", f"ports/{port['id']}", {"port": change})

    def do_delete_port(self) -> None:
        self.send("DELETE", f"ports/{self.any('ports')['id']}")

    def do_create_group(self) -> None:
        self.send("POST", "security-groups", {"security_group": {"name": "g", "stateful": self.maybe()}})

    def do_update_group(self) -> None:
        change = self.draw.choice([{"stateful": self.maybe()}, {"name": "h"}])
        self.send("PUT", f"security-groups/{self.any('security-groups')['id']}", {"security_group": change})

    def do_create_rule(self) -> None:
        rule = {
            "security_group_id": self.any("security-groups")["id"],
            "direction": self.draw.choice(["ingress", "egress"]),
        }
        rule |= self.draw.choice(
            [{}, {"protocol": "tcp", "port_range_min": 80, "port_range_max": 90}, {"protocol": "icmp"}]
        )
        rule |= self.draw.choice(
            [{}, {"remote_ip_prefix": "10.0.0.0/8"}, {"remote_group_id": self.any("security-groups")["id"]}]
        )
        self.send("POST", "security-group-rules", {"security_group_rule": rule})

    def do_delete_rule(self) -> None:
        self.send("DELETE", f"security-group-rules/{self.any('security-group-rules')['id']}")

    def do_delete_group(self) -> None:
        self.send("DELETE", f"security-groups/{self.any('security-groups')['id']}")

    # QoS and trunks ------------------------------------------------------------------------------------------------
    def do_make_policy(self) -> None:
        policy = self.send("POST", "qos/policies", {"policy": {"name": "q", "is_default": self.draw.random() < 0.2}})
        if "policy" in policy:
            self.limit(policy["policy"]["id"])

    def policy(self) -> str:
        found = self.net.send("GET", "qos/policies", by=self.cloud.admin).json()["policies"]
        return str(self.draw.choice(found)["id"]) if found else "nowhere"

    def limit(self, policy: str) -> None:
        rule = {"max_kbps": self.draw.randint(1, 9), "direction": self.draw.choice(["ingress", "egress"])}
        self.send("POST", f"qos/policies/{policy}/bandwidth_limit_rules", {"bandwidth_limit_rule": rule})

    def do_change_rules(self) -> None:
        policy = self.policy()
        shown = self.net.send("GET", f"qos/policies/{policy}", by=self.cloud.admin).json().get("policy", {"rules": []})
        limits = [rule["id"] for rule in shown["rules"] if rule["type"] == "bandwidth_limit"]
        if limits and self.maybe():
            url = f"qos/alias_bandwidth_limit_rules/{self.draw.choice(limits)}"
            change = {"alias_bandwidth_limit_rule": {"max_kbps": self.draw.randint(0, 9)}}
            self.send(*self.draw.choice([("DELETE", url), ("PUT", url, change)]))
        elif self.maybe():
            self.limit(policy)
        else:
            self.send("POST", f"qos/policies/{policy}/dscp_marking_rules", {"dscp_marking_rule": {"dscp_mark": 46}})

    def do_give_a_policy(self) -> None:
        kind = self.draw.choice(["port", "network", "floatingip", "router"])
        given: Any = {"qos_policy_id": self.draw.choice([None, self.policy(), self.policy()])}
        if kind == "router":
            outside = self.any("networks", **{"router:external": True})
            given = {"external_gateway_info": {"network_id": outside["id"], **given}}
        self.send("PUT", f"{kind}s/{self.any(f'{kind}s')['id']}", {kind: given})

    do_give_another_policy = do_give_a_policy

    def do_delete_policy(self) -> None:
        self.send("DELETE", f"qos/policies/{self.policy()}")

    def subports(self) -> list[dict[str, Any]]:
        port = self.any("ports", device_owner="")["id"]
        return [{"port_id": port, "segmentation_type": "vlan", "segmentation_id": self.draw.randint(1, 9)}]

    def do_make_trunk(self) -> None:
        self.send("POST", "trunks", {"trunk": {"port_id": self.any("ports")["id"], "sub_ports": self.subports()}})

    def do_change_trunk(self) -> None:
        trunk = self.any("trunks")
        change = self.draw.choice(["add", "remove", "delete"])
        if change == "delete":
            self.send("DELETE", f"trunks/{trunk['id']}")
        else:
            going = [{"port_id": one["port_id"]} for one in trunk.get("sub_ports", [])]
            body = {"sub_ports": self.subports() if change == "add" else going}
            self.send("PUT", f"trunks/{trunk['id']}/{change}_subports", body)

    do_change_another_trunk = do_change_trunk

    # Routers and floating IPs --------------------------------------------------------------------------------------
    def do_create_router(self) -> None:
        outside = self.any("networks", **{"router:external": True})
        info = self.draw.choice([{}, {"external_gateway_info": {"network_id": outside["id"]}}])
        self.send("POST", "routers", {"router": info})

    def do_update_router(self) -> None:
        outside, router = self.any("networks", **{"router:external": True}), self.any("routers")
        change = self.draw.choice([
            {"admin_state_up": self.maybe()}, {"name": "r"}, {"external_gateway_info": None},
            {"external_gateway_info": {"network_id": outside["id"], "enable_snat": self.maybe()}},
            {"routes": [{"destination": "192.168.9.0/24", "nexthop": "198.51.100.77"}]}, {"routes": []},
        ])  # fmt: skip
        self.send("PUT", f"routers/{router['id']}", {"router": change})

    def do_add_interface(self) -> None:
        what = (
            {"subnet_id": self.any("subnets")["id"]}
            if self.draw.random() < 0.8
            else {"port_id": self.any("ports")["id"]}
        )
        self.send("PUT", f"routers/{self.any('routers')['id']}/add_router_interface", what)

    do_add_another_interface = do_add_interface

    def do_remove_interface(self) -> None:
        port = self.any("ports", device_owner="network:router_interface")
        what = {"port_id": port["id"]}
        if port["fixed_ips"] and self.maybe():
            what = {"subnet_id": self.draw.choice(port["fixed_ips"])["subnet_id"]}
        self.send("PUT", f"routers/{port.get('device_id', 'nowhere')}/remove_router_interface", what)

    def do_delete_router(self) -> None:
        self.send("DELETE", f"routers/{self.any('routers')['id']}")

    def do_create_floating_ip(self) -> None:
        outside = self.any("networks", **{"router:external": True})
        port = {"port_id": self.any("ports", device_owner="")["id"]} if self.maybe() else {}
        self.send("POST", "floatingips", {"floatingip": {"floating_network_id": outside["id"], **port}})

    def do_update_floating_ip(self) -> None:
        port_id = self.draw.choice([None, self.any("ports", device_owner="")["id"]])
        self.send("PUT", f"floatingips/{self.any('floatingips')['id']}", {"floatingip": {"port_id": port_id}})

    do_lead_a_floating_ip_elsewhere = do_update_floating_ip

    def do_delete_floating_ip(self) -> None:
        self.send("DELETE", f"floatingips/{self.any('floatingips')['id']}")

    def do_change_gateways(self) -> None:
        verb = self.draw.choice(["add", "add", "update", "remove"])
        wanted = [{"network_id": self.any("networks", **{"router:external": True})["id"]}] * self.draw.randint(0, 2)
        url = f"routers/{self.any('routers')['id']}/{verb}_external_gateways"
        self.send("PUT", url, {"router": {"external_gateways": wanted}})

    def do_flag_a_router(self) -> None:
        flag = self.draw.choice(["enable_default_route_ecmp", "enable_default_route_bfd", "distributed", "ha"])
        change = {"admin_state_up": self.maybe(), flag: self.maybe()}
        self.send("PUT", f"routers/{self.any('routers')['id']}", {"router": change})

    def do_forward_ports(self) -> None:
        at = self.draw.randrange(4) * 10 + 1
        body = {
            "protocol": "tcp", "internal_port_id": self.any("ports", device_owner="")["id"], "internal_port": at,
            "external_port": at,
        }  # fmt: skip
        url = f"floatingips/{self.any('floatingips')['id']}/port_forwardings"
        self.send("POST", url, {"port_forwarding": body})

    do_forward_more_ports = do_forward_ports

    def do_change_forwarding(self) -> None:
        floating = self.any("floatingips")
        forwarding = self.draw.choice([*floating.get("port_forwardings", []), {"id": "nowhere"}])
        url = f"floatingips/{floating['id']}/port_forwardings/{forwarding['id']}"
        if self.maybe():
            self.send("DELETE", url)
        else:
            change = {
                "internal_port": self.draw.randrange(1, 99),
                "internal_port_id": self.any("ports", device_owner="")["id"],
            }
            self.send("PUT", url, {"port_forwarding": change})

    def do_change_hosts(self) -> None:
        self.cloud.chassis.names = self.draw.sample(["h1", "h2", "h3"], self.draw.randint(1, 3))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_left_for_the_sweep(cloud: Cloud, net: Net, seed: int) -> None:
    network = {
        "name": "public",
        "router:external": True,
        "provider:network_type": "flat",
        "provider:physical_network": "public",
    }
    outside = net.create("network", by=cloud.admin, **network)
    pool = {"start": "198.51.100.10", "end": "198.51.100.90"}
    for subnet in (
        {"ip_version": 4, "cidr": "198.51.100.0/24", "gateway_ip": "198.51.100.1", "allocation_pools": [pool]},
        {"ip_version": 6, "cidr": "2001:db8::/64"},
    ):
        net.create("subnet", by=cloud.admin, network_id=outside["id"], enable_dhcp=False, **subnet)
    mischief = Mischief(cloud, net, seed)
    mischief.do_create_network()
    mischief.do_create_router()
    for _ in range(CALLS):
        mischief.draw.choice(mischief.calls)()
        cloud.settle()
        assert drifted(cloud) == [], "\n".join([*mischief.done[-8:], *differences(cloud)])
