"""Who may do what: every call of every service against every kind of caller, as text."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.conftest import BLUE, PERSONAS, RED, Cloud, persona
from wolke import cloud as control
from wolke.core.auth import ANONYMOUS, Caller
from wolke.core.http import WRITES
from wolke.core.policy import Policy
from wolke.network.absent import REASONS
from wolke.network.extensions import EXTENSIONS

CALLERS = {
    "admin": PERSONAS["admin"],
    "manager": persona("manager", RED, "manager", "member", "reader"),
    "member": PERSONAS["member"],
    "reader": PERSONAS["reader"],
    "stranger": PERSONAS["stranger"],
    "nobody": ANONYMOUS,
}


class Thing:
    """A thing of the red project that its member made; whatever else a rule looks at is not there."""

    project_id, domain_id, user_id, id = RED, "default", "user-member", RED

    def __getattr__(self, name: str) -> None:
        return None


def door(policy: Policy, rule: str, public: bool, caller: Caller) -> str:
    if public:
        return "yes"
    if not caller.user_id:
        return "401"
    return "yes" if policy.allows(rule, caller, Thing()) else "no"


def test_doors(cloud: Cloud, golden: Callable[[str, str], None]) -> None:
    lines = []
    for service in control.services():
        for call in service.calls:
            doors = [door(cloud.app.policy, call.rule, call.public, caller) for caller in CALLERS.values()]
            lines.append(
                f"{call.method:7}{service.prefix + call.path:92}{call.rule:64}{''.join(f'{one:9}' for one in doors)}".rstrip()
            )
    head = f"{'call':99}{'rule':64}{''.join(f'{name:9}' for name in CALLERS)}".rstrip()
    golden("doors.txt", "\n".join([head, *sorted(set(lines))]) + "\n")


def test_every_call_names_its_rule() -> None:
    for service in control.services():
        for call in service.calls:
            assert call.public or call.rule in Policy.names(), f"{call.method} {service.prefix}{call.path}"


def test_strangers_and_readers_write_nothing(cloud: Cloud) -> None:
    """No write is open to a reader or to another project, but those that concern only the caller himself."""
    own = ("identity:", "os_compute_api:os-keypairs", "modify_member")
    for service in control.services():
        for call in service.calls:
            if call.method in WRITES and not call.public and not call.reads and not call.rule.startswith(own):
                for name in ("reader", "stranger"):
                    assert door(cloud.app.policy, call.rule, False, CALLERS[name]) == "no", (
                        name,
                        call.method,
                        call.path,
                    )
    assert BLUE != RED


def test_openapi(cloud: Cloud, golden: Callable[[str, str], None]) -> None:
    import json

    golden("openapi.json", json.dumps(cloud.nobody.get("/openapi.json").json(), indent=1, sort_keys=True) + "\n")


def test_whatever_openapi_refers_to_is_in_it(cloud: Cloud) -> None:
    told = cloud.nobody.get("/openapi.json")
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', told.text))
    assert named and named <= set(told.json()["components"]["schemas"])


def test_api_coverage(golden: Callable[[str, str], None]) -> None:
    """docs/api-coverage.md is written from the declarations, so it says what is there and nothing else."""
    parts = [
        "# API coverage\n\nWritten from the code by `./run golden`. `since` is the microversion that brought a call.\n"
    ]
    for service in sorted(control.services(), key=lambda service: service.name):
        calls = sorted({(call.path, call.method, call.summary, call.rule, call.since) for call in service.calls})
        parts.append(
            f"## {service.type} (`{service.prefix}`, {len(calls)} calls)\n\n| call | what | rule | since |\n|---|---|---|---|"
        )
        for path, method, summary, rule, since in calls:
            number = f"{since[0]}.{since[1]}" if since > (0, 0) else ""
            parts.append(
                f"| `{method} {path or '/'}` | {summary.replace('|', '/')} | {rule and f'`{rule}`'} | {number} |"
            )
        parts.append("")
    parts.append("## Network: what is announced and what is not\n\nAnnounced: " + ", ".join(sorted(EXTENSIONS)) + ".\n")
    parts.append("| deliberately absent | why |\n|---|---|")
    parts += [f"| {', '.join(f'`{alias}`' for alias in aliases)} | {reason} |" for reason, aliases in REASONS.items()]
    golden("../../docs/api-coverage.md", "\n".join([*parts, ""]))
