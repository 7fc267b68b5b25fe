"""All checks in the order they are shown, the table, the exit status."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from wolke.doctor import engines, kernel, network, place, processor, settings
from wolke.doctor.finding import Finding, State, missing, ok
from wolke.doctor.machine import Machine

API, AGENTS, AGENT = "127.0.0.1:8774", "127.0.0.1:8775", "127.0.0.1:6644"  # where nothing is configured
STATE = "/var/lib/wolke"
T = TypeVar("T")
Check = Callable[[], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which cloud, if any: its settings, an agent's settings, else a directory it might live in."""

    config: Path | None = None
    agent_config: Path | None = None
    state: str = STATE


def examine(machine: Machine, asked: Asked) -> Iterator[Finding]:
    """One finding after the other, as they are made; a check that cannot run is a finding too."""
    state, api, agents = asked.state, API, AGENTS
    own: list[tuple[str, Check]] = []
    if asked.config is not None:
        path = asked.config
        [found] = guarded("settings", lambda: [settings.read(path)])
        if isinstance(found, Finding):
            own = [("settings", lambda: [found])]
        else:
            config = found
            state, api, agents = config.state, config.listen or API, config.agent_listen or AGENTS
            own = [
                ("settings", lambda: [ok("settings", str(path))]),
                ("policy.yaml", lambda: settings.policy(config)),
                ("database", lambda: settings.database(machine, config)),
            ]
    if asked.agent_config is not None:
        agent_path = asked.agent_config
        own.append(("agent's settings", lambda: settings.host(machine, agent_path)))
    wanted = (
        network.Port("the API", "tcp", number(api), ("wolke",), "end that program, or set 'listen'"),
        network.Port(
            "the API for agents", "tcp", number(agents), ("wolke",), "end that program, or set 'agent_listen'"
        ),
        network.Port("the agent", "tcp", number(AGENT), ("wolke",), "end that program, or set the agent's 'listen'"),
        *network.OVN_PORTS,
    )
    checks: list[tuple[str, Check]] = [
        ("rights", lambda: processor.rights(machine)),
        ("Python", lambda: engines.python(machine)),
        ("processor", lambda: processor.virtualisation(machine)),
        ("KVM", lambda: processor.kvm(machine)),
        ("memory", lambda: processor.memory(machine)),
        ("disk space", lambda: place.room(machine, state)),
        ("state directory", lambda: place.directory(machine, state)),
        ("clock", lambda: processor.clock(machine, state)),
        ("network namespaces", lambda: kernel.namespaces(machine)),
        ("cgroups", lambda: kernel.cgroups(machine)),
        ("block devices", lambda: kernel.block_devices(machine)),
        ("openvswitch datapath", lambda: network.datapath(machine)),
        ("engines", lambda: engines.programs(machine)),
        ("libvirt for Python", lambda: engines.bindings(machine)),
        ("files of engines", lambda: engines.files(machine)),
        ("ports", lambda: network.ports(machine, wanted)),
        *own,
    ]
    for what, check in checks:
        yield from guarded(what, check)


def guarded(what: str, check: Callable[[], Iterable[T]]) -> Iterator[T | Finding]:
    """What the check finds; what breaks it becomes a finding."""
    try:
        yield from check()
    except ImportError as error:
        yield missing(what, f"cannot be examined: {error}", "install the Python packages of requirements.lock")
    except Exception as error:
        yield missing(what, f"the check itself broke: {type(error).__name__}: {error}", "report it as a bug")


def number(address: str) -> int:
    """The port of ``ADDRESS:PORT``."""
    return int(address.rpartition(":")[2])


def status(findings: Sequence[Finding]) -> int:
    """0 when a cloud works here, perhaps with less; 1 when something needed is missing."""
    return int(any(finding.state is State.MISSING for finding in findings))


def table(findings: Sequence[Finding], columns: int = 120) -> str:
    """Lines of what, state, reason; the cure below what has one."""
    width = max(len(finding.what) for finding in findings)
    indent = " " * (width + 12)
    lines = []
    for finding in findings:
        head = f"{finding.what:{width}}  {finding.state:8}  "
        lines += textwrap.wrap(finding.reason, columns, initial_indent=head, subsequent_indent=indent)
        lines += textwrap.wrap(finding.cure, columns, initial_indent=f"{indent}-> ", subsequent_indent=f"{indent}   ")
    counts = {state: sum(finding.state is state for finding in findings) for state in State}
    lines += ["", ", ".join(f"{count} {state}" for state, count in counts.items())]
    return "\n".join(lines)


def as_json(findings: Sequence[Finding]) -> str:
    return json.dumps({"findings": [asdict(one) for one in findings], "works": not status(findings)}, indent=1)
