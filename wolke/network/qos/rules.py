"""Rules of QoS policies: below their policy, and by their own id (``alias``).

Packet rates have no alias: Neutron has none.

API:  https://docs.openstack.org/api-ref/network/v2/#qos-bandwidth-limit-rules, #qos-dscp-marking-rules, #qos-packet-rate-limit-rules,
      #qos-rules-alias-api
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from wolke.core import policy
from wolke.core.bodies import Body, envelope, given
from wolke.core.collection import Rules
from wolke.core.db import Json, lock
from wolke.core.http import Ctx
from wolke.network.qos import bound
from wolke.network.qos.errors import QosRuleNotFound, QoSRulesConflict
from wolke.network.qos.policies import KIND, policies, rule_view
from wolke.network.qos.table import BANDWIDTH, DSCP, EGRESS, PACKETS, QosPolicy, QosRule
from wolke.network.service import Collection, network, taggable

MOST = 2**31 - 1
MARKS = (0, *range(8, 42, 2), 44, 46, 48, 56)  # DSCP values with a name
Amount = Annotated[int, Meta(ge=0, le=MOST)]  # thousands of bits or packets
Mark = Literal[0, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 44, 46, 48, 56]
Direction = Literal["ingress", "egress"]


# What the API takes and gives ----------------------------------------------------------------------------------------
class CreateLimit(Body):
    max_kbps: Amount
    max_burst_kbps: Amount = 0
    direction: Direction = "egress"


class UpdateLimit(Body):
    max_kbps: Amount | UnsetType = UNSET
    max_burst_kbps: Amount | UnsetType = UNSET
    direction: Direction | UnsetType = UNSET


class CreateMark(Body):
    dscp_mark: Mark


class UpdateMark(Body):
    dscp_mark: Mark | UnsetType = UNSET


class CreatePacketRate(Body):
    max_kpps: Amount
    max_burst_kpps: Amount = 0
    direction: Direction = "egress"


class UpdatePacketRate(Body):
    max_kpps: Amount | UnsetType = UNSET
    max_burst_kpps: Amount | UnsetType = UNSET
    direction: Direction | UnsetType = UNSET


BODIES: Mapping[str, tuple[type[Body], type[Body]]] = {
    BANDWIDTH: (CreateLimit, UpdateLimit),
    DSCP: (CreateMark, UpdateMark),
    PACKETS: (CreatePacketRate, UpdatePacketRate),
}
# Those that have calls by their own id
ALIASED = (BANDWIDTH, DSCP)


def view(rule: Any) -> Json:
    return {"id": rule.id, "qos_policy_id": rule.qos_policy_id} | rule_view(rule)


# What the calls do ---------------------------------------------------------------------------------------------------
class RuleCollection(Collection[QosRule]):
    """Rules of one type, below the policy that the path names."""

    def __init__(self, type: str) -> None:
        self.type = type
        kept = {"id", "qos_policy_id", "project_id", *BODIES[type][0].__struct_fields__}
        super().__init__(
            f"/v2.0/qos/policies/{{policy_id}}/{type}_rules", f"{type}_rule", f"{type}_rules", QosRule, view, wakes="",
            rules=Rules(create=policy.manager, update=policy.manager, delete=policy.manager), error=QosRuleNotFound,
            private=[column.key for column in QosRule.__table__.columns if column.key not in kept],
        )  # fmt: skip
        taggable.pop(self.path.removeprefix("/v2.0/"), None)

    def rule(self, action: str) -> str:
        return f"{action}_policy_{self.singular}"

    def select(self, ctx: Ctx) -> Any:
        """Who sees the policy sees its rules."""
        owner = policies.seen(ctx, ctx.path["policy_id"])
        ctx.allows(self.rule("get"), owner)
        return select(QosRule.__table__).where(QosRule.qos_policy_id == owner.id, QosRule.type == self.type)

    def seen(self, ctx: Ctx, id: str) -> Any:
        row = ctx.db.execute(self.select(ctx).where(QosRule.id == id)).first()
        if row is None:
            raise QosRuleNotFound(f"QoS rule {id} for policy {ctx.path['policy_id']} could not be found.")
        return row

    def target(self, ctx: Ctx, body: Any) -> policy.Target:
        return policy.Target(policies.seen(ctx, ctx.path["policy_id"]).project_id)

    def changed(self, ctx: Ctx, thing: QosRule) -> None:
        super().changed(ctx, thing)
        tell(ctx, thing.qos_policy_id)


def tell(ctx: Ctx, policy_id: str) -> None:
    """A rule's change is a change of its policy, and of all that it is in force on."""
    one = ctx.db.get(QosPolicy, policy_id)
    assert one
    one.revision += 1
    one.updated_at = ctx.now
    bound.wake_bound(ctx.db, policy_id)


def refuse_second(ctx: Ctx, type: str, policy_id: str, direction: str, but: str = "") -> None:
    """Raises QoSRulesConflict."""
    lock(ctx.db, f"{KIND}/{policy_id}")
    here = (QosRule.qos_policy_id == policy_id) & (QosRule.type == type) & (QosRule.direction == direction)
    if found := ctx.db.scalar(select(QosRule.id).where(here, QosRule.id != but)):
        raise QoSRulesConflict(
            f"Rule {type} conflicts with rule {found} which already exists in QoS Policy {policy_id}."
        )


def change(ctx: Ctx, rule: QosRule, body: Body) -> None:
    wanted = given(body)
    if wanted.get("direction", rule.direction) != rule.direction:
        refuse_second(ctx, rule.type, rule.qos_policy_id, wanted["direction"], but=rule.id)
    for name, value in wanted.items():
        setattr(rule, name, value)


def declare(type: str) -> RuleCollection:
    """The calls on one type of rules."""
    things, (create_body, update_body) = RuleCollection(type), BODIES[type]

    def create(ctx: Ctx, body: Any) -> QosRule:
        owner, wanted = policies.seen(ctx, ctx.path["policy_id"]), given(body)
        refuse_second(ctx, type, owner.id, wanted.get("direction", EGRESS))
        if type == PACKETS:
            bound.refuse_outside(ctx.db, owner.id)
        return QosRule(project_id=owner.project_id, qos_policy_id=owner.id, type=type, **wanted)

    things.create(create, body=create_body)
    things.update(change, body=update_body)
    things.delete(lambda ctx, rule: None)
    for spelt in (f"alias_{type}_rule", f"alias-{type.replace('_', '-')}-rule") if type in ALIASED else ():
        by_id(type, f"/v2.0/qos/{spelt}s/{{rule_id}}", update_body)
    return things


def by_id(type: str, path: str, update_body: Any) -> None:
    """The calls on rules whose policy the caller does not name."""
    singular = f"alias_{type}_rule"
    checks = {"get": policy.reader, "update": policy.manager, "delete": policy.manager}
    get, update, delete = (policy.rule(f"{action}_{singular}", check) for action, check in checks.items())

    def found(ctx: Ctx, rule: str) -> QosRule:
        id = ctx.path["rule_id"]
        visible = policies.select(ctx).with_only_columns(QosPolicy.id)
        here = (QosRule.id == id) & (QosRule.type == type) & QosRule.qos_policy_id.in_(visible)
        one = ctx.db.scalars(select(QosRule).where(here)).first()
        if one is None:
            raise QosRuleNotFound(f"QoS rule {id} for policy  could not be found.")
        ctx.allows(get, one)
        if rule != get:
            ctx.require(rule, one)
        return one

    @network.call("GET", path, rule=get, summary=f"Show one {type} rule by its own id")
    def show(ctx: Ctx) -> Json:
        return {singular: view(found(ctx, get))}

    @network.call(
        "PUT", path, rule=update, body=envelope(singular, update_body), summary=f"Change a {type} rule by its own id"
    )
    def put(ctx: Ctx, whole: Any) -> Json:
        rule = found(ctx, update)
        change(ctx, rule, getattr(whole, singular))
        ctx.db.flush()
        ctx.about(rule)
        tell(ctx, rule.qos_policy_id)
        return {singular: view(rule)}

    @network.call("DELETE", path, rule=delete, status=204, summary=f"Delete a {type} rule by its own id")
    def remove(ctx: Ctx) -> None:
        rule = found(ctx, delete)
        ctx.about(rule)
        tell(ctx, rule.qos_policy_id)
        ctx.db.delete(rule)


collections = {type: declare(type) for type in BODIES}
