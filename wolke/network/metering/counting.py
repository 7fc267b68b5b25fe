"""The loop that samples: it asks the hosts what their flows have counted and adds what has come since the last time to the labels' counts.

A host's counters begin anew whenever its flows are written again, and vanish with them; what is kept of them says where they stood, when
the flow was born and for whom it counted, so that nothing is counted twice. What passed between the last sample and the end of a flow is
lost: half a minute's traffic at most when a host dies or ovn-controller starts again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from wolke.core.app import App
from wolke.core.db import lock
from wolke.core.work import Again, Done, Item, Lane, Next
from wolke.drivers.traffic import METERS
from wolke.network.chassis import Hosts
from wolke.network.edge.witness import Witness
from wolke.network.floating_ips.rows import all_detour_meters
from wolke.network.metering.rows import all_meters, key_of
from wolke.network.metering.table import INGRESS, MeteringCount, MeteringFlow, MeteringLabel
from wolke.network.metering.wakes import SAMPLE

EVERY_SECONDS = 30.0
# A host reckons its flows' births anew for each answer, which it has ten seconds for; what was written again so soon shows by less
BIRTH_SECONDS = 15.0
Told = tuple[int, int, float]  # packets, bytes, born


@dataclass(frozen=True, slots=True)
class Answer:
    """What one host has told: its counters by the meter's key, and whether each of them is known."""

    counters: Mapping[str, Told]
    complete: bool


def answers(told: Mapping[str, str | None], flows: Mapping[str, str]) -> dict[str, Answer | None]:
    """``told`` : what each host has answered; ``flows`` : cookie -> match"""
    found: dict[str, Answer | None] = dict.fromkeys(told)
    for host, text in told.items():
        if text is not None:
            counters = msgspec.json.decode(text, type=dict[str, Told])
            known = {key_of(flows[cookie]): one for cookie, one in counters.items() if cookie in flows}
            found[host] = Answer(known, len(known) == len(counters))
    return found


def increase(now: Told, before: Any) -> tuple[int, int] | None:
    """Packets and bytes since the last sample. ``before`` : what is kept of it, None where there was none.

    None: an answer that is older than what is kept, because another process was faster with a newer one.
    """
    packets, size, born = now
    if before is None or abs(born - before.born) > BIRTH_SECONDS:
        return packets, size
    if packets >= before.packets:
        return packets - before.packets, max(size - before.bytes, 0)
    return (packets, size) if born > before.born else None


# One sample ----------------------------------------------------------------------------------------------------------
Sums = dict[tuple[str, str], list[int]]  # (label, router) -> packets and bytes in, packets and bytes out


def add(db: Session, told: Mapping[str, Answer | None], now: float) -> None:
    """Count what hosts have told; those of None have not answered, those that are missing are no more."""
    lock(db, "metering")
    meters = {one.key: one for one in (*all_meters(db), *all_detour_meters(db))}
    held: dict[str, dict[str, MeteringFlow]] = defaultdict(dict)
    for kept in db.scalars(select(MeteringFlow)):
        held[kept.host][kept.meter] = kept
    sums: Sums = defaultdict(lambda: [0, 0, 0, 0])
    for host, answer in told.items():
        mine = held.pop(host, {})
        if answer is None:
            continue
        for key, counter in answer.counters.items():
            flow, meter = mine.pop(key) if key in mine else None, meters.get(key)
            if (more := increase(counter, flow)) is None:
                continue
            if flow is None and meter:
                flow = MeteringFlow(
                    host=host, meter=key, router_id=meter.router_id, direction=meter.direction, labels=sorted(meter.labels)
                )  # fmt: skip
                db.add(flow)
            if flow is not None:
                credit(sums, flow, more)
                flow.packets, flow.bytes, flow.born = counter
                flow.labels = sorted(meter.labels) if meter else []  # for whom it counts from now on
        if answer.complete:  # what is left is no more, or has counted nothing since it was written anew
            forget(db, mine)
    for mine in held.values():
        forget(db, mine)
    write(db, sums, now)


def credit(sums: Sums, flow: MeteringFlow, more: tuple[int, int]) -> None:
    at = 0 if flow.direction == INGRESS else 2
    for label_id in flow.labels:
        count = sums[label_id, flow.router_id]
        count[at] += more[0]
        count[at + 1] += more[1]


def forget(db: Session, flows: Mapping[str, MeteringFlow]) -> None:
    for flow in flows.values():
        db.delete(flow)


def write(db: Session, sums: Sums, now: float) -> None:
    labels = set(db.scalars(select(MeteringLabel.id)))  # one may have gone with what it had counted
    for (label_id, router_id), more in sums.items():
        if label_id not in labels or not any(more):
            continue
        count = db.get(MeteringCount, (label_id, router_id))
        if count is None:
            count = MeteringCount(
                label_id=label_id, router_id=router_id, packets_in=0, bytes_in=0, packets_out=0, bytes_out=0, since=now, counted_at=now
            )  # fmt: skip
            db.add(count)
        count.packets_in += more[0]
        count.bytes_in += more[1]
        count.packets_out += more[2]
        count.bytes_out += more[3]
    db.flush()
    db.execute(update(MeteringCount).values(counted_at=now))


def ask(app: App) -> dict[str, Answer | None]:
    witness, hosts = app.part(Witness), app.part(Hosts)  # type: ignore[type-abstract]
    return answers(asyncio.run(witness.ask("/meters")), hosts.flows(METERS))


# The loop ------------------------------------------------------------------------------------------------------------
def lane(app: App) -> Lane:
    """A sample every half minute as long as there are labels, and one at each change of what is counted."""

    def sample(items: Sequence[Item]) -> Mapping[Item, Next]:
        with app.database.read() as db:
            anything = db.scalar(select(MeteringLabel.id).limit(1)) is not None
        told = ask(app) if anything else {}
        with app.database.transaction() as db:
            add(db, told, app.clock())
        return dict.fromkeys(items, Again(EVERY_SECONDS) if anything else Done())

    return Lane("metering", SAMPLE[:1], sample)
