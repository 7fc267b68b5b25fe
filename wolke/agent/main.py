"""``wolke agent --config agent.toml``: the agent with its real drivers, until it is told to stop."""

from __future__ import annotations

import logging
import os
import signal
import ssl
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from wolke.agent.agent import About, Agent
from wolke.agent.conversations import Conversations
from wolke.agent.fabric import KernelFabric
from wolke.agent.link import HttpsLink, LinkError
from wolke.agent.listener import Listener
from wolke.agent.metadata_server import MetadataServer
from wolke.agent.node import Node, joined
from wolke.agent.notes import Notes
from wolke.agent.routing import Routing
from wolke.drivers.announce import Announcer
from wolke.drivers.conntrack import Conntrack
from wolke.drivers.disks import Disks
from wolke.drivers.flows import Flows
from wolke.drivers.frr import Frr
from wolke.drivers.hypervisor import DriverError
from wolke.drivers.libvirt import Libvirt
from wolke.drivers.vswitch import VirtualSwitch

log = logging.getLogger(__name__)

RENEW_LOOK_SECONDS = 3600.0
ROUTING = Path("/run/wolke-frr")  # of the routing daemons, whose user could not read the agent's own state


class Settings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """``agent.toml``."""

    host: str
    state: str  # directory
    control: str  # URL of the control plane's listener for agents
    listen: str  # address:port of our own listener; the control plane connects to it
    encap_ip: str = "127.0.0.1"  # of this end of the tunnels
    bridge_mappings: dict[str, str] = {}  # physical network -> bridge
    libvirt: str = "qemu:///system"
    ovs: str = "unix:/run/openvswitch/db.sock"
    join_token_file: str = ""
    host_boot_file: str = "/proc/sys/kernel/random/boot_id"  # holds another word after each boot of the host


def load(path: Path) -> Settings:
    """``msgspec.ValidationError`` names what is wrong."""
    return msgspec.convert(tomllib.loads(path.read_text()), Settings)


def run(config_path: Path | str) -> None:
    """Join if need be, then work until SIGTERM or SIGINT. Guests go on without us.

    Raises
    ------
    JoinRefused: the token is used up or is for another control plane
    RuntimeError: an engine's library is missing on this host
    """
    settings, stop = load(Path(config_path)), threading.Event()
    reader, writer = os.pipe()

    def end(*_: object) -> None:
        os.write(writer, b".")  # a signal may come while this thread holds a lock: the handler touches none

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with ThreadPoolExecutor(1, thread_name_prefix="agent") as pool:
        working = pool.submit(work, settings, stop)
        working.add_done_callback(end)
        os.read(reader, 1)
        stop.set()
    working.result()


def work(settings: Settings, stop: threading.Event) -> None:
    state = Path(settings.state)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    node = Node(state, settings.host)
    joined(node, settings.control, Path(settings.join_token_file) if settings.join_token_file else None, stop)
    if stop.is_set():
        return
    try:
        serve(settings, state, node, stop)
    except DriverError as error:
        raise RuntimeError(f"{error} {error.hint}") from error


def serve(settings: Settings, state: Path, node: Node, stop: threading.Event) -> None:
    """Assemble everything, work until ``stop`` is set, and take it apart."""
    switch = VirtualSwitch(settings.ovs)
    hypervisor = Libvirt(state, uri=settings.libvirt, checksum_offload=switch.checksum_offload())
    client, server = node.client_context(), node.server_context()
    link = HttpsLink(settings.control, client)
    listener = Listener(settings.listen, server, hypervisor)
    listener.start()
    notes = Notes(state / "guests")
    metadata = MetadataServer(switch, notes)
    frr = Frr(ROUTING)
    routing = Routing(frr, settings.encap_ip)
    conversations = Conversations(Conntrack(), Announcer(), lambda: set(switch.ports().values()))
    agent = Agent(
        host=settings.host,
        state=state,
        hypervisor=hypervisor,
        disks=Disks(state),
        switch=switch,
        link=link,
        notes=notes,
        metadata=metadata,
        routing=routing,
        conversations=conversations,
        fabric=KernelFabric(settings.encap_ip, lambda: routing.trouble, routing.pending.set, frr.show),
        flows=Flows(),
        about=About(
            host=settings.host,
            address=listener.address,
            encap_ip=settings.encap_ip,
            bridge_mappings=settings.bridge_mappings,
            host_boot=Path(settings.host_boot_file).read_text().strip(),
            booted_at=booted_at(),
            cpu_model=cpu_model(),
        ),
    )
    metadata.start(agent.changed)
    routing.start(agent.changed)
    conversations.start()
    renewing = threading.Thread(target=keep_renewing, args=(node, link, [client, server], stop), daemon=True)
    renewing.start()
    log.info("the agent of %s works", settings.host)
    try:
        agent.run(stop)
    finally:
        conversations.stop()
        routing.stop()
        metadata.stop()
        listener.stop()
        link.close()


def keep_renewing(node: Node, link: HttpsLink, contexts: list[ssl.SSLContext], stop: threading.Event) -> None:
    """Renew the certificate when two thirds of its life are over; keep trying for the last third."""
    while not stop.is_set():
        if time.time() >= node.renewal_due():
            try:
                node.renew(link, contexts)
            except LinkError as error:
                log.warning("the certificate cannot be renewed yet: %s", error)
        stop.wait(RENEW_LOOK_SECONDS)


def booted_at() -> float:
    """Unix seconds; proc(5), ``btime``."""
    lines = Path("/proc/stat").read_text().splitlines()
    return float(next((line.split()[1] for line in lines if line.startswith("btime ")), 0.0))


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
