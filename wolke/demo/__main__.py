"""``python -m wolke.demo [network]``: starts the cloud, builds projects, proves, prints one table."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from wolke.demo import doors, story, zones
from wolke.demo.client import CommandError
from wolke.demo.proofs import Proof, Prover
from wolke.lab import images
from wolke.lab.lab import Lab
from wolke.lab.node import LabError


class Progress:
    """Lines with the seconds since the start on stderr, and how long each part took."""

    def __init__(self) -> None:
        self.begin, self.seconds = time.monotonic(), dict[str, float]()

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.begin:5.1f}] {text}", file=sys.stderr, flush=True)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        begin = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - begin, 1)


def table(proofs: list[Proof]) -> str:
    width = max(len(proof.name) for proof in proofs)
    lines = [f"{'proof':{width}}  held  seen", f"{'-' * width}  ----  {'-' * 40}"]
    lines += [f"{proof.name:{width}}  {'yes ' if proof.held else 'NO  '}  {proof.seen}" for proof in proofs]
    return "\n".join(lines)


AFTER_PROJECTS = """
Try next (the cloud keeps running):
  eval "$(sudo ./run cloud env)"              the openstack command, as the operator
  openstack --os-cloud red server list        ... as the user of project red
  openstack --os-cloud red console log show web1
  openstack --os-cloud red console url show web1      a screen in the browser
  sudo ./run cloud shell internet -- ssh -i {key} root@{address}
  sudo ./run cloud status
Stop and remove everything:
  sudo ./run cloud down"""


AFTER_NETWORK = """
Try next (the cloud keeps running):
  eval "$(sudo ./run cloud env)"              the openstack command, as the operator
  sudo ./run cloud shell internet             a shell outside
  sudo ./run cloud status
Stop and remove everything:
  sudo ./run cloud down"""
# The parts of the network's demo, in order: each builds what it needs and says what it saw
PARTS: dict[str, Callable[[Lab, Callable[[str], None]], list[Proof]]] = {"doorman": doors.prove, "zones": zones.prove}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="./run demo", description="Start a cloud and prove with packets what it promises."
    )
    parser.add_argument(
        "what", nargs="?", choices=["projects", "network"], default="projects",
        help="projects: two that are alike and apart, with servers (default); network: the operator's door and zones",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--hosts", type=int, default=0, help="how many (default: 1 for projects, 2 for the network)")
    options = parser.parse_args(arguments)
    progress = Progress()
    try:
        if options.what == "network":
            proofs, farewell = network(options.hosts or 2, progress)
        else:
            proofs, farewell = play(options.hosts or 1, progress)
    except (LabError, CommandError, OSError, subprocess.SubprocessError) as error:
        progress.say(f"the demo ended early: {error}")
        return 1
    held = sum(proof.held for proof in proofs)
    progress.seconds["total"] = round(time.monotonic() - progress.begin, 1)
    if options.json:
        shown = {"proofs": proofs, "held": held, "total": len(proofs), "seconds": progress.seconds}
        print(msgspec.json.format(msgspec.json.encode(shown)).decode())
    else:
        print(f"\n{table(proofs)}\n\n{held} of {len(proofs)} proofs held, {progress.seconds['total']} s\n{farewell}")
    return 0 if held == len(proofs) else 1


def play(hosts: int, progress: Progress) -> tuple[list[Proof], str]:
    with progress.part("image"):
        progress.say("tiny guest image (built once, then kept)")
        image = images.built()
    lab = Lab("demo", hosts=hosts, say=progress.say)
    with progress.part("cloud"):
        lab.up()
    with progress.part("projects"):
        projects, key = story.build(lab, image, progress.say)
    with progress.part("proofs"):
        proofs = Prover(lab, projects, key, progress.say).run()
    return proofs, AFTER_PROJECTS.format(key=key, address=projects[0].floating["web1"])


def network(hosts: int, progress: Progress) -> tuple[list[Proof], str]:
    lab = Lab("demo", hosts=hosts, say=progress.say)
    with progress.part("cloud"):
        lab.up()
    proofs: list[Proof] = []
    for name, part in PARTS.items():
        with progress.part(name):
            proofs += part(lab, progress.say)
    return proofs, AFTER_NETWORK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
