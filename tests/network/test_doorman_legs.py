"""A project's router that stands with an inner port on a network which others use, too: no way past the operator's door."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net
from tests.network.doorman import Doorman
from wolke.network.ports.table import Port

ANY_GROUP: list[dict[str, Any]] = [{"direction": "ingress"}, {"direction": "ingress", "ethertype": "IPv6"}]


class Legs:
    """The member's server behind his router, whose other port stands on an operator's shared network beside a stranger's server."""

    def __init__(self, net: Net, cloud: Cloud) -> None:
        self.net, self.cloud = net, cloud
        self.common = net.network(name="common", by=cloud.admin, shared=True)
        net.subnet(self.common, "10.5.0.0/24", by=cloud.admin)
        self.inside = net.network(name="inside")
        subnet = net.subnet(self.inside, "10.6.0.0/24")
        self.server = net.port(self.inside, port_security_enabled=False, security_groups=[])
        self.decoy = net.port(self.common)
        self.router = net.create("router", name="mine")
        self.join(subnet_id=subnet["id"])
        self.leg = net.port(self.common)
        self.join(port_id=self.leg["id"])
        group = net.create("security_group", name="open", by=cloud.stranger)
        for rule in ANY_GROUP:
            net.create("security_group_rule", by=cloud.stranger, security_group_id=group["id"], **rule)
        self.target = net.port(self.common, by=cloud.stranger, security_groups=[group["id"]])

    def join(self, **body: Any) -> None:
        answer = self.net.send("PUT", f"routers/{self.router['id']}/add_router_interface", json=body)
        assert answer.status_code == 200, answer.text

    def decision(self, source: dict[str, Any], target: Any, port: int) -> str:
        body = {
            "from": source,
            "to": {"address": target["fixed_ips"][0]["ip_address"]},
            "protocol": "tcp",
            "port": port,
        }
        with self.cloud.app.database.transaction() as db:
            for one in (self.server, self.target):
                db.get_one(Port, one["id"]).seen_up = True
        answer = self.cloud.admin.post("/wolke/v1/reachability", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["reachability"]["decided_by"]["kind"])

    def policies(self) -> list[str]:
        self.cloud.settle()
        found = [row for row in self.cloud.north.rows("door/policy") if row.table == "Logical_Router_Policy"]
        assert all(row.parents == {("Logical_Router", self.router["id"], "policies")} for row in found)
        return sorted(str(row.columns["match"]) for row in found)


@pytest.fixture
def legs(net: Net, cloud: Cloud) -> Legs:
    return Legs(net, cloud)


def test_what_leaves_through_a_router_s_inner_port_is_judged_whatever_address_it_bears(
    door: Doorman, legs: Legs
) -> None:
    door.rule(direction="egress", protocol="tcp", port_range_min=443, port_range_max=443, ethertype="IPv4")
    [inner] = legs.net.list("ports", f"network_id={legs.inside['id']}&device_owner=network:router_interface")
    way = f'inport == {{"lrp-{inner["id"]}"}} && outport == "lrp-{legs.leg["id"]}" && '
    asked = [match.removeprefix(way) for match in legs.policies()]
    assert [match.split(" && ")[0] for match in asked] == ["((ip.first_frag", "ip4"]
    assert asked[1].endswith(" && tcp && tcp.dst == 443") and "ip4.src" not in asked[1]
    own = {"port_id": legs.server["id"]}
    borrowed = {**own, "address": legs.decoy["fixed_ips"][0]["ip_address"]}
    assert [legs.decision(source, legs.target, 443) for source in (own, borrowed)] == ["doorman_rule"] * 2
    assert legs.decision(own, legs.target, 80) != "doorman_rule"


def test_a_floating_ipv6_address_is_behind_the_router(door: Doorman, legs: Legs, net: Net, cloud: Cloud) -> None:
    public = net.network(name="public", by=cloud.admin, **{"router:external": True})
    net.subnet(public, "2001:db8:1::/64", by=cloud.admin)
    six = net.subnet(legs.inside, "fd00:6::/64")
    server = net.port(legs.inside)
    net.update("router", legs.router["id"], external_gateway_info={"network_id": public["id"]})
    legs.join(subnet_id=six["id"])

    def behind() -> str:
        cloud.settle()
        place = ("Logical_Switch", legs.common["id"], "acls")
        rows = [row for row in cloud.north.rows("door/policy") if place in row.parents]
        return " ".join(str(row.columns["match"]) for row in rows if "ip6.dst" in str(row.columns["match"]))

    assert "fd00:6::/64" in behind(), "a subnet that joined later, too"
    [fixed] = [one["ip_address"] for one in server["fixed_ips"] if ":" in one["ip_address"]]
    floating = net.create("floatingip", floating_network_id=public["id"], port_id=server["id"], fixed_ip_address=fixed)
    assert floating["floating_ip_address"] in behind()
    net.update("floatingip", floating["id"], port_id=None)
    assert floating["floating_ip_address"] not in behind()


def test_a_second_ipv6_subnet_of_a_network_is_behind_the_router(
    door: Doorman, legs: Legs, net: Net, cloud: Cloud
) -> None:
    for cidr in ("fd00:6::/64", "fd00:7::/64"):
        legs.join(subnet_id=net.subnet(legs.inside, cidr)["id"])
        cloud.settle()
        matches = " ".join(str(row.columns.get("match")) for row in cloud.north.rows("door/policy"))
        assert cidr in matches


def test_what_hides_its_port_passes_no_door(legs: Legs, cloud: Cloud) -> None:
    """Seen by Open vSwitch: TCP and SCTP by eight bytes of their header, IPv6 by headers that do not come to an end."""
    cloud.settle()
    hiding = ("tcp && tcp.src == 0 && tcp.dst == 0", "sctp && sctp.src == 0 && sctp.dst == 0", "ip6 && ip.proto == 0")
    rows = [row for row in cloud.north.rows("door/policy") if row.columns.get("name") == "fragments"]
    group = f"pg_door_{legs.common['id'].replace('-', '_')}"
    places = {("Port_Group", group, "acls"), ("Logical_Switch", legs.common["id"], "acls")}
    assert {place for row in rows for place in row.parents} == places
    matches = [str(row.columns["match"]) for row in rows] + legs.policies()
    assert len(matches) == 4 and all(text in match for match in matches for text in hiding)
