"""``wolke``: the programs of a cloud. Everything beyond starting them is done with the ``openstack`` command.

Each command imports what it needs when it runs: an agent holds no control plane in its memory.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

M_TRIM_THRESHOLD, M_ARENA_MAX = -1, -8  # malloc.h


def main(words: Sequence[str] | None = None) -> None:
    asked = parser().parse_args(words)
    # database, images and keys are this user's alone, whoever made the directory
    if asked.run in (init, api, loops, develop):
        os.umask(0o077)
    try:
        asked.run(asked)
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f"wolke {asked.command}: {error}")


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="wolke", description="A private cloud in one package.")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        name: str, run: object, help: str, *, config: bool = True, among: Any = commands
    ) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = among.add_parser(name, help=help, description=help)
        made.set_defaults(run=run)
        if config:
            made.add_argument("--config", type=Path, required=True, metavar="FILE", help="the settings, TOML")
        return made

    command("init", init, "make or migrate the database, keys, certificates and the administrator; safe to repeat")
    command("api", api, "answer clients and agents")
    command("loops", loops, "make the world what the database says")
    command("agent", agent, "work as a host of the cloud")
    command("join-token", join_token, "a token with which one host may join, once, within an hour").add_argument("host")
    about_hosts = "the hosts of the cloud: list them, or take one out for good"
    host = commands.add_parser("host", help=about_hosts, description=about_hosts)
    actions = host.add_subparsers(required=True, metavar="ACTION")
    command("list", list_hosts, "the hosts that have joined", among=actions)
    remove = command("remove", remove_host, "take a host out for good; refused while servers are on it", among=actions)
    remove.add_argument("host")
    token_keys = command("token-keys", rotate_token_keys, "rotate the keys that tokens are signed with")
    token_keys.add_argument("action", choices=["rotate"])
    audit = command("audit", verify_audit, "whether the audit log is as it was written")
    audit.add_argument("action", choices=["verify"])
    audit.add_argument(
        "--expect", default="", metavar="PLACE:SEAL", help="what an earlier verification told as its head"
    )
    doctor = command("doctor", examine, "what works on this machine, what not, and the cure", config=False)
    doctor.add_argument("--config", type=Path, metavar="FILE", help="also examine this control plane's settings")
    doctor.add_argument("--agent-config", type=Path, metavar="FILE", help="also examine this host's settings")
    doctor.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    dev = command("dev", develop, "a whole cloud with fake hosts in one process, on 127.0.0.1", config=False)
    dev.add_argument("--port", type=int, default=8774, help="of the API on 127.0.0.1 (default: 8774)")
    dev.add_argument("--hosts", type=int, default=3, help="how many (default: 3)")
    dev.add_argument("--state", type=Path, help="keep the cloud in this directory; else it is gone afterwards")
    step = command("migration", migration, "write the next schema step from the tables", config=False)
    step.add_argument("message", nargs="+")
    return whole


@contextmanager
def loading() -> Iterator[None]:
    """For what is loaded by a process that stays: how it keeps its memory small.

    Modules stay, so nothing is searched for garbage meanwhile, nor looked at later: a sixth less CPU. glibc keeps an arena per
    thread and what was freed in it; eight long lists at a time left 220 MiB behind, with these settings 90 (mallopt(3)).
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(M_ARENA_MAX, 1)
    libc.mallopt(M_TRIM_THRESHOLD, 1 << 20)
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


def init(asked: argparse.Namespace) -> None:
    from wolke.cli.setup import prepare
    from wolke.core.config import load

    print(prepare(load(asked.config)))


def api(asked: argparse.Namespace) -> None:
    with loading():
        from wolke.cli.api import run
        from wolke.core.config import load

    run(load(asked.config))


def loops(asked: argparse.Namespace) -> None:
    with loading():
        from wolke.cli.loops import run
        from wolke.core.config import load

    run(load(asked.config))


def agent(asked: argparse.Namespace) -> None:
    with loading():
        from wolke.agent.main import run
        from wolke.core import log

    log.start("info")
    run(asked.config)


def join_token(asked: argparse.Namespace) -> None:
    from wolke.cli.setup import token_for
    from wolke.core.config import load

    print(token_for(load(asked.config), asked.host))


def list_hosts(asked: argparse.Namespace) -> None:
    from wolke.cli import setup
    from wolke.core.config import load

    print(setup.hosts(load(asked.config)))


def remove_host(asked: argparse.Namespace) -> None:
    from wolke.cli import setup
    from wolke.core.config import load

    print(setup.remove_host(load(asked.config), asked.host))


def rotate_token_keys(asked: argparse.Namespace) -> None:
    from wolke.cli.setup import rotate
    from wolke.core.config import load

    print(rotate(load(asked.config)))


def verify_audit(asked: argparse.Namespace) -> None:
    from wolke.cli.setup import audit
    from wolke.core.config import load

    found = audit(load(asked.config), asked.expect)
    print("\n".join(f"{name:10} {value}" for name, value in found.items() if value not in (None, "")))
    sys.exit(0 if found["intact"] else 1)


def examine(asked: argparse.Namespace) -> None:
    from wolke.doctor import examine as doctor
    from wolke.doctor.machine import Machine

    findings = list(doctor.examine(Machine(), doctor.Asked(asked.config, asked.agent_config)))
    print(doctor.as_json(findings) if asked.json else doctor.table(findings))
    sys.exit(doctor.status(findings))


def develop(asked: argparse.Namespace) -> None:
    from wolke.cli.dev import run

    run(asked.port, asked.hosts, asked.state)


def migration(asked: argparse.Namespace) -> None:
    from wolke.migrations import new_step

    print(new_step(" ".join(asked.message)))


if __name__ == "__main__":
    main()
