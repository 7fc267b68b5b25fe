"""The tiny image on libvirt, with a network: what a guest must be able to do for every other test to mean something."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drivers.private_host import PrivateHost
from tests.drivers.test_hypervisor import nic, server
from wolke.drivers.disks import Disks
from wolke.drivers.libvirt import Libvirt
from wolke.lab import images
from wolke.lab.waiting import wait_for
from wolke.wire import wanted
from wolke.wire.seen import State

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
BULK = os.urandom(3_000_000)
BOOT_SECONDS = 240
USER_DATA = b"""#!/bin/sh
wget -q -O /tmp/bulk http://169.254.169.254/bulk && echo "bulk=$(sha256sum < /tmp/bulk | cut -c1-64)" > /dev/console
echo "mtu=$(cat /sys/class/net/eth0/mtu) name=$(hostname)" > /dev/console
ip route > /dev/console
cat /root/.ssh/authorized_keys > /dev/console
while sleep 0.2; do
    ls /sys/class/net | tr '\\n' ' ' > /tmp/now
    cmp -s /tmp/now /tmp/was || { echo "links $(cat /tmp/now)" > /dev/console; cp /tmp/now /tmp/was; }
done &
"""
GIVES = b"""#!/bin/sh
mkdir /tmp/www; head -c 3000000 /dev/urandom > /tmp/www/bulk
httpd -p 8000 -h /tmp/www; echo "gives=$(sha256sum < /tmp/www/bulk | cut -c1-64)" > /dev/console
"""
TAKES = b"""#!/bin/sh
until timeout 20 wget -q -O /tmp/bulk http://PEER:8000/bulk; do sleep 1; done
echo "takes=$(sha256sum < /tmp/bulk | cut -c1-64)" > /dev/console
"""
# Runs in the host's namespace and answers what an OpenStack metadata service answers.
SERVICE = """
import http.server, pathlib, sys
class Files(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args): super().__init__(*args, directory=sys.argv[1])
http.server.ThreadingHTTPServer(("169.254.169.254", 80), Files).serve_forever()
"""


class Site:
    """One host with a network 10.9.0.0/24: DHCP with MTU and classless routes, a metadata service, a gateway."""

    def __init__(self, host: PrivateHost, image: Path) -> None:
        self.host = host
        self.files = host.folder / "www"
        state = host.folder / "state"
        state.mkdir()
        self.disks = Disks(state)
        self.hypervisor = Libvirt(state, uri=host.uri, checksum_offload=False)
        self.fetch = lambda path: path.write_bytes(image.read_bytes())
        content = image.read_bytes()
        self.image = wanted.Image(
            id=str(uuid.uuid4()), disk_format="qcow2", size=len(content), checksum=hashlib.sha512(content).hexdigest()
        )

    def serve(self) -> None:
        self.host.run("ip", "address", "add", "10.9.0.1/24", "dev", "br-int")
        self.host.run("ip", "address", "add", "169.254.169.254/32", "dev", "br-int")
        self.host.run("ip", "link", "set", "br-int", "up")
        self.host.run("ethtool", "-K", "br-int", "tx", "off")
        leases = self.host.folder / "leases"
        self.host.run(
            *("dnsmasq", "--conf-file=/dev/null", "--port=0", "--interface=br-int", f"--dhcp-leasefile={leases}"),
            *("--dhcp-range=10.9.0.10,10.9.0.20", "--dhcp-option=option:mtu,1442", f"--pid-file={leases}.pid"),
            "--dhcp-option=option:classless-static-route,169.254.169.254/32,10.9.0.1,0.0.0.0/0,10.9.0.1",
        )
        subprocess.Popen(self.host.command("python3", "-c", SERVICE, str(self.files)), stderr=subprocess.DEVNULL)

    def boot(self, wish: wanted.Server, drive: dict[str, bytes] | None = None) -> None:
        root = self.disks.root(
            wish.id, self.disks.image(self.image, self.fetch), wanted.Disk(image=self.image, size_gib=1)
        )
        config_drive = self.disks.config_drive(wish.id, drive) if drive else None
        self.hypervisor.define(wish, root, config_drive)
        self.hypervisor.start(wish.id, paused=False)

    def console(self, id: str) -> str:
        path = self.hypervisor.console(id)
        return path.read_text(errors="replace") if path.exists() else ""

    def says(self, id: str, pattern: str, seconds: float = BOOT_SECONDS) -> re.Match[str]:
        found = wait_for(lambda: re.search(pattern, self.console(id)), seconds)
        assert found, f"the guest never said {pattern!r}:\n{self.console(id)[-3000:]}"
        return found


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    image = images.built()
    host = PrivateHost()
    try:
        host.start_switch()
        host.start_libvirtd()
        site = Site(host, image)
        site.serve()
        yield site
    finally:
        host.close()


def metadata(wish: wanted.Server, name: str, user_data: bytes = USER_DATA) -> dict[str, bytes]:
    told = {"uuid": wish.id, "hostname": f"{name}.example", "public_keys": {"mine": "ssh-ed25519 AAAA mine"}}
    return {"openstack/latest/meta_data.json": json.dumps(told).encode(), "openstack/latest/user_data": user_data}


def test_a_guest_learns_who_it_is_from_the_metadata_service_and_moves_bulk_data(site: Site) -> None:
    wish = dataclasses.replace(server(), ram_mib=256)
    for name, content in {**metadata(wish, "red-1"), "bulk": BULK}.items():
        path = site.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    site.boot(wish)
    assert site.says(wish.id, r"new instance (\S+) from metadata service")[1] == wish.id
    site.says(wish.id, "tiny: root file system grown")
    assert site.says(wish.id, r"bulk=(\w+)")[1] == hashlib.sha256(BULK).hexdigest(), "checksums, MTU or both are wrong"
    assert site.says(wish.id, r"mtu=(\d+) name=(\S+)").groups() == ("1442", "red-1")
    site.says(wish.id, r"169\.254\.169\.254 via 10\.9\.0\.1 dev eth0")
    site.says(wish.id, "ssh-ed25519 AAAA mine")
    site.says(wish.id, "tiny: ready red-1 eth0=10.9.0")

    more = nic()
    site.hypervisor.plug(wish.id, more)
    site.says(wish.id, r"links eth0 eth1 lo", 30)
    site.hypervisor.unplug(wish.id, more.port_id)
    assert wait_for(lambda: site.hypervisor.observe()[0].nics == (wish.nics[0].port_id,), 30)
    site.says(wish.id, r"links eth0 eth1 lo \s*links eth0 lo", 30)

    site.host.kill_libvirtd()
    assert site.host.run("ping", "-c", "3", "-i", "0.2", "-W", "2", address(site, wish)), "the guest went with libvirtd"
    site.host.start_libvirtd()
    site.hypervisor.shut_down(wish.id)
    assert wait_for(lambda: site.hypervisor.observe()[0].state is State.DEFINED, 60)
    site.hypervisor.remove(wish.id)
    site.disks.remove(wish.id)


def address(site: Site, wish: wanted.Server) -> str:
    return site.says(wish.id, r"tiny: ready \S+ eth0=([\d.]+)/")[1]


def test_a_guest_learns_who_it_is_from_its_config_drive(site: Site) -> None:
    wish = dataclasses.replace(server(), ram_mib=256, hints={"hw_firmware_type": "uefi"})
    site.boot(wish, metadata(wish, "blue-1"))
    assert site.says(wish.id, r"new instance (\S+) from config drive")[1] == wish.id
    site.says(wish.id, "tiny: ready blue-1 eth0=10.9.0")
    site.says(wish.id, "user data ended: 0")
    site.hypervisor.power_off(wish.id)
    site.hypervisor.remove(wish.id)


def test_two_guests_of_a_userspace_switch_exchange_bulk_data(site: Site) -> None:
    giver, taker = (dataclasses.replace(server(), ram_mib=256) for _ in range(2))
    site.boot(giver, metadata(giver, "giver", GIVES))
    given = site.says(giver.id, r"gives=(\w+)")[1]
    peer = address(site, giver).encode()
    site.boot(taker, metadata(taker, "taker", TAKES.replace(b"PEER", peer)))
    assert site.says(taker.id, r"takes=(\w+)")[1] == given
    for wish in (giver, taker):
        site.hypervisor.power_off(wish.id)
        site.hypervisor.remove(wish.id)
