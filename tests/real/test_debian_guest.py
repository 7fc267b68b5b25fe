"""Guests that know nothing of Wolke: the Debian cloud image with its stock cloud-init, and the life of a server by the API alone.

The Debian guests take minutes without KVM; they boot side by side, one asks the metadata service, the other reads its config drive.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.real.orders import COMPUTE, PATHS, Api
from wolke.lab import images, wait_for
from wolke.lab.furnish import administrator

pytestmark = [pytest.mark.real, pytest.mark.timeout(1500)]
FIRST_BOOT = 900  # seconds; two cores, no KVM, cloud-init in Python
BOOT = 240  # seconds; the tiny image
DEBIAN_DATA = """#!/bin/sh
echo "user data ran on $(hostname)" | tee /run/user-data-ran >/dev/console
"""
TINY_DATA = """#!/bin/sh
while sleep 0.3; do
    ls /sys/class/net | tr '\\n' ' ' > /tmp/now
    cmp -s /tmp/now /tmp/was || { echo "links $(cat /tmp/now)" > /dev/console; cp /tmp/now /tmp/was; }
done &
"""
SOURCES = {"metadata": "DataSourceOpenStack", "drive": "DataSourceConfigDrive"}


class Site:
    """A network with a way in from outside, a key, images of both kinds."""

    def __init__(self, lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.api = Api(administrator(lab).client)
        [self.outside] = self.api.list("network", name="public")
        self.network = self.api.make("network", name="debian")
        self.subnet = self.api.make("subnet", network_id=self.network["id"], ip_version=4, cidr="10.7.0.0/24")
        self.router = self.api.make("router", name="debian", external_gateway_info={"network_id": self.outside["id"]})
        self.interface("add")
        self.group = self.api.make("security_group", name="debian")
        rule = {"security_group_id": self.group["id"], "direction": "ingress", "ethertype": "IPv4"}
        self.api.make("security_group_rule", protocol="tcp", port_range_min=22, port_range_max=22, **rule)
        self.key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        public = {"name": "debian", "public_key": self.key.with_suffix(".pub").read_text().strip()}
        made = self.api.client.post(f"{COMPUTE}/os-keypairs", json={"keypair": public})
        assert made.is_success, made.text
        self.floating: list[str] = []
        self.flavors: list[str] = []
        self.images: list[str] = []

    def interface(self, word: str) -> None:
        where = f"{PATHS['router']}/{self.router['id']}/{word}_router_interface"
        self.api.put(where, {"subnet_id": self.subnet["id"]})

    def image(self, kind: str) -> str:
        self.images.append(self.api.image(kind, "qcow2", images.built(kind).read_bytes()))
        return self.images[-1]

    def flavor(self, ram: int, disk: int) -> str:
        made = self.api.make("flavor", name=f"debian.{ram}", ram=ram, vcpus=1, disk=disk)
        self.flavors.append(made["id"])
        return self.flavors[-1]

    def serve(self, name: str, image: str, flavor: str, user_data: str, **more: Any) -> str:
        """The id of a new server with a card on the network."""
        port = self.api.make("port", name=name, network_id=self.network["id"], security_groups=[self.group["id"]])
        body = {"imageRef": image, "flavorRef": flavor, "networks": [{"port": port["id"]}], "key_name": "debian"}
        encoded = base64.b64encode(user_data.encode()).decode()
        return str(self.api.make("server", name=name, user_data=encoded, **body, **more)["id"])

    def lead(self, name: str) -> str:
        """A floating IP to the server's port."""
        [port] = self.api.list("port", name=name)
        made = self.api.make("floatingip", floating_network_id=self.outside["id"], port_id=port["id"])
        self.floating.append(made["id"])
        return str(made["floating_ip_address"])

    def ssh(self, address: str, command: str) -> str | None:
        """What a command in the guest printed, from the internet by key; None when it cannot be run."""
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=10"]
        words = ["ssh", "-q", "-i", str(self.key), *options, "-o", "BatchMode=yes", f"debian@{address}", command]
        done = self.lab.internet.run(words, check=False, timeout=60)
        return done.stdout if done.returncode == 0 else None

    def console(self, server: str, lines: int | None = None) -> str:
        return str(self.api.act(server, "os-getConsoleOutput", {"length": lines}).json()["output"])

    def says(self, server: str, pattern: str, seconds: float = BOOT, times: int = 1) -> str:
        """Wait until the serial log matches so often; the last match."""
        wait_for(lambda: len(re.findall(pattern, self.console(server))) >= times, seconds, every=0.5)
        found = re.findall(pattern, self.console(server))
        assert len(found) >= times, f"not {times} times {pattern!r} in the log:\n{self.console(server)[-3000:]}"
        return str(found[-1])

    def becomes(self, server: str, status: str, seconds: float = BOOT) -> None:
        wait_for(lambda: self.api.status(server) == status, seconds, every=0.3)
        shown = self.api.show("server", server)
        assert (shown["status"], shown["OS-EXT-STS:task_state"]) == (status, None), shown.get("fault")

    def remove(self) -> None:
        api = self.api
        for server in api.list("server"):
            api.delete("server", server["id"])
        assert wait_for(lambda: not api.list("server"), BOOT, every=0.5)
        for id in self.floating:
            api.delete("floatingip", id)
        self.interface("remove")
        api.delete("router", self.router["id"])
        for port in api.list("port", network_id=self.network["id"]):
            if not port["device_owner"].startswith("network:"):
                api.delete("port", port["id"])
        api.delete("network", self.network["id"])
        api.delete("security_group", self.group["id"])
        api.client.delete(f"{COMPUTE}/os-keypairs/debian")
        for flavor in self.flavors:
            api.delete("flavor", flavor)
        for image in self.images:
            api.client.delete(f"/image/v2/images/{image}")


@pytest.fixture(scope="module")
def site(lab, tmp_path_factory):
    site = Site(lab, tmp_path_factory.mktemp("debian"))
    yield site
    site.remove()


# The tiny image through the API -------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def tiny(site):
    """A server that runs and says which links it has."""
    server = site.serve("tiny", site.image("tiny"), site.flavor(256, 1), TINY_DATA)
    site.becomes(server, "ACTIVE")
    site.says(server, r"tiny: ready (\S+)")
    yield server
    site.api.delete("server", server)
    assert wait_for(lambda: not site.api.list("server", name="tiny"), BOOT, every=0.5)


def test_the_serial_log(site, tiny):
    whole = site.console(tiny)
    assert "root file system grown" in whole and "tiny: ready" in whole
    assert site.console(tiny, 2).splitlines() == site.console(tiny).splitlines()[-2:]


def test_a_card_comes_and_goes_while_the_guest_runs(site, tiny):
    site.says(tiny, r"links (eth0 lo)\s")
    path = f"{PATHS['server']}/{tiny}/os-interface"
    more = site.api.client.post(path, json={"interfaceAttachment": {"net_id": site.network["id"]}})
    assert more.status_code == 200, more.text
    port = more.json()["interfaceAttachment"]["port_id"]
    site.says(tiny, r"links (eth0 eth1 lo)\s", 60)
    assert {one["port_id"] for one in site.api.get(path)["interfaceAttachments"]} > {port}
    assert wait_for(lambda: site.api.show("port", port)["status"] == "ACTIVE", 60, every=0.3)
    assert site.api.client.delete(f"{path}/{port}").status_code == 202
    site.says(tiny, r"eth1 lo\s+(?:.*\n)*?links (eth0 lo)\s", 60)
    assert wait_for(lambda: port not in str(site.api.get(path)), 60, every=0.3)
    assert site.api.client.get(f"{PATHS['port']}/{port}").status_code == 404, "the card was made for the server"


def test_the_screen_answers_through_the_api(site, tiny):
    url = site.api.act(tiny, "os-getVNCConsole", {"type": "novnc"}).json()["console"]["url"]
    assert site.api.client.get(url).status_code == 200
    origin, _, token = url.partition("/console/?token=")

    async def greeting(word: str) -> bytes | str:
        address = f"{origin.replace('http', 'ws', 1)}/console/websockify?token={word}"
        async with connect(address, subprotocols=["binary"], proxy=None) as browser:
            return await asyncio.wait_for(browser.recv(), 30)

    assert asyncio.run(greeting(token)) == b"RFB 003.008\n"
    with pytest.raises(Exception, match="403"):
        asyncio.run(greeting(token[:-1]))


def test_a_soft_reboot_is_the_guests_own(site, tiny):
    site.api.act(tiny, "reboot", {"type": "SOFT"})
    site.says(tiny, r"tiny: ready (\S+)", times=2)
    assert "reboot" in site.console(tiny) or "Power down" in site.console(tiny), "the guest was not asked"
    site.becomes(tiny, "ACTIVE")


def test_stopped_and_started(site, tiny):
    boots = len(re.findall(r"tiny: ready", site.console(tiny)))
    site.api.act(tiny, "os-stop")
    site.becomes(tiny, "SHUTOFF")
    assert site.api.show("server", tiny)["OS-EXT-STS:power_state"] == 4
    site.api.act(tiny, "os-start")
    site.becomes(tiny, "ACTIVE")
    site.says(tiny, r"tiny: ready (\S+)", times=boots + 1)


def test_what_was_asked_is_told(site, tiny):
    path = f"{PATHS['server']}/{tiny}/os-instance-actions"
    actions = site.api.get(path)["instanceActions"]
    assert [one["action"] for one in reversed(actions)] == [
        "create", "attach_interface", "detach_interface", "reboot", "stop", "start",
    ]  # fmt: skip
    for one in actions:
        shown = site.api.get(f"{path}/{one['request_id']}")["instanceAction"]
        assert [event["result"] for event in shown["events"]] == ["Success"], one["action"]


# The Debian cloud image ---------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def debians(site):
    """Two servers side by side, each on its own host: name -> id."""
    image, flavor = site.image("debian"), site.flavor(768, 3)
    made = {}
    for number, (name, drive) in enumerate({"metadata": False, "drive": True}.items(), 1):
        more = {"config_drive": drive, "availability_zone": f"nova:h{number}", "metadata": {"told": name}}
        made[name] = site.serve(name, image, flavor, DEBIAN_DATA, **more)
    return made


@pytest.mark.parametrize("name", SOURCES)
def test_stock_cloud_init_learns_everything(site, debians, name):
    server = debians[name]
    address = site.lead(name)
    site.becomes(server, "ACTIVE")
    site.says(server, rf"user data ran on ({name})", FIRST_BOOT)
    wait_for(lambda: site.ssh(address, "test -e /run/cloud-init/result.json") is not None, FIRST_BOOT, every=3)
    assert (site.ssh(address, "hostname") or "").strip() == name
    assert (site.ssh(address, "cat /run/user-data-ran") or "").strip() == f"user data ran on {name}"
    assert site.key.with_suffix(".pub").read_text().split()[1] in (site.ssh(address, "cat .ssh/authorized_keys") or "")

    result = json.loads(site.ssh(address, "cat /run/cloud-init/result.json") or "{}")["v1"]
    assert result["errors"] == []
    assert SOURCES[name] in result["datasource"], result
    told = json.loads(site.ssh(address, "cat /run/cloud-init/instance-data.json") or "{}")
    assert told["v1"]["instance_id"] == server
    assert ("config" in told["v1"]["subplatform"]) == (name == "drive"), told["v1"]["subplatform"]
    assert told["ds"]["meta_data"]["meta"] == {"told": name} or told["ds"]["meta_data"]["told"] == name
    assert (site.ssh(address, "cat /sys/class/net/e*/mtu") or "").split() == ["1442"]
    print(
        f"{name}: {result['datasource']}, {told['v1']['subplatform']}, up {site.ssh(address, 'cut -d. -f1 /proc/uptime')} s"
    )
