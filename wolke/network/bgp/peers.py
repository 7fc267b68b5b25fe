"""BGP peers: the operator's routers.

API: https://docs.openstack.org/api-ref/network/v2/#bgp-peer
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import delete

from wolke.core.bodies import Text255, take_over
from wolke.core.collection import OPERATOR
from wolke.core.db import Json
from wolke.core.errors import BadRequest, NotFound
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.network import hooks
from wolke.network.bgp.table import BgpPeer, BgpSpeakerPeer
from wolke.network.service import Collection, CreateBody, UpdateBody, standard
from wolke.network.subnets.checks import address

As = Annotated[int, Meta(ge=1, le=4294967295)]
SECRET = re.compile(r"[!-~]{1,80}")  # TCP_MD5SIG_MAXKEYLEN; tcp(7)


class BgpPeerNotFound(NotFound):
    pass


class BgpPeerNotAuthenticated(NotFound):
    pass


class InvalidBgpPeerMd5Authentication(BadRequest):
    pass


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(CreateBody, kw_only=True):
    peer_ip: str
    remote_as: As
    auth_type: Literal["none", "md5"] = "none"
    password: Text255 | None = None


class Update(UpdateBody):
    password: Text255 | UnsetType | None = UNSET


def view(peer: Any) -> Json:
    return standard(peer) | {"peer_ip": peer.peer_ip, "remote_as": peer.remote_as, "auth_type": peer.auth_type}


def sealed(ctx: Ctx, password: str) -> str:
    """Raises BadRequest: not what TCP's MD5 signatures take."""
    if not SECRET.fullmatch(password):
        raise BadRequest("Invalid input for password. Reason: use 1 to 80 printable ASCII characters without spaces.")
    return ctx.app.vault.seal(password.encode())


# What the calls do ---------------------------------------------------------------------------------------------------
quota("network", "bgp_peer", -1, rows_of(BgpPeer))
peers: Collection[BgpPeer] = Collection(
    "/v2.0/bgp-peers", "bgp_peer", "bgp_peers", BgpPeer, view, quota="bgp_peer", wakes="", rules=OPERATOR,
    error=BgpPeerNotFound, title="BGP peer", private=("seen_revision", "deleting", "password"),
)  # fmt: skip


@peers.create
def create(ctx: Ctx, body: Create) -> BgpPeer:
    if body.auth_type == "md5" and not body.password:
        raise InvalidBgpPeerMd5Authentication("A password must be supplied when using auth_type md5.")
    if body.auth_type == "none" and body.password:
        raise BadRequest("Invalid input for password. Reason: auth_type must be md5 for a peer with a password.")
    there = address(body.peer_ip, "peer_ip")
    if there.is_unspecified or there.is_multicast or there.is_loopback or there.is_link_local:
        raise BadRequest(f"Invalid input for peer_ip. Reason: '{body.peer_ip}' is no address that a router can have.")
    return BgpPeer(
        name=body.name,
        description=body.description,
        peer_ip=str(there),
        remote_as=body.remote_as,
        auth_type=body.auth_type,
        password=sealed(ctx, body.password) if body.password else "",
    )


@peers.update
def update(ctx: Ctx, peer: BgpPeer, body: Update) -> None:
    if body.password not in (UNSET, None):
        if peer.auth_type == "none":
            raise BgpPeerNotAuthenticated(f"BGP peer {peer.id} not authenticated.")
        peer.password = sealed(ctx, str(body.password))
        tell_hosts(ctx)
    take_over(peer, body, "name", "description")


@peers.delete
def remove(ctx: Ctx, peer: BgpPeer) -> None:
    ctx.db.execute(delete(BgpSpeakerPeer).where(BgpSpeakerPeer.peer_id == peer.id))
    tell_hosts(ctx)


def tell_hosts(ctx: Ctx) -> None:
    ctx.db.flush()
    hooks.tell_hosts(ctx.db)
