"""Figures for Prometheus: https://prometheus.io/docs/practices/naming/"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wolke.core.db import Database
from wolke.core.work import Work

registry = CollectorRegistry()

requests = Counter(
    "wolke_http_requests", "Answered API calls", ["service", "method", "rule", "status"], registry=registry
)
seconds = Histogram(
    "wolke_http_request_seconds",
    "Time from the whole request to the answer",
    ["service"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
    registry=registry,
)
waiting = Gauge("wolke_work_waiting", "Work items that are due or under way", ["kind"], registry=registry)
failing = Gauge("wolke_work_failing", "Work items whose last attempt failed", ["kind"], registry=registry)
drift = Counter("wolke_drift", "Things found other than they should be", ["place", "kind"], registry=registry)
standing = Gauge("wolke_drift_standing", "Things that are other than they should be now", ["place"], registry=registry)

metered_packets = Gauge(
    "wolke_metering_packets", "Packets that a label has counted", ["label", "router", "direction"], registry=registry
)
metered_bytes = Gauge(
    "wolke_metering_bytes", "Bytes that a label has counted", ["label", "router", "direction"], registry=registry
)


# What is looked up in the database for each page; whoever has such figures adds a function here.
measures: list[Callable[[Session], None]] = []


def page(database: Database) -> bytes:
    """The text format of Prometheus."""
    with database.read() as db:
        for measure in (work, *measures):
            measure(db)
    return generate_latest(registry)


def work(db: Session) -> None:
    waiting.clear()  # a kind of which nothing waits any more has no row
    failing.clear()
    query = select(Work.kind, func.count(), func.count().filter(Work.error != "")).group_by(Work.kind)
    for kind, waits, fails in db.execute(query):
        waiting.labels(kind).set(waits)
        failing.labels(kind).set(fails)
