"""What QoS rules do to packets: bandwidth and packet rates in both directions, marks; on ports, networks, floating IPs and gateways."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.real.rates import dscp, kilobits, packets
from tests.real.tenants import Server, Tenant, ask, pings
from wolke.lab import Lab, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
SLOW, FAST = 2000, 6000  # kilobits per second
FEW, MORE = 1000, 2000  # packets per second
WORDS: list[dict[str, Any]] = [{}, {"ethertype": "IPv6"}]  # rules: everything


class Red(Tenant):
    """A project, and QoS policies that the operator makes for it."""

    def policy(self, **rules: dict[str, Any]) -> dict[str, Any]:
        body = {"name": "qos", "project_id": self.call("GET", "quotas/tenant")["tenant"]["project_id"]}
        made: dict[str, Any] = self.operate("POST", "policies", policy=body)["policy"]
        self.made.append(("qos/policies", made["id"]))
        for kind, rule in rules.items():
            self.limit(made, kind.partition("__")[0], rule)
        return made

    def limit(self, policy: dict[str, Any], kind: str, rule: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = self.operate("POST", f"policies/{policy['id']}/{kind}_rules", **{f"{kind}_rule": rule})
        return made[f"{kind}_rule"]

    def operate(self, method: str, path: str, **body: Any) -> Any:
        reply = self.admin.client.request(method, f"/network/v2.0/qos/{path}", **({"json": body} if body else {}))
        assert reply.is_success, f"{method} {path}: {reply.status_code} {reply.text}"
        return reply.json() if reply.content else None

    def settled(self) -> None:
        """What was asked for is in force on every host."""
        self.lab.control.run(["ovn-nbctl", "--timeout=60", "--wait=hv", "sync"])


def ending(made: Red) -> Iterator[Red]:
    """A project that is gone afterwards, and its policies with it."""
    yield made
    for server in made.servers:
        made.call("PUT", f"ports/{server.port['id']}", port={"qos_policy_id": None})
    made.end()
    for path, id in made.made:
        if path == "qos/policies":
            made.operate("DELETE", f"policies/{id}")


@pytest.fixture
def red(lab: Lab) -> Iterator[Red]:
    yield from ending(Red(lab, "qos-red"))


def about(limit: int) -> Callable[[float], bool]:
    """Within what a meter's bucket and a busy machine make of a limit."""
    return lambda found: 0.6 * limit < found < 1.3 * limit


def in_ovn(lab: Lab, count: int) -> bool:
    """Whether OVN has so many QoS rules soon."""

    def found() -> int:
        owners = re.findall(r'wolke-owner="(port|floating_ip)/', lab.ovn_nbctl("--columns=external_ids", "list", "QoS"))
        return len(owners)

    return wait_for(lambda: found() == count, 30)


def test_a_ports_limits_in_both_directions_and_none_afterwards(lab: Lab, red: Red) -> None:
    network = red.network("10.0.0.0/24")
    group = red.group(*WORDS)
    one, two = red.server(network, 1, group), red.server(network, 2, group)
    assert wait_for(lambda: pings(one.guest, two.address()), 30)

    def out() -> float:
        return kilobits(one.guest, two.guest, two.address())

    def into() -> float:
        return kilobits(two.guest, one.guest, one.address())

    assert out() > 3 * FAST and into() > 3 * FAST
    policy = red.policy(
        bandwidth_limit__out={"max_kbps": SLOW}, bandwidth_limit__in={"max_kbps": FAST, "direction": "ingress"}
    )
    red.call("PUT", f"ports/{one.port['id']}", port={"qos_policy_id": policy["id"]})
    assert in_ovn(lab, 2)
    red.settled()
    assert about(SLOW)(found := out()), found
    assert about(FAST)(found := into()), found
    [rule] = [
        rule for rule in red.operate("GET", f"policies/{policy['id']}")["policy"]["rules"] if rule["max_kbps"] == SLOW
    ]
    change = {"bandwidth_limit_rule": {"max_kbps": FAST}}
    red.operate("PUT", f"policies/{policy['id']}/bandwidth_limit_rules/{rule['id']}", **change)
    assert wait_for(lambda: about(FAST)(out()), 60)
    red.call("PUT", f"ports/{one.port['id']}", port={"qos_policy_id": None})
    assert in_ovn(lab, 0)
    red.settled()
    assert out() > 3 * FAST and into() > 3 * FAST


def test_a_network_limits_each_of_its_ports_and_marks_what_they_send(lab: Lab, red: Red) -> None:
    policy = red.policy(bandwidth_limit={"max_kbps": SLOW}, dscp_marking={"dscp_mark": 46})
    network = red.network("10.0.0.0/24", qos_policy_id=policy["id"])
    group = red.group(*WORDS)
    own = red.policy(dscp_marking={"dscp_mark": 10})
    one, two = red.server(network, 1, group), red.server(network, 2, group, qos_policy_id=own["id"])
    assert wait_for(lambda: pings(one.guest, two.address()), 30)
    red.settled()
    assert about(SLOW)(found := kilobits(one.guest, two.guest, two.address())), found
    assert dscp(one.guest, two.guest, two.address()) == 46
    assert dscp(two.guest, one.guest, one.address()) == 10
    assert kilobits(two.guest, one.guest, one.address()) > 3 * FAST, (
        "a port's own policy stands instead of its network's"
    )
    red.call("PUT", f"networks/{network['id']}", network={"qos_policy_id": None})
    assert in_ovn(lab, 1)
    red.settled()
    assert dscp(one.guest, two.guest, two.address()) == 0


def test_floating_ips_and_gateways_have_limits_of_their_own(lab: Lab, red: Red) -> None:
    network = red.network("10.0.0.0/24")
    router = red.router(network)
    group = red.group(*WORDS)
    served, plain = red.server(network, 1, group), red.server(network, 2, group)
    limits = {
        "bandwidth_limit__out": {"max_kbps": SLOW},
        "bandwidth_limit__in": {"max_kbps": FAST, "direction": "ingress"},
    }
    policy, gateway = red.policy(**limits), red.policy(bandwidth_limit={"max_kbps": 2 * FAST})
    floating = red.create("floatingip", floating_network_id=red.public["id"], port_id=served.port["id"])
    address, internet = floating["floating_ip_address"], "198.51.100.254"
    served.serve("served")
    assert wait_for(lambda: ask(lab.internet, address).startswith("served"), 60)
    assert wait_for(lambda: pings(plain.guest, internet), 60)
    assert kilobits(served.guest, lab.internet, internet) > 3 * FAST
    red.call("PUT", f"floatingips/{floating['id']}", floatingip={"qos_policy_id": policy["id"]})
    info: dict[str, Any] = {"network_id": red.public["id"], "qos_policy_id": gateway["id"]}
    red.call("PUT", f"routers/{router['id']}", router={"external_gateway_info": info})
    assert in_ovn(lab, 3)
    red.settled()
    assert about(SLOW)(found := kilobits(served.guest, lab.internet, internet)), found
    assert about(FAST)(found := kilobits(lab.internet, served.guest, address)), found
    assert about(2 * FAST)(found := kilobits(plain.guest, lab.internet, internet)), found
    red.call("PUT", f"floatingips/{floating['id']}", floatingip={"qos_policy_id": None})
    info["qos_policy_id"] = None
    red.call("PUT", f"routers/{router['id']}", router={"external_gateway_info": info})
    assert in_ovn(lab, 0)
    red.settled()
    assert kilobits(served.guest, lab.internet, internet) > 3 * FAST


class Counted:
    """A guest with packet rates, another beside it on the same host, and one far away that both speak with."""

    def __init__(self, lab: Lab, red: Red) -> None:
        self.lab, self.red = lab, red
        network, group = red.network("10.0.0.0/24"), red.group(*WORDS)
        self.one, self.beside = red.server(network, 1, group), red.server(network, 1, group)
        self.far = red.server(network, 2, group)
        near = (self.one.guest, self.beside.guest)
        assert wait_for(lambda: all(pings(guest, self.far.address()) for guest in near), 60)
        self.policy = red.policy(
            packet_rate_limit__out={"max_kpps": 1, "max_burst_kpps": 1},
            packet_rate_limit__in={"max_kpps": 1, "max_burst_kpps": 1, "direction": "ingress"},
        )

    def give(self, policy: dict[str, Any] | None) -> None:
        self.red.call("PUT", f"ports/{self.one.port['id']}", port={"qos_policy_id": policy and policy["id"]})
        assert wait_for(lambda: len(self.meters()) == (2 if policy else 0), 30)

    def meters(self) -> list[str]:
        """Of the host's agent."""
        words = ["ovs-ofctl", "-O", "OpenFlow15", "dump-meters", "br-int"]
        return [id for id in re.findall(r"meter=(\d+) pktps", self.lab.host(1).run(words).stdout) if int(id) > 65535]

    def out(self) -> float:
        return between(self.one, self.far)

    def into(self) -> float:
        return between(self.far, self.one)

    def limited(self) -> bool:
        return about(FEW)(self.out()) and about(FEW)(self.into())


def between(source: Server, sink: Server) -> float:
    return packets(source.guest, [sink.guest], sink.address())[0]


def free(source: Server, sink: Server) -> bool:
    """Whether more gets through than any limit lets; a machine that is busy may offer less for a while."""
    return wait_for(lambda: between(source, sink) > 1.3 * MORE, 60)


def test_packet_rates_hold_one_card_and_nobody_beside_it(lab: Lab, red: Red) -> None:
    scene = Counted(lab, red)
    assert free(scene.one, scene.far) and free(scene.far, scene.one)
    scene.give(scene.policy)
    assert about(FEW)(found := scene.out()), found
    assert about(FEW)(found := scene.into()), found
    assert free(scene.beside, scene.far) and free(scene.far, scene.beside)
    limited, whole = packets(scene.far.guest, [scene.one.guest, scene.beside.guest], "10.0.0.255", offered=1800)
    assert about(FEW)(limited) and whole > 1.4 * FEW, (limited, whole)
    rules = red.operate("GET", f"policies/{scene.policy['id']}/packet_rate_limit_rules")["packet_rate_limit_rules"]
    [rule] = [rule for rule in rules if rule["direction"] == "egress"]
    path = f"policies/{scene.policy['id']}/packet_rate_limit_rules/{rule['id']}"
    red.operate("PUT", path, packet_rate_limit_rule={"max_kpps": 2, "max_burst_kpps": 2})
    assert wait_for(lambda: about(MORE)(scene.out()), 60)
    assert about(FEW)(found := scene.into()), found
    scene.give(None)
    assert free(scene.one, scene.far) and free(scene.far, scene.one)


def test_packet_rates_are_back_after_ovn_controller_and_after_a_hand(lab: Lab, red: Red) -> None:
    scene = Counted(lab, red)
    scene.give(scene.policy)
    assert about(FEW)(found := scene.out()), found
    lab.kill("h1/ovn-controller")
    assert about(FEW)(found := scene.out()), found
    lab.start("h1/ovn-controller")
    assert wait_for(scene.limited, 60)
    lab.host(1).run(["ovs-ofctl", "-O", "OpenFlow15", "del-meters", "br-int"])
    assert wait_for(scene.limited, 60)
    scene.give(None)
    assert free(scene.one, scene.far) and free(scene.far, scene.one)
