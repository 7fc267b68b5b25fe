"""BGP in the lab: a host tells the internet's router what is behind the cloud's gateways, and packets follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.real.tenants import Tenant, ask, pings
from tests.real.test_ipv6 import PING6, WEB6, modes, pool, v6_network
from wolke.drivers.frr import Frr
from wolke.lab import Lab, wait_for
from wolke.lab.furnish import administrator

__all__ = ["pool"]  # a fixture
pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
HOST = {4: "198.51.100.201", 6: "2001:db8::ffff:201"}  # the host's own, on the provider segment
ROUTER = {4: "198.51.100.1", 6: "2001:db8::1"}
SECRET = "open-sesame"
UPSTREAM = f"""
router bgp 64513
 bgp router-id {ROUTER[4]}
 no bgp default ipv4-unicast
 no bgp ebgp-requires-policy
 neighbor {HOST[4]} remote-as 64512
 neighbor {HOST[4]} timers connect 2
 neighbor {HOST[6]} remote-as 4200000001
 neighbor {HOST[6]} timers connect 2
 neighbor {HOST[6]} password {SECRET}
 address-family ipv4 unicast
  neighbor {HOST[4]} activate
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:1234::/48
  neighbor {HOST[6]} activate
 exit-address-family
exit
"""


def soon(condition: Callable[[], Any], seconds: float = 60) -> bool:
    return bool(wait_for(condition, seconds, every=0.2))


@pytest.fixture
def upstream(lab: Lab) -> Iterator[Frr]:
    """The internet's router, which talks to the first host; that host has addresses on the provider segment meanwhile."""
    host = lab.host(1).node
    host.run(["sysctl", "-qw", "net.ipv6.conf.br-ex.disable_ipv6=0", "net.ipv6.conf.br-ex.accept_ra=0"])
    for version, length in ((4, 24), (6, 64)):
        nodad = ["nodad"] if version == 6 else []
        host.run(["ip", "address", "replace", f"{HOST[version]}/{length}", "dev", "br-ex", *nodad])
    host.run(["ip", "link", "set", "br-ex", "up"])
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        daemons = Frr(Path(directory) / "frr", prefix=lab.internet.enter())
        try:
            daemons.apply(UPSTREAM)
            yield daemons
        finally:
            daemons.down()
            host.run(["ip", "address", "flush", "dev", "br-ex"])


class Speakers:
    """BGP as the operator orders it through the API; gone afterwards."""

    def __init__(self, lab: Lab) -> None:
        self.api, self.made = administrator(lab), list[str]()

    def call(self, method: str, path: str, **body: Any) -> Any:
        return self.api.call(method, f"/network/v2.0/{path}", **body)

    def speaker(self, version: int, asn: int, network: str, password: str = "") -> str:
        wish = {"name": f"v{version}", "ip_version": version, "local_as": asn}
        made = str(self.call("POST", "bgp-speakers", bgp_speaker=wish)["bgp_speaker"]["id"])
        self.made.append(f"bgp-speakers/{made}")
        security = {"auth_type": "md5", "password": password} if password else {"auth_type": "none"}
        there = {"name": f"v{version}", "peer_ip": ROUTER[version], "remote_as": 64513, **security}
        peer = self.call("POST", "bgp-peers", bgp_peer=there)["bgp_peer"]["id"]
        self.made.append(f"bgp-peers/{peer}")
        self.call("PUT", f"bgp-speakers/{made}/add_bgp_peer", bgp_peer_id=peer)
        self.call("PUT", f"bgp-speakers/{made}/add_gateway_network", network_id=network)
        return made

    def end(self) -> None:
        for path in self.made:
            self.call("DELETE", path)


@pytest.fixture
def speakers(lab: Lab) -> Iterator[Speakers]:
    made = Speakers(lab)
    yield made
    made.end()


def test_what_is_behind_gateways_is_told_and_taken_back(
    lab: Lab, upstream: Frr, pool: dict[str, Any], speakers: Speakers, tenant: Callable[[str], Tenant]
) -> None:
    red = tenant("red")
    network = v6_network(red, {"subnetpool_id": pool["id"], **modes("slaac")})
    v4 = red.create("subnet", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")
    network["subnets"].append(v4["id"])
    red.router(network)
    server = red.server(network, 2, red.group(PING6, WEB6))
    server.serve("server")
    address = server.address(6)
    [outer] = red.admin.get("/network/v2.0/subnets", name="public-v6")["subnets"]
    moving = red.create(
        "floatingip", floating_network_id=red.public["id"], subnet_id=outer["id"], port_id=server.port["id"]
    )
    four = red.create("floatingip", floating_network_id=red.public["id"], port_id=server.port["id"])
    speaker = speakers.speaker(6, 4200000001, red.public["id"], SECRET)
    speakers.speaker(4, 64512, red.public["id"])

    def routes(version: int) -> str:
        return str(lab.internet.run(["ip", f"-{version}", "route", "show", "proto", "bgp"]).stdout)

    [prefix] = [one["prefix"] for one in red.api.get("/wolke/v1/prefixes")["prefixes"] if one["kind"] == "subnet"]
    assert soon(lambda: prefix in routes(6)), upstream.show("show bgp summary")
    assert moving["floating_ip_address"] in routes(6)
    assert soon(lambda: four["floating_ip_address"] in routes(4)), upstream.show("show bgp summary")
    advertised = speakers.call("GET", f"bgp-speakers/{speaker}/get_advertised_routes")["advertised_routes"]
    assert {one["destination"] for one in advertised} == {prefix, f"{moving['floating_ip_address']}/128"}
    assert soon(lambda: ask(lab.internet, address).startswith("server")), "no way in"
    assert "2001:db8:1234::" not in lab.host(1).node.run(["ip", "-6", "route"]).stdout, "the host took a route"
    begin = time.monotonic()
    red.call("PUT", f"floatingips/{four['id']}", floatingip={"port_id": None})
    assert soon(lambda: four["floating_ip_address"] not in routes(4))
    print(f"a floating IP that leads nowhere was withdrawn after {time.monotonic() - begin:.2f} s")
    lab.kill("h1/agent")  # nobody notices: the daemons go on
    assert pings(lab.internet, address) and prefix in routes(6)
    lab.start("h1/agent")
    speakers.call("PUT", f"bgp-speakers/{speaker}/remove_gateway_network", network_id=red.public["id"])
    assert soon(lambda: prefix not in routes(6))
    assert soon(lambda: not pings(lab.internet, address))
