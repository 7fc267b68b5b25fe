"""QoS policies, and who may give one to what.

API:  https://docs.openstack.org/api-ref/network/v2/#quality-of-service
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from wolke.core import policy
from wolke.core.bodies import UNSET, UnsetType
from wolke.core.collection import Rules
from wolke.core.db import Json, lock
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.network import rbac
from wolke.network.qos import bound
from wolke.network.qos.errors import (
    PolicyRemoveAuthorizationError,
    QoSPolicyDefaultAlreadyExists,
    QosPolicyNotFound,
    QosRuleNotSupported,
)
from wolke.network.qos.table import BANDWIDTH, PACKETS, QosPolicy, QosRule
from wolke.network.service import Collection, CreateBody, UpdateBody, standard

KIND = "qos_policy"
quota("network", "qos_policy", 100, rows_of(QosPolicy))


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(CreateBody):
    shared: bool = False
    is_default: bool = False


class Update(UpdateBody):
    shared: bool | UnsetType = UNSET
    is_default: bool | UnsetType = UNSET


def rule_view(rule: Any) -> Json:
    """What a rule says, without its id."""
    if rule.type == BANDWIDTH:
        return {"max_kbps": rule.max_kbps, "max_burst_kbps": rule.max_burst_kbps, "direction": rule.direction}
    if rule.type == PACKETS:
        return {"max_kpps": rule.max_kpps, "max_burst_kpps": rule.max_burst_kpps, "direction": rule.direction}
    return {"dscp_mark": rule.dscp_mark}


def views(ctx: Ctx, found: Sequence[Any]) -> list[Json]:
    ids = [one.id for one in found]
    shared = rbac.shown(ctx, KIND, ids)
    held: dict[str, list[Json]] = {id: [] for id in ids}
    query = select(QosRule.__table__).where(QosRule.qos_policy_id.in_(ids))
    for rule in ctx.db.execute(query.order_by(QosRule.created_at, QosRule.id)):
        about = {"id": rule.id, "qos_policy_id": rule.qos_policy_id, "type": rule.type}
        held[rule.qos_policy_id].append(about | rule_view(rule))
    return [
        standard(one) | {"shared": one.id in shared, "is_default": one.is_default, "rules": held[one.id]}
        for one in found
    ]


# What the calls do ---------------------------------------------------------------------------------------------------
policies: Collection[QosPolicy] = Collection(
    "/v2.0/qos/policies", "policy", "policies", QosPolicy, views=views, quota="qos_policy", wakes="",
    rules=Rules(create=policy.manager, update=policy.manager, delete=policy.manager),
    visible=rbac.visible_to(KIND, QosPolicy), filters={"shared": rbac.shared_filter(KIND, QosPolicy)},
    create_guards={"shared": policy.admin}, update_guards={"shared": policy.admin},
    error=QosPolicyNotFound, title="QoS policy",
)  # fmt: skip
rbac.shareable(KIND, policies, {rbac.SHARED: bound.users})


@policies.create
def create(ctx: Ctx, body: Create) -> QosPolicy:
    made = QosPolicy(project_id=policies.project_of(ctx, body), name=body.name, description=body.description)
    if body.is_default:
        only_default(ctx, made)
    ctx.db.add(made)
    ctx.db.flush()
    if body.shared:
        rbac.share(ctx, KIND, made, True)
    return made


@policies.update
def update(ctx: Ctx, one: QosPolicy, body: Update) -> None:
    policies.guard(ctx, "update", body, one)
    if body.is_default is True and not one.is_default:
        only_default(ctx, one)
    elif body.is_default is False:
        one.is_default = False
    if body.shared is not UNSET:
        rbac.share(ctx, KIND, one, body.shared)
    for name in ("name", "description"):
        if (value := getattr(body, name)) is not UNSET:
            setattr(one, name, value)


@policies.delete
def remove(ctx: Ctx, one: QosPolicy) -> None:
    lock(ctx.db, f"{KIND}/{one.id}")
    bound.refuse_in_use(ctx.db, one.id)
    rbac.forget(ctx.db, KIND, one.id)


def only_default(ctx: Ctx, one: QosPolicy) -> None:
    """Raises QoSPolicyDefaultAlreadyExists: the project has another."""
    lock(ctx.db, f"default_qos_policy/{one.project_id}")
    if default_of(ctx, one.project_id):
        raise QoSPolicyDefaultAlreadyExists(f"A default QoS policy exists for project {one.project_id}.")
    one.is_default = True


def default_of(ctx: Ctx, project_id: str) -> str | None:
    """The policy that a project's new networks get."""
    mine = (QosPolicy.project_id == project_id) & QosPolicy.is_default
    return ctx.db.scalar(select(QosPolicy.id).where(mine))


def of_new_network(ctx: Ctx, project_id: str, wanted: str | UnsetType | None) -> str | None:
    """The policy that a network is made with: the one asked for, else its project's default."""
    return default_of(ctx, project_id) if wanted is UNSET else usable(ctx, wanted)


# Giving a policy to something ----------------------------------------------------------------------------------------
def usable(ctx: Ctx, wanted: str | None, held: str | None = None) -> str | None:
    """The policy that something is to have, by id; it stays until the transaction ends.

    Parameters
    ----------
    held : what it has now
    Raises
    ------
    QosPolicyNotFound: the caller does not see it; PolicyRemoveAuthorizationError: nor does he see what he would take away
    """
    wanted = wanted or None
    if wanted == held:
        return wanted
    if held and ctx.db.execute(policies.select(ctx).where(QosPolicy.id == held)).first() is None:
        raise PolicyRemoveAuthorizationError(f"Failed to remove provided policy {held} because you are not authorized.")
    if wanted:
        lock(ctx.db, f"{KIND}/{wanted}")
        policies.seen(ctx, wanted)
    return wanted


def usable_outside(ctx: Ctx, wanted: str | None, held: str | None = None, *, by: str) -> str | None:
    """The same for what is no card of a server: packets are counted at cards alone.

    Parameters
    ----------
    by : what is to have it, as the message calls it
    Raises
    ------
    QosRuleNotSupported: the policy has a packet rate, which would not be in force
    """
    wanted = usable(ctx, wanted, held)
    packets = (QosRule.qos_policy_id == wanted) & (QosRule.type == PACKETS)
    if wanted != held and ctx.db.scalar(select(QosRule.id).where(packets).limit(1)):
        raise QosRuleNotSupported(f"Rule {PACKETS} is not supported by {by}.")
    return wanted
