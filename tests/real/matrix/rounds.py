"""The whole proof on a set of topologies: judge all probes, mend what blocks until nothing does, take away what allows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.real.matrix.arena import Arena
from tests.real.matrix.built import Built, Case
from tests.real.matrix.mending import Mender
from tests.real.matrix.topologies import Topology, door_rules

ROUNDS = 8


@dataclass
class Report:
    topologies: int = 0
    probes: int = 0
    sent: int = 0  # probes, counted again in each round
    yes: int = 0
    flipped: int = 0
    taken: int = 0  # yes that became another answer when their rule went
    kinds: Counter[str] = field(default_factory=Counter)
    stuck: Counter[str] = field(default_factory=Counter)  # what a no names that cannot be changed
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        named = ", ".join(f"{kind} {count}" for kind, count in self.kinds.most_common())
        left = ", ".join(f"{kind} {count}" for kind, count in self.stuck.most_common()) or "none"
        return (
            f"{self.topologies} topologies, {self.probes} probes ({self.yes} yes), sent {self.sent} times in {self.seconds:.0f} s;"
            f" decided by: {named}; flipped: {self.flipped} no, {self.taken} yes; no way to flip: {left}; mismatches: {len(self.wrong)}"
        )


def decided(case: Case) -> tuple[Any, ...]:
    """What decided, where, and on which packet: one rule may stand in the way at several places."""
    by, stopped = case.answer["decided_by"], case.answer["stopped"] or {}
    at = (by["at"] or {}).get("id")
    return case.answer["reachable"], by["kind"], by["id"], by["direction"], case.answer["way"], at, *stopped.values()


def prove(arena: Arena, plans: Iterable[Topology], report: Report) -> None:
    """One set of topologies, from nothing to nothing."""
    begin, every = time.monotonic(), [Built(plan) for plan in plans]
    try:
        arena.set_door(door_rules(every[0].plan.seed))
        arena.build(every)
        arena.say(f"{len(every)} topologies made")
        arena.wait_for_ports(every)
        arena.quiet()
        arena.say("all hosts have them")
        cases = [case for built in every for case in built.cases]
        judge(arena, cases, report, "as built")
        report.topologies += len(every)
        report.probes += len(cases)
        report.yes += sum(case.answer["reachable"] for case in cases)
        report.kinds.update(case.answer["decided_by"]["kind"] for case in cases)
        arena.say(f"{len(every)} topologies as built: {report}")
        mend_all(arena, every, report)
        take_away(arena, every, report)
    finally:
        arena.remove(every)
        report.seconds += time.monotonic() - begin


def judge(arena: Arena, cases: list[Case], report: Report, when: str) -> None:
    report.sent += len(cases)
    for case in arena.judge(cases):
        report.wrong.append(f"{when}: {case}")
        arena.say(f"MISMATCH {report.wrong[-1]}")


def mend_all(arena: Arena, every: list[Built], report: Report) -> None:
    """Change what each no names, until all are yes or nothing is left that could be changed."""
    mender, stuck = Mender(arena), set[str]()
    try:
        for number in range(1, ROUNDS + 1):
            mender.done.clear()
            mended = [
                case
                for some in arena.threads.map(lambda built: mend(mender, built, stuck, report), every)
                for case in some
            ]
            if not mended:
                return
            before = {case.id: decided(case) for case in mended}
            arena.wait_for_ports(every)
            arena.quiet()
            touched = {id(case.built) for case in mended}
            cases = [case for built in every if id(built) in touched for case in built.cases]
            judge(arena, cases, report, f"mended {number} times")
            for case in mended:
                if decided(case) == before[case.id]:
                    report.wrong.append(f"did not flip, mended {number} times: {case}")
                    arena.say(f"MISMATCH {report.wrong[-1]}")
                    stuck.add(case.id)
                else:
                    report.flipped += 1
            arena.say(f"mended {number} times: {len(mended)} cases, {len(report.wrong)} mismatches")
    finally:
        mender.withdraw()


def mend(mender: Mender, built: Built, stuck: set[str], report: Report) -> list[Case]:
    """The cases of a topology whose no has been mended."""
    found = []
    for case in built.cases:
        if case.answer["reachable"] or case.id in stuck:
            continue
        if mender.mend(case):
            found.append(case)
        else:
            stuck.add(case.id)
            report.stuck[case.answer["decided_by"]["kind"]] += 1
            mender.arena.say(f"no way to flip: {case}")
    return found


def take_away(arena: Arena, every: list[Built], report: Report) -> None:
    """Delete the rules that are named by a yes: it becomes a no, or another rule is named."""
    allowed = [
        case for built in every for case in built.cases
        if case.answer["reachable"] and case.answer["decided_by"]["kind"] == "security_group_rule"
    ]  # fmt: skip
    before = {case.id: decided(case) for case in allowed}
    rules = sorted({case.answer["decided_by"]["id"] for case in allowed})
    list(arena.threads.map(lambda id: arena.call("DELETE", f"security-group-rules/{id}"), rules))
    arena.quiet()
    judge(arena, [case for built in every for case in built.cases], report, "without the rules that allowed")
    for case in allowed:
        if decided(case) == before[case.id]:
            report.wrong.append(f"did not change without its rule: {case}")
        else:
            report.taken += 1
