"""How fast bytes and packets get from one node to another, measured by who receives them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
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
# The same of datagrams
COUNT = """
import socket, sys, time
taking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); taking.settimeout(20); taking.bind(('', int(sys.argv[1])))
taking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
started, count, begin = 0.0, 0, 0.0
while True:
    taking.recv(99); now = time.monotonic(); started = started or now
    if begin: count += 1
    elif now - started > 1: begin = now
    if begin and now - begin > float(sys.argv[2]): break
print(count / (now - begin))
"""
# So many a second, a hundredth of them at a time
OFFER = """
import socket, sys, time
offering = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); offering.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
due = time.monotonic()
while True:
    for _ in range(int(sys.argv[3]) // 100):
        try: offering.sendto(bytes(32), (sys.argv[1], int(sys.argv[2])))
        except OSError: pass
    due += 0.01; time.sleep(max(0, due - time.monotonic()))
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


def packets(
    source: Any, sinks: Sequence[Any], address: str, *, offered: int = 4000, seconds: float = 3, port: int = 7002
) -> list[float]:
    """Datagrams per second that each sink gets of those that ``source`` sends to an address that is theirs, or a broadcast."""
    words = ["python3", "-c", COUNT, str(port), str(seconds)]
    taking = [sink.popen(words, stdout=subprocess.PIPE, text=True) for sink in sinks]
    offering = None
    try:
        assert wait_for(lambda: all(f":{port} " in sink.run(["ss", "-Hlun"]).stdout for sink in sinks), 20)
        offering = source.popen(["python3", "-c", OFFER, address, str(port), str(offered)])
        return [float(one.communicate(timeout=90)[0]) for one in taking]
    finally:
        for one in (*taking, *([offering] if offering else ())):
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
