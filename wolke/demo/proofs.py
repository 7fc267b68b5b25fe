"""What is shown, with packets: each proof says what it saw. Whatever is to be absent has a control that shows it where it is not."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from wolke.demo import story
from wolke.demo.story import ADDRESSES, PROBES, Project
from wolke.lab.guests import Guest
from wolke.lab.lab import Lab
from wolke.lab.waiting import wait_for

BOOT_SECONDS = 150
STRANGER = "198.51.100.254"  # an address of the internet that no ssh rule names


@dataclass(frozen=True)
class Proof:
    """One line of the table."""

    name: str
    held: bool
    seen: str  # in words, what it was judged by


class Proofs:
    """Collects proofs and says each as it is known."""

    def __init__(self, lab: Lab, say: Callable[[str], None]) -> None:
        self.lab, self.say = lab, say
        self.proofs: list[Proof] = []

    def prove(self, name: str, held: bool, seen: str) -> None:
        self.proofs.append(Proof(name, held, seen))
        self.say(f"{'holds ' if held else 'BROKEN'} {name}: {seen}")


class Prover(Proofs):
    """Runs the proofs of both projects against a lab."""

    def __init__(self, lab: Lab, projects: list[Project], key: Path, say: Callable[[str], None]) -> None:
        super().__init__(lab, say)
        self.projects, self.key = projects, key

    # Tools ------------------------------------------------------------------------------------------------------------
    def ssh(self, address: str, command: str, *, source: str = "198.51.100.1", seconds: int = 15) -> str | None:
        """A command's output by ssh from the internet, by key alone; None when no session comes about."""
        options = {
            "StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "LogLevel": "ERROR", "BatchMode": "yes",
            "PasswordAuthentication": "no", "ConnectTimeout": str(seconds), "BindAddress": source,
        }  # fmt: skip
        words = [
            "ssh",
            "-i",
            str(self.key),
            *(f"-o{name}={value}" for name, value in options.items()),
            f"root@{address}",
            command,
        ]
        done = self.lab.internet.run(words, check=False, timeout=seconds + 20)
        return done.stdout.strip() if done.returncode == 0 else None

    def reaches(self, address: str, port: int, source: str = "198.51.100.1") -> str:
        """What a TCP connection from the internet meets: ``open``, ``refused`` or ``silent``."""
        return str(self.lab.internet.run([sys.executable, "-c", CONNECT, address, str(port), source]).stdout).strip()

    def inner(self, project: Project, command: str) -> str:
        """A command on the project's first server; "" when it fails."""
        return self.ssh(project.floating["web1"], command) or ""

    def fetch(self, project: Project, page: str, server: str = "web2") -> str:
        """A page of one server, as another server of the same project sees it."""
        return self.inner(project, f"timeout 8 wget -q -O - http://{ADDRESSES[server]}/{page}")

    # Proofs -----------------------------------------------------------------------------------------------------------
    def run(self) -> list[Proof]:
        with internet_page(self.lab), ThreadPoolExecutor(len(self.projects)) as both:
            list(both.map(self.of_project, self.projects))
        for project in self.projects:
            other = next(one for one in self.projects if one is not project)
            self.apart(project, other)
        return sorted(self.proofs, key=lambda proof: proof.name)

    def of_project(self, project: Project) -> None:
        name, address = project.name, project.floating["web1"]
        booted = wait_for(lambda: self.ssh(address, "true") is not None, BOOT_SECONDS, every=2)
        self.prove(
            f"{name}: ssh by key to web1",
            booted,
            f"{address} " + ("answers" if booted else f"silent for {BOOT_SECONDS} s"),
        )
        ready = wait_for(lambda: bool(self.fetch(project, "outside")), BOOT_SECONDS, every=2)
        self.identity(project)
        said = f"{self.fetch(project, 'host')} of {self.fetch(project, 'project')}"
        self.prove(f"{name}: server to server inside", said == f"web2 of {name}", f"{ADDRESSES['web2']} says: {said}")
        outside = self.fetch(project, "outside")
        seen = f"the internet saw {outside or 'nothing'}, the router is {project.router_address}"
        self.prove(f"{name}: internet through SNAT", ready and outside == project.router_address, seen)
        self.ports(project)
        self.quota(project)

    def identity(self, project: Project) -> None:
        """Host name and user data, and that the metadata service told this very server, not its twin."""
        name = project.name
        host = self.inner(project, "hostname")
        self.prove(f"{name}: host name arrived", host == "web1", host or "none")
        page = self.inner(project, "cat /www/project /var/lib/cloud-lite/user_data.rc 2>/dev/null; true").split()
        self.prove(f"{name}: user data ran", page[:1] == [name], " ".join(page) or "nothing")
        for server in ADDRESSES:
            told = self.fetch(project, "metadata", server)
            with contextlib.suppress(ValueError):
                told = json.loads(told)["uuid"]
            wanted = project.servers[server]["id"]
            self.prove(f"{name}: metadata of {server} at {ADDRESSES[server]}", told == wanted, told[:60] or "none")

    def ports(self, project: Project) -> None:
        name, address = project.name, project.floating["web1"]
        met = self.reaches(address, 80, STRANGER)
        self.prove(f"{name}: port 80 open to all", met == "open", f"from {STRANGER}: {met}")
        listens = ":8080" in self.inner(project, "netstat -ltn")
        met = self.reaches(address, 8080)
        seen = f"8080 {'listens' if listens else 'does not listen'} in the server, from the internet it is {met}"
        self.prove(f"{name}: closed port closed", listens and met == "silent", seen)
        inside, outside = self.reaches(address, 22), self.reaches(address, 22, STRANGER)
        seen = f"from 198.51.100.1: {inside}, from {STRANGER}: {outside}"
        self.prove(f"{name}: ssh from one prefix only", (inside, outside) == ("open", "silent"), seen)

    def quota(self, project: Project) -> None:
        """The second floating IP takes effect on a running server; the next one is refused."""
        address = project.floating["web2"] = story.lead(project, "web2")
        reached = wait_for(lambda: self.ssh(address, "hostname") == "web2", 30, every=1)
        self.prove(f"{project.name}: ssh by key to web2", reached, f"{address}, given while the server ran")
        done = project.client.run("floating", "ip", "create", "public")
        told = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        reason = "Quota" + told[0].partition("Quota")[2]
        refused = done.returncode != 0 and "floatingip" in reason
        self.prove(f"{project.name}: quota refuses the next floating IP", refused, reason if refused else told[0])

    def apart(self, mine: Project, other: Project) -> None:
        """A listener that only ``mine`` has: its own servers reach it, the twin's servers at the same addresses do not."""
        port = mine.probe
        probe = PROBES[mine.name]
        guest = self.lab.host(1).attach(port["id"], port["mac_address"], f"{probe}/24", story.GATEWAY)
        capture = self.lab.directory / "demo" / f"{mine.name}.pcap"
        try:
            with listening(guest, capture):
                own = self.inner(mine, tries(probe, "own"))
                foreign = self.inner(other, tries(probe, "foreign"))
            heard = packets(capture)
        finally:
            guest.detach()
        self.prove(
            f"{mine.name}: control, its own server reaches {probe}",
            "ping" in own and "tcp" in own,
            own.replace("\n", " ") or "nothing",
        )
        for word, what in (("arp", "ARP"), ("ping", "ICMP"), ("tcp", "TCP")):
            self.prove(
                f"{other.name} to {mine.name}: no {what}",
                word not in foreign,
                f"answers to {other.name}: {foreign.replace(chr(10), ' ') or 'none'}",
            )
        strange = [line for line in heard if "foreign" in line]
        self.prove(
            f"{other.name} to {mine.name}: no UDP",
            not strange and any("own" in line for line in heard),
            f"{len(strange)} of {len(heard)} marked packets",
        )


def tries(address: str, mark: str) -> str:
    """Shell words that try to reach the probe in every way and print which answered; UDP (a question for a name) bears the mark."""
    return (
        f"arping -c 2 -w 3 -I eth0 {address} >/dev/null 2>&1 && echo arp; "
        f"ping -c 2 -W 2 {address} >/dev/null 2>&1 && echo ping; "
        f"echo x | timeout 4 nc -w 3 {address} 80 >/dev/null 2>&1 && echo tcp; "
        f"for n in 1 2; do timeout 3 nslookup {mark}.example {address}; done >/dev/null 2>&1; true"
    )


def packets(capture: Path) -> list[str]:
    """All UDP packets in a capture that bear a mark."""
    done = subprocess.run(["tcpdump", "-nn", "-r", str(capture), "udp"], text=True, capture_output=True, check=False)
    return [line for line in done.stdout.splitlines() if ".example" in line]


@contextlib.contextmanager
def listening(guest: Guest, capture: Path) -> Iterator[None]:
    """A TCP listener on port 80 of a namespace guest, and a capture of all it hears."""
    server = guest.popen([sys.executable, "-c", LISTEN])
    heard = guest.popen(["tcpdump", "-i", "eth0", "-U", "-w", str(capture)], stderr=subprocess.PIPE, text=True)
    try:
        assert heard.stderr
        heard.stderr.readline()  # "listening on ..."
        yield
    finally:
        for process in (server, heard):
            process.terminate()
            process.wait()


CONNECT = """
import socket, sys
address, port, source = sys.argv[1:]
try:
    socket.create_connection((address, int(port)), 4, (source, 0)).close()
    print("open")
except ConnectionRefusedError:
    print("refused")
except TimeoutError:
    print("silent")
"""
LISTEN = """
import socket
listening = socket.create_server(("", 80))
while True:
    listening.accept()[0].close()
"""
PAGE = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Mirror(BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

ThreadingHTTPServer(("198.51.100.1", 8000), Mirror).serve_forever()
"""


@contextlib.contextmanager
def internet_page(lab: Lab) -> Iterator[None]:
    """A page in the internet that tells each visitor by which address he came."""
    server = lab.internet.popen([sys.executable, "-c", PAGE])
    try:
        yield
    finally:
        server.terminate()
        server.wait()
