"""Networks.

API: https://docs.openstack.org/api-ref/network/v2/#networks
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType, field
from sqlalchemy import ColumnElement, String, case, cast, delete, false, or_, select
from sqlalchemy.orm import Session

from wolke.core import policy
from wolke.core.bodies import Text255, take_over
from wolke.core.collection import Rules
from wolke.core.db import Json, lock
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.core.work import Work, wake_all
from wolke.network import dns, errors, hooks, rbac
from wolke.network.floating_ips.table import FloatingIp
from wolke.network.lane import kind
from wolke.network.networks.placing import checked_mtu, largest_mtu, place, refuse_other_wire, renumber
from wolke.network.networks.rows import rows
from wolke.network.networks.table import Network
from wolke.network.owners import DHCP, FLOATING, GATEWAY, INTERFACE, METADATA
from wolke.network.ports.table import FixedIp, Port
from wolke.network.qos import bound
from wolke.network.qos import policies as qos
from wolke.network.routers.table import Router
from wolke.network.segments import numbers
from wolke.network.service import Collection, CreateBody, UpdateBody, standard
from wolke.network.subnetpools.table import SubnetPool
from wolke.network.subnets.table import Subnet
from wolke.network.zones import rights, segments

ZONE = "nova"  # the one availability zone, named as compute names its own
MANAGED = (DHCP, METADATA)  # owners of ports that go with their network
Mtu = Annotated[int, Meta(ge=0, le=65535)]
Segment = Annotated[int, Meta(ge=1, le=16777215)]


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(CreateBody):
    admin_state_up: bool = True
    shared: bool = False
    external: bool = field(name="router:external", default=False)
    is_default: bool = False
    mtu: Mtu = 0  # 0: as large as the network under it allows
    port_security_enabled: bool = True
    network_type: str | UnsetType | None = field(name="provider:network_type", default=UNSET)
    physical_network: Text255 | UnsetType | None = field(name="provider:physical_network", default=UNSET)
    segmentation_id: Segment | UnsetType | None = field(name="provider:segmentation_id", default=UNSET)
    dns_domain: Text255 = ""
    qos_policy_id: Text255 | UnsetType | None = UNSET
    availability_zone_hints: list[str] = []


class Update(UpdateBody):
    admin_state_up: bool | UnsetType = UNSET
    shared: bool | UnsetType = UNSET
    external: bool | UnsetType = field(name="router:external", default=UNSET)
    is_default: bool | UnsetType = UNSET
    mtu: Mtu | UnsetType = UNSET
    port_security_enabled: bool | UnsetType = UNSET
    network_type: str | UnsetType | None = field(name="provider:network_type", default=UNSET)
    physical_network: Text255 | UnsetType | None = field(name="provider:physical_network", default=UNSET)
    segmentation_id: Segment | UnsetType | None = field(name="provider:segmentation_id", default=UNSET)
    dns_domain: Text255 | UnsetType = UNSET
    qos_policy_id: Text255 | UnsetType | None = UNSET


def views(ctx: Ctx, found: Sequence[Any]) -> list[Json]:
    ids = [network.id for network in found]
    subnets: dict[str, list[str]] = {}
    of = Subnet.__table__.c
    mine = select(of.id, of.network_id).where(of.network_id.in_(ids)).order_by(of.created_at, of.id)
    for subnet_id, network_id in ctx.db.execute(mine):
        subnets.setdefault(network_id, []).append(subnet_id)
    scopes = address_scopes(ctx.db, ids)
    broken = failing(ctx.db, [network.id for network in found if network.seen_revision == 0])
    provider = networks.sees(ctx, "provider:network_type")
    shared = rbac.shown(ctx, "network", ids)
    on_zone = set() if provider else rights.own_networks(ctx, [one.id for one in found if one.physical_network])
    shown = []
    for network in found:
        item = standard(network) | {
            "admin_state_up": network.admin_state_up,
            "status": "ERROR" if network.id in broken else "ACTIVE",
            "subnets": subnets.get(network.id, []),
            "shared": network.id in shared,
            "router:external": network.external,
            "is_default": network.is_default,
            "mtu": network.mtu,
            "port_security_enabled": network.port_security_enabled,
            "dns_domain": network.dns_domain,
            "qos_policy_id": network.qos_policy_id,
            "availability_zone_hints": network.availability_zone_hints,
            "availability_zones": [ZONE],
            "ipv4_address_scope": scopes.get((network.id, 4)),
            "ipv6_address_scope": scopes.get((network.id, 6)),
        }
        if provider or network.id in on_zone:
            item["provider:network_type"] = network.network_type
            item["provider:physical_network"] = network.physical_network or None
            item["provider:segmentation_id"] = network.segmentation_id or None
        shown.append(item)
    return shown


def address_scopes(db: Session, ids: Sequence[str]) -> dict[tuple[str, int], str]:
    """(network, IP version) -> the scope of the pools that its subnets were cut from."""
    scoped = SubnetPool.address_scope_id.is_not(None)
    if len(ids) > 1 and db.scalar(select(SubnetPool.id).where(scoped).limit(1)) is None:
        return {}  # most clouds have no scopes: a page costs next to nothing then
    query = select(Subnet.network_id, SubnetPool.ip_version, SubnetPool.address_scope_id).distinct()
    query = query.join(SubnetPool, SubnetPool.id == Subnet.subnetpool_id)
    found = db.execute(query.where(Subnet.network_id.in_(ids), scoped))
    return {(row.network_id, row.ip_version): row.address_scope_id or "" for row in found}


def failing(db: Session, ids: Sequence[str]) -> set[str]:
    """Those of networks not seen in OVN yet that OVN has refused. A network that waits its turn is usable: its wish stands."""
    return set(db.scalars(refused().where(Network.id.in_(ids)))) if ids else set()


def refused() -> Any:
    """Select of the ids of networks that OVN has refused and never had."""
    query = select(Network.id).join(Work, Work.id == Network.id)
    return query.where(Work.kind == "network", Work.error != "", Network.seen_revision == 0)


def by_status(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    broken = Network.id.in_(refused())
    return or_(false(), *({"ACTIVE": ~broken, "ERROR": broken}[one] for one in values if one in ("ACTIVE", "ERROR")))


def visible(ctx: Ctx) -> ColumnElement[bool]:
    return rbac.visible(ctx, "network", Network.id, rbac.SHARED, rbac.EXTERNAL) | rights.opened(ctx)


def usable(ctx: Ctx, id: str) -> Network:
    """A network that the caller may see, to put something on it. Raises NetworkNotFound."""
    network = ctx.db.get(Network, id)
    if network is None or not (
        network.project_id == ctx.caller.project_id
        or ctx.allows("get_network", policy.Target(None))
        or ctx.db.scalar(select(Network.id).where(Network.id == id, visible(ctx)))
    ):
        raise networks.missing(id)
    return network


def target(ctx: Ctx, project_id: str, network: Any) -> policy.Target:
    """What the rules of something that is to be put on a network look at."""
    others = network.project_id != project_id
    shared = others and (
        bool(rbac.shared_with(ctx.db, "network", [network.id], project_id)) or rights.opens(ctx, network)
    )
    return policy.Target(project_id, network=network, shared=shared)


# What the calls do ---------------------------------------------------------------------------------------------------
quota("network", "network", 100, rows_of(Network))
_operator = {
    "shared": policy.admin,
    "router:external": policy.admin,
    "is_default": policy.admin,
}
_provider = dict.fromkeys(
    ("provider:network_type", "provider:physical_network", "provider:segmentation_id"), policy.admin
)


class Networks(Collection[Network]):
    """Rules of provider attributes look at the zone that a new network is to stand on."""

    def target(self, ctx: Ctx, body: Any) -> policy.Target:
        on_zone = rights.creates_on(ctx, segments.named(ctx.db, body.physical_network or ""))
        return policy.Target(self.project_of(ctx, body), on_zone=on_zone)


networks = Networks(
    "/v2.0/networks",
    "network",
    "networks",
    Network,
    views=views,
    quota="network",
    visible=visible,
    rules=Rules(),
    columns={
        "router:external": "external",
        "provider:network_type": "network_type",
        "provider:physical_network": "physical_network",
        "provider:segmentation_id": "segmentation_id",
    },
    filters={
        "status": by_status,
        "shared": rbac.shared_filter("network", Network),
    },
    computed={
        "status": case((Network.id.in_(refused()), "ERROR"), else_="ACTIVE"),
        "availability_zone_hints": cast(Network.availability_zone_hints, String),
    },
    create_guards=_operator | dict.fromkeys(_provider, rights.may_create),
    update_guards=_operator | _provider,
    show_guards=_provider,
    error=errors.NetworkNotFound,
)
kind(Network, rows)


@networks.create
def create(ctx: Ctx, body: Create) -> Network:
    if unknown := set(body.availability_zone_hints) - {ZONE}:
        raise errors.AvailabilityZoneNotFound(f"AvailabilityZone {min(unknown)} could not be found.")
    network = Network(
        project_id=networks.project_of(ctx, body),
        name=body.name,
        description=body.description,
        admin_state_up=body.admin_state_up,
        external=body.external,
        port_security_enabled=body.port_security_enabled,
        dns_domain=dns.domain_of(body.dns_domain),
        qos_policy_id=qos.of_new_network(ctx, networks.project_of(ctx, body), body.qos_policy_id),
        availability_zone_hints=body.availability_zone_hints,
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    place(ctx, network, body.network_type or "", body.physical_network or "", body.segmentation_id or 0)
    largest = largest_mtu(ctx.db, ctx.app.config, network)
    network.mtu = checked_mtu(body.mtu, largest)
    if body.is_default:
        only_default(ctx.db, network, body.external)
    ctx.db.add(network)
    ctx.db.flush()
    numbers.add_first(ctx.db, network)
    rbac.share(ctx, "network", network, body.shared)
    rbac.share(ctx, "network", network, body.external, rbac.EXTERNAL)
    if network.physical_network:
        opened(ctx, network)
    return network


def opened(ctx: Ctx, network: Network) -> None:
    """Tell that a network is another's, too, or leads outside; or no longer."""
    hooks.tell(hooks.network_opened, ctx.db, network.id)


def only_default(db: Session, network: Network, external: bool) -> None:
    """Raises DefaultExternalNetworkExists: there is one already; BadRequest: it is no external network."""
    if not external:
        raise BadRequest("Only an external network (router:external) can be the default one (is_default).")
    other = db.scalar(select(Network.id).where(Network.is_default, Network.id != (network.id or "")))
    if other:
        raise errors.DefaultExternalNetworkExists(f"A default external network already exists: {other}.")
    network.is_default = True


@networks.update
def update(ctx: Ctx, network: Network, body: Update) -> None:
    networks.guard(ctx, "update", body, network)
    refuse_other_wire(network, body.network_type, body.physical_network)
    if body.segmentation_id and body.segmentation_id != network.segmentation_id:
        renumber(ctx, network, body.segmentation_id)
    if body.shared is not UNSET:
        share(ctx, network, body.shared)
    if body.external is False and network.external:
        hooks.tell(hooks.network_closes, ctx.db, network.id)
        no_gateways(ctx.db, network)
        rbac.close(ctx, "network", network, rbac.EXTERNAL)
        opened(ctx, network)
    elif body.external is True and not network.external:
        rbac.share(ctx, "network", network, True, rbac.EXTERNAL)
    if body.is_default is True and not network.is_default:
        only_default(ctx.db, network, body.external if body.external is not UNSET else network.external)
    elif body.is_default is False:
        network.is_default = False
    if body.mtu is not UNSET:
        network.mtu = checked_mtu(body.mtu, largest_mtu(ctx.db, ctx.app.config, network))
        wake_tellers(ctx, network.id)
    if body.dns_domain is not UNSET and (domain := dns.domain_of(body.dns_domain)) != network.dns_domain:
        network.dns_domain = domain
        named = select(Port.id).where(Port.network_id == network.id, Port.dns_name != "")
        wake_all(ctx.db, [("port", id) for id in ctx.db.scalars(named)])
        wake_tellers(ctx, network.id)
    if body.qos_policy_id is not UNSET:
        network.qos_policy_id = qos.usable(ctx, body.qos_policy_id, network.qos_policy_id)
        bound.wake_inheriting(ctx.db, network.id)
    if body.admin_state_up is not UNSET and body.admin_state_up != network.admin_state_up:
        ports = select(Port.id).where(Port.network_id == network.id)
        wake_all(ctx.db, [("port", id) for id in ctx.db.scalars(ports)])
    take_over(network, body, "name", "description", "admin_state_up", "external", "port_security_enabled")


def wake_tellers(ctx: Ctx, network_id: str) -> None:
    """Whatever tells guests the network's MTU: DHCP of subnets, of ports with options of their own, and routers' advertisements."""
    subnets = select(Subnet.id).where(Subnet.network_id == network_id)
    ports = select(Port.id, Port.device_owner, Port.device_id, Port.extra_dhcp_opts).where(
        Port.network_id == network_id
    )
    found = ctx.db.execute(ports).all()
    wake_all(
        ctx.db,
        [
            *(("subnet", id) for id in ctx.db.scalars(subnets)),
            *(("port", port.id) for port in found if port.extra_dhcp_opts),
            *(("router", port.device_id) for port in found if port.device_owner == INTERFACE),
        ],
    )


def share(ctx: Ctx, network: Network, everybody: bool) -> None:
    """Raises InvalidSharedSetting: another project, which it is not shared with by name, has a port or a subnet on it."""
    try:
        rbac.share(ctx, "network", network, everybody)
    except rbac.RbacPolicyInUse as error:
        raise errors.InvalidSharedSetting(
            f"Unable to reconfigure sharing settings for network {network.name}. Multiple tenants are using it."
        ) from error


def share_changed(ctx: Ctx, network: Network, action: str, everybody: bool) -> None:
    opened(ctx, network)
    if action == rbac.SHARED:
        network.shared = everybody
    elif rbac.targets(ctx.db, "network", network.id, action) and not network.external:
        ctx.require("update_network:router:external", network)
        network.external = True  # who is given the way out of a network makes it an external one
    if network.is_default and action == rbac.EXTERNAL and not everybody:
        raise rbac.RbacPolicyInUse(
            f"RBAC policy on object {network.id} cannot be removed because other objects depend on it.\n"
            "Details: Default external networks must be shared to everyone."
        )


def guests(db: Session, network_id: str) -> set[str]:
    """The projects that have ports or subnets on a network."""
    ports = select(Port.project_id).where(Port.network_id == network_id, Port.device_owner.not_in((GATEWAY, FLOATING)))
    subnets = select(Subnet.project_id).where(Subnet.network_id == network_id)
    return {*db.scalars(ports.distinct()), *db.scalars(subnets.distinct())}


def no_gateways(db: Session, network: Network) -> None:
    """Raises ExternalNetworkInUse: a router has its gateway there, or a floating IP its address."""
    used = Port.device_owner.in_((GATEWAY, FLOATING))
    if db.execute(select(Port.id).where(Port.network_id == network.id, used).limit(1)).first():
        raise errors.ExternalNetworkInUse(
            f"External network {network.id} cannot be updated to be made non-external, since it has existing gateway"
            " ports."
        )


def ways_out(db: Session, network_id: str) -> set[str]:
    """The projects that have a router's gateway or a floating IP on a network."""
    routers = select(Router.project_id).join(Port, Port.device_id == Router.id)
    routers = routers.where(Port.network_id == network_id, Port.device_owner == GATEWAY)
    floating = select(FloatingIp.project_id).where(FloatingIp.floating_network_id == network_id)
    return {*db.scalars(routers.distinct()), *db.scalars(floating.distinct())}


_marks = {rbac.SHARED: Network.shared, rbac.EXTERNAL: Network.external}
rbac.shareable("network", networks, {rbac.SHARED: guests, rbac.EXTERNAL: ways_out}, changed=share_changed, marks=_marks)


@networks.delete
def remove(ctx: Ctx, network: Network) -> None:
    lock(ctx.db, f"network/{network.id}")
    hooks.tell(hooks.network_goes, ctx.db, network.id)
    ports = ctx.db.execute(select(Port.id, Port.device_owner).where(Port.network_id == network.id)).all()
    if any(port.device_owner not in MANAGED for port in ports):
        raise errors.NetworkInUse(
            f"Unable to complete operation on network {network.id}. "
            "There are one or more ports still in use on the network."
        )
    subnets = list(ctx.db.scalars(select(Subnet.id).where(Subnet.network_id == network.id)))
    ctx.db.execute(delete(FixedIp).where(FixedIp.network_id == network.id))
    ctx.db.execute(delete(Port).where(Port.network_id == network.id))
    ctx.db.execute(delete(Subnet).where(Subnet.network_id == network.id))
    wake_all(ctx.db, [*(("port", port.id) for port in ports), *(("subnet", id) for id in subnets)])
    rbac.forget(ctx.db, "network", network.id)
