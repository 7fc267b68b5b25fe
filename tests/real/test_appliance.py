"""A firewall of a project's own, as people run an OPNsense: it routes and translates, bridges, and stands on a trunk.

Namespaces with iptables and bridges suffice for most; the trunk's firewall is a real guest whose kernel knows VLANs.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.real.orders import Api as Orders
from tests.real.tenants import SERVE, Server, Tenant, ask, drawn, pings
from wolke.lab import Lab, images, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
INTERNET = "198.51.100.254"
EVERYTHING: list[dict[str, Any]] = [{}, {"ethertype": "IPv6"}]
FREE = {"port_security_enabled": False}


class Site(Tenant):
    """A project with firewalls."""

    def plain(self, name: str, cidr: str, **subnet: Any) -> dict[str, Any]:
        """A network with one IPv4 subnet as asked."""
        network = self.create("network", name=name)
        asked = {"network_id": network["id"], "cidr": cidr, "ip_version": 4, **drawn(cidr), **subnet}
        network["subnets"] = [self.create("subnet", **asked)["id"]]
        return network

    def firewall(self, host: int, one: dict[str, Any], two: dict[str, Any]) -> tuple[Server, Server]:
        """A guest with a card on each network, ``eth0`` and ``eth1``. ``one``, ``two`` : network, port's body, groups."""
        first = self.server(one["network"], host, *one.get("groups", ()), **one["port"])
        second = self.server(two["network"], host, *two.get("groups", ()), **two["port"])
        space = f"g{first.guest.tag}"
        node = first.guest.node
        shown = node.run(["ip", "-n", f"g{second.guest.tag}", "-o", "address", "show", "dev", "eth0"]).stdout
        node.run(["ip", "-n", f"g{second.guest.tag}", "link", "set", "eth0", "name", "eth1", "netns", space])
        first.guest.run(["ip", "link", "set", "eth1", "up"])
        first.guest.run(["ethtool", "-K", "eth1", "tx", "off"])
        for address in re.findall(r"inet6? (\S+) .*scope global", shown):
            first.guest.run(["ip", "address", "add", address, "dev", "eth1"])
        return first, second

    def learnt(self) -> set[str]:
        """MACs that OVN has learnt somewhere."""
        return set(self.lab.ovn_sbctl("--bare", "--columns=mac", "list", "FDB").split())


@pytest.fixture
def red(lab: Lab) -> Iterator[Site]:
    made = Site(lab, "appliance-red")
    yield made
    made.end()


def test_it_is_its_networks_gateway_and_translates(lab: Lab, red: Site) -> None:
    """Clients know nothing of the router behind it: their default gateway is the firewall, which goes out in its own name."""
    group = red.group(*EVERYTHING)
    inside = red.plain("inside", "10.1.0.0/24", gateway_ip="10.1.0.1")
    outside = red.plain("outside", "10.9.0.0/24")
    router = red.router(outside)
    gateway = router["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
    client = red.server(inside, 2, group)
    wall, out = red.firewall(
        1,
        {"network": inside, "port": {"fixed_ips": [{"ip_address": "10.1.0.1"}], **FREE}},
        {"network": outside, "port": FREE},
    )
    wall.guest.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    wall.guest.run(["ip", "route", "del", "default"], check=False)
    wall.guest.run(["ip", "route", "add", "default", "via", "10.9.0.1", "dev", "eth1"])
    wall.guest.run(["iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "eth1", "-j", "MASQUERADE"])
    serving = lab.internet.popen(["python3", "-c", SERVE, "outside", "8080,8443", "5353"])
    try:
        assert wait_for(lambda: pings(wall.guest, INTERNET), 30), "the firewall itself has no way out"
        assert wait_for(lambda: ask(client.guest, INTERNET, 8080) == f"outside {gateway}", 30)
        assert ask(client.guest, INTERNET, 8443) == f"outside {gateway}"
        wall.guest.run(["iptables", "-A", "FORWARD", "-p", "tcp", "--dport", "8443", "-j", "DROP"])
        assert ask(client.guest, INTERNET, 8443) == "" and ask(client.guest, INTERNET, 8080)
        # what comes in from the internet: a floating IP on the firewall, led on by it
        client.serve("client", tcp="80")
        floating = red.create("floatingip", floating_network_id=red.public["id"], port_id=out.port["id"])
        to = f"{client.address()}:80"
        wall.guest.run(f"iptables -t nat -A PREROUTING -i eth1 -p tcp --dport 80 -j DNAT --to {to}".split())
        assert wait_for(lambda: ask(lab.internet, floating["floating_ip_address"]).startswith("client"), 30)
    finally:
        serving.terminate()
        serving.wait()


def test_address_pairs_are_enough_for_one_that_routes(lab: Lab, red: Site) -> None:
    """With port security on, the firewall passes what its pairs name and nothing more; host routes lead there."""
    group = red.group(*EVERYTHING)
    route = [{"destination": "10.2.0.0/24", "nexthop": "10.1.0.9"}]
    one = red.plain("one", "10.1.0.0/24", host_routes=route)
    two = red.plain("two", "10.2.0.0/24", gateway_ip="10.2.0.1")
    here, there = red.server(one, 2, group), red.server(two, 2, group)
    wall, far = red.firewall(
        1,
        {"network": one, "port": {"fixed_ips": [{"ip_address": "10.1.0.9"}]}, "groups": [group]},
        {"network": two, "port": {"fixed_ips": [{"ip_address": "10.2.0.1"}]}, "groups": [group]},
    )
    wall.guest.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    for route_ in red.call("GET", f"subnets/{one['subnets'][0]}")["subnet"]["host_routes"]:
        here.guest.run(["ip", "route", "add", route_["destination"], "via", route_["nexthop"]])
    assert wait_for(lambda: pings(wall.guest, here.address()) and pings(wall.guest, there.address()), 30)
    assert not pings(here.guest, there.address()), "port security lets foreign senders pass"

    def allow(server: Server, *cidrs: str) -> None:
        pairs = [{"ip_address": cidr} for cidr in cidrs]
        red.call("PUT", f"ports/{server.port['id']}", port={"allowed_address_pairs": pairs})

    allow(wall, "10.2.0.0/24")
    allow(far, "10.1.0.0/24")
    assert wait_for(lambda: pings(here.guest, there.address()), 30)
    there.serve("there")
    assert ask(here.guest, there.address()) == f"there {here.address()}", "it routes and translates nothing"
    allow(far, f"{there.address()}/32")
    assert wait_for(lambda: not pings(here.guest, there.address()), 30)


def test_it_bridges_two_networks(lab: Lab, red: Site) -> None:
    """Two networks become one segment through it: whoever is behind it is learnt."""
    group = red.group(*EVERYTHING)
    left = red.network("10.3.0.0/24", "fd00:3::/64")
    right = red.network("10.3.0.0/24", "fd00:3::/64")
    first = red.server(left, 2, group, fixed_ips=[{"ip_address": "10.3.0.10"}])
    near = red.server(left, 1, group, fixed_ips=[{"ip_address": "10.3.0.11"}])
    second = red.server(right, 2, group, fixed_ips=[{"ip_address": "10.3.0.20"}])
    bare = {"fixed_ips": [], **FREE}
    deaf = {**bare, "mac_learning_enabled": False}
    wall, other = red.firewall(1, {"network": left, "port": bare}, {"network": right, "port": deaf})
    assert wait_for(lambda: pings(first.guest, near.address()), 30)
    assert not pings(first.guest, second.address())
    for words in ("add br0 type bridge", "set br0 up", "set eth0 master br0", "set eth1 master br0"):
        wall.guest.run(["ip", "link", *words.split()])
    second.serve("second")
    assert not wait_for(lambda: pings(first.guest, second.address()), 10), "a port that learns no MACs is a bridge"
    red.call("PUT", f"ports/{other.port['id']}", port={"mac_learning_enabled": None})
    assert wait_for(lambda: pings(first.guest, second.address()), 60)
    assert wait_for(lambda: pings(near.guest, second.address()), 30)
    assert ask(first.guest, second.address()) == "second 10.3.0.10"
    assert wait_for(lambda: pings(second.guest, first.address(6)), 30)
    assert wait_for(lambda: {first.port["mac_address"], second.port["mac_address"]} <= red.learnt(), 30)
    assert pings(first.guest, near.address()), "two servers of one network still reach each other"


# A real guest on a trunk --------------------------------------------------------------------------------------------
SETUP = """#!/bin/sh
modprobe 8021q; modprobe bridge
echo 1 > /proc/sys/net/ipv4/ip_forward
card() { ip link add link eth0 name eth0.$1 type vlan id $1; ip link set eth0.$1 address $2; ip link set eth0.$1 up; }
{cards}
ip address add 10.1.0.1/24 dev eth0.100
ip address add 10.2.0.1/24 dev eth0.200
brctl addbr br0
for card in eth0.300 eth0.400; do ip link set $card promisc on; brctl addif br0 $card; done
ip link set br0 up
echo "firewall: up $(ls /sys/class/net | tr '\\n' ' ')" > /dev/console
"""


class Firewall:
    """A server of the tiny image whose one card carries four networks."""

    def __init__(self, lab: Lab, red: Site, image: bytes) -> None:
        self.red, self.orders, self.own = red, Orders(red.admin.client), Orders(red.api.client)
        self.image = self.orders.image("appliance", "qcow2", image)
        self.flavor = self.orders.make("flavor", name="appliance", ram=256, vcpus=1, disk=1)["id"]
        self.server = ""

    def start(self, parent: dict[str, Any], cards: dict[int, str]) -> None:
        lines = "\n".join(f"card {tag} {mac}" for tag, mac in cards.items())
        data = base64.b64encode(SETUP.replace("{cards}", lines).encode()).decode()
        body = {
            "imageRef": self.image,
            "flavorRef": self.flavor,
            "networks": [{"port": parent["id"]}],
            "user_data": data,
        }
        self.server = self.own.make("server", name="appliance", **body)["id"]
        assert wait_for(lambda: "firewall: up" in self.console(), 300, every=1), self.console()[-3000:]

    def console(self) -> str:
        if self.own.status(self.server) == "BUILD":
            return ""
        return str(self.own.act(self.server, "os-getConsoleOutput", {"length": None}).json()["output"])

    def gone(self) -> None:
        if self.server:
            self.own.delete("server", self.server)
            assert wait_for(lambda: not self.own.list("server"), 120, every=0.5)
        self.orders.delete("flavor", self.flavor)
        self.red.admin.client.delete(f"/image/v2/images/{self.image}")


def test_a_real_guest_on_a_trunk_routes_and_bridges(lab: Lab, red: Site) -> None:
    wall = Firewall(lab, red, images.built().read_bytes())
    group = red.group(*EVERYTHING)
    cidrs = {100: "10.1.0.0/24", 200: "10.2.0.0/24", 300: "10.3.0.0/24", 400: "10.3.0.0/24"}
    networks = {tag: red.plain(f"net{tag}", cidr) for tag, cidr in cidrs.items()}
    # one on each: behind the gateway of 100 and 200, on both sides of the bridge between 300 and 400
    guests = {
        tag: red.server(network, 2, group, fixed_ips=[{"ip_address": f"10.{min(tag // 100, 3)}.0.{tag // 10}"}])
        for tag, network in networks.items()
    }
    under = red.plain("under", "10.9.0.0/24")
    parent = red.create("port", network_id=under["id"], name="parent")
    ports = {
        tag: red.create(
            "port",
            network_id=network["id"],
            **FREE,
            fixed_ips=[{"ip_address": f"10.{tag // 100}.0.1"}] if tag < 300 else [],
        )
        for tag, network in networks.items()
    }
    subports = [
        {"port_id": port["id"], "segmentation_type": "vlan", "segmentation_id": tag} for tag, port in ports.items()
    ]
    trunk = red.create("trunk", port_id=parent["id"], sub_ports=subports)
    try:
        assert not pings(guests[100].guest, guests[200].address()), "there is a way without the firewall"
        wall.start(parent, {tag: port["mac_address"] for tag, port in ports.items()})
        assert wait_for(lambda: red.call("GET", f"trunks/{trunk['id']}")["trunk"]["status"] == "ACTIVE", 60)
        assert wait_for(lambda: pings(guests[100].guest, "10.1.0.1"), 60), wall.console()[-3000:]
        assert wait_for(lambda: pings(guests[100].guest, guests[200].address()), 60)
        assert wait_for(lambda: pings(guests[300].guest, guests[400].address()), 60), wall.console()[-3000:]
        for tag, to in ((100, 200), (300, 400)):
            guests[to].serve(f"on {to}")
            assert ask(guests[tag].guest, guests[to].address()) == f"on {to} {guests[tag].address()}"
            large = [
                "ping",
                "-c",
                "2",
                "-W",
                "5",
                "-M",
                "do",
                "-s",
                str(networks[tag]["mtu"] - 28),
                guests[to].address(),
            ]
            assert guests[tag].guest.run(large, check=False).returncode == 0, "full packets do not pass the trunk"
        assert not pings(guests[100].guest, guests[300].address())
    finally:
        wall.gone()
