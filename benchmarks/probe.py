"""Programs that run inside the lab's nodes, with the standard library alone. Times are CLOCK_MONOTONIC, the same for all nodes.

``probe.py until ADDRESS PORT SECONDS`` sends a datagram every 2 ms and prints when the first answer came (nothing: none came).
``probe.py echo PORT`` answers datagrams.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import time


def until(address: str, port: str, seconds: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, int(port)))
        probe.setblocking(False)
        print("ready", flush=True)
        end = time.monotonic() + float(seconds)
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                probe.send(b"?")
            if select.select([probe], [], [], 0.002)[0]:
                with contextlib.suppress(OSError):  # an ICMP error
                    probe.recv(64)
                    print(time.monotonic(), flush=True)
                    return


def echo(port: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", int(port)))
        while True:
            data, whose = server.recvfrom(64)
            with contextlib.suppress(OSError):
                server.sendto(data, whose)


if __name__ == "__main__":
    if sys.argv[1] == "until":
        until(*sys.argv[2:])
    else:
        echo(*sys.argv[2:])
