"""New servers: checked, counted, and written with their ports in one transaction; the scheduler does the rest.

API: https://docs.openstack.org/api-ref/compute/#create-server
"""

from __future__ import annotations

import secrets
import string
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import UNSET

from wolke.compute import flavors, keypairs
from wolke.compute.flavors import Flavor
from wolke.compute.server_groups import group_for
from wolke.compute.servers import cards, checks
from wolke.compute.servers.bodies import Create, CreateServer, Hints
from wolke.compute.servers.history import begin
from wolke.compute.servers.quotas import room_for
from wolke.compute.servers.table import Server
from wolke.compute.service import compute, links, rule
from wolke.core import policy
from wolke.core.db import Json
from wolke.core.errors import BadRequest, Forbidden, NotFound
from wolke.core.http import Answer, Ctx
from wolke.network.errors import IpAddressInUse

CREATE = rule("servers", "create")
ATTACH_NETWORK = rule("servers", "create:attach_network")
PASSWORD_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Place:
    """Where the caller wants it: a zone, a host, a group, near or far from other servers."""

    zone: str | None
    host: str
    group_id: str
    hints: Json


@compute.call("POST", "/v2.1/servers", rule=CREATE, body=CreateServer, status=202)
def create(ctx: Ctx, whole: CreateServer) -> Answer:
    """Create one server or several."""
    body = whole.server
    ctx.require(CREATE, policy.Target(ctx.caller.project_id))
    if not ctx.caller.project_id:
        raise Forbidden("A server belongs to a project: the token must be scoped to one.")
    checks.refused(ctx, body)
    checks.devices(body)
    image = checks.image(ctx, checks.image_ref(body))
    flavor = flavors.chosen(ctx, str(body.flavor_ref))
    checks.fits(ctx, flavor, image)
    if isinstance(body.networks, list) and body.networks:
        ctx.require(ATTACH_NETWORK, policy.Target(ctx.caller.project_id))
    count = how_many(ctx, body, flavor)
    given_hints = whole.old_hints if whole.hints is UNSET else whole.hints
    place = placed(ctx, body, Hints() if given_hints is UNSET else given_hints, count)
    password = body.admin_pass if body.admin_pass is not UNSET else generated_password()
    servers = written(ctx, body, flavor, image, place, count, password)
    ctx.about(servers[0])
    if body.return_reservation_id:
        return Answer({"reservation_id": servers[0].reservation_id})
    first = servers[0]
    names = [{"name": "default"}] if body.security_groups is UNSET else [{"name": g.name} for g in body.security_groups]
    shown = {
        "id": first.id, "links": links(ctx, "servers", first.id), "OS-DCF:diskConfig": first.disk_config,
        "security_groups": names, "adminPass": password,
    }  # fmt: skip
    return Answer({"server": shown}, headers={"Location": links(ctx, "servers", first.id)[0]["href"]})


def generated_password() -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(PASSWORD_LENGTH))


def how_many(ctx: Ctx, body: Create, flavor: Flavor) -> int:
    """As many as were asked for and quota allows, at least ``min_count``. Raises OverQuota."""
    least = 1 if body.min_count is UNSET else body.min_count
    most = least if body.max_count is UNSET else body.max_count
    if least > most:
        raise BadRequest("min_count must be <= max_count")
    if most > 1 and isinstance(body.networks, list):
        if any(isinstance(one.port, str) for one in body.networks):
            raise BadRequest("Unable to launch multiple instances with a single configured port ID.")
        if any(isinstance(one.fixed_ip, str) for one in body.networks):
            raise BadRequest("Invalid input received: max_count cannot be greater than 1 if an fixed_ip is specified.")
    return room_for(ctx, least, most, cores=flavor.vcpus, ram=flavor.ram_mib)


def placed(ctx: Ctx, body: Create, hints: Hints, count: int) -> Place:
    zone, host = checks.zone_and_host(ctx, body)
    asked = {"same_host": checks.ids("same_host", hints.same_host)}
    asked["different_host"] = checks.ids("different_host", hints.different_host)
    groups = checks.ids("group", hints.group)
    if groups:
        group_for(ctx, groups[0], count)
    kept = {name: found for name, found in asked.items() if found}
    return Place(zone, host, groups[0] if groups else "", kept)


def written(
    ctx: Ctx, body: Create, flavor: Flavor, image: checks.Chosen, place: Place, count: int, password: str
) -> list[Server]:
    """The rows of the new servers with their ports, actions and work items."""
    wanted = cards.wanted(ctx, body.networks)
    groups = None
    if body.security_groups is not UNSET and body.security_groups:
        groups = cards.groups_named(ctx, [group.name for group in body.security_groups])
    key = keypairs.chosen(ctx, body.key_name) if body.key_name is not UNSET else None
    checks.metadata(ctx, body.metadata)
    user_data = checks.user_data(body.user_data)
    common: Json = {
        "project_id": ctx.caller.project_id, "user_id": ctx.caller.user_id, "image_id": image.id,
        "flavor_id": flavor.id, "flavor": flavors.kept(flavor), "vcpus": flavor.vcpus, "ram_mib": flavor.ram_mib,
        "disk_gib": flavor.disk_gib or image.least_gib, "key_name": key.name if key else None,
        "public_key": key.public_key if key else "", "user_data": ctx.app.vault.seal(user_data) if user_data else "",
        "admin_pass": ctx.app.vault.seal(password.encode()), "meta": dict(body.metadata),
        "tags": list(dict.fromkeys(body.tags)) if body.tags is not UNSET else [], "config_drive": body.config_drive,
        "availability_zone": place.zone, "host_wanted": place.host, "hints": place.hints, "group_id": place.group_id,
        "reservation_id": f"r-{uuid.uuid4().hex[:8]}", "created_at": ctx.now, "updated_at": ctx.now,
        "disk_config": body.disk_config if body.disk_config is not UNSET else "MANUAL",
        "access_ipv4": checks.address(body.access_ipv4, 4), "access_ipv6": checks.address(body.access_ipv6, 6),
    }  # fmt: skip
    servers = []
    for at in range(count):
        name = body.name if count == 1 else f"{body.name}-{at + 1}"
        server = Server(id=str(uuid.uuid4()), name=name, launch_index=at, **common)
        server.hostname = checks.hostname(ctx, body, server, at if count > 1 else None)
        server.description = name if ctx.version < (2, 19) else None if body.description is UNSET else body.description
        ctx.db.add(server)
        ctx.db.flush()
        put_cards(ctx, server, wanted, groups)
        begin(ctx, server, "create")
        ctx.wake("server", server.id)
        servers.append(server)
    return servers


def put_cards(ctx: Ctx, server: Server, wanted: Sequence[cards.Card], groups: Sequence[str] | None) -> list[str]:
    """Ports for the server. What the body names and the network does not have is the body's fault: 400, not 404."""
    try:
        return cards.add(ctx, server, wanted, groups)
    except (NotFound, IpAddressInUse) as error:
        raise BadRequest(str(error)) from error
