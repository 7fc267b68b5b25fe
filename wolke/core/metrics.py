"""Figures for Prometheus: https://prometheus.io/docs/practices/naming/"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

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


def page() -> bytes:
    return generate_latest(registry)
