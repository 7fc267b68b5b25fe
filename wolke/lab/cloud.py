"""Wolke itself on a lab's nodes: configuration files, the api's sockets, agents, and what a fresh cloud is furnished with.

The control node runs ``wolke api`` and ``wolke loops``, each host ``wolke agent``. The lab opens the api's sockets, because one of them
belongs to the machine's own network namespace and one to the internet node's: one URL is right in both.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2

import wolke
from wolke.lab import engines, wires
from wolke.lab.daemons import Daemon
from wolke.lab.furnish import write_secret
from wolke.lab.node import LabError, listening

if TYPE_CHECKING:
    from wolke.lab.lab import Lab

AGENTS_PORT = 6643  # of the control node, for agents
AGENT_PORT = 6644  # of each host, for the control plane
LOOPS_METRICS_PORT = 8776  # of the control node's own 127.0.0.1
KEEPER = "sockets"
PIDFD_GETFD = 438  # the same number on every architecture
WOLKE = [sys.executable, "-m", "wolke.cli.main"]
ENVIRONMENT = {"PYTHONPATH": str(Path(wolke.__file__).parents[1]), "PYTHONUNBUFFERED": "1"}


# Files ------------------------------------------------------------------------
def toml(table: dict[str, Any]) -> str:
    """TOML of plain values; dictionaries one level deep become tables."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for key, inner in table.items():
        if isinstance(inner, dict):
            lines += ["", f"[{key}]"]
            lines += [f"{name} = {inline(value)}" for name, value in inner.items()]
    return "\n".join(lines) + "\n"


def inline(value: Any) -> str:
    """A value on one line.

    >>> inline({"mtu": 1500})
    '{ mtu = 1500 }'
    """
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {json.dumps(item)}" for name, item in value.items()) + " }"
    return json.dumps(value)


def config(lab: Lab) -> Path:
    return lab.directory / "wolke.toml"


def prepare(lab: Lab) -> None:
    """Write ``wolke.toml``; make or migrate the database, keys, certificates, the administrator."""
    settings = {
        "state": f"{lab.directory}/state",
        "database": lab.facts.database,
        "public_url": lab.url,
        "agent_url": f"https://{wires.CONTROL_ADDRESS}:{AGENTS_PORT}",
        "northbound": f"unix:{lab.directory}/ovn/nb.sock",
        "southbound": f"unix:{lab.directory}/ovn/sb.sock",
        "southbound_remote": f"tcp:{wires.CONTROL_ADDRESS}:{engines.SOUTHBOUND_PORT}",
        "region": "RegionOne",
        "loops_metrics_listen": f"127.0.0.1:{LOOPS_METRICS_PORT}",
        "underlay_mtu": wires.MTU,
        "lockout_failure_attempts": 2,  # these three as tempest expects them of a cloud that guards passwords
        "lockout_seconds": 5,
        "unique_last_password_count": 2,
        "physical_networks": {"public": {"mtu": wires.MTU}, "spare": {"mtu": wires.MTU}},  # "spare": wolke.lab.site
    }
    write_secret(config(lab), toml(settings))  # the database's URL may hold a password
    lab.control.run([*WOLKE, "init", "--config", str(config(lab))], env=ENVIRONMENT, timeout=120)


def prepare_host(lab: Lab, number: int) -> None:
    """Write the host's ``agent.toml``, with a join token as long as the host has not joined."""
    host = lab.host(number)
    home = lab.directory / host.name
    token = home / "join-token"
    settings = {
        "host": host.name,
        "state": f"{home}/state",
        "control": f"https://{wires.CONTROL_ADDRESS}:{AGENTS_PORT}",
        "listen": f"{host.address}:{AGENT_PORT}",
        "encap_ip": host.address,
        "libvirt": "qemu:///system",
        "ovs": "unix:/run/openvswitch/db.sock",
        "join_token_file": str(token),
        "bridge_mappings": {"public": "br-ex", "spare": "br-spare"},
    }
    (home / "agent.toml").write_text(toml(settings))
    joined = home / "state" / "node" / "cert.pem"
    if not joined.exists():
        made = lab.control.run([*WOLKE, "join-token", "--config", str(config(lab)), host.name], env=ENVIRONMENT)
        write_secret(token, made.stdout)


# Sockets ----------------------------------------------------------------------
def keep_sockets(lab: Lab) -> Daemon:
    """A process that does nothing but hold the api's listening sockets, as systemd would: they outlive the api.

    Whoever calls while the api is away waits in the queue instead of being refused, and nobody else can take the port.
    """

    def opened() -> list[tuple[str, socket.socket]]:
        try:
            outside = listening(socket.socket(), "127.0.0.1", lab.facts.port)
        except OSError as error:
            raise LabError(f"127.0.0.1:{lab.facts.port}: {error}") from error
        inside = lab.internet.listen("127.0.0.1", lab.facts.port)
        return [("api", outside), ("api", inside), ("agents", lab.control.listen(wires.CONTROL_ADDRESS, AGENTS_PORT))]

    return Daemon(name=KEEPER, node=lab.control, words=lambda: ["sleep", "infinity"], sockets=opened)


def kept_sockets(lab: Lab) -> list[tuple[str, socket.socket]]:
    """Copies of the sockets that are kept, for the api that starts."""
    lab.daemons.start(keep_sockets(lab))
    pidfd = os.pidfd_open(lab.daemons.pid(KEEPER))
    try:
        return [(name, copied(pidfd, 3 + n)) for n, name in enumerate(("api", "api", "agents"))]
    finally:
        os.close(pidfd)


def copied(pidfd: int, number: int) -> socket.socket:
    """Another process's socket by its descriptor there (pidfd_getfd(2), which Python does not know)."""
    made = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, number, 0)
    if made < 0:
        raise LabError(f"the api's sockets cannot be taken over: {os.strerror(ctypes.get_errno())}")
    return socket.socket(fileno=made)


# Processes --------------------------------------------------------------------
def daemons(lab: Lab) -> list[Daemon]:
    """api, loops, and an agent per host."""

    def command(*words: str) -> list[str]:
        return [*WOLKE, *words]

    made = [
        Daemon(
            name="api", node=lab.control, words=lambda: command("api", "--config", str(config(lab))), environment=ENVIRONMENT,
            sockets=partial(kept_sockets, lab), ready=lambda: answers(f"{lab.url}/healthz"),
        ),
        Daemon(name="loops", node=lab.control, words=lambda: command("loops", "--config", str(config(lab))), environment=ENVIRONMENT),
    ]  # fmt: skip
    for host in lab.hosts:
        words = [*WOLKE, "agent", "--config", str(lab.directory / host.name / "agent.toml")]
        made.append(
            Daemon(name=f"{host.name}/agent", node=host.node, words=partial(list, words), environment=ENVIRONMENT)
        )
    return made


def answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx2.HTTPError:
        return False
