"""How fast bytes get from one node to another, measured by who receives them."""

from __future__ import annotations

import subprocess
from typing import Any

from wolke.lab import wait_for

# The first second is left out: a bucket that was full may be emptied in it
TAKE = """
import socket, sys, time
taking, count, begin = socket.create_server(('', int(sys.argv[1]))).accept()[0], 0, 0.0
started = time.monotonic()
while chunk := taking.recv(65536):
    now = time.monotonic()
    if not begin and now - started > 1: begin, count = now, 0
    count += len(chunk)
    if begin and now - begin > float(sys.argv[2]): break
print(count * 8 / (now - begin) / 1000)
"""
GIVE = """
import socket, sys
giving = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
try:
    while True: giving.send(bytes(65536))
except OSError: pass
"""
# Says the DSCP field of the first datagram
MARKED = """
import socket, sys
taking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); taking.settimeout(20); taking.bind(('', int(sys.argv[1])))
taking.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
print(taking.recvmsg(99, 99)[1][0][2][0] >> 2)
"""
SEND = """
import socket, sys, time
sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True: sending.sendto(b'mark', (sys.argv[1], int(sys.argv[2]))); time.sleep(0.1)
"""


def kilobits(source: Any, sink: Any, address: str, *, seconds: float = 4, port: int = 7000) -> float:
    """Kilobits per second of TCP payload from ``source`` to ``sink``, which has this address for it."""
    taking = sink.popen(["python3", "-c", TAKE, str(port), str(seconds)], stdout=subprocess.PIPE, text=True)
    giving = None
    try:
        assert wait_for(lambda: f":{port} " in sink.run(["ss", "-Htln"]).stdout, 20)
        giving = source.popen(["python3", "-c", GIVE, address, str(port)])
        return float(taking.communicate(timeout=90)[0])
    finally:
        for one in (taking, giving):
            if one:
                one.kill()
                one.wait()


def dscp(source: Any, sink: Any, address: str, *, port: int = 7001) -> int:
    """The DSCP field of what ``source`` sends without one, as ``sink`` sees it."""
    taking = sink.popen(["python3", "-c", MARKED, str(port)], stdout=subprocess.PIPE, text=True)
    giving = source.popen(["python3", "-c", SEND, address, str(port)])
    try:
        return int(taking.communicate(timeout=60)[0])
    finally:
        for one in (taking, giving):
            one.kill()
            one.wait()
