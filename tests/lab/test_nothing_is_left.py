"""What a lab leaves on the machine when it goes: nothing, also when it was half built or its program was killed."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from wolke.lab import Lab, wait_for
from wolke.lab.lab import together
from wolke.lab.node import NETNS, processes

pytestmark = pytest.mark.real
UP = "import sys; from wolke.lab import Lab; Lab(sys.argv[1], hosts=2, say=lambda text: print(text, flush=True)).up(control_plane=False)"


@pytest.fixture
def name():
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    name = f"x{os.getpid()}"
    yield name
    Lab(name).down()


def leftovers(name):
    """Everything on this machine that a lab's name can be found in."""
    found = [
        f"{pid} {' '.join(words)}"
        for pid, words in processes().items()
        if f"/{name}" in " ".join(words) and pid != os.getpid()
    ]
    found += [path.name for path in NETNS.glob("*") if f"-{name}" in path.name]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if name in line]
    found += [path.name for path in Path("/sys/class/net").iterdir() if path.name.startswith(("u-", "p-", "br-"))]
    found += [
        line
        for line in subprocess.run(["losetup", "-a"], check=False, capture_output=True, text=True).stdout.splitlines()
        if name in line
    ]
    directory = Path("/var/lib/wolke-lab")
    return found + (
        [path.name for path in directory.iterdir() if path.name.startswith(name)] if directory.exists() else []
    )


def test_down_leaves_nothing(name):
    lab = Lab(name)
    lab.up(control_plane=False)
    lab.host(1).popen(["sleep", "54321"])
    inside = {lab.host(1).node.pid, *(process["pid"] for process in lab.status().values())}
    assert leftovers(name)
    lab.down()
    assert wait_for(lambda: not inside & processes().keys(), 10)
    assert leftovers(name) == []


@pytest.mark.parametrize("after_lines", [1, 2, 3])
def test_a_killed_lab_is_finished_or_removed_by_the_next(name, after_lines):
    starting = subprocess.Popen([sys.executable, "-c", UP, name], stdout=subprocess.PIPE, text=True)
    for _ in range(after_lines):
        starting.stdout.readline()
    starting.send_signal(signal.SIGKILL)
    starting.communicate()
    lab = Lab(name, hosts=2)
    lab.up(control_plane=False)
    assert all(process["running"] for process in lab.status().values())
    words = [" ".join(words) for words in processes().values()]
    assert sum("ovn-northd" in line and f"/{name}/" in line for line in words) == 1
    lab.ovn_nbctl("--wait=hv", "sync")
    lab.down()
    assert leftovers(name) == []


def test_a_dead_host_is_made_anew(name):
    lab = Lab(name)
    lab.up(control_plane=False)
    os.kill(lab.host(1).node.pid, signal.SIGKILL)
    assert wait_for(lambda: not lab.status()["h1/vswitchd"]["running"], 10)
    lab.up(control_plane=False)
    lab.ovn_nbctl("--wait=hv", "sync")


def test_down_ends_a_lab_that_lost_its_files(name):
    lab = Lab(name)
    lab.up(control_plane=False)
    (lab.directory / "lab.json").unlink()
    Lab(name).down()
    assert leftovers(name) == []


def test_a_kernel_without_bridges_gets_its_segments_from_userspace_ovs(name):
    lab = Lab(name, kernel_bridges=False)
    lab.up(control_plane=False)
    lab.ovn_nbctl("--wait=hv", "sync")  # over the underlay
    assert lab.status()["wires/vswitchd"]["running"]
    lab.kill("wires/vswitchd")
    lab.up(control_plane=False)
    answered = ["ping", "-c", "1", "-W", "1", "100.64.0.1"]
    assert wait_for(lambda: lab.host(1).run(answered, check=False).returncode == 0, 20)
    lab.down()
    assert leftovers(name) == []


def test_two_labs_that_start_together_are_apart(name):
    labs = [Lab(f"{name}{letter}") for letter in "ab"]
    try:
        together(partial(lab.up, control_plane=False) for lab in labs)
        assert labs[0].facts.port != labs[1].facts.port
        labs[0].down()
        labs[1].ovn_nbctl("--wait=hv", "sync")
        assert all(process["running"] for process in labs[1].status().values())
    finally:
        for lab in labs:
            lab.down()
    assert leftovers(name) == []
