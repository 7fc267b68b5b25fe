"""One host with its real engines: a guest boots, learns who it is, and outlives its agent."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.agent.plane import Plane
from wolke.core import pki
from wolke.lab import Lab, images, wait_for
from wolke.lab.wires import CONTROL_ADDRESS
from wolke.wire import wanted
from wolke.wire.seen import State
from wolke.wire.wanted import MetadataPort, Power, Wanted

pytestmark = pytest.mark.real
ROOT = Path(__file__).resolve().parents[2]
ID, PORT, SECOND = (f"{number}{number}-0d3b-4a3f-9a55-0a6f3a5a0001" for number in ("5d5e", "a1a1", "a2a2"))
NETWORK, METADATA = "aaaaaaaa-1111-4000-8000-000000000001", "aaaaaaaa-1111-4000-8000-0000000000ff"
MAC, SECOND_MAC, METADATA_MAC = "fa:16:3e:00:00:05", "fa:16:3e:00:00:06", "fa:16:3e:00:00:02"
USER_DATA = b"#!/bin/sh\necho user data has run > /dev/console\n"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    lab = Lab(f"a{os.getpid()}", hosts=1)
    try:
        lab.up(control_plane=False)
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="module")
def image() -> Path:
    return images.built()


@pytest.fixture(scope="module")
def plane(lab: Lab, image: Path) -> Iterator[Plane]:
    listening = lab.control.listen(CONTROL_ADDRESS, 6643)
    plane = Plane(listening, "h1")
    plane.images["tiny"] = image
    threading.Thread(target=plane.serve_forever, args=(0.05,), daemon=True).start()
    yield plane
    plane.shutdown()
    plane.server_close()


@pytest.fixture(scope="module")
def network(lab: Lab) -> None:
    """What the control plane writes for a network 10.0.0.0/24 with two ports and a metadata port."""
    lab.ovn_nbctl("ls-add", "net", "--", "set", "logical_switch", "net", "other_config:subnet=10.0.0.0/24")
    for port, mac, address in ((PORT, MAC, "10.0.0.5"), (SECOND, SECOND_MAC, "10.0.0.6")):
        lab.ovn_nbctl("lsp-add", "net", port, "--", "lsp-set-addresses", port, f"{mac} {address}")
    lab.ovn_nbctl("lsp-add", "net", METADATA, "--", "lsp-set-type", METADATA, "localport")
    lab.ovn_nbctl("lsp-set-addresses", METADATA, f"{METADATA_MAC} 10.0.0.2")
    options = {
        "server_id": "10.0.0.1",
        "server_mac": "fa:16:3e:00:00:01",
        "lease_time": "3600",
        "mtu": "1442",
        "classless_static_route": "{169.254.169.254/32,10.0.0.2}",
    }
    pairs = [f'options:{name}="{value}"' for name, value in options.items()]
    made = lab.ovn_nbctl("create", "dhcp_options", 'cidr="10.0.0.0/24"', *pairs).strip()
    lab.ovn_nbctl("lsp-set-dhcpv4-options", PORT, made)


class AgentProcess:
    """``wolke agent`` on the lab's host."""

    def __init__(self, lab: Lab, plane: Plane) -> None:
        self.lab, self.plane, self.host = lab, plane, lab.host(1)
        home = lab.directory / "h1"
        home.mkdir(exist_ok=True)
        (home / "join-token").write_text(plane.token.whole)
        settings = {
            "host": "h1",
            "state": str(home / "state"),
            "control": plane.url,
            "listen": f"{self.host.address}:0",
            "encap_ip": self.host.address,
            "join_token_file": str(home / "join-token"),
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        (home / "agent.toml").write_text("\n".join([*lines, 'bridge_mappings = { public = "br-ex" }']))
        self.words = [sys.executable, "-m", "wolke.cli.main", "agent", "--config", str(home / "agent.toml")]
        self.log = home / "agent.log"
        self.state = home / "state"
        self.start()

    def start(self) -> None:
        self.pid = self.host.node.launch(self.words, self.log, env={"PYTHONPATH": str(ROOT)})

    def end(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)
        self.await_that(lambda: not Path(f"/proc/{self.pid}/exe").exists(), 30)

    def await_that(self, condition: Callable[[], Any], seconds: float = 90) -> Any:
        found = wait_for(condition, seconds)
        assert found, f"waited {seconds} s; {self.plane.picture}\n{self.log.read_text()[-6000:]}"
        return found

    def told(self) -> Any:
        picture = self.plane.picture
        return next((told for told in picture.servers if told.id == ID), None) if picture else None

    def await_state(self, state: State, revision: int) -> Any:
        def reached() -> Any:
            told = self.told()
            return told if told and (told.state, told.revision) == (state, revision) else None

        return self.await_that(reached)

    def dial(self) -> socket.socket:
        """A connection to the agent's listener, from the control node."""
        host, port = self.plane.picture.address.rsplit(":", 1)
        made = []

        def enter() -> None:
            handle = os.open(f"/proc/{self.lab.control.pid}/ns/net", os.O_RDONLY)
            netns_enter(handle)
            made.append(socket.create_connection((host, int(port)), 20))

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        return made[0]

    def control_tls(self) -> ssl.SSLContext:
        return pki.client_context(self.plane.ca, self.plane.own)

    def console(self) -> str:
        with self.control_tls().wrap_socket(self.dial(), server_hostname="h1") as line:
            line.sendall(f"GET /servers/{ID}/console HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            whole = b""
            while chunk := line.recv(65536):
                whole += chunk
        return whole.decode("utf-8", "replace")


def netns_enter(handle: int) -> None:
    from pyroute2 import netns

    netns.setns(handle)
    os.close(handle)


@pytest.fixture(scope="module")
def agent(lab: Lab, plane: Plane, network: None) -> Iterator[AgentProcess]:
    agent = AgentProcess(lab, plane)
    yield agent
    agent.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def slice(image: Path) -> Wanted:
    content = image.read_bytes()
    about = wanted.Metadata(
        hostname="web-1", name="web-1", project_id="red", availability_zone="nova", user_data=USER_DATA
    )
    checksum = hashlib.sha512(content).hexdigest()
    disk = wanted.Disk(
        image=wanted.Image(id="tiny", disk_format="qcow2", size=len(content), checksum=checksum), size_gib=1
    )
    server = wanted.Server(
        id=ID,
        revision=1,
        name="web-1",
        power=Power.RUNNING,
        vcpus=1,
        ram_mib=256,
        disk=disk,
        nics=(wanted.Nic(port_id=PORT, mac=MAC, mtu=1442),),
        metadata=about,
    )
    port = MetadataPort(
        network_id=NETWORK,
        port_id=METADATA,
        mac=METADATA_MAC,
        addresses=("10.0.0.2/24",),
        mtu=1442,
        servers={"10.0.0.5": ID},
    )
    return Wanted(
        revision=1,
        host="h1",
        ovn_remote=f"tcp:{CONTROL_ADDRESS}:6642",
        servers=(server,),
        metadata_ports=(port,),
    )


def changed(slice: Wanted, revision: int, **fields: Any) -> Wanted:
    return replace(slice, revision=revision, servers=(replace(slice.servers[0], revision=revision, **fields),))


def test_the_life_of_a_guest(lab: Lab, plane: Plane, agent: AgentProcess, slice: Wanted):
    plane.want(slice)
    told = agent.await_state(State.RUNNING, 1)
    assert told.nics == (PORT,) and told.boot == 1 and told.machine.startswith("pc-q35")
    assert plane.picture.errors == {} and plane.picture.engines.keys() >= {"libvirt", "qemu"}
    assert not (agent.state / "node" / "key.pem").stat().st_mode & 0o077

    # It boots, finds the metadata service by DHCP's route, and runs its user data.
    agent.await_that(lambda: "user data has run" in agent.console(), 240)
    agent.await_that(lambda: "web-1 login" in agent.console())

    # Its screen is carried.
    where = f"wss://agent/servers/{ID}/vnc"
    with connect(where, sock=agent.dial(), ssl=agent.control_tls(), server_hostname="h1") as screen:
        assert screen.recv(20).startswith(b"RFB 003")

    # The agent is killed: the guest does not notice, the next agent goes on with it.
    started = told.started_at
    agent.end()
    count = len(plane.pictures)
    agent.start()
    agent.await_that(lambda: len(plane.pictures) > count)
    assert agent.await_state(State.RUNNING, 1).started_at == started

    # A second NIC is plugged while it runs, and taken away again.
    second = wanted.Nic(port_id=SECOND, mac=SECOND_MAC, mtu=1442)
    plane.want(changed(slice, 2, nics=(*slice.servers[0].nics, second)))
    assert set(agent.await_state(State.RUNNING, 2).nics) == {PORT, SECOND}
    plane.want(changed(slice, 3))
    assert agent.await_state(State.RUNNING, 3).nics == (PORT,)

    # A soft reboot is heard.
    plane.want(changed(slice, 4, boot=2, hard=False, shutdown_seconds=120))
    told = agent.await_state(State.RUNNING, 4)
    assert told.boot == 2 and told.started_at > started
    assert "power off" not in agent.log.read_text()

    # Gone is gone.
    plane.want(changed(slice, 5, power=Power.GONE))
    agent.await_that(lambda: ID in plane.picture.removed)
    plane.want(replace(slice, revision=6, servers=(), metadata_ports=()))
    agent.await_that(lambda: "wolke-meta" not in lab.host(1).run(["ip", "netns", "list"]).stdout)
    left = lab.host(1).run(["sh", "-c", "ovs-vsctl list-ports br-int; ip -o link; virsh list --all"]).stdout
    assert "wmo" not in left and "tap" not in left and ID not in left
    assert list((agent.state / "guests").iterdir()) == []
    assert "Traceback" not in agent.log.read_text()


def test_engines_and_the_control_plane_may_die(lab: Lab, plane: Plane, agent: AgentProcess, slice: Wanted):
    plane.want(changed(slice, 11))
    agent.await_state(State.RUNNING, 11)

    lab.kill("h1/libvirtd")
    plane.want(changed(slice, 12, boot=2))
    agent.await_that(lambda: "hypervisor" in plane.picture.errors)
    assert agent.told().state is State.RUNNING  # the last that was known
    lab.start("h1/libvirtd")
    assert agent.await_state(State.RUNNING, 12).boot == 2
    agent.await_that(lambda: not plane.picture.errors)

    # A guest whose process is killed is told at once, and is started again only when that is asked.
    lab.host(1).run(["sh", "-c", f"kill -9 $(cat /run/libvirt/qemu/wolke-{ID}.pid)"])
    agent.await_state(State.CRASHED, 12)
    plane.want(changed(slice, 13, boot=3))
    agent.await_state(State.RUNNING, 13)

    for engine in ("ovsdb", "vswitchd", "ovn-controller"):
        lab.kill(f"h1/{engine}")
        lab.start(f"h1/{engine}")
    plane.want(changed(slice, 14, boot=4))
    assert agent.await_state(State.RUNNING, 14).boot == 4
    agent.await_that(lambda: agent.console().count("user data has run") >= 1 and not plane.picture.errors, 240)

    plane.want(changed(slice, 15, power=Power.GONE))
    agent.await_that(lambda: ID in plane.picture.removed)
    assert "Traceback" not in agent.log.read_text()
