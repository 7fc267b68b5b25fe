"""How verdicts are shown: whole to operators; to a project without what belongs to others."""

from __future__ import annotations

from collections.abc import Sequence

from wolke.core.db import Json
from wolke.network.reachability.picture import Packet, Picture
from wolke.network.reachability.verdict import Decision, Hop, Thing, Verdict
from wolke.network.security_groups.protocols import ICMP

OTHER: Json = {"type": "other_side", "id": "", "name": ""}


def view(verdict: Verdict, picture: Picture, project_id: str | None) -> Json:
    """``project_id=None`` shows everything."""

    def owner(one: Thing) -> str:
        port = picture.ports.get(one.id)
        router = picture.routers.get(port.device_id) if port and port.of_router else None
        return router.project_id if router else one.project_id  # gateways' ports themselves are nobody's

    def hidden(one: Thing | None) -> bool:
        if one is None or project_id is None or owner(one) in ("", project_id):
            return False
        network = picture.networks.get(one.id)
        return not (network and (network.external or network.shared))

    def plate(one: Thing) -> Json:
        return OTHER if hidden(one) else {"type": one.type, "id": one.id, "name": one.name}

    def decided(one: Decision) -> Json:
        if hidden(one.thing) or hidden(one.at):
            return {"kind": "other_side", "type": "other_side", "id": "", "name": "", "at": OTHER, "direction": ""}
        return {
            "kind": one.kind,
            **plate(one.thing),
            "at": plate(one.at) if one.at else None,
            "direction": one.direction,
        }

    # where others lead on what comes to them, also at a switch that is shared with them
    led = {hop.packet.destination for hop in verdict.there if hidden(hop.by)}
    inner = (
        led - {verdict.asked.destination} if verdict.asked else led
    )  # others' source NAT leaves the destination as it is

    def hops(way: Sequence[Hop]) -> list[Json]:
        found: list[Json] = []
        for hop in way:
            if not hidden(hop.at) and not inner & {hop.packet.source, hop.packet.destination}:
                rule = decided(hop.rule) if hop.rule else None
                found.append({"at": plate(hop.at), "did": hop.did, "packet": packet(hop.packet), "rule": rule})
            elif not found or found[-1]["at"] is not OTHER:
                found.append({"at": OTHER, "did": "", "packet": None, "rule": None})
        return found

    secret = hidden(verdict.decision.thing) or hidden(verdict.decision.at) or hidden(verdict.target) or bool(inner)
    sentence = verdict.sentence
    if secret:
        sentence = "Yes, it is reached." if verdict.reachable else "No: it is blocked on the other side."
    return {
        "reachable": verdict.reachable,
        "decided_by": decided(verdict.decision),
        "sentence": sentence,
        "way": verdict.way,
        "stopped": packet(verdict.stopped) if verdict.stopped and not secret else None,
        "packet": packet(verdict.asked) if verdict.asked else None,
        "hops": hops(verdict.there),
        "hops_back": hops(verdict.back),
    }


def packet(one: Packet) -> Json:
    found: Json = {"source": str(one.source), "destination": str(one.destination), "protocol": one.protocol}
    if one.protocol in ICMP:
        return found | {"icmp_type": one.icmp_type, "icmp_code": one.icmp_code}
    return found | ({"source_port": one.source_port, "port": one.port} if one.port else {})
