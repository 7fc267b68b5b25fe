"""``wolke api``: the public API, and the agents' API on a listener of its own."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from functools import partial
from urllib.parse import urlsplit

from wolke import cloud
from wolke.compute.hosts.agents import Agents
from wolke.compute.hosts.processes import BEAT_SECONDS, beat
from wolke.core import log, pki
from wolke.core.app import App
from wolke.core.config import Config
from wolke.core.server import handed_sockets, listening
from wolke.core.serving import Listening, serve

RENEW_SECONDS = pki.CONTROL_DAYS * 86400 / 3


def run(config: Config) -> None:
    """Serve until SIGTERM.

    Raises
    ------
    OSError: an address is taken
    ValueError: neither a socket was handed over nor an address is configured
    """
    log.start(config.log_level)
    handed = handed_sockets()
    public = opened(handed.get("api", []), config.listen, "listen")
    for_agents = opened(handed.get("agents", []), config.agent_listen, "agent_listen")
    app = cloud.assemble(App(config))
    with app.database.transaction() as db:
        ca = pki.authority(db, app.vault)
    names = known_as(config, for_agents)
    tls = pki.server_context(ca, ca.control(names, app.clock()))
    agents = Agents(app, ca)
    both = [Listening(cloud.web(app), public), Listening(agents.app, for_agents, tls)]
    gc.collect()
    gc.freeze()  # what start-up has made is never looked at again
    try:
        serve(both, beside=[partial(keep_beating, app), partial(keep_renewing, app, ca, names, tls)], ending=agents.end)
    finally:
        app.close()


def opened(handed: list[socket.socket], address: str, setting: str) -> list[socket.socket]:
    """What the starter handed over, else what the settings name."""
    if handed:
        return handed
    if not address:
        raise ValueError(f"no socket was handed over and '{setting}' is not set: nowhere to listen")
    return [listening(address)]


def known_as(config: Config, sockets: list[socket.socket]) -> list[str]:
    """Names and addresses that agents may know us by."""
    addresses = [sock.getsockname()[0] for sock in sockets]
    return [urlsplit(config.agent_url).hostname or "", *(one for one in addresses if one not in ("0.0.0.0", "::"))]


async def keep_beating(app: App) -> None:
    while True:
        await asyncio.to_thread(beat, app, "nova-conductor")
        await asyncio.sleep(BEAT_SECONDS)


async def keep_renewing(app: App, ca: pki.Authority, names: list[str], tls: ssl.SSLContext) -> None:
    """Show a fresh certificate long before the present one ends."""
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        pki.show(tls, ca.control(names, app.clock()))
