"""Port forwardings: several servers share one floating IP, each behind ports of it.

API:  https://docs.openstack.org/api-ref/network/v2/#floating-ips-port-forwarding
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, UnsetType, structs
from sqlalchemy import ColumnElement, Select, and_, case, select, tuple_
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified

from wolke.core.bodies import Body, Text255
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.core.paging import whole_number
from wolke.core.work import wake
from wolke.network import hooks
from wolke.network.ended import end
from wolke.network.errors import InvalidInput
from wolke.network.floating_ips.api import floating_ips, forwarding_details, router_between
from wolke.network.floating_ips.routed import version_of
from wolke.network.floating_ips.table import FloatingIp, PortForwarding
from wolke.network.ports import ipam
from wolke.network.ports.api import ports
from wolke.network.ports.table import FixedIp
from wolke.network.routers.errors import (
    ExternalGatewayForFloatingIPNotFound,
    FloatingIPPortAlreadyAssociated,
    PortForwardingNotFound,
    PortHasBindingFloatingIP,
)
from wolke.network.service import Collection, taggable

PROTOCOLS = {"tcp": "tcp", "udp": "udp", "6": "tcp", "17": "udp"}
MOST_PORTS = 1024  # of one forwarding: each is a rule of its own on the router and on every network behind it
PortRange = str | int | UnsetType | None


# What the API takes and gives ---------------------------------------------------------------------------------------
class Create(Body):
    protocol: str
    internal_port_id: str
    internal_ip_address: str | UnsetType = UNSET
    internal_port: int | UnsetType | None = UNSET
    internal_port_range: PortRange = UNSET
    external_port: int | UnsetType | None = UNSET
    external_port_range: PortRange = UNSET
    description: Text255 = ""
    project_id: Text255 | UnsetType = UNSET
    tenant_id: Text255 | UnsetType = UNSET


class Update(Body):
    protocol: str | UnsetType = UNSET
    internal_port_id: str | UnsetType = UNSET
    internal_ip_address: str | UnsetType = UNSET
    internal_port: int | UnsetType | None = UNSET
    internal_port_range: PortRange = UNSET
    external_port: int | UnsetType | None = UNSET
    external_port_range: PortRange = UNSET
    description: Text255 | UnsetType = UNSET


def view(one: Any) -> Json:
    return forwarding_details(one) | {"description": one.description}


def span(one: Any, side: str) -> tuple[int, int]:
    return getattr(one, f"{side}_first"), getattr(one, f"{side}_last")


def asked(body: Create | Update, side: str) -> tuple[int, int] | None:
    """The ports of one side that a body gives; None where it gives none. Raises BadRequest, naming the field."""
    single, several = getattr(body, f"{side}_port"), getattr(body, f"{side}_port_range")
    given = {name: value for name, value in ((f"{side}_port", single), (f"{side}_port_range", several)) if value}
    if single == 0 or several == 0:
        raise BadRequest(f"Invalid input for {side}_port. Reason: '0' is not in range 1 to 65535.")
    if not given:
        return None
    if len(given) > 1:
        raise BadRequest(f"Bad port_forwarding request: {side}_port and {side}_port_range exclude each other.")
    [(name, value)] = given.items()
    match = re.fullmatch(r"(\d{1,5})(?::(\d{1,5}))?", str(value))
    if not match:
        raise BadRequest(f"Invalid input for {name}. Reason: '{value}' is no port and no range FIRST:LAST.")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last <= 65535:
        raise BadRequest(f"Invalid input for {name}. Reason: '{value}' is not in range 1 to 65535, first before last.")
    return first, last


# What the calls do --------------------------------------------------------------------------------------------------
class Forwardings(Collection[PortForwarding]):
    """Those of the floating IP that the path names."""

    def rule(self, action: str) -> str:
        return f"{action}_floatingip_port_forwarding"

    def select(self, ctx: Ctx) -> Select[Any]:
        return super().select(ctx).where(PortForwarding.floating_ip_id == self.parent(ctx).id)

    def project_of(self, ctx: Ctx, body: Any) -> str:
        return str(self.parent(ctx).project_id)

    def parent(self, ctx: Ctx) -> Any:
        """The floating IP's row. Raises FloatingIPNotFound."""
        return floating_ips.seen(ctx, ctx.path["floatingip_id"])


def by_port(side: str) -> Any:
    """A filter by one port: forwardings of it alone, as the attribute shows it."""

    def condition(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
        first, last = getattr(PortForwarding, f"{side}_first"), getattr(PortForwarding, f"{side}_last")
        return and_(first == last, first.in_([number for number in map(whole_number, values) if number is not None]))

    return condition


def by_range(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    """``external_port_range=``, as the attribute shows it, or a single port."""
    spans = [value.partition(":") for value in values]
    wanted = [(whole_number(first), whole_number(last if colon else first)) for first, colon, last in spans]
    return tuple_(PortForwarding.external_first, PortForwarding.external_last).in_(
        [one for one in wanted if None not in one]
    )


forwardings = Forwardings(
    "/v2.0/floatingips/{floatingip_id}/port_forwardings", "port_forwarding", "port_forwardings", PortForwarding, view,
    error=PortForwardingNotFound, title="Port Forwarding",
    filters={
        "external_port": by_port("external"), "internal_port": by_port("internal"), "external_port_range": by_range,
    },
    computed={
        "external_port": case((PortForwarding.external_first == PortForwarding.external_last, PortForwarding.external_first)),
        "external_port_range": PortForwarding.external_first,
    },
    private=(
        "seen_revision", "deleting", "floating_ip_id", "external_first", "external_last", "internal_first", "internal_last",
        "project_id", "name",
    ),
)  # fmt: skip
taggable.pop("floatingips/{floatingip_id}/port_forwardings")  # they bear no tags


@forwardings.create
def create(ctx: Ctx, body: Create) -> PortForwarding:
    parent = owned(ctx)
    if parent.port_id:
        raise FloatingIPPortAlreadyAssociated(
            f"Cannot associate floating IP {parent.floating_ip_address} ({parent.id}) with port {body.internal_port_id}, as"
            f" that floating IP leads to port {parent.port_id} using fixed IP {parent.fixed_ip_address}."
        )
    internal, external = asked(body, "internal"), asked(body, "external")
    for side, ends in (("internal", internal), ("external", external)):
        if ends is None:
            raise BadRequest(f"Bad port_forwarding request: {side}_port or {side}_port_range is missing.")
    assert internal and external
    made = PortForwarding(
        project_id=parent.project_id, floating_ip_id=parent.id, description=body.description,
        internal_first=internal[0], internal_last=internal[1], external_first=external[0], external_last=external[1],
    )  # fmt: skip
    made.protocol = protocol_of(body.protocol)
    lead(ctx, parent, made, body.internal_port_id, body.internal_ip_address or "")
    refuse_collisions(ctx.db, made)
    shown_anew(parent)
    return made


@forwardings.update
def update(ctx: Ctx, one: PortForwarding, body: Update) -> None:
    parent, before = owned(ctx), one.revision
    if body.description is not UNSET:
        one.description = str(body.description)
    if structs.replace(body, description=UNSET) != Update():
        end_conversations(ctx.db, parent, one)
    if isinstance(body.protocol, str):
        one.protocol = protocol_of(body.protocol)
    if internal := asked(body, "internal"):
        one.internal_first, one.internal_last = internal
    if external := asked(body, "external"):
        one.external_first, one.external_last = external
    if body.internal_port_id is not UNSET or body.internal_ip_address is not UNSET:
        port_id = one.internal_port_id if body.internal_port_id is UNSET else str(body.internal_port_id)
        lead(ctx, parent, one, port_id, body.internal_ip_address or "")
    refuse_collisions(ctx.db, one)
    ctx.db.flush()
    if one.revision != before:
        shown_anew(parent)


@forwardings.delete
def delete(ctx: Ctx, one: PortForwarding) -> None:
    release(ctx.db, one)


def owned(ctx: Ctx) -> FloatingIp:
    """The floating IP in the path, which no other transaction changes meanwhile."""
    found = ctx.db.get(FloatingIp, forwardings.parent(ctx).id, with_for_update=True)
    assert found
    return found


def shown_anew(parent: FloatingIp) -> None:
    """A floating IP shows its forwardings: a change of one is a change of itself."""
    flag_modified(parent, "updated_at")  # which counts its revision


def protocol_of(given: str) -> str:
    if given.lower() not in PROTOCOLS:
        raise BadRequest(f"Invalid input for protocol. Reason: '{given}' is not one of tcp, udp.")
    return PROTOCOLS[given.lower()]


def lead(ctx: Ctx, parent: FloatingIp, one: PortForwarding, port_id: str, address: str) -> None:
    """Lead on to a port that the caller may use, behind a router with a gateway on the floating IP's network."""
    if version_of(parent.floating_ip_address) == 6:
        raise BadRequest(
            "Bad port_forwarding request: only ports of IPv4 addresses are forwarded; IPv6 is never translated."
        )
    port = ports.seen(ctx, port_id)
    if port.project_id != parent.project_id and not ctx.caller.is_admin:
        raise BadRequest(
            f"Bad port_forwarding request: Port {port_id} is associated with a different project than this floating IP."
        )
    held = ctx.db.execute(select(FixedIp.__table__).where(FixedIp.port_id == port_id).order_by(FixedIp.position)).all()
    v4 = {fixed.ip_address: fixed.subnet_id for fixed in held if "." in fixed.ip_address}
    if not v4:
        raise BadRequest(
            f"Bad port_forwarding request: Requested internal port {port_id} must allocate an IPv4 address at least."
        )
    chosen = address or next(iter(v4))
    if chosen not in v4:
        raise BadRequest(
            f"Bad port_forwarding request: Requested internal IP address {chosen} is not suitable for internal neutron port"
            f" {port_id}, as its fixed_ips are {', '.join(v4)}."
        )
    if whole := ctx.db.scalars(select(FloatingIp).where(FloatingIp.port_id == port_id)).first():
        raise PortHasBindingFloatingIP(
            f"Cannot create port forwarding to floating IP {whole.floating_ip_address} ({whole.id}) with port {port_id} using"
            f" fixed IP {chosen}, as that port already has a binding floating IP."
        )
    try:
        router_id = router_between(ctx, port.project_id, v4[chosen], parent.floating_network_id)
    except ExternalGatewayForFloatingIPNotFound as error:
        raise BadRequest(
            f"Bad port_forwarding request: External network {parent.floating_network_id} is not reachable from subnet"
            f" {v4[chosen]}. Cannot set Port forwarding for port {port_id} with Floating IP {parent.id}."
        ) from error
    if parent.router_id not in (None, router_id):
        raise BadRequest(
            f"Bad port_forwarding request: The Floating IP {parent.id} had been set on router {parent.router_id}, the internal"
            f" Neutron port {port_id} can not reach it."
        )
    one.internal_port_id, one.internal_ip_address = port_id, chosen
    if parent.router_id != router_id:
        parent.router_id = router_id
        ctx.wake(FloatingIp.__tablename__, parent.id)


def refuse_collisions(db: Session, one: PortForwarding) -> None:
    """
    Raises
    ------
    BadRequest: the ranges do not answer each other, or another forwarding has one of the ports on the same side
    """
    inner, outer = one.internal_last - one.internal_first, one.external_last - one.external_first
    if inner not in (0, outer):
        raise BadRequest(
            "Bad port_forwarding request: Invalid ranges of internal and/or external ports. The relation between internal"
            " and external ports must be N-N or 1-N."
        )
    if outer >= MOST_PORTS:
        raise InvalidInput(
            f"external_port_range has {outer + 1} ports, at most {MOST_PORTS} can be forwarded at once; a floating IP of the"
            " server's own leads all of them"
        )
    for side, condition in (
        (
            "internal",
            (PortForwarding.internal_port_id == one.internal_port_id)
            & (PortForwarding.internal_ip_address == one.internal_ip_address),
        ),
        ("external", PortForwarding.floating_ip_id == one.floating_ip_id),
    ):
        low, high = getattr(PortForwarding, f"{side}_first"), getattr(PortForwarding, f"{side}_last")
        first, last = span(one, side)
        query = select(PortForwarding).where(condition, PortForwarding.protocol == one.protocol)
        query = query.where(low <= last, high >= first, PortForwarding.id != (one.id or ""))
        with db.no_autoflush:
            other = db.scalars(query.limit(1)).first()
        if other:
            held = "{}:{}".format(*span(other, side))
            raise BadRequest(
                f"Bad port_forwarding request: There is a port collision with the {side}_port_range. The following ranges"
                f" collide: {held} and {first}:{last}."
            )


def release(db: Session, one: PortForwarding) -> None:
    """Before a forwarding goes: what was begun by it ends, and the last one frees its floating IP from the router."""
    others = select(PortForwarding.id).where(
        PortForwarding.floating_ip_id == one.floating_ip_id, PortForwarding.id != one.id
    )
    parent = db.get(FloatingIp, one.floating_ip_id)
    assert parent
    end_conversations(db, parent, one)
    shown_anew(parent)
    if not db.scalar(others.limit(1)):
        parent.router_id = None
        wake(db, FloatingIp.__tablename__, parent.id)


def end_conversations(db: Session, parent: FloatingIp, one: PortForwarding) -> None:
    end(db, parent.floating_ip_address, one.protocol, one.external_first, one.external_last)


def remove(db: Session, one: PortForwarding) -> None:
    release(db, one)
    wake(db, PortForwarding.__tablename__, one.id)
    db.delete(one)
    db.flush()


def ports_gone(db: Session, port_ids: Sequence[str]) -> None:
    """A forwarding goes with the port that it leads to."""
    for one in db.scalars(select(PortForwarding).where(PortForwarding.internal_port_id.in_(port_ids))).all():
        remove(db, one)


def ports_changed(db: Session, port_ids: Sequence[str]) -> None:
    """A forwarding goes with the address that it leads to."""
    db.flush()
    held = ipam.held(db, port_ids)
    for one in db.scalars(select(PortForwarding).where(PortForwarding.internal_port_id.in_(port_ids))).all():
        if (one.internal_port_id, one.internal_ip_address) not in held:
            remove(db, one)


hooks.port_goes.append(ports_gone)
hooks.port_changed.append(ports_changed)
