"""``wolke loops``: a thread per lane, and OVN's databases."""

from __future__ import annotations

import gc
import logging
import signal
import threading

from wolke import cloud
from wolke.compute.hosts.processes import BEAT_SECONDS, beat
from wolke.core import log as logs
from wolke.core.app import App
from wolke.core.config import Config
from wolke.core.measuring import serve_metrics
from wolke.drivers import ovn, rows
from wolke.network.chassis import Hosts

log = logging.getLogger(__name__)
PATIENCE_SECONDS = 10.0  # with a lane that is in the middle of something when we are told to stop


def run(config: Config) -> None:
    """Work until SIGTERM. What a lane is in the middle of is done, or done again by the next process.

    Raises
    ------
    ValueError: the settings do not name OVN's databases
    """
    logs.start(config.log_level)
    for name in ("northbound", "southbound"):
        if not getattr(config, name):
            raise ValueError(f"'{name}' is not set: OVN's {name} database, such as unix:/run/ovn/ovn{name[0]}b_db.sock")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    app = App(config)
    north = ovn.Northbound(config.northbound)
    app.add(rows.Northbound, north)  # type: ignore[type-abstract]
    south = ovn.Southbound(config.southbound)
    app.add(Hosts, south)  # type: ignore[type-abstract]
    cloud.assemble(app)
    north.start()
    south.start()
    page = serve_metrics(app, config.loops_metrics_listen) if config.loops_metrics_listen else None
    try:
        work(app, stop)
    finally:
        if page:
            page.shutdown()
        south.close()
        north.close()
        app.close()


def work(app: App, stop: threading.Event) -> None:
    """Run every lane in a thread until ``stop`` is set."""
    lanes = cloud.lanes(app)
    threads = [
        threading.Thread(target=lane.run, args=(app.database, stop), name=lane.name, daemon=True) for lane in lanes
    ]
    for thread in threads:
        thread.start()
    gc.collect()
    gc.freeze()
    log.info("lanes at work: %s", ", ".join(thread.name for thread in threads))
    while not stop.is_set():
        beat(app, "nova-scheduler")
        stop.wait(BEAT_SECONDS)
    app.bell.ring([f"work:{kind}" for lane in lanes for kind in lane.kinds])  # so that nobody sleeps on
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
