"""Figures, their budgets, the table and the object they are shown as."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing. ``value`` is what the budget speaks of; for latencies the median."""

    part: str
    what: str
    value: float
    unit: str
    ports: int | None = None  # that were present
    budget: float | None = None
    best: float | None = None  # the fastest; what disturbs on a busy machine is least in it
    p95: float | None = None
    cpu: float | None = None  # ms of all our processes per request
    statements: float | None = None  # SQL statements per request
    statements_budget: float | None = None
    note: str = ""

    @property
    def held(self) -> bool | None:
        if self.budget is None:
            return None
        enough = self.statements_budget is None or (self.statements or 0) <= self.statements_budget
        return self.value <= self.budget and enough

    @property
    def judged(self) -> str:
        """yes, NO, or "best" when only the least disturbed round held."""
        if self.held is not False:
            return "yes" if self.held else ""
        best = self.value if self.best is None else self.best
        return "best" if replace(self, value=best).held else "NO"


@dataclass
class Report:
    """Collects figures and says each as it is known."""

    figures: list[Figure] = field(default_factory=list)
    begin: float = field(default_factory=time.monotonic)

    def add(self, figure: Figure) -> None:
        self.figures.append(figure)
        self.say(line(figure))

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.begin:5.1f}] {text}", file=sys.stderr, flush=True)

    def as_object(self) -> str:
        machine = {
            "cores": os.cpu_count(), "load": os.getloadavg(), "kernel": platform.release(), "python": platform.python_version(),
            "wall_per_cpu": round(wall_per_cpu(), 2), "seconds": round(time.monotonic() - self.begin, 1),
        }  # fmt: skip
        shown = [asdict(figure) | {"held": figure.held} for figure in self.figures]
        return json.dumps({"machine": machine, "figures": shown}, indent=1)


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that ``part`` of all do not exceed.

    >>> percentile([3.0, 1.0, 2.0], 0.5), percentile([3.0, 1.0, 2.0], 0.95)
    (2.0, 3.0)
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def seconds_of(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def cpu_seconds(*pids: int) -> float:
    """Processor time that processes have used with all their threads; proc(5), utime and stime."""
    ticks = 0
    for pid in pids:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(words[11]) + int(words[12])
    return ticks / TICK


def wall_per_cpu() -> float:
    """How much longer than its own processor time a busy loop takes here and now: 1 on an idle machine."""
    begin, used = time.perf_counter(), time.process_time()
    while time.process_time() - used < 0.2:
        sum(range(1000))
    return (time.perf_counter() - begin) / (time.process_time() - used)


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


HEAD = ("what", "ports", "value", "unit", "best", "p95", "CPU ms", "SQL", "budget", "held", "")
WIDTHS = (52, 5, 7, 6, 7, 7, 7, 5, 13, 4, 0)


def cells(figure: Figure) -> tuple[str, ...]:
    budget = number(figure.budget)
    if figure.statements_budget is not None:
        budget += f" / {number(figure.statements_budget)} SQL"
    ports = "" if figure.ports is None else str(figure.ports)
    numbers = (figure.best, figure.p95, figure.cpu, figure.statements)
    shown = (number(one) for one in numbers)
    return (figure.what, ports, number(figure.value), figure.unit, *shown, budget, figure.judged, figure.note)


def aligned(row: Sequence[str]) -> str:
    return "  ".join(
        f"{cell:<{width}}" if at in (0, 3, 10) else f"{cell:>{width}}"
        for at, (cell, width) in enumerate(zip(row, WIDTHS, strict=True))
    ).rstrip()


def line(figure: Figure) -> str:
    return aligned(cells(figure))


def table(figures: Sequence[Figure]) -> str:
    lines, part = [], ""
    for figure in figures:
        if figure.part != part:
            part = figure.part
            lines += ["", part, aligned(HEAD)]
        lines.append(line(figure))
    judged = [figure.judged for figure in figures if figure.judged]
    said = f"{judged.count('yes')} of {len(judged)} budgets held"
    if judged.count("best"):
        said += f", {judged.count('best')} more in the best round: the machine was busy with other things"
    return "\n".join([*lines, "", said])
