"""``./run`` and ``./run cloud``: what they print, and how they end."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def cloud(*words):
    return subprocess.run(
        [sys.executable, "-m", "wolke.lab", *words], cwd=ROOT, check=False, capture_output=True, text=True
    )


def run(*words):
    return subprocess.run([str(ROOT / "run"), *words], check=False, capture_output=True, text=True)


def test_help_needs_nothing_installed():
    done = subprocess.run(
        [str(ROOT / "run"), "--help"], env={"PATH": "/usr/bin:/bin"}, check=True, capture_output=True, text=True
    )
    assert "sudo ./run demo" in done.stdout


def test_an_unknown_command_is_refused():
    done = run("cluod")
    assert done.returncode == 1
    assert "no command cluod" in done.stderr


def test_every_package_has_its_reason():
    lines = (ROOT / "packages.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"#.*|[a-z0-9.+-]+ +# \S.*", line)] == []


def test_status_of_nothing_is_an_exit_status_of_its_own():
    done = cloud("--name", "nothing", "status")
    assert done.returncode == 3
    assert "not up" in done.stdout


def test_env_of_nothing_says_what_to_do():
    done = cloud("--name", "nothing", "env")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "./run cloud up" in done.stderr


@pytest.mark.real
def test_shell_runs_one_command_and_ends_as_it_does(lab):
    done = cloud("--name", lab.name, "shell", "h2", "--", "sh", "-c", "hostname; exit 7")
    assert done.stdout == "h2\n"
    assert done.returncode == 7
    assert "no node 'h9'" in cloud("--name", lab.name, "shell", "h9", "--", "true").stderr


@pytest.mark.real
def test_status_tells_of_a_dead_process(lab):
    assert cloud("--name", lab.name, "status").returncode == 0
    assert cloud("--name", lab.name, "kill", "northd").returncode == 0
    done = cloud("--name", lab.name, "status", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["northd"] == {"running": False, "pid": 0, "pss_kib": 0}
    assert cloud("--name", lab.name, "start", "northd").returncode == 0
    shown = json.loads(cloud("--name", lab.name, "status", "--json").stdout)
    assert shown["northd"]["running"]
    assert shown["h1/vswitchd"]["pss_kib"] > 1000


def test_without_root_the_lab_says_so():
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable]
        if subprocess.run([*command, "-c", "import wolke.lab"], cwd=ROOT, check=False, capture_output=True).returncode:
            pytest.skip("this checkout cannot be read by nobody")
    else:
        command = [sys.executable]
    done = subprocess.run([*command, "-m", "wolke.lab", "up"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "sudo" in done.stderr
