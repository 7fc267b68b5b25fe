"""What the northbound driver costs with 0, 1000 and 5000 ports in one switch and one port group: it must stay flat.

Usage: ``python benchmarks/northbound.py [--json]``; needs OVN's schema and ovsdb-server, nothing runs beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from wolke.drivers.ovn import Northbound
from wolke.drivers.rows import Insert, Row, plan

SCHEMA = "/usr/share/ovn/ovn-nb.ovsschema"
ROUNDS = 50


def port(number: int) -> Row:
    address = f"02:00:00:00:{number // 250:02x}:{number % 250:02x} 10.0.{number // 250}.{number % 250}"
    columns = {"addresses": frozenset({address}), "port_security": frozenset({address})}
    parents = frozenset({("Logical_Switch", "net", "ports"), ("Port_Group", "pg", "ports")})
    return Row("Logical_Switch_Port", f"port-{number}", f"port/{number}", columns, parents)


def median_ms(call: Callable[[int], object]) -> float:
    took = []
    for number in range(ROUNDS):
        start = time.perf_counter()
        call(number)
        took.append(time.perf_counter() - start)
    return statistics.median(took) * 1000


def rss_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024


def measure(remote: str, ports: int) -> dict[str, float]:
    before = rss_kib()
    north = Northbound(remote, patience=60)
    start = time.perf_counter()
    north.start()
    north.owners()
    connected = time.perf_counter() - start
    memory = rss_kib() - before
    cpu = time.process_time()
    found = {
        "ports": ports,
        "insert_ms": median_ms(lambda n: north.apply(plan([port(60000 + n)], north.rows(f"port/{60000 + n}")))),
        "delete_ms": median_ms(lambda n: north.apply(plan([], north.rows(f"port/{60000 + n}")))),
        "cpu_ms": (time.process_time() - cpu) / ROUNDS / 2 * 1000,
        "rows_us": median_ms(lambda n: north.rows("port/1")) * 1000,
        "load_s": connected,
        "memory_mib": memory / 1024,
    }
    north.close()
    return found


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        database, remote = f"{directory}/nb.db", f"unix:{directory}/s"
        subprocess.run(["ovsdb-tool", "create", database, SCHEMA], check=True)
        words = ["ovsdb-server", f"--remote=p{remote}", f"--unixctl={directory}/c", "--no-chdir", database]
        server = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            results, filled = [], 0
            for ports in (0, 1000, 5000):
                fill(remote, filled, ports)
                filled = ports
                results.append(measure(remote, ports))
        finally:
            server.kill()
            server.wait()
    if options.json:
        json.dump(results, sys.stdout)
        return
    print("  ".join(f"{name:>10}" for name in results[0]))
    for result in results:
        print("  ".join(f"{value:>10.2f}" for value in result.values()))


if __name__ == "__main__":
    main()
