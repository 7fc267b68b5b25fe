"""What the hosts tell of traffic, read: counters of a way, and conversations as they cross the door."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import msgspec

from wolke.core.db import Json
from wolke.network.doorman.policy import Packet
from wolke.network.edge.ways import DIRECT, FORWARDING, PREFIX, Outside, Way
from wolke.network.security_groups.protocols import WITH_PORTS


class Counters:
    """The counters of all hosts together. A guest is on one of them, and a router's gateway moves, so they add up."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.told: dict[str, dict[str, list[int]]] = {"in": {}, "out": {}, "ports": {}}
        for text in texts:
            for part, counts in msgspec.json.decode(text, type=dict[str, dict[str, list[int]]]).items():
                mine = self.told.setdefault(part, {})
                for name, numbers in counts.items():
                    known = mine.get(name, [0] * len(numbers))
                    mine[name] = [one + two for one, two in zip(known, numbers, strict=True)]

    def of(self, part: str, name: str) -> list[int] | None:
        return self.told[part].get(name)


def counted(counters: Counters, way: Way) -> Json | None:
    """Packets and bytes of a way since the hosts have its flows; None for a direction that nobody counts.

    A forwarding shares the counters of its floating IP. A prefix is counted inwards, and only where the world is told of it: others
    need not be one project's alone.
    """
    if way.kind == DIRECT:
        four = counters.of("ports", way.id)
        return counts(four[:2], four[2:]) if four else None
    if way.kind == PREFIX:
        return counts(counters.of("in", way.prefix), None) if way.published else None
    shown = counts(counters.of("in", way.prefix), counters.of("out", way.prefix))
    if shown and way.kind == FORWARDING:
        shown["of"] = f"floating_ip/{way.floatingip_id}"
    return shown


def counts(inward: list[int] | None, outward: list[int] | None) -> Json | None:
    if inward is None and outward is None:
        return None
    return {
        "packets_in": inward and inward[0], "bytes_in": inward and inward[1],
        "packets_out": outward and outward[0], "bytes_out": outward and outward[1],
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Conversation:
    """One that crosses a door: its first packet, as it was seen there, and the way that it takes."""

    packet: Packet
    way: Way


def crossing(texts: Iterable[str], outside: Outside) -> Iterator[Conversation]:
    """The conversations that hosts have told, each once for each door that it crosses."""
    known: set[Packet] = set()
    for text in texts:
        for entry in msgspec.json.decode(text):
            for packet, way in doors(entry, outside):
                if packet not in known:
                    known.add(packet)
                    yield Conversation(packet, way)


def doors(entry: list[Any], outside: Outside) -> Iterator[tuple[Packet, Way]]:
    """How an entry of connection tracking looks outside: translated addresses show in what comes back.

    One whose source is translated leaves by the address that the answer goes to; one whose destination is translated was sent to the
    address that it names. An entry that knows only inner addresses is another zone's view of the same and shows nothing.
    """
    protocol, source, target, sport, dport, back_source, back_target, _, back_port = entry
    moved = source != back_target
    mine = ip_address(back_target)
    way = outside.of(mine)
    if way and (moved or not translates(way)):
        yield (
            leaving(protocol, way, back_target, target, back_port if protocol in WITH_PORTS else sport, dport),
            way,
        )
    there = ip_address(target)
    way = outside.of(there, dport, WITH_PORTS.get(protocol, ""))
    if way and (target != back_source or not translates(way)):
        yield (
            Packet(
                direction="ingress", network_id=way.network_id, remote=ip_address(source), local=there, protocol=protocol,
                port=dport, source_port=sport, opening=False,
            ),
            way,
        )  # fmt: skip


def leaving(protocol: int, way: Way, local: str, remote: str, source_port: int, port: int) -> Packet:
    return Packet(
        direction="egress", network_id=way.network_id, remote=ip_address(remote), local=ip_address(local), protocol=protocol,
        port=port, source_port=source_port, opening=False,
    )  # fmt: skip


def translates(way: Way) -> bool:
    return way.kind not in (PREFIX, DIRECT)
