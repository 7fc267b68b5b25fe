"""One process for all guests of a host: makes them, serves in each of them, and asks from each of them.

It runs inside a host's (or the internet's) node and takes orders as lines of JSON. A socket belongs to the namespace in which it was made,
so one thread goes from guest to guest, makes the sockets there, and one loop waits for all of them: a thousand probes take as long as
the slowest. Standard library only.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import json
import os
import resource
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
TCP_PORTS, UDP_PORTS = (22, 25, 80, 443, 8080), (53, 123, 5353)
FREEBIND = {4: (socket.IPPROTO_IP, 15), 6: (socket.IPPROTO_IPV6, 78)}  # IP_FREEBIND, IPV6_FREEBIND
ECHO = {4: (8, 0, socket.IPPROTO_ICMP), 6: (128, 129, 58)}
CHECKSUMS_OFF = (0x8946, struct.pack("II", 0x17, 0))  # SIOCETHTOOL, ETHTOOL_STXCSUM


class Guest:
    """A network namespace; ``fd`` leads to it."""

    def __init__(self, name: str, fd: int) -> None:
        self.name, self.fd = name, fd
        self.servers: list[socket.socket] = []


class Farm:
    def __init__(self) -> None:
        self.own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self.guests: dict[str, Guest] = {}
        self.serving = selectors.DefaultSelector()
        self.lock = threading.Lock()
        threading.Thread(target=self.serve, daemon=True).start()

    # Guests ------------------------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def inside(self, fd: int) -> Any:
        enter(fd)
        try:
            yield
        finally:
            enter(self.own)

    def attach(self, guests: list[dict[str, Any]]) -> None:
        """Namespaces with their cards, addresses, routes and servers; the ports are plugged in one go."""
        lines, ports = [], []
        for guest in guests:
            space = f"m{guest['tag']}"
            lines.append(f"netns add {space}")
            for at, card in enumerate(guest["cards"]):
                lines.append(f"link add o{card['tag']} type veth peer name eth{at} netns {space}")
                lines.append(f"link set o{card['tag']} up")
                ports += ["--", "add-port", "br-int", f"o{card['tag']}", "--", "set", "interface", f"o{card['tag']}"]
                ports += [f"external_ids:iface-id={card['port_id']}"]
        batch(lines)
        for guest in guests:
            made = Guest(guest["name"], os.open(f"/run/netns/m{guest['tag']}", os.O_RDONLY))
            self.guests[guest["tag"]] = made
            with self.inside(made.fd):
                furnish(guest)
            self.open(made)
        if ports:
            subprocess.run(["ovs-vsctl", "--timeout=60", *ports[1:]], check=True)

    def routes(self, tag: str, lines: list[str]) -> None:
        with self.inside(self.guests[tag].fd):
            batch(lines)

    def detach(self, tags: list[str], cards: list[str]) -> None:
        words = [word for card in cards for word in ("--", "--if-exists", "del-port", f"o{card}")]
        if words:
            subprocess.run(["ovs-vsctl", "--timeout=60", *words[1:]], check=True)
        gone = []
        for tag in tags:
            guest = self.guests.pop(tag, None)
            if guest is None:
                continue
            with self.lock:
                for server in guest.servers:
                    with contextlib.suppress(KeyError):
                        self.serving.unregister(server)
                    server.close()
            os.close(guest.fd)
            gone.append(tag)
        batch([f"netns delete m{tag}" for tag in gone])

    # Serving -----------------------------------------------------------------------------------------------------------
    def open(self, guest: Guest) -> None:
        with self.inside(guest.fd):
            for port in TCP_PORTS:
                server = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=16)
                guest.servers.append(server)
            for port in UDP_PORTS:
                for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                    server = socket.socket(family, socket.SOCK_DGRAM)
                    if family == socket.AF_INET6:
                        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
                    else:
                        server.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO: answer from the address that was asked
                    server.bind((address, port))
                    guest.servers.append(server)
        with self.lock:
            for server in guest.servers:
                server.setblocking(False)
                self.serving.register(server, selectors.EVENT_READ, guest)

    def serve(self) -> None:
        while True:
            for key, _ in self.serving.select(0.2):
                with self.lock, contextlib.suppress(OSError, ValueError):
                    self.answer(key.fileobj, key.data)  # type: ignore[arg-type]

    def answer(self, server: socket.socket, guest: Guest) -> None:
        if server.type == socket.SOCK_STREAM and server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            connection, peer = server.accept()
            connection.settimeout(0.5)
            with connection, contextlib.suppress(OSError):
                connection.send(told(guest, peer[0]))
            return
        _, control, _, peer = server.recvmsg(99, 256)
        kept = [(level, kind, reply_from(kind, data)) for level, kind, data in control if kind in (8, 50)]
        server.sendmsg([told(guest, peer[0])], kept, 0, peer)

    # Asking ------------------------------------------------------------------------------------------------------------
    def probe(self, probes: list[dict[str, Any]], seconds: float) -> dict[str, list[str]]:
        """Probe id -> [who answered, whom he saw]; nothing for silence."""
        waiting, answers = selectors.DefaultSelector(), dict[str, list[str]]()
        for at in range(0, len(probes), 200):  # in bursts, so that no queue on the way overflows
            for one in probes[at : at + 200]:
                with contextlib.suppress(OSError):
                    asking = self.ask(one, at)
                    waiting.register(asking, selectors.EVENT_READ, one)
            collect(waiting, answers, 0.05)
        deadline = time.monotonic() + seconds
        while waiting.get_map() and (left := deadline - time.monotonic()) > 0:
            collect(waiting, answers, left)
        for key in list(waiting.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        waiting.close()
        return answers

    def ask(self, one: dict[str, Any], number: int) -> socket.socket:
        """A socket in the asker's namespace on which an answer will come."""
        version = 6 if ":" in one["to"] else 4
        family = socket.AF_INET6 if version == 6 else socket.AF_INET
        guest = self.guests.get(one["guest"])
        with self.inside(guest.fd if guest else self.own):
            if one["kind"] == "icmp":
                asking = socket.socket(family, socket.SOCK_RAW, ECHO[version][2])
            else:
                asking = socket.socket(family, socket.SOCK_STREAM if one["kind"] == "tcp" else socket.SOCK_DGRAM)
        asking.setsockopt(*FREEBIND[version], 1)
        asking.bind((one["from"], 0))
        asking.setblocking(False)
        if one["kind"] == "icmp":
            one["mark"] = int.from_bytes(os.urandom(2), "big")
            asking.sendto(echo(version, one["mark"]), (one["to"], 0))
            return asking
        if asking.connect_ex((one["to"], one["port"])) not in (0, 115):
            asking.close()
            raise OSError
        if one["kind"] == "udp":
            asking.send(b"who")
        return asking


def collect(waiting: selectors.BaseSelector, answers: dict[str, list[str]], seconds: float) -> None:
    for key, _ in waiting.select(seconds):
        asking, one = key.fileobj, key.data
        assert isinstance(asking, socket.socket)
        try:
            answer = heard(asking, one)
        except BlockingIOError:
            continue
        except OSError:
            answer = []  # refused, or no way there: silence for good
        if answer is None:
            continue
        if answer:
            answers[one["id"]] = answer
        waiting.unregister(asking)
        asking.close()


def heard(asking: socket.socket, one: dict[str, Any]) -> list[str] | None:
    """The answer on a socket; None where this was none."""
    if one["kind"] != "icmp":
        return asking.recv(200).decode().split()
    data, peer = asking.recvfrom(200)
    version = 6 if ":" in one["to"] else 4
    body = data[(data[0] & 15) * 4 :] if version == 4 else data
    kind, _, _, mark = struct.unpack("!BBHH", body[:6])
    return ["pong", peer[0]] if kind == ECHO[version][1] and mark == one["mark"] and peer[0] == one["to"] else None


def echo(version: int, mark: int) -> bytes:
    """An echo request; the kernel sums up those of ICMPv6."""
    bare = struct.pack("!BBHHH", ECHO[version][0], 0, 0, mark, 1) + b"matrix"
    if version == 6:
        return bare
    words = array.array("H", bare)
    total = sum(words)
    total = (total >> 16) + (total & 0xFFFF)
    total += total >> 16
    return bare[:2] + struct.pack("H", ~total & 0xFFFF) + bare[4:]


def told(guest: Guest, peer: str) -> bytes:
    return f"{guest.name} {peer.removeprefix('::ffff:')}".encode()


def reply_from(kind: int, data: bytes) -> bytes:
    """The control message that makes an answer leave from the address that was asked (ip(7), ipv6(7))."""
    if kind == 8:  # in_pktinfo: index, local, destination
        return struct.pack("I", 0) + data[8:12] + bytes(4)
    return data[:16] + bytes(4)


def enter(fd: int) -> None:
    if LIBC.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def batch(lines: list[str]) -> None:
    """Many ``ip`` commands in one process."""
    if lines:
        done = subprocess.run(
            ["ip", "-batch", "-"], check=False, input="\n".join(lines) + "\n", text=True, capture_output=True
        )
        if done.returncode:
            raise RuntimeError(f"ip: {done.stderr.strip()} in {lines}")


def furnish(guest: dict[str, Any]) -> None:
    """Addresses and routes of the namespace that we are in."""
    settings = {"net/ipv4/ip_forward": int(guest["forwards"]), "net/ipv6/conf/all/forwarding": int(guest["forwards"])}
    settings |= {"net/ipv4/conf/all/rp_filter": 0, "net/ipv4/icmp_ratelimit": 0, "net/ipv4/conf/all/send_redirects": 0}
    for at in range(len(guest["cards"])):
        six = f"net/ipv6/conf/eth{at}"
        settings |= {
            f"{six}/accept_ra": 0,
            f"{six}/accept_dad": 0,
            f"{six}/dad_transmits": 0,
            f"net/ipv4/conf/eth{at}/rp_filter": 0,
        }
    for name, value in settings.items():
        Path("/proc/sys", name).write_text(f"{value}\n")
    lines = ["link set lo up"]
    for at, card in enumerate(guest["cards"]):
        lines.append(f"link set eth{at} address {card['mac']} mtu {card['mtu']}")
        lines.append(f"link set eth{at} up")
        lines += [f"address add {one} dev eth{at}{' nodad' if ':' in one else ''}" for one in card["addresses"]]
        checksums_off(f"eth{at}")
    lines += [f"address add {one} dev lo" for one in guest["beside"]]
    batch([*lines, *guest["routes"]])


def checksums_off(name: str) -> None:
    """Userspace Open vSwitch reads frames as they are, and nobody would finish the checksums."""
    request, value = CHECKSUMS_OFF
    asked = array.array("B", value)
    address, _ = asked.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, request, struct.pack("16sP", name.encode(), address))


def main() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    farm = Farm()
    for line in sys.stdin:
        order = json.loads(line)
        do = order.pop("do")
        try:
            if do == "serve":  # in this node itself
                here = Guest(order["name"], farm.own)
                farm.open(here)
                answer: Any = None
            else:
                answer = getattr(farm, do)(**order)
            print(json.dumps({"answer": answer}), flush=True)
        except Exception as error:
            print(json.dumps({"error": f"{do}: {type(error).__name__}: {error}"}), flush=True)


if __name__ == "__main__":
    main()
