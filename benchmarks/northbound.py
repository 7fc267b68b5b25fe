"""What the northbound driver costs with 0, 1000 and 5000 ports in one switch and one port group: it must stay flat.

Needs OVN's schema and an ovsdb-server of its own; nothing else runs beside it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, Report, percentile, seconds_of
from wolke.drivers.ovn import Northbound
from wolke.drivers.rows import Insert, Row, plan

SCHEMA = "/usr/share/ovn/ovn-nb.ovsschema"
ROUNDS = 50
PART = "northbound driver"


def port(number: int) -> Row:
    address = f"02:00:00:00:{number // 250:02x}:{number % 250:02x} 10.0.{number // 250}.{number % 250}"
    columns = {"addresses": frozenset({address}), "port_security": frozenset({address})}
    parents = frozenset({("Logical_Switch", "net", "ports"), ("Port_Group", "pg", "ports")})
    return Row("Logical_Switch_Port", f"port-{number}", f"port/{number}", columns, parents)


def median_ms(call: Callable[[int], object]) -> float:
    return percentile([seconds_of(partial(call, number)) for number in range(ROUNDS)], 0.5) * 1000


def rss_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def measure(report: Report, remote: str, ports: int) -> None:
    before = rss_mib()
    north = Northbound(remote, patience=60)

    def load() -> None:
        north.start()
        north.owners()

    def insert(number: int) -> None:
        north.apply(plan([port(60000 + number)], north.rows(f"port/{60000 + number}")))

    def delete(number: int) -> None:
        north.apply(plan([], north.rows(f"port/{60000 + number}")))

    def add(what: str, value: float, unit: str, cpu: float | None = None) -> None:
        report.add(Figure(PART, what, value, unit, ports, cpu=cpu))

    loaded = seconds_of(load)
    memory = rss_mib() - before
    cpu = time.process_time()
    took = median_ms(insert), median_ms(delete)
    each = (time.process_time() - cpu) / ROUNDS / 2 * 1000
    add("insert a port's rows", took[0], "ms", cpu=each)
    add("delete a port's rows", took[1], "ms", cpu=each)
    add("rows of one owner", median_ms(lambda _: north.rows("port/1")), "ms")
    add("copy of the database loaded", loaded * 1000, "ms")
    add("memory of the copy", memory, "MiB")
    north.close()


def fill(remote: str, first: int, last: int) -> None:
    """In a process of its own, so that its memory is not counted."""
    if os.fork():
        os.wait()
        return
    north = Northbound(remote, patience=60)
    north.start()
    rows = [Row("Logical_Switch", "net", "network/net", {"name": "net"}), Row("Port_Group", "pg", "security_group/pg")]
    north.apply([Insert(row) for row in rows])
    north.apply([Insert(port(number)) for number in range(first, last)])
    north.close()
    os._exit(0)


def run(report: Report, *, quick: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="wolke-bench-") as directory:
        database, remote = f"{directory}/nb.db", f"unix:{directory}/s"
        subprocess.run(["ovsdb-tool", "create", database, SCHEMA], check=True)
        words = ["ovsdb-server", f"--remote=p{remote}", f"--unixctl={directory}/c", "--no-chdir", database]
        server = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            filled = 0
            for ports in (0, 1000) if quick else (0, 1000, 5000):
                fill(remote, filled, ports)
                filled = ports
                measure(report, remote, ports)
        finally:
            server.kill()
            server.wait()
