"""The doorman's rules: ordered, the operator's alone.

API:  /wolke/v1/doorman/rules. The first rule that matches decides; ``policy`` says what matches.
"""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.bodies import Body, Text255, take_over
from wolke.core.collection import OPERATOR
from wolke.core.db import Json, iso, lock
from wolke.core.errors import BadRequest, Conflict
from wolke.core.http import Ctx
from wolke.core.paging import Sort
from wolke.core.work import wake
from wolke.network.doorman import checks, places, reader
from wolke.network.doorman import policy as meaning
from wolke.network.doorman.places import DOOR
from wolke.network.doorman.table import DoormanException, DoormanRule
from wolke.network.networks.table import Network
from wolke.network.subnetpools.table import SubnetPool
from wolke.v1 import Collection

MOST_RULES = 500
PORTS = ("port_range_min", "port_range_max", "source_port_range_min", "source_port_range_max")
Position = Annotated[int, Meta(ge=1)]
Id = Annotated[str, Meta(min_length=1, max_length=64)]


class TooManyRules(Conflict):
    pass


# What the API takes and gives ---------------------------------------------------------------------------------------
class Create(Body):
    action: Literal["allow", "deny"]
    direction: Literal["ingress", "egress"]
    name: Text255 = ""
    description: Text255 = ""
    enabled: bool = True
    position: Position | UnsetType = UNSET  # the end unless it is given
    ethertype: Literal["IPv4", "IPv6"] | None = None
    protocol: str | int | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    source_port_range_min: int | None = None
    source_port_range_max: int | None = None
    remote_ip_prefixes: list[str] = []
    local_ip_prefixes: list[str] = []
    network_id: Id | None = None
    subnetpool_id: Id | None = None


class Update(Body):
    action: Literal["allow", "deny"] | UnsetType = UNSET
    direction: Literal["ingress", "egress"] | UnsetType = UNSET
    name: Text255 | UnsetType = UNSET
    description: Text255 | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    position: Position | UnsetType = UNSET
    ethertype: Literal["IPv4", "IPv6"] | UnsetType | None = UNSET
    protocol: str | int | UnsetType | None = UNSET
    port_range_min: int | UnsetType | None = UNSET
    port_range_max: int | UnsetType | None = UNSET
    source_port_range_min: int | UnsetType | None = UNSET
    source_port_range_max: int | UnsetType | None = UNSET
    remote_ip_prefixes: list[str] | UnsetType = UNSET
    local_ip_prefixes: list[str] | UnsetType = UNSET
    network_id: Id | UnsetType | None = UNSET
    subnetpool_id: Id | UnsetType | None = UNSET


def view(rule: Any) -> Json:
    return said(rule) | {
        "description": rule.description,
        "enabled": rule.enabled,
        "revision_number": rule.revision,
        "created_at": iso(rule.created_at),
        "updated_at": iso(rule.updated_at),
        "notes": checks.notes_of(rule),
    }


def said(rule: Any) -> Json:
    """What a rule says: all that a project is shown of it."""
    return {
        "id": rule.id,
        "name": rule.name,
        "position": rule.position,
        "action": rule.action,
        "direction": rule.direction,
        "ethertype": rule.ethertype,
        "protocol": rule.protocol,
        **{name: getattr(rule, name) for name in PORTS},
        "remote_ip_prefixes": rule.remote_ip_prefixes,
        "local_ip_prefixes": rule.local_ip_prefixes,
        "network_id": rule.network_id,
        "subnetpool_id": rule.subnetpool_id,
    }


# What the calls do --------------------------------------------------------------------------------------------------
class DoormanRules(Collection[DoormanRule]):
    """Nobody's project owns a rule."""

    order = (Sort(DoormanRule.position),)

    def project_of(self, ctx: Ctx, body: Any) -> str:
        return ""

    def make(self, ctx: Ctx, make: Any, body: Any, rule: str) -> DoormanRule:
        lock(ctx.db, "doorman")
        return super().make(ctx, make, body, rule)


doorman_rules = DoormanRules(
    "/doorman/rules", "doorman_rule", "doorman_rules", DoormanRule, view, wakes="",
    rules=OPERATOR, private=("seen_revision", "deleting", "tags", "project_id"),
)  # fmt: skip


@doorman_rules.create
def create(ctx: Ctx, body: Create) -> DoormanRule:
    held = ordered(ctx.db)
    if len(held) >= MOST_RULES:
        raise TooManyRules(f"There are {MOST_RULES} rules already: the most there can be.")
    rule = proposed(ctx.db, body)
    put(held, rule, len(held) + 1 if body.position is UNSET else body.position)
    ctx.db.add(rule)
    changed(ctx.db)
    return rule


@doorman_rules.update
def update(ctx: Ctx, rule: DoormanRule, body: Update) -> None:
    lock(ctx.db, "doorman")
    take_over(rule, body, *(name for name in body.__struct_fields__ if name != "position"))
    settle(ctx.db, rule)
    if body.position is not UNSET:
        put([one for one in ordered(ctx.db) if one.id != rule.id], rule, body.position)
    changed(ctx.db)


@doorman_rules.delete
def delete(ctx: Ctx, rule: DoormanRule) -> None:
    lock(ctx.db, "doorman")
    exceptions = select(DoormanException).where(DoormanException.rule_id == rule.id)
    for one in ctx.db.scalars(exceptions).all():
        ctx.db.delete(one)
    renumber(one for one in ordered(ctx.db) if one.id != rule.id)
    wake(ctx.db, *DOOR)


def ordered(db: Session) -> list[DoormanRule]:
    return list(db.scalars(select(DoormanRule).order_by(DoormanRule.position)))


def put(others: list[DoormanRule], rule: DoormanRule, position: int) -> None:
    """Number all rules anew with this one at its position, counted from 1; beyond the end is the end."""
    others.insert(position - 1, rule)
    renumber(others)


def renumber(rules: Any) -> None:
    for position, rule in enumerate(rules, 1):
        if rule.position != position:
            rule.position = position


def proposed(db: Session, body: Create) -> DoormanRule:
    """A rule that a body asks for, checked, not yet among the others."""
    given = {name: getattr(body, name) for name in body.__struct_fields__ if name != "position"}
    rule = DoormanRule(id=str(uuid.uuid4()), project_id="", **given)
    settle(db, rule)
    return rule


def settle(db: Session, rule: DoormanRule) -> None:
    """Bring a rule to the form it is kept in. Raises BadRequest, naming the field."""
    rule.protocol = checks.protocol_of(rule.protocol, rule.ethertype)
    checks.check_ports(rule)
    rule.remote_ip_prefixes = checks.prefixes_of("remote_ip_prefixes", rule.remote_ip_prefixes, rule.ethertype)
    rule.local_ip_prefixes = checks.prefixes_of("local_ip_prefixes", rule.local_ip_prefixes, rule.ethertype)
    checks.check_sides(rule.remote_ip_prefixes, rule.local_ip_prefixes)
    if rule.network_id and not db.scalar(select(Network.id).where(Network.id == rule.network_id, places.at_door())):
        raise checks.refuse("network_id", f"{rule.network_id} is no network that leads outside or is shared")
    if rule.subnetpool_id and not db.scalar(select(SubnetPool.id).where(SubnetPool.id == rule.subnetpool_id)):
        raise checks.refuse("subnetpool_id", f"there is no subnet pool {rule.subnetpool_id}")


def changed(db: Session) -> None:
    """The rules are others now: have the door made so. Raises BadRequest: they cannot be compiled."""
    db.flush()
    refuse_intricate(reader.load(db))
    wake(db, *DOOR)


def refuse_intricate(door: reader.Door) -> None:
    try:
        for network in sorted(door.networks) or [""]:
            for way in ("ingress", "egress"):
                meaning.drops(door.rules, door.exemptions, network, way)
    except meaning.TooIntricate as error:
        raise BadRequest(f"Invalid input for doorman_rule: {error}") from error


# What a new cloud starts with ---------------------------------------------------------------------------------------
def bootstrap(db: Session) -> None:
    """Inbound SMTP is shut in a cloud that has nothing yet; an operator who opens it is not overruled."""
    wake(db, *DOOR)
    if db.scalar(select(Network.id).limit(1)) or db.scalar(select(DoormanRule.id).limit(1)):
        return
    smtp = DoormanRule(
        name="smtp", description="No mail server is reached from outside unless it is an exception", action="deny",
        direction="ingress", protocol="tcp", port_range_min=25, port_range_max=25, position=1,
    )  # fmt: skip
    db.add(smtp)
    db.flush()
