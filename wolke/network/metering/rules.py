"""Rules of metering labels: which packets a label counts, and which of these it leaves out (``excluded``).

API:  https://docs.openstack.org/api-ref/network/v2/#metering-labels-and-rules-metering-labels-metering-label-rules
"""

from __future__ import annotations

from ipaddress import ip_interface
from typing import Any, Literal

from msgspec import UNSET
from sqlalchemy import select

from wolke.core import policy
from wolke.core.bodies import Body, Text255, UnsetType
from wolke.core.collection import Rules
from wolke.core.db import Json, lock
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.network.metering.errors import Invalid, MeteringLabelRuleNotFound, MeteringLabelRuleOverlaps
from wolke.network.metering.labels import labels
from wolke.network.metering.pieces import narrower
from wolke.network.metering.table import MeteringLabel, MeteringLabelRule
from wolke.network.metering.wakes import wake_label
from wolke.network.service import Collection

quota("network", "metering_label_rule", 100, rows_of(MeteringLabelRule))
REMOTE, SOURCE, DESTINATION = PREFIXES = ("remote_ip_prefix", "source_ip_prefix", "destination_ip_prefix")


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(Body, kw_only=True):
    metering_label_id: Text255
    direction: Literal["ingress", "egress"]
    remote_ip_prefix: Text255 | None = None
    source_ip_prefix: Text255 | None = None
    destination_ip_prefix: Text255 | None = None
    excluded: bool = False
    project_id: Text255 | UnsetType = UNSET
    tenant_id: Text255 | UnsetType = UNSET


def view(rule: Any) -> Json:
    return {
        "id": rule.id,
        "metering_label_id": rule.metering_label_id,
        "direction": rule.direction,
        "remote_ip_prefix": rule.remote_ip_prefix,
        "source_ip_prefix": rule.source_ip_prefix,
        "destination_ip_prefix": rule.destination_ip_prefix,
        "excluded": rule.excluded,
    }


# What the calls do ---------------------------------------------------------------------------------------------------
class LabelRules(Collection[MeteringLabelRule]):
    """A rule is its label's project's, whoever makes it."""

    def missing(self, id: str) -> MeteringLabelRuleNotFound:
        return MeteringLabelRuleNotFound(f"Metering label rule '{id}' does not exist.")

    def target(self, ctx: Ctx, body: Any) -> policy.Target:
        return policy.Target(labels.seen(ctx, body.metering_label_id).project_id)


rules = LabelRules(
    "/v2.0/metering/metering-label-rules", "metering_label_rule", "metering_label_rules", MeteringLabelRule, view,
    quota="metering_label_rule", rules=Rules(create=policy.manager, delete=policy.manager), wakes="",
    private=("name", "seen_revision", "deleting", "revision", "created_at", "updated_at"),
)  # fmt: skip


@rules.create
def create(ctx: Ctx, body: Create) -> MeteringLabelRule:
    label = ctx.db.get(MeteringLabel, body.metering_label_id, with_for_update=True)
    if label is None:
        raise labels.missing(body.metering_label_id)
    prefixes = {name: canonical(name, getattr(body, name)) for name in PREFIXES}
    check(prefixes)
    refuse_overlap(ctx, body, prefixes[REMOTE])
    wake_label(ctx.db, label)
    return MeteringLabelRule(
        project_id=label.project_id, metering_label_id=label.id, direction=body.direction, excluded=body.excluded, **prefixes
    )  # fmt: skip


@rules.delete
def remove(ctx: Ctx, rule: MeteringLabelRule) -> None:
    wake_label(ctx.db, ctx.db.get(MeteringLabel, rule.metering_label_id))


def canonical(name: str, prefix: str | None) -> str | None:
    """A prefix as Neutron shows it: an address alone gets its whole length, and what lies below the prefix stays. Raises Invalid."""
    if not prefix:
        return None
    try:
        return str(ip_interface(prefix))
    except ValueError as error:
        raise Invalid(f"{name}: {prefix} is invalid [{error}].") from error


def check(prefixes: dict[str, str | None]) -> None:
    """Raises Invalid: there are none, or they do not go together."""
    remote, source, destination = prefixes[REMOTE], prefixes[SOURCE], prefixes[DESTINATION]
    if remote and (source or destination):
        raise Invalid(
            "Cannot use 'remote-ip-prefix' in conjunction with 'source-ip-prefix' or 'destination-ip-prefix'."
        )
    if not (remote or source or destination):
        raise Invalid(
            "You must define at least one of the following parameters 'remote_ip_prefix', or 'source_ip_prefix' or"
            " 'destination_ip_prefix'."
        )
    if source and destination and ip_interface(source).version != ip_interface(destination).version:
        raise Invalid(f"{DESTINATION}: {destination} is of another IP version than {SOURCE} {source}.")


def refuse_overlap(ctx: Ctx, body: Create, remote: str | None) -> None:
    """Raises MeteringLabelRuleOverlaps. Neutron compares ``remote_ip_prefix`` alone: prefixes of two ends may overlap."""
    if not remote:
        return
    lock(ctx.db, f"metering_label/{body.metering_label_id}")
    same = (MeteringLabelRule.direction == body.direction) & (MeteringLabelRule.excluded == body.excluded)
    query = select(MeteringLabelRule.remote_ip_prefix).where(same)
    query = query.where(MeteringLabelRule.metering_label_id == body.metering_label_id)
    mine = ip_interface(remote).network
    for other in ctx.db.scalars(query):
        if other and narrower(mine, ip_interface(other).network):
            raise MeteringLabelRuleOverlaps(
                f"Metering label rule with remote_ip_prefix '{body.remote_ip_prefix}' overlaps another."
            )
