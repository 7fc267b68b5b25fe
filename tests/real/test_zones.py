"""Zones with packets: servers of the site, on VLANs and behind tunnels and a leaf router, as neighbours of guests."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.packets import Packets
from tests.real.tenants import ask, pings
from tests.real.zones import EVPN, QINQ, SECONDS, VLAN, VXLAN, Operator, guests, neighbour, on, soon, whole
from wolke.lab import Lab, wait_for
from wolke.lab.site import ADDRESS, SPARE, frames

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def zoned() -> Iterator[Lab]:
    """A cloud of this module's own: a host joins it at the end."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    lab = Lab(f"z{os.getpid()}", hosts=2)
    try:
        lab.up()
        yield lab
    finally:
        lab.down()


@pytest.fixture
def operator(zoned: Lab) -> Iterator[Operator]:
    made = Operator(zoned)
    yield made
    made.end()


def test_vlans_of_one_zone_are_apart_from_each_other_and_the_rest(operator: Operator) -> None:
    zone = operator.declare(**VLAN)
    red, blue = operator.tenant("red"), operator.tenant("blue")
    for tenant in (red, blue):
        operator.grant(zone, tenant)
    mine, theirs = red.network("10.1.0.0/24", **on(zone)), blue.network("10.1.0.0/24", **on(zone))
    assert [one["provider:segmentation_id"] for one in (mine, theirs)] == [100, 101]
    one, two = guests(red, mine)
    other, _ = guests(blue, theirs)
    server = operator.machine(operator.site.server("onred", "10.1.0.200/24", vlan=100))
    stranger = operator.machine(operator.site.server("onblue", "10.1.0.200/24", vlan=101))
    untagged = operator.machine(operator.site.server("bare", "10.1.0.201/24"))
    for server_or_guest in (two.guest, server):
        assert soon(lambda s=server_or_guest: pings(s, one.address()))
    assert soon(lambda: pings(one.guest, "10.1.0.200")) and whole(one.guest, "10.1.0.200", 1500)
    assert soon(lambda: pings(other.guest, "10.1.0.200"))
    for guest, machine in ((one, server), (other, stranger)):  # the same address twice, each its own
        assert soon(
            lambda g=guest, m=machine: pings(g.guest, "10.1.0.200") and neighbour(g.guest, "10.1.0.200") == m.mac()
        )
    assert not pings(untagged, one.address()) and not pings(one.guest, "10.1.0.201")
    for silent in {one.address(), two.address()} - {other.address()}:
        assert not pings(stranger, silent)


def test_qinq_frames_bear_both_tags(operator: Operator, tmp_path: Path) -> None:
    zone = operator.declare(**QINQ)
    red = operator.tenant("red")
    operator.grant(zone, red)
    network = red.network("10.3.0.0/24", **on(zone), **{"provider:segmentation_id": 7})
    one, two = guests(red, network)
    server = operator.machine(operator.site.server("customer", "10.3.0.200/24", vlan=7, outer=900, mtu=1492))
    other = operator.machine(operator.site.server("other", "10.3.0.201/24", vlan=8, outer=900, mtu=1492))
    plain = operator.machine(operator.site.server("plain", "10.3.0.202/24", vlan=7))
    assert soon(lambda: pings(one.guest, two.address())) and soon(lambda: pings(server, two.address()))
    with frames(operator.lab.wires, "p-h1", "vlan", tmp_path / "frames") as seen:
        assert soon(lambda: pings(one.guest, "10.3.0.200"))
        tagged = r"\(0x88a8\), length \d+: vlan 900, .*802\.1Q \(0x8100\), vlan 7, .*10\.3\.0\.200: ICMP echo request"
        assert soon(lambda: re.search(tagged, seen.read_text())), seen.read_text()
    assert whole(one.guest, "10.3.0.200", 1492) and whole(server, two.address(), 1492)
    assert not pings(other, one.address()) and not pings(plain, one.address())


def test_a_foreign_vtep_and_all_hosts_are_one_segment(operator: Operator) -> None:
    zone = operator.declare(**VXLAN)
    red, blue = operator.tenant("red"), operator.tenant("blue")
    for tenant in (red, blue):
        operator.grant(zone, tenant)
    mine, theirs = red.network("10.2.0.0/24", **on(zone)), blue.network("10.2.0.0/24", **on(zone))
    one, two = guests(red, mine)
    other, _ = guests(blue, theirs)
    hosts = [host.address for host in operator.lab.hosts]
    server = operator.machine(operator.site.vtep("vtep", "10.2.0.200/24", 5000, hosts))
    for guest in (one, two):
        assert soon(lambda g=guest: pings(g.guest, "10.2.0.200"))
        assert soon(lambda g=guest: pings(server, g.address()))
    assert soon(lambda: pings(one.guest, two.address()))
    told = one.guest.run(["ping", "-c", "10", "-i", "0.2", "10.2.0.200"]).stdout
    assert "10 received" in told and "DUP" not in told and "duplicates" not in told
    broadcast = server.run(["arping", "-c", "3", "-I", "eth0", two.address()], check=False).stdout
    assert len(re.findall(r"reply from", broadcast)) == 3, broadcast  # each question is answered once
    assert whole(one.guest, "10.2.0.200", 1450) and whole(server, two.address(), 1450)
    one.serve("one")
    assert soon(lambda: ask(server, one.address()) == "one 10.2.0.200")
    assert not pings(other.guest, "10.2.0.200")


def test_evpn_learns_macs_gateways_and_prefixes(operator: Operator) -> None:
    zone = operator.declare(**EVPN)
    red = operator.tenant("red")
    operator.grant(zone, red)
    first, second = red.network("10.9.1.0/24", **on(zone)), red.network("10.9.2.0/24", **on(zone))
    one, two = guests(red, first)
    _, far = guests(red, second)
    site = operator.site
    behind = operator.machine(site.behind_leaf("behind", "10.9.1.200/24", 7000, port=4790))
    leaf = site.leaf(64600, 64512)
    assert soon(lambda: pings(one.guest, two.address()))
    assert soon(lambda: pings(one.guest, "10.9.1.200")) and soon(lambda: pings(behind, two.address()))

    def sessions() -> list[dict[str, str]]:
        return [one["bgp_peers"] for one in operator.call("GET", f"zones/{zone['id']}")["zone"]["hosts"]]

    assert soon(lambda: all(told.get(ADDRESS) == "Established" and len(told) == 2 for told in sessions())), sessions()
    table = str(leaf.show("show bgp l2vpn evpn route type macip"))
    assert one.port["mac_address"] in table and two.port["mac_address"] in table
    forwarding = site.node.run(["bridge", "fdb", "show", "dev", "vx7000"]).stdout
    assert re.search(rf"{one.port['mac_address']} dst {operator.lab.host(1).address} self.* extern_learn", forwarding)
    for guest in (one, two):
        assert soon(lambda g=guest: pings(g.guest, "10.9.1.1"))
        assert "00:00:5e:00:01:01" in guest.guest.run(["ip", "neigh", "show", "10.9.1.1"]).stdout
    assert soon(lambda: pings(one.guest, far.address())) and soon(lambda: pings(far.guest, two.address()))
    assert whole(one.guest, "10.9.1.200", 1450) and whole(one.guest, far.address(), 1450)
    prefixes = str(leaf.show("show bgp l2vpn evpn route type prefix"))
    assert "10.9.2.0" in prefixes and "10.9.1.0" in prefixes


def test_a_revoke_cuts_at_once_and_a_grant_heals(operator: Operator) -> None:
    zone = operator.declare(**VLAN)
    red = operator.tenant("red")
    grant = operator.grant(zone, red)
    one, two = guests(red, red.network("10.1.0.0/24", **on(zone)))
    server = operator.machine(operator.site.server("onred", "10.1.0.200/24", vlan=100))
    assert soon(lambda: pings(one.guest, "10.1.0.200")) and soon(lambda: pings(server, two.address()))
    revoked = operator.call("DELETE", f"zones/{zone['id']}/grants/{grant['id']}")["revoked"]
    assert sorted(revoked["ports_shut"]) == sorted(guest.port["id"] for guest in (one, two))
    assert soon(lambda: not pings(one.guest, "10.1.0.200") and not pings(server, two.address()))
    assert not pings(one.guest, two.address())
    grant = operator.grant(zone, red, on_revoke="keep")
    assert soon(lambda: pings(one.guest, "10.1.0.200") and pings(server, two.address()))
    operator.call("DELETE", f"zones/{zone['id']}/grants/{grant['id']}")
    assert pings(one.guest, "10.1.0.200") and pings(server, two.address())
    reply = red.api.client.post("/network/v2.0/ports", json={"port": {"network_id": one.port["network_id"]}})
    assert reply.status_code == 403


def test_a_projects_network_and_a_vlan_are_one(operator: Operator, tmp_path: Path) -> None:
    zone = operator.declare(**VLAN)
    red = operator.tenant("red")
    operator.grant(zone, red)
    network = red.create("network", name="stretched")
    pool = {"allocation_pools": [{"start": "10.5.0.10", "end": "10.5.0.99"}]}  # the rest is the VLAN's
    subnet = red.create("subnet", network_id=network["id"], cidr="10.5.0.0/24", ip_version=4, **pool)
    network["subnets"] = [subnet["id"]]
    group = red.group({})
    moving = {"allowed_address_pairs": [{"ip_address": "10.5.0.150"}]}
    one, two = red.server(network, 1, group), red.server(network, 2, group, **moving)
    server = operator.machine(operator.site.server("old", "10.5.0.200/24", vlan=150))
    neighbour = operator.machine(operator.site.server("neighbour", "10.5.0.201/24", vlan=150))
    server.run(["ip", "address", "add", "10.5.0.150/24", "dev", "eth0"])
    assert not pings(one.guest, "10.5.0.200")
    stretch = {"network_id": network["id"], "segmentation_id": 150}
    reply = red.api.client.post(f"/wolke/v1/zones/{zone['id']}/stretches", json={"stretch": stretch})
    assert reply.status_code == 201, reply.text
    assert soon(lambda: pings(one.guest, "10.5.0.200")) and soon(lambda: pings(server, two.address()))
    assert soon(lambda: pings(one.guest, two.address()))

    streams = [
        Packets(one.guest, "10.5.0.150", tmp_path / "guest"),
        Packets(neighbour, "10.5.0.150", tmp_path / "vlan"),
    ]
    try:
        for here, there in ((server, two.guest), (two.guest, server)):  # out and back again
            assert all(stream.answers() or stream.flows(0) for stream in streams)
            since = streams[0].answers()[-1]
            here.run(["ip", "address", "del", "10.5.0.150/24", "dev", "eth0"])
            there.run(["ip", "address", "add", "10.5.0.150/24", "dev", "eth0"])
            there.run(["arping", "-U", "-c", "1", "-I", "eth0", "10.5.0.150"], check=False)
            moved = max(stream.answers()[-1] for stream in streams)
            assert all(stream.flows(moved + 0.5) for stream in streams)
            gaps = [round(stream.longest(since), 2) for stream in streams]
            print(f"longest gap of a guest and of a server on the VLAN: {gaps} s")
            assert max(gaps) < 1.0
    finally:
        for stream in streams:
            stream.stop()
    assert red.api.client.delete(f"/wolke/v1/zones/{zone['id']}/stretches/{network['id']}").status_code == 204
    assert soon(lambda: not pings(one.guest, "10.5.0.200"))
    assert soon(lambda: pings(one.guest, two.address()))


def test_a_flat_zone_is_its_physical_network(operator: Operator) -> None:
    zone = operator.declare(name="lab", type="flat", physical_network=SPARE)
    red = operator.tenant("red")
    operator.grant(zone, red)
    one, two = guests(red, red.network("10.6.0.0/24", **on(zone)))
    server = operator.machine(operator.site.server("onspare", "10.6.0.200/24", bridge=f"site-{SPARE}"))
    tagged = operator.machine(operator.site.server("tagged", "10.6.0.201/24", vlan=5, bridge=f"site-{SPARE}"))
    elsewhere = operator.machine(operator.site.server("onpublic", "10.6.0.202/24"))
    assert soon(lambda: pings(one.guest, "10.6.0.200")) and soon(lambda: pings(server, two.address()))
    assert not pings(tagged, one.address()) and not pings(elsewhere, one.address())


def test_an_external_network_on_a_zone_carries_floating_ips(operator: Operator) -> None:
    zone = operator.declare(**VLAN)
    red = operator.tenant("red")
    body = {"name": "outside", "router:external": True, **on(zone), "provider:segmentation_id": 160}
    call = operator.api.client.post
    outside = call("/network/v2.0/networks", json={"network": body}).json()["network"]
    pool = {"allocation_pools": [{"start": "10.7.0.10", "end": "10.7.0.99"}]}
    subnet = {"network_id": outside["id"], "cidr": "10.7.0.0/24", "ip_version": 4, "enable_dhcp": False, **pool}
    assert call("/network/v2.0/subnets", json={"subnet": subnet}).status_code == 201
    try:
        red.public = outside
        network = red.network("10.8.0.0/24")
        red.router(network)
        one, two = guests(red, network)
        server = operator.machine(operator.site.server("gate", "10.7.0.1/24", vlan=160))
        assert soon(lambda: pings(two.guest, "10.7.0.1"))  # by source NAT
        floating = red.create("floatingip", floating_network_id=outside["id"], port_id=one.port["id"])
        assert soon(lambda: pings(server, floating["floating_ip_address"]))
    finally:
        red.end()
        operator.tenants.remove(red)
        assert operator.api.client.delete(f"/network/v2.0/networks/{outside['id']}").status_code == 204


def test_an_agent_that_dies_in_the_middle_goes_on(operator: Operator) -> None:
    lab = operator.lab
    lab.kill("h1/agent")
    zone = operator.call("POST", "zones", zone=VXLAN)["zone"]
    operator.zones.append(zone["id"])
    red = operator.tenant("red")
    operator.grant(zone, red)
    network = red.network("10.2.0.0/24", **on(zone))
    lab.start("h1/agent")
    wait_for(lambda: "wz" in lab.host(1).run(["ovs-vsctl", "list-br"]).stdout, SECONDS, every=0.01)
    lab.kill("h1/agent")  # it has begun
    lab.start("h1/agent")
    operator.in_force(zone)
    one, two = guests(red, network)
    assert soon(lambda: pings(one.guest, two.address()))
    for host in lab.hosts:
        ports = host.run(
            ["ovs-vsctl", "--bare", "--columns=name", "find", "port", f"external_ids:wolke-zone={zone['id']}"]
        )
        assert len(ports.stdout.split()) == 2  # the other host and the foreign VTEP


def test_engines_that_die_come_back_with_their_zones(operator: Operator) -> None:
    lab, site = operator.lab, operator.site
    red = operator.tenant("red")
    pairs = []
    for at, body in enumerate((QINQ, VXLAN, EVPN)):
        zone = operator.declare(**body)
        operator.grant(zone, red)
        pairs.append(guests(red, red.network(f"10.{30 + at}.0.0/24", **on(zone))))
    behind = operator.machine(site.behind_leaf("behind", "10.32.0.200/24", 7000, port=4790))
    leaf = site.leaf(64600, 64512)

    def all_reach() -> bool:
        ways = all(pings(one.guest, two.address()) and pings(two.guest, one.address()) for one, two in pairs)
        return ways and pings(behind, pairs[2][0].address())

    assert soon(all_reach)
    lab.kill("h1/vswitchd")
    lab.start("h1/vswitchd")
    assert soon(all_reach), "ovs-vswitchd"
    host = lab.host(1)

    def session() -> str:
        peers = leaf.show("show bgp l2vpn evpn summary")["peers"]
        return str(peers.get(host.address, {}).get("state", ""))

    assert soon(lambda: session() == "Established")
    host.run(["sh", "-c", "kill -9 $(cat /run/wolke-frr/*.pid)"])
    killed = time.monotonic()
    assert soon(lambda: session() != "Established")
    assert soon(lambda: session() == "Established") and soon(all_reach), "FRR"
    print(f"the host was in EVPN again after {time.monotonic() - killed:.1f} s")


def test_what_was_changed_by_hand_is_told_and_undone(operator: Operator) -> None:
    zone = operator.declare(**QINQ)
    host = operator.lab.host(1)
    [port] = host.run(["ovs-vsctl", "--bare", "--columns=name", "find", "port", "tag=900"]).stdout.split()
    host.run(["ovs-vsctl", "set", "port", port, "tag=901"])
    assert soon(lambda: host.run(["ovs-vsctl", "get", "port", port, "tag"]).stdout.strip() == "900")

    def told() -> list[Any]:
        found = operator.call("GET", "drift?kind=zone")["drift"]
        return [one for one in found if port in one["name"] and one["undone_at"]]

    assert soon(told)
    operator.in_force(zone)


def test_a_host_that_joins_has_every_zone(operator: Operator) -> None:
    zones = [operator.declare(**zone) for zone in (VLAN, QINQ, VXLAN, EVPN)]
    red = operator.tenant("red")
    networks = []
    for at, zone in enumerate(zones):
        operator.grant(zone, red)
        networks.append(red.network(f"10.{20 + at}.0.0/24", **on(zone)))
    group = red.group({})
    there = [red.server(network, 1, group) for network in networks]
    Lab(operator.lab.name, hosts=3).up()
    operator.lab.facts = operator.lab._read()
    assert len(operator.lab.hosts) == 3
    for zone in zones:
        operator.in_force(zone)
    for network, first in zip(networks, there, strict=True):
        new = red.server(network, 3, group)
        assert soon(lambda n=new, f=first: pings(n.guest, f.address())), network["provider:physical_network"]
