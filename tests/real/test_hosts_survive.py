"""A host's process dies while servers are made there: each comes up, each goes, nothing stays; and running guests keep their packets."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_interface
from itertools import pairwise

import pytest

from wolke.lab import wait_for
from wolke.lab.furnish import administrator

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
SERVERS = "/compute/v2.1/servers"
COUNT = 6  # guests that find nothing to boot: two cores carry them


@pytest.fixture(scope="module")
def api(lab):
    return administrator(lab).client


def made(reply):
    assert reply.is_success, f"{reply.request.url}: {reply.status_code} {reply.text}"
    [thing] = reply.json().values()
    return thing


@pytest.fixture(scope="module")
def network(api):
    """A network whose ports may speak to each other."""
    network = made(api.post("/network/v2.0/networks", json={"network": {"name": "survival"}}))
    subnet = {"network_id": network["id"], "ip_version": 4, "cidr": "10.9.0.0/24"}
    made(api.post("/network/v2.0/subnets", json={"subnet": subnet}))
    yield network
    assert api.delete(f"/network/v2.0/networks/{network['id']}").status_code == 204


@pytest.fixture(scope="module")
def order(api, network):
    """What a server is ordered with: an empty disk, the least memory."""
    properties = {"name": "empty", "disk_format": "raw", "container_format": "bare"}
    image = api.post("/image/v2/images", json=properties).json()
    octets = {"content-type": "application/octet-stream"}
    assert api.put(f"/image/v2/images/{image['id']}/file", content=bytes(1 << 20), headers=octets).status_code == 204
    flavor = made(
        api.post("/compute/v2.1/flavors", json={"flavor": {"name": "least", "ram": 64, "vcpus": 1, "disk": 1}})
    )
    yield {"imageRef": image["id"], "flavorRef": flavor["id"], "networks": [{"uuid": network["id"]}]}
    api.delete(f"/compute/v2.1/flavors/{flavor['id']}")
    api.delete(f"/image/v2/images/{image['id']}")


def states(api):
    return {server["name"]: server["status"] for server in api.get(f"{SERVERS}/detail").json()["servers"]}


def guests(lab):
    """Names of all guests that libvirt knows, on both hosts."""
    found = []
    for host in lab.hosts:
        found += host.run(["virsh", "-q", "-c", "qemu:///system", "list", "--all", "--name"]).stdout.split()
    return found


@pytest.mark.parametrize("process", ["agent", "libvirtd", "vswitchd", "ovsdb", "ovn-controller"])
def test_killed_while_servers_are_made(lab, api, order, process):
    def create(number: int) -> str:
        return made(api.post(SERVERS, json={"server": {"name": f"{process}-{number}", **order}}))["id"]

    with ThreadPoolExecutor(COUNT) as pool:
        ids = list(pool.map(create, range(COUNT)))
    assert wait_for(lambda: "ACTIVE" in states(api).values(), 120)
    lab.kill(f"h1/{process}")
    lab.start(f"h1/{process}")
    wait_for(lambda: set(states(api).values()) == {"ACTIVE"}, 180, every=0.5)
    assert states(api) == {f"{process}-{number}": "ACTIVE" for number in range(COUNT)}
    assert len(guests(lab)) == COUNT

    for id in ids:
        assert api.delete(f"{SERVERS}/{id}").status_code == 204
    assert wait_for(lambda: not states(api), 120, every=0.5)
    assert guests(lab) == []
    for host in lab.hosts:
        assert "tap" not in host.run(["ovs-vsctl", "list-ports", "br-int"]).stdout


@pytest.fixture(scope="module")
def pair(lab, api, network):
    """Two namespace guests on two hosts, behind ports of the API, in the default security group."""
    ports, attached = [], []
    for number in (1, 2):
        port = made(api.post("/network/v2.0/ports", json={"port": {"network_id": network["id"]}}))
        ports.append(port)
        address = f"{port['fixed_ips'][0]['ip_address']}/24"
        attached.append(lab.host(number).attach(port["id"], port["mac_address"], address))
    yield attached[0], str(ip_interface(address).ip)
    for guest, port in zip(attached, ports, strict=True):
        guest.detach()
        assert api.delete(f"/network/v2.0/ports/{port['id']}").status_code == 204


@pytest.mark.parametrize(
    "process",
    ["api", "loops", "northd", "ovn-nb", "ovn-sb", "h1/agent", "h1/libvirtd", "h1/ovsdb", "h1/ovn-controller"],
)
def test_packets_do_not_notice(lab, pair, process):
    """Without vswitchd there are no packets; every other process may die."""
    guest, address = pair
    assert wait_for(lambda: guest.run(["ping", "-c", "1", "-W", "1", address], check=False).returncode == 0, 30)
    stream = guest.popen(["ping", "-D", "-i", "0.1", "-w", "8", address], stdout=-1, text=True)
    lab.kill(process)
    lab.start(process)
    times = [float(at) for at in re.findall(r"^\[(\d+\.\d+)\] \d+ bytes from", stream.communicate()[0], re.MULTILINE)]
    assert len(times) > 20
    gap = max(after - before for before, after in pairwise(times))
    assert gap < 1.5, f"{process} away: {gap:.2f} s without packets"
