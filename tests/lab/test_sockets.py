"""Sockets that the lab opens in several network namespaces and hands to one process, as it does for the api."""

import socket
import sys
import urllib.request

import pytest

from wolke.lab import LabError
from wolke.lab.daemons import Daemon, Daemons
from wolke.lab.node import listening

pytestmark = pytest.mark.real

# Answers on every descriptor it was handed with that descriptor's name.
SERVER = """
import os, select, socket
assert int(os.environ["LISTEN_PID"]) == os.getpid()
names = os.environ["LISTEN_FDNAMES"].split(":")
sockets = {socket.socket(fileno=3 + n): name for n, name in enumerate(names)}
while True:
    for ready in select.select(list(sockets), [], [])[0]:
        connection, _ = ready.accept()
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + sockets[ready].encode())
        connection.close()
"""
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"


@pytest.fixture
def port():
    with listening(socket.socket(), "127.0.0.1", 0) as chosen:
        return chosen.getsockname()[1]


def ask(url):
    with urllib.request.urlopen(url, timeout=5) as reply:
        return reply.read().decode()


def test_one_process_answers_in_three_namespaces_also_after_kill(lab, port, tmp_path):
    def sockets():
        return [
            ("machine", listening(socket.socket(), "127.0.0.1", port)),
            ("internet", lab.internet.listen("127.0.0.1", port)),
            ("underlay", lab.control.listen("100.64.0.1", 9999)),
        ]

    def words():
        return [sys.executable, "-c", SERVER]

    (tmp_path / "pids").mkdir()
    (tmp_path / "log").mkdir()
    daemons = Daemons(tmp_path)
    server = Daemon(name="server", node=lab.control, words=words, sockets=sockets)
    for _ in range(3):
        daemons.start(server)
        assert ask(f"http://127.0.0.1:{port}/") == "machine"
        assert lab.internet.run(["python3", "-c", ASK, f"http://127.0.0.1:{port}/"]).stdout.strip() == "internet"
        assert lab.host(1).run(["python3", "-c", ASK, "http://100.64.0.1:9999/"]).stdout.strip() == "underlay"
        daemons.kill("server")
        with pytest.raises(OSError, match="refused"):
            ask(f"http://127.0.0.1:{port}/")


def test_a_taken_port_is_an_error_that_names_it(lab):
    with (
        lab.internet.listen("127.0.0.1", 9998),
        pytest.raises(LabError, match=r"internet: cannot listen on .*:9998"),
    ):
        lab.internet.listen("127.0.0.1", 9998)


def test_a_daemon_that_ends_at_once_shows_its_last_words(lab, tmp_path):
    (tmp_path / "pids").mkdir()
    (tmp_path / "log").mkdir()
    daemons = Daemons(tmp_path)
    words = ["sh", "-c", "echo my last words; exit 1"]
    brief = Daemon(name="brief", node=lab.internet, words=lambda: words, ready=lambda: False, patience=1000)
    with pytest.raises(LabError, match="my last words"):
        daemons.start(brief)
