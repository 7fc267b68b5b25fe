"""Routing daemons of FRR on this host: zebra, staticd and bgpd, without systemd and without the host's own ``/etc/frr``.

Everything of theirs lies in one directory: sockets, pid files, the configuration as it is wanted. A configuration is written whole and
FRR's own ``frr-reload.py`` carries out the difference, so sessions that stay the same stay up. The daemons outlive whoever started them.

Programs: zebra(8), bgpd(8), vtysh(1), https://docs.frrouting.org/en/stable-8.4/ (Debian: frr, frr-pythontools).
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wolke.drivers.hypervisor import DriverError

PROGRAMS = Path("/usr/lib/frr")
DAEMONS = ("zebra", "staticd", "bgpd")  # in the order in which they need each other
USER, GROUP = "frr", "frrvty"  # the packaged user; bgpd refuses one that is not in the group of its sockets
PATIENCE = 60.0  # seconds for one program
ENDING = 10.0  # seconds for the daemons
FORWARDING = (("ip forwarding", "net.ipv4.ip_forward"), ("ipv6 forwarding", "net.ipv6.conf.all.forwarding"))
REFUSED = re.compile(r"(?:% .*|.*(?:Unknown command|failed to remove|failed due to|failed to process).*)")


class Frr:
    """One set of routing daemons.

    Parameters
    ----------
    directory : of their own; the user ``frr`` must be able to reach it
    prefix : words before each command, such as ``ip netns exec NAME``, for daemons in another network namespace
    """

    def __init__(self, directory: Path, *, prefix: Sequence[str] = ()) -> None:
        self.directory, self.prefix = directory, tuple(prefix)
        self._applied = ""  # what the running daemons were last given by us

    def apply(self, config: str) -> None:
        """Run the daemons with this configuration and no other.

        Parameters
        ----------
        config : lines as in ``frr.conf``: ``router bgp``, ``route-map`` ...; defaults, host name and forwarding are put before them

        Raises
        ------
        DriverError: FRR is not installed, or refuses a line
        """
        missing = [one for one in DAEMONS if not self._answers(one)]
        if missing or not self._applied:
            self._prepare()
        for daemon in missing:
            self._start(daemon)
        whole = self._whole(config)
        if not missing and whole == self._applied:
            return
        self._applied = ""
        file = self.directory / "frr.conf"
        temporary = self.directory / "frr.conf.new"
        temporary.write_text(whole)
        temporary.replace(file)
        here = str(self.directory)
        reload = ["python3", str(PROGRAMS / "frr-reload.py"), "--reload", "--stdout", "--confdir", here]
        done = self._run(*reload, "--rundir", here, "--vty_socket", here, str(file))
        if done.returncode:
            raise DriverError("FRR refuses its configuration", refusal(done.stdout + done.stderr))
        self._applied = whole

    def running(self) -> bool:
        """Whether all daemons answer."""
        return all(self._answers(daemon) for daemon in DAEMONS)

    def show(self, command: str) -> dict[str, Any]:
        """What ``command`` shows, such as ``show bgp summary``. Raises DriverError: no daemon answers, or there is no such command."""
        done = self._run("vtysh", *self._place(), "-c", f"{command} json")
        try:
            told = json.loads(done.stdout)
        except ValueError as error:
            raise DriverError(f"FRR does not answer: {command}", (done.stdout + done.stderr).strip()) from error
        return told if isinstance(told, dict) else {"list": told}

    def down(self) -> None:
        """End the daemons, and take away the routes they have made; their directory goes too."""
        for daemon in reversed(DAEMONS):
            if self._answers(daemon):
                self._run("kill", (self.directory / f"{daemon}.pid").read_text().strip())
        self._applied = ""
        self._wait_for_end()
        shutil.rmtree(self.directory, ignore_errors=True)

    # How it is done ---------------------------------------------------------------------------------------------------
    def _prepare(self) -> None:
        if not (PROGRAMS / "bgpd").exists() or not (PROGRAMS / "frr-reload.py").exists():
            raise DriverError("routing needs FRR on this host", "install the packages frr and frr-pythontools")
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "vtysh.conf").write_text("service integrated-vtysh-config\n")
        (self.directory / "empty.conf").write_text("")  # each daemon starts with nothing and is told by vtysh
        try:
            for path in (self.directory, *self.directory.iterdir()):
                shutil.chown(path, USER, GROUP)
        except (OSError, LookupError) as error:
            raise DriverError("FRR's directory cannot be given to its user", str(error)) from error
        self.directory.chmod(0o750)

    def _start(self, daemon: str) -> None:
        here = self.directory
        words = [str(PROGRAMS / daemon), "-d", "-u", USER, "-g", USER, "-P", "0", "-f", str(here / "empty.conf")]
        words += ["-n"] if daemon == "zebra" else []  # a VRF is a network namespace, which every kernel has
        words += ["--vty_socket", str(here), "-z", str(here / "zserv.api"), "-i", str(here / f"{daemon}.pid")]
        log = here / f"{daemon}.log"
        with log.open("w") as out:
            words += ["--log", f"file:{log}", "--log-level", "warnings"]
            done = subprocess.run(
                [*self.prefix, *words], check=False, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=PATIENCE
            )
        if done.returncode or not self._answers(daemon):
            raise DriverError(f"{daemon} cannot be started", log.read_text(errors="replace").strip()[-500:])

    def _whole(self, config: str) -> str:
        """The configuration with what FRR would otherwise change by itself: ``frr-reload.py`` takes away all that is not named."""
        name = self._run("hostname").stdout.strip() or "localhost"
        lines = ["frr defaults traditional", f"hostname {name}", "service integrated-vtysh-config"]
        for words, setting in FORWARDING:
            if not re.search(rf"^(no )?{words}$", config, re.MULTILINE):
                on = self._run("sysctl", "-n", setting).stdout.strip() not in ("0", "")
                lines.append(words if on else f"no {words}")
        return "\n".join([*lines, config.strip(), ""])

    def _answers(self, daemon: str) -> bool:
        with socket.socket(socket.AF_UNIX) as handle:
            handle.settimeout(5.0)
            try:
                handle.connect(str(self.directory / f"{daemon}.vty"))
            except OSError:
                return False
        return True

    def _wait_for_end(self) -> None:
        """zebra takes its routes back before it ends."""
        end = time.monotonic() + ENDING
        while any(self._answers(daemon) for daemon in DAEMONS) and time.monotonic() < end:
            time.sleep(0.02)

    def _place(self) -> list[str]:
        return ["--vty_socket", str(self.directory), "--config_dir", str(self.directory)]

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run([*self.prefix, *words], check=False, capture_output=True, text=True, timeout=PATIENCE)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DriverError("a program of FRR does not answer", str(error)) from error


def refusal(said: str) -> str:
    """The lines of ``frr-reload.py`` that say what was wrong.

    >>> refusal("2026 INFO: Called\\n% Unknown command: router bpg 1\\nline 5: ok")
    '% Unknown command: router bpg 1'
    """
    lines = [line.strip() for line in said.splitlines() if REFUSED.match(line.strip())]
    return "\n".join(dict.fromkeys(lines)) or said.strip()[-500:]
