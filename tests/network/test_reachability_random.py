"""The model of reachability on hundreds of random networks: what holds whatever they look like."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import ip_address, ip_network
from random import Random

import pytest

from tests.real.matrix.topologies import OUTSIDE, Guest, Leg, Topology, topology
from wolke.network.owners import FLOATING, GATEWAY, INTERFACE
from wolke.network.reachability import picture as of
from wolke.network.reachability.openings import open_ports
from wolke.network.reachability.picture import Packet, Picture, Port
from wolke.network.reachability.verdict import KINDS, Verdict
from wolke.network.reachability.walk import verdict
from wolke.network.security_groups.protocols import number

COUNT = 400
PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1}


def painted(plan: Topology) -> Picture:
    """A topology as a picture, without a cloud; its ids are the names."""
    ports: dict[str, Port] = {}
    subnets = {
        f"{net.name}/{v}": of.Subnet(
            f"{net.name}/{v}", "", "p", net.name, ip_network(net.cidr if v == 4 else net.cidr6),
            ip_address(net.address(net.told_by, v)) if net.gateway else None,
        )
        for net in plan.nets for v in net.versions
    }  # fmt: skip
    subnets["public"] = of.Subnet("public", "", "", "public", ip_network("198.51.100.0/24"), ip_address("198.51.100.1"))
    networks = {net.name: of.Network(net.name, net.name, "p", net.admin_up, shared=net.shared) for net in plan.nets}
    networks["public"] = of.Network("public", "public", "", external=True, physical=True)
    for guest in plan.guests:
        for name in filter(None, (guest.net, guest.second)):
            id = guest.name + ("/2" if name == guest.second else "")
            ports[id] = guest_port(plan, guest, name, id)
    routers: dict[str, of.Router] = {}
    floating: dict[str, of.FloatingIp] = {}
    for number_of, router in enumerate(plan.routers):
        legs = [leg_port(plan, router.name, leg) for leg in router.legs]
        ports |= {leg.id: leg for leg in legs}
        routes = [
            of.Route(ip_network(route["destination"]), ip_address(route["nexthop"]), leg.id)
            for route in router.routes for leg in legs
            if any(ip_address(route["nexthop"]) in subnets[id].net for _, id in leg.addresses)
        ]  # fmt: skip
        nats: list[of.SourceNat] = []
        if router.outside:
            own = ip_address(f"198.51.100.{10 + number_of}")
            gate = Port(
                f"{router.name}/out",
                "",
                "",
                "public",
                "fa:16:3e:ff:00:01",
                ((own, "public"),),
                router.name,
                GATEWAY,
            )
            ports[gate.id] = gate
            routes.append(of.Route(ip_network("0.0.0.0/0"), ip_address("198.51.100.1"), gate.id))
            inside = [subnets[id].net for leg in legs for _, id in leg.addresses if subnets[id].net.version == 4]
            nats = [of.SourceNat(net, own, gate.id) for net in inside if router.snat]
        routers[router.name] = of.Router(router.name, router.name, "p", router.admin_up, tuple(routes), tuple(nats))
    for at, name in enumerate(plan.floating):
        address = ip_address(f"198.51.100.{100 + at}")
        led = next(
            (
                r.name
                for r in plan.routers
                if r.outside and name and any(leg.net == plan.guest(name).net for leg in r.legs)
            ),
            None,
        )
        fixed = ip_address(plan.net(plan.guest(name).net).address(plan.guest(name).host)) if name else None
        floating[f"f{at}"] = of.FloatingIp(f"f{at}", "p", "public", address, name or None, fixed, led)
        ports[f"f{at}/port"] = Port(
            f"f{at}/port", "", "", "public", "fa:16:3e:ff:00:02", ((address, "public"),), f"f{at}", FLOATING
        )
    return Picture(networks, subnets, ports, routers, groups(plan), floating)


def guest_port(plan: Topology, guest: Guest, net: str, id: str) -> Port:
    of_net = plan.net(net)
    held = tuple((ip_address(of_net.address(guest.host, v)), f"{net}/{v}") for v in of_net.versions)
    mac = f"fa:16:3e:00:{of_net.index:02x}:{guest.host:02x}"
    pairs = tuple(of.Pair(mac, ip_network(pair)) for pair in guest.pairs)
    device = "device" if guest.second else ""
    return Port(
        id, id, "p", net, mac, held, device, "", guest.admin_up, guest.plugged, guest.secure, pairs, tuple(guest.groups)
    )


def leg_port(plan: Topology, router: str, leg: Leg) -> Port:
    name, host, on = leg.net, leg.host, leg.groups
    net = plan.net(name)
    held = tuple((ip_address(net.address(host or 1, v)), f"{name}/{v}") for v in net.versions)
    return Port(f"{router}/{name}", "", "p", name, "fa:16:3e:ff:00:00", held, router, INTERFACE, groups=tuple(on))


def groups(plan: Topology) -> dict[str, of.Group]:
    found = {}
    for group in plan.groups:
        rules = [of.Rule(f"{group.name}/out{v}", "egress", v) for v in (4, 6) if group.everything_out]
        for at, rule in enumerate(group.rules):
            protocol = rule.get("protocol")
            rules.append(of.Rule(
                f"{group.name}/{at}", rule["direction"], int(rule["ethertype"][-1]),
                number(protocol, rule["ethertype"]) if protocol else None, rule.get("port_range_min"), rule.get("port_range_max"),
                ip_network(rule["remote_ip_prefix"]) if "remote_ip_prefix" in rule else None, rule.get("remote_group"),
                frozenset(map(ip_network, rule["addresses"])) if "addresses" in rule else None,
            ))  # fmt: skip
        members = frozenset(
            ip_address(plan.net(guest.net).address(guest.host, v))
            for guest in plan.guests if group.name in guest.groups for v in plan.net(guest.net).versions
        )  # fmt: skip
        found[group.name] = of.Group(group.name, group.name, "p", group.stateful, tuple(rules), members)
    return found


def conversations(plan: Topology, seen: Picture) -> list[tuple[Port | None, Packet]]:
    found: list[tuple[Port | None, Packet]] = []
    for probe in plan.probes:
        match probe.target:
            case ("floating", at):
                to = f"198.51.100.{100 + at}"
            case (_, _):
                continue
            case to:
                pass
        version = ip_address(to).version
        source = None if probe.source == "outside" else seen.ports[probe.source]
        address = ip_address(OUTSIDE[version]) if source is None else source.address(version)
        protocol = 58 if version == 6 and probe.kind == "icmp" else PROTOCOLS[probe.kind]
        kind = {1: 8, 58: 128}.get(protocol, 0)
        if address:
            found.append((source, Packet(address, ip_address(to), protocol, 40000, probe.port, kind)))
    return found


@pytest.fixture(scope="module")
def worlds() -> list[tuple[Picture, list[tuple[Port | None, Packet, Verdict]]]]:
    found = []
    for seed in range(COUNT):
        plan = topology(seed)
        seen = painted(plan)
        found.append(
            (seen, [(source, packet, verdict(seen, source, packet)) for source, packet in conversations(plan, seen)])
        )
    return found


World = list[tuple[Picture, list[tuple[Port | None, Packet, Verdict]]]]


def test_each_verdict_names_something_that_is_there(worlds: World) -> None:
    kinds: Counter[str] = Counter()
    for seen, told in worlds:
        known = {*seen.networks, *seen.subnets, *seen.ports, *seen.routers, *seen.groups, *seen.floating}
        known |= {rule.id for group in seen.groups.values() for rule in group.rules}
        for _, _, one in told:
            kinds[one.decision.kind] += 1
            assert one.decision.kind in KINDS
            assert one.decision.thing.id in known or one.decision.thing.type == "internet"
            assert one.sentence.startswith("Yes" if one.reachable else "No") and one.sentence.endswith(".")
    usual = "security_group security_group_rule route no_path admin_state_down port_down nat floating_ip gateway conversation"
    seldom = [kind for kind in usual.split() if not kinds[kind]]
    assert not seldom, f"never decided by {seldom}: {kinds}"


def test_the_same_question_has_the_same_answer(worlds: World) -> None:
    for seen, told in worlds[:100]:
        for source, packet, before in told:
            again = verdict(seen, source, packet)
            assert (again.reachable, again.decision) == (before.reachable, before.decision)


def test_more_rules_never_take_a_way_and_fewer_never_give_one(worlds: World) -> None:
    for seen, told in worlds:
        everything = tuple(of.Rule(f"all{v}{way}", way, v) for v in (4, 6) for way in ("ingress", "egress"))
        open_ = replace(
            seen, groups={id: replace(group, rules=(*group.rules, *everything)) for id, group in seen.groups.items()}
        )
        shut = replace(seen, groups={id: replace(group, rules=()) for id, group in seen.groups.items()})
        for source, packet, before in told:
            if before.reachable:
                assert verdict(open_, source, packet).reachable
            else:
                assert not verdict(shut, source, packet).reachable


def test_a_yes_needs_both_ends_up(worlds: World) -> None:
    for seen, told in worlds:
        for source, packet, before in told:
            if not before.reachable:
                continue
            assert source is None or (source.up and source.admin_up)
            last = before.there[-1].at
            if last.type == "port":
                target = seen.ports[last.id]
                assert target.up and target.admin_up
                dead = replace(seen, ports={**seen.ports, target.id: replace(target, up=False)})
                assert verdict(dead, source, packet).decision.kind == "port_down"


def test_the_rule_that_is_named_is_the_one_that_decides(worlds: World) -> None:
    """Without it the answer is another: no, or by another rule."""
    for seen, told in worlds:
        for source, packet, before in told:
            if before.reachable and before.decision.kind == "security_group_rule":
                id = before.decision.thing.id
                less = {
                    key: replace(group, rules=tuple(rule for rule in group.rules if rule.id != id))
                    for key, group in seen.groups.items()
                }
                after = verdict(replace(seen, groups=less), source, packet)
                assert not after.reachable or after.decision.thing.id != id


def test_open_ports_agree_with_single_questions(worlds: World) -> None:
    dice = Random(7)
    for seen, _ in worlds[:120]:
        for id, one in seen.floating.items():
            found = open_ports(seen, floating_id=id)
            for port in [*dice.sample(range(1, 65536), 3), 22, 80, 443, 8080]:
                packet = Packet(ip_address("192.0.2.9"), one.address, 6, 40000, port)
                asked = verdict(seen, None, packet, powered=True).reachable
                told = any(
                    opening.protocol == 6 and opening.low <= port <= opening.high
                    and (opening.sources is None or packet.source in opening.sources) for opening in found
                )  # fmt: skip
                assert asked == told, (id, port)
