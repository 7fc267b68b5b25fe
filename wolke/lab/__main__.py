"""``./run cloud``: a cloud on this machine, and what one breaks it with."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from pathlib import Path

from wolke.lab import Lab, LabError
from wolke.lab.node import Node

ROOT = Path(__file__).resolve().parents[2]
WELCOME = """\
The cloud {lab.name} runs: {lab.url}, {lab.facts.hosts} host(s).
  eval "$(./run cloud env)"      then: openstack network list   (OS_CLOUD=admin or demo)
  ./run cloud status             processes and memory; their logs are in {lab.directory}/log
  ./run cloud shell internet     a shell outside; h1 is a host, control has OVN's databases
  ./run cloud down               ends it"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="./run cloud", description=__doc__.split("\n", 1)[0] if __doc__ else "")
    made.add_argument("--name", default="demo", help="which lab (default: demo)")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start what does not run; ends when the cloud serves")
    up.add_argument("--hosts", type=int, default=0, help="how many hosts (default: 1, or as many as there are)")
    up.add_argument(
        "--database", default="", help="URL of a PostgreSQL database, by unix socket: postgresql:///NAME?host=/DIR"
    )
    up.add_argument("--engines-only", action="store_true", help="OVN, OVS and libvirt without Wolke")
    down = commands.add_parser("down", help="end everything of it")
    down.add_argument("--keep", action="store_true", help="keep the state: the next up goes on with it")
    commands.add_parser("join", help="one more host, which gets everything by itself")
    commands.add_parser("leave", help="the last host goes for good; refused while servers are on it")
    status = commands.add_parser("status", help="processes, pids, memory")
    status.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    shell = commands.add_parser("shell", help="a shell, or one command, in a host")
    shell.add_argument("node", nargs="?", default="h1", help="h1..hN, internet, control or wires (default: h1)")
    shell.add_argument("words", nargs="*", metavar="-- CMD")
    commands.add_parser("env", help='for eval "$(./run cloud env)"')
    for name, does in (("kill", "kill -9 one process"), ("start", "start one process again")):
        commands.add_parser(name, help=does).add_argument(
            "process", help="as status names it: api, northd, h1/vswitchd..."
        )
    partition = commands.add_parser("partition", help="part two hosts on the underlay; one alone has its cable pulled")
    partition.add_argument("one", metavar="h1")
    partition.add_argument("other", nargs="?", metavar="h2|control")
    commands.add_parser("heal", help="undo every partition")
    return made


def main(arguments: list[str]) -> int:
    given = parser().parse_args(arguments)
    begin = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begin:6.1f}  {text}", file=sys.stderr, flush=True)

    lab = Lab(given.name, hosts=getattr(given, "hosts", 0), database=getattr(given, "database", ""), say=say)
    match given.command:
        case "up":
            lab.up(control_plane=not given.engines_only)
            print(WELCOME.format(lab=lab) if lab.facts.control_plane else f"The engines of {lab.name} run.")
        case "join":
            host = lab.join()
            print(f"{host.name} has joined the cloud {lab.name}; {lab.facts.hosts} hosts.")
        case "leave":
            print(f"{lab.leave()} has left the cloud {lab.name}; {lab.facts.hosts} host(s).")
        case "down":
            lab.down(keep=given.keep)
        case "status":
            return show(lab, as_json=given.json)
        case "shell":
            shell(lab, given.node, given.words)
        case "env":
            print(environment(lab))
        case "kill":
            lab.kill(given.process)
        case "start":
            lab.start(given.process)
        case "partition":
            lab.partition(given.one, given.other)
        case "heal":
            lab.heal()
    return 0


def show(lab: Lab, *, as_json: bool) -> int:
    """Print the processes; 1 when one is missing, 3 when there is no lab (as systemctl's status)."""
    status = lab.status()
    if as_json:
        print(json.dumps(status))
    elif not status:
        print(f"The cloud {lab.name} is not up.")
    else:
        print(f"{'process':20} {'pid':>8} {'PSS MiB':>8}")
        for name, process in status.items():
            print(f"{name:20} {process['pid'] or 'dead':>8} {process['pss_kib'] / 1024:8.1f}")
        print(f"{'':20} {'':8} {sum(process['pss_kib'] for process in status.values()) / 1024:8.1f}")
    return 3 if not status else int(not all(process["running"] for process in status.values()))


def shell(lab: Lab, name: str, words: list[str]) -> None:
    """Become a shell or a command inside a node."""
    node: Node = lab.node(name)
    inside = node.enter(*(words or ["bash", "--norc", "-i"]))
    os.execvpe(inside[0], inside, {**os.environ, **node.environment, "PS1": rf"{name}:\w\$ "})


def environment(lab: Lab) -> str:
    """Shell commands that make ``openstack`` speak to this cloud as its administrator."""
    clouds = lab.directory / "clouds.yaml"
    if not clouds.exists():
        raise LabError(f"the cloud {lab.name} is not up: ./run cloud up")
    clients = ROOT / ".venv-clients" / "bin"
    return (
        f"export OS_CLIENT_CONFIG_FILE={shlex.quote(str(clouds))}\n"
        f"export OS_CLOUD=admin\nexport PATH={shlex.quote(str(clients))}:$PATH"
    )


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
