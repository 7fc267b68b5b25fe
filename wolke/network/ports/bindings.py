"""Port bindings: the hosts that a port is made ready for. One is active; a migration makes another, and activates it.

API:  https://docs.openstack.org/api-ref/network/v2/#port-binding
OVN:  ovn-nb(5), Logical_Switch_Port, options:requested-chassis with several hosts and options:activation-strategy
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from wolke.core import policy
from wolke.core.bodies import Body, envelope
from wolke.core.db import Json
from wolke.core.errors import BadRequest, Conflict, NotFound
from wolke.core.http import Ctx
from wolke.network import hooks
from wolke.network.owners import SUBPORT
from wolke.network.ports.api import ports
from wolke.network.ports.checks import vnic_type_of
from wolke.network.ports.table import Port, PortBinding
from wolke.network.ports.views import VIF_DETAILS, vif_type
from wolke.network.service import network

ACTIVE, INACTIVE = "ACTIVE", "INACTIVE"
PATH = "/v2.0/ports/{port_id}/bindings"
Host = Annotated[str, Meta(min_length=1, max_length=255)]


class PortBindingNotFound(NotFound):
    pass


class PortBindingAlreadyExists(Conflict):
    pass


class PortBindingAlreadyActive(Conflict):
    pass


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(Body):
    host: Host
    vnic_type: str = "normal"
    profile: dict[str, Any] | None = None
    project_id: str | UnsetType = UNSET


class Update(Body):
    host: Host | UnsetType = UNSET
    vnic_type: str | UnsetType = UNSET
    profile: dict[str, Any] | UnsetType | None = UNSET


def view(host: str, bound: Any, status: str) -> Json:
    """``bound`` : the port of an active binding, the binding itself of another."""
    return {
        "host": host,
        "vif_type": vif_type(host),
        "vif_details": VIF_DETAILS,
        "vnic_type": bound.vnic_type,
        "profile": bound.profile,
        "status": status,
    }


# What the calls do ---------------------------------------------------------------------------------------------------
policy.rules({
    "get_port_binding": policy.service, "create_port_binding": policy.service, "update_port_binding": policy.service,
    "delete_port_binding": policy.service, "activate": policy.service,
})  # fmt: skip


def shown(ctx: Ctx) -> Any:
    """The row of the port that the path names, to be looked at. Raises PortNotFound, Forbidden."""
    port = ports.seen(ctx, ctx.path["port_id"])
    ctx.require("get_port_binding", port)
    return port


def asked(ctx: Ctx, rule: str) -> Port:
    """The port that the path names, to be changed. Raises PortNotFound, Forbidden."""
    port = ports.find(ctx, ctx.path["port_id"], "get_port")
    ctx.require(rule, port)
    return port


def other(ctx: Ctx, port: Any, host: str) -> PortBinding:
    """A binding that is not active. Raises PortBindingNotFound."""
    found = ctx.db.get(PortBinding, (port.id, host))
    if found is None:
        raise PortBindingNotFound(f"Binding for port {port.id} for host {host} could not be found.")
    return found


def done(ctx: Ctx, port: Port) -> None:
    """Bindings stand in a table of their own; their change is a change of the port."""
    port.revision += 1
    port.updated_at = ctx.now
    ctx.db.flush()
    ctx.about(port)
    ctx.wake("port", port.id)


@network.call("GET", PATH, rule="get_port_binding")
def list_bindings(ctx: Ctx) -> Json:
    """The bindings of a port, the active one first."""
    port = shown(ctx)
    found = [view(port.host, port, ACTIVE)] if port.host else []
    query = select(PortBinding).where(PortBinding.port_id == port.id).order_by(PortBinding.host)
    found += [view(one.host, one, INACTIVE) for one in ctx.db.scalars(query)]
    for name in ctx.query:
        if name not in ("host", "vif_type", "vnic_type", "status", "fields"):
            raise BadRequest(f"['{name}'] is invalid attribute for filtering")
        if name != "fields":
            found = [one for one in found if one[name] in ctx.query.getlist(name)]
    return {"bindings": found}


@network.call("POST", PATH, rule="create_port_binding", body=envelope("binding", Create), status=201)
def create(ctx: Ctx, whole: Any) -> Json:
    """Make a port ready for a host: the active binding where it has none, else one to be activated."""
    port, body = asked(ctx, "create_port_binding"), whole.binding
    if port.device_owner == SUBPORT:
        raise BadRequest(f"Port {port.id} is a trunk's subport: it is bound where its parent is.")
    vnic_type, profile = vnic_type_of(body.vnic_type), body.profile or {}
    if body.host == port.host or ctx.db.get(PortBinding, (port.id, body.host)):
        raise PortBindingAlreadyExists(f"Binding for port {port.id} on host {body.host} already exists.")
    if not port.host:
        port.host, port.vnic_type, port.profile = body.host, vnic_type, profile
        done(ctx, port)
        return {"binding": view(port.host, port, ACTIVE)}
    made = PortBinding(port_id=port.id, host=body.host, vnic_type=vnic_type, profile=profile)
    ctx.db.add(made)
    done(ctx, port)
    return {"binding": view(made.host, made, INACTIVE)}


@network.call("GET", f"{PATH}/{{host}}", rule="get_port_binding")
def show(ctx: Ctx) -> Json:
    """One binding of a port."""
    port, host = shown(ctx), ctx.path["host"]
    if host and host == port.host:
        return {"binding": view(host, port, ACTIVE)}
    return {"binding": view(host, other(ctx, port, host), INACTIVE)}


@network.call("PUT", f"{PATH}/{{host}}", rule="update_port_binding", body=envelope("binding", Update))
def update(ctx: Ctx, whole: Any) -> Json:
    """Change a binding's profile."""
    port, host, body = asked(ctx, "update_port_binding"), ctx.path["host"], whole.binding
    if body.host not in (UNSET, host):
        raise BadRequest(f"Invalid input for host. Reason: the binding is of host '{host}', which cannot be changed.")
    active = bool(port.host) and host == port.host
    bound: Any = port if active else other(ctx, port, host)
    if body.vnic_type is not UNSET:
        bound.vnic_type = vnic_type_of(body.vnic_type)
    if body.profile is not UNSET:
        bound.profile = body.profile or {}
    done(ctx, port)
    return {"binding": view(host, bound, ACTIVE if active else INACTIVE)}


@network.call("DELETE", f"{PATH}/{{host}}", rule="delete_port_binding", status=204)
def delete(ctx: Ctx) -> None:
    """Take a host from a port."""
    port, host = asked(ctx, "delete_port_binding"), ctx.path["host"]
    if host and host == port.host:
        port.host, port.profile = "", {}
    else:
        ctx.db.delete(other(ctx, port, host))
    done(ctx, port)


@network.call("PUT", f"{PATH}/{{host}}/activate", rule="activate")
def activate(ctx: Ctx) -> Json:
    """The port is on this host from now on; the host where it was stays as a binding that is not active."""
    port, host = asked(ctx, "activate"), ctx.path["host"]
    if host and host == port.host:
        raise PortBindingAlreadyActive(f"Binding for port {port.id} on host {host} is already active.")
    chosen = other(ctx, port, host)
    if port.host:
        before = PortBinding(port_id=port.id, host=port.host, vnic_type=port.vnic_type, profile=port.profile)
        ctx.db.add(before)
    port.host, port.vnic_type, port.profile = host, chosen.vnic_type, chosen.profile
    ctx.db.delete(chosen)
    done(ctx, port)
    hooks.tell(hooks.port_changed, ctx.db, [port.id])
    return view(host, port, ACTIVE)
