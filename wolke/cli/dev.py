"""``wolke dev``: api, loops and fake hosts in one process on 127.0.0.1, for clients and for work on the code.

Everything is real but OVN and the hosts' drivers, which live in memory. What the cloud holds is gone when it ends unless ``--state``
names a directory.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from wolke import cloud
from wolke.cli.loops import work
from wolke.cli.setup import prepare
from wolke.core import log
from wolke.core.app import App
from wolke.core.config import Config, PhysicalNetwork
from wolke.core.server import listening
from wolke.core.serving import Listening, serve
from wolke.dev.hosts import FakeHost, FakeSouthbound
from wolke.drivers import rows
from wolke.drivers.fake.northbound import Northbound
from wolke.network import chassis

POLL_SECONDS = 10.0


def run(port: int, hosts: int, state: Path | None) -> None:
    """Serve until Ctrl-C."""
    if state is not None:
        return serve_in(state.absolute(), port, hosts)
    with TemporaryDirectory(prefix="wolke-dev-") as directory:
        serve_in(Path(directory), port, hosts)


def serve_in(state: Path, port: int, hosts: int) -> None:
    url = f"http://127.0.0.1:{port}"
    config = Config(
        state=str(state), public_url=url, listen=f"127.0.0.1:{port}", physical_networks={"public": PhysicalNetwork()},
        log_level="warning",
    )  # fmt: skip
    log.start(config.log_level)
    prepare(config)
    app = App(config)
    names = [f"h{number}" for number in range(1, hosts + 1)]
    north = Northbound()
    app.add(rows.Northbound, north)  # type: ignore[type-abstract]
    app.add(chassis.Hosts, FakeSouthbound(*names))  # type: ignore[type-abstract]
    cloud.assemble(app)
    stop = threading.Event()
    loops = threading.Thread(target=work, args=(app, stop), name="loops", daemon=True)
    loops.start()
    for name in names:
        host = FakeHost(app, name, state / name, north=north, clock=time.monotonic, hold=POLL_SECONDS)
        threading.Thread(target=keep_binding, args=(host, stop), name=name, daemon=True).start()
        threading.Thread(target=host.agent.run, args=(stop,), name=f"{name} agent", daemon=True).start()
    (state / "clouds.yaml").write_text(clouds(url, (state / "admin.password").read_text().strip(), config.region))
    sys.stderr.write(
        f"A cloud with {hosts} fake hosts answers on {url}. Ctrl-C ends it. For clients:\n"
        f"  export OS_CLIENT_CONFIG_FILE={state}/clouds.yaml OS_CLOUD=dev\n"
    )
    try:
        serve([Listening(cloud.web(app), [listening(config.listen)])], ending=stop.set)
    finally:
        stop.set()
        loops.join(10)
        app.close()


def keep_binding(host: FakeHost, stop: threading.Event) -> None:
    while not stop.wait(0.2):
        host.bind()


def clouds(url: str, password: str, region: str) -> str:
    """clouds.yaml for the administrator."""
    return f"""clouds:
  dev:
    region_name: {region}
    auth:
      auth_url: {url}/identity/v3
      username: admin
      password: {password}
      project_name: admin
      user_domain_id: default
      project_domain_id: default
"""
