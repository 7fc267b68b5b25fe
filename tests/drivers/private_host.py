"""A host of its own for driver tests: libvirtd and Open vSwitch in private mount, network and process namespaces.

Process 1 of the namespace ends when this process closes its standard input, even by dying, and takes every daemon
and guest with it: nothing can be left behind.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from wolke.lab.waiting import wait_for

FIRST_PROCESS = (
    "import signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); print('up', flush=True); sys.stdin.read()"
)
NAMESPACES = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
PRIVATE = {
    "run": ["/run/libvirt", "/run/openvswitch"],
    "etc": ["/etc/libvirt", "/etc/openvswitch"],
    "var": [
        "/var/lib/libvirt",
        "/var/cache/libvirt",
        "/var/log/libvirt",
        "/var/log/openvswitch",
        "/var/lib/openvswitch",
    ],
}
QEMU_CONF = """user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
remember_owner = 0
"""
LIBVIRTD_CONF = 'auth_unix_rw = "none"\nauth_unix_ro = "none"\n'


class PrivateHost:
    """``folder`` stands behind the private paths: ``outside('/run/libvirt/x')`` is where this process finds them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wk", dir="/tmp"))  # socket paths may have 107 characters
        self.keeper = subprocess.Popen(
            ["unshare", *NAMESPACES, "python3", "-c", FIRST_PROCESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.keeper.stdout is not None and self.keeper.stdout.readline() == b"up\n"
        children = Path(f"/proc/{self.keeper.pid}/task/{self.keeper.pid}/children").read_text().split()
        self.first = int(children[0])
        for paths in PRIVATE.values():
            for path in paths:
                behind = self.outside(path)
                behind.mkdir(parents=True)
                Path(path).mkdir(parents=True, exist_ok=True)
                self.run("mount", "--bind", str(behind), path)
        self.run("ip", "link", "set", "lo", "up")

    def outside(self, path: str | Path) -> Path:
        return self.folder / str(path).lstrip("/").replace("/", "_", 2)

    def command(self, *words: str) -> list[str]:
        return ["nsenter", "--target", str(self.first), "--mount", "--net", "--pid", "--root", "--wdns=/", *words]

    def run(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{words}: {done.stderr}{done.stdout}"
        return done.stdout

    def start_libvirtd(self) -> None:
        conf = self.outside("/etc/libvirt")
        (conf / "qemu.conf").write_text(QEMU_CONF)
        (conf / "libvirtd.conf").write_text(LIBVIRTD_CONF)
        self.run("libvirtd", "--daemon", "--pid-file", "/run/libvirt/wolke.pid")
        assert wait_for((self.outside("/run/libvirt") / "libvirt-sock").exists, 30)

    def kill_libvirtd(self) -> None:
        pid = (self.outside("/run/libvirt") / "wolke.pid").read_text().strip()
        self.run("kill", "-9", pid)
        (self.outside("/run/libvirt") / "libvirt-sock").unlink()
        assert wait_for(
            lambda: subprocess.run(self.command("kill", "-0", pid), capture_output=True, check=False).returncode != 0,
            30,
        )

    @property
    def uri(self) -> str:
        return f"qemu:///system?socket={self.outside('/run/libvirt') / 'libvirt-sock'}"

    def start_switch(self) -> None:
        """Open vSwitch with its userspace datapath and an empty br-int."""
        self.run("ovsdb-tool", "create", "/etc/openvswitch/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
        run = "/run/openvswitch"
        self.run(
            *("ovsdb-server", "--detach", "--no-chdir", f"--pidfile={run}/ovsdb-server.pid", "--log-file"),
            *(f"--remote=punix:{run}/db.sock", "/etc/openvswitch/conf.db"),
        )
        self.run("ovs-vsctl", "--no-wait", "init")
        self.run("ovs-vswitchd", "--detach", "--no-chdir", f"--pidfile={run}/ovs-vswitchd.pid", "--log-file")
        self.run("ovs-vsctl", "add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev")

    def close(self) -> None:
        self.keeper.stdin.close()  # type: ignore[union-attr]
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.keeper.wait(10)
        if self.keeper.poll() is None:
            os.kill(self.keeper.pid, signal.SIGKILL)
            self.keeper.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
