"""A dry run: what other rules would cut or open, before they are.

API:  ``POST /wolke/v1/doorman/preview``. The model of reachability tells which ports would open or shut to the world outside; the hosts
tell which conversations are under way, and each is judged by the rules as they are and as they would be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from msgspec import UNSET, UnsetType

from wolke.core import policy
from wolke.core.bodies import Body, Text255, take_over
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Answer, Ctx
from wolke.network.doorman import reader
from wolke.network.doorman.effective import touches
from wolke.network.doorman.policy import Rule
from wolke.network.doorman.reader import Door
from wolke.network.doorman.rules import MOST_RULES, Update, doorman_rules, ordered, refuse_intricate, settle
from wolke.network.doorman.spans import subtract
from wolke.network.doorman.table import DoormanRule
from wolke.network.edge.traffic import Conversation, crossing
from wolke.network.edge.watch import Found, openings
from wolke.network.edge.ways import Outside, Way, ways
from wolke.network.edge.witness import Witness
from wolke.network.reachability.read import picture
from wolke.network.security_groups import protocols
from wolke.v1 import v1

MOST_WAYS, MOST_SHOWN = 1000, 1000
# What a new rule is where the proposal does not say
BLANK: dict[str, Any] = {"name": "", "enabled": True, "remote_ip_prefixes": [], "local_ip_prefixes": []}
_preview = policy.rule("wolke:preview_doorman", policy.admin)


class Proposed(Update):
    """A rule as it would be: a present one by its ``id``, with what is to be other; or a new one."""

    id: Text255 | UnsetType = UNSET


class Preview(Body):
    rules: list[Proposed]  # all of them, in order


class Wrapped(Body):
    doorman_preview: Preview


@dataclass(frozen=True, slots=True)
class Trial:
    """Everything that conversations are judged by once the hosts have told them."""

    before: Door
    after: Door
    outside: Outside


@v1.call("POST", "/doorman/preview", rule=_preview, body=Wrapped, reads=True)
def preview(ctx: Ctx, body: Wrapped) -> Answer:
    """What these rules would cut and open."""
    ctx.require(_preview, policy.Target(None))
    before = reader.load(ctx.db)
    after = replace(before, rules=reader.in_force(ctx.db, proposal(ctx, body.doorman_preview.rules)))
    refuse_intricate(after)
    found = ways(ctx.db)
    changed = differing(before.rules, after.rules)
    concerned = [way for way in found if any(concerns(rule, way) for rule in changed)]
    seen = picture(ctx.db)
    looked = concerned[:MOST_WAYS]
    old = openings(replace(seen, door=replace(seen.door, rules=before.rules)), looked)
    new = openings(replace(seen, door=replace(seen.door, rules=after.rules)), looked)
    by_key = {way.key: way for way in looked}
    shown: Json = {
        "ports_shut": ports(old, new, by_key),
        "ports_opened": ports(new, old, by_key),
        "ways_concerned": len(concerned),
        "ways_looked_at": len(looked),
    }
    trial = Trial(before, after, Outside(found))
    return Answer(later=partial(with_conversations, ctx.app.part(Witness), shown, trial))  # type: ignore[type-abstract]


def proposal(ctx: Ctx, given: Sequence[Proposed]) -> list[DoormanRule]:
    """Rules that nobody has written, checked as if they were to be. Raises BadRequest, NotFound."""
    if len(given) > MOST_RULES:
        raise BadRequest(f"Invalid input for doorman_preview.rules: more than {MOST_RULES} rules")
    present = {rule.id: rule for rule in ordered(ctx.db)}
    names = [column.key for column in DoormanRule.__table__.columns]
    made = []
    with ctx.db.no_autoflush:
        for number, one in enumerate(given, 1):
            if one.position is not UNSET:
                raise BadRequest(
                    "Invalid input for doorman_preview.rules.position: the order of the list is what counts"
                )
            if isinstance(one.id, str):
                if one.id not in present:
                    raise doorman_rules.missing(one.id)
                rule = DoormanRule(**{name: getattr(present[one.id], name) for name in names})
            else:
                for name in ("action", "direction"):
                    if getattr(one, name) is UNSET:
                        raise BadRequest(f"Invalid input for doorman_preview.rules.{name}: a new rule needs it")
                rule = DoormanRule(**{**BLANK, "id": f"new-{number}"})
            take_over(rule, one, *(name for name in one.__struct_fields__ if name != "id"))
            settle(ctx.db, rule)
            made.append(rule)
    return made


def differing(before: Sequence[Rule], after: Sequence[Rule]) -> list[Rule]:
    """Rules that are only in one of both lists, or stand elsewhere in the order."""
    common = set(before) & set(after)
    old, new = [rule for rule in before if rule in common], [rule for rule in after if rule in common]
    moved = [rule for one, two in zip(old, new, strict=True) if one != two for rule in (one, two)]
    return [*dict.fromkeys([*(rule for rule in (*before, *after) if rule not in common), *moved])]


def concerns(rule: Rule, way: Way) -> bool:
    return (rule.networks is None or way.network_id in rule.networks) and touches(rule.local, way.net, rule.version)


def ports(one: Found, other: Found, by_key: dict[str, Way]) -> list[Json]:
    """What is open in one and not in the other."""
    found = []
    for key, (spans, rules) in one.items():
        left = subtract(spans, other.get(key, ((), []))[0])
        way = by_key[key.way]
        found += [
            {
                "way": f"{way.kind}/{way.id}", "project_id": way.project_id, "address": key.address, "port_id": key.port_id or None,
                "protocol": protocols.shown(key.protocol), "port_min": low or None, "port_max": high or None,
                "source": key.source or None, "opened_by": rules,
            }
            for low, high in left
        ]  # fmt: skip
    return found[:MOST_SHOWN]


# Conversations ------------------------------------------------------------------------------------------------------
async def with_conversations(witness: Witness, shown: Json, trial: Trial) -> Json:
    told = await witness.ask("/conversations")
    cut, ending = [], []
    count = 0
    for one in crossing((text for text in told.values() if text is not None), trial.outside):
        count += 1
        if (by := stopped(trial, one)) is not None:
            cut.append(described(one, by))
        elif (by := not_again(trial, one)) is not None:
            ending.append(described(one, by))
    return {
        "doorman_preview": shown | {
            "conversations": count,
            "conversations_cut": cut[:MOST_SHOWN],
            "conversations_not_begun_again": ending[:MOST_SHOWN],
            "silent_hosts": sorted(host for host, text in told.items() if text is None),
        }
    }  # fmt: skip


def stopped(trial: Trial, one: Conversation) -> str | None:
    """The rule that would stop packets of it, in either direction, which pass now."""
    for packet in (one.packet, one.packet.reply()):
        if trial.before.verdict(packet).allowed and not (says := trial.after.verdict(packet)).allowed:
            return says.by
    return None


def not_again(trial: Trial, one: Conversation) -> str | None:
    """The rule that would not let it begin, though what is under way goes on."""
    opening = replace(one.packet, opening=True)
    if trial.before.verdict(opening).allowed and not (says := trial.after.verdict(opening)).allowed:
        return says.by
    return None


def described(one: Conversation, rule_id: str) -> Json:
    packet, way = one.packet, one.way
    return {
        "rule_id": rule_id, "way": f"{way.kind}/{way.id}", "project_id": way.project_id, "direction": packet.direction,
        "protocol": protocols.shown(packet.protocol), "remote": str(packet.remote), "local": str(packet.local),
        "port": packet.port, "source_port": packet.source_port,
    }  # fmt: skip
