"""A budget is judged by the median; the best round tells a busy machine from a slow program."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from benchmarks.counted import Counter, count
from benchmarks.figures import Figure, Report, cpu_seconds, percentile, table


def figure(**more: float) -> Figure:
    return Figure("part", "create port", more.pop("value", 9.0), "ms", 0, more.pop("budget", 10.0), **more)  # type: ignore[arg-type]


def test_a_budget_is_held_by_the_median_and_by_the_statements():
    assert figure().judged == "yes"
    assert figure(value=11.0).judged == "NO"
    assert figure(value=11.0, best=9.0).judged == "best"
    assert figure(value=11.0, best=10.5).judged == "NO"
    assert figure(statements=16, statements_budget=15).judged == "NO"
    assert figure(statements=16, statements_budget=15, best=1.0).judged == "NO"
    assert Figure("part", "no budget", 5.0, "ms").judged == ""


def test_the_table_counts_what_held():
    shown = table([figure(), figure(value=11.0, best=9.0), figure(value=11.0), Figure("part", "free", 1.0, "ms")])
    assert shown.splitlines()[-1].startswith("1 of 3 budgets held, 1 more in the best round")


def test_the_object_says_what_held():
    report = Report()
    report.add(figure(value=11.0))
    assert json.loads(report.as_object())["figures"][0]["held"] is False


def test_percentiles_are_values_that_were_seen():
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, part) for part in (0.0, 0.5, 0.95, 1.0)] == [1.0, 50.0, 95.0, 100.0]


def test_statements_are_counted_across_processes_but_not_begin(tmp_path: Path):
    mine, theirs = Counter(tmp_path / "count"), Counter(tmp_path / "count")
    for statement in ("BEGIN IMMEDIATE", "SELECT 1", "INSERT INTO x"):
        count(theirs, None, None, statement)
    assert mine.value == 2


def test_cpu_of_all_threads_is_seen():
    before = cpu_seconds(os.getpid())

    def burn() -> None:
        while cpu_seconds(os.getpid()) - before < 0.1:
            sum(range(1000))

    thread = threading.Thread(target=burn)
    thread.start()
    thread.join(60)
    assert cpu_seconds(os.getpid()) - before >= 0.1
