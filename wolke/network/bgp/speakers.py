"""BGP speakers: which hosts' daemons tell which peers what is behind the gateways of some external networks.

API: https://docs.openstack.org/api-ref/network/v2/#bgp-speaker
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import UNSET, UnsetType
from sqlalchemy import delete, select

from wolke.core import policy
from wolke.core.bodies import Body, Text255, take_over
from wolke.core.collection import OPERATOR
from wolke.core.db import Json
from wolke.core.errors import BadRequest, Conflict, NotFound
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.network.bgp.hosts import announcements, carriers
from wolke.network.bgp.peers import As, peers, tell_hosts
from wolke.network.bgp.table import BgpPeer, BgpSpeaker, BgpSpeakerNetwork, BgpSpeakerPeer
from wolke.network.networks.api import networks
from wolke.network.networks.table import Network
from wolke.network.service import Collection, CreateBody, UpdateBody, network, standard


class BgpSpeakerNotFound(NotFound):
    pass


class BgpSpeakerPeerNotAssociated(NotFound):
    pass


class BgpSpeakerNetworkNotAssociated(NotFound):
    pass


class BgpSpeakerNetworkBindingError(Conflict):
    pass


class DuplicateBgpPeerIpException(Conflict):
    pass


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(CreateBody, kw_only=True):
    local_as: As
    ip_version: Literal[4, 6]
    advertise_floating_ip_host_routes: bool = True
    advertise_tenant_networks: bool = True
    networks: list[Text255] = []


class Update(UpdateBody):
    advertise_floating_ip_host_routes: bool | UnsetType = UNSET
    advertise_tenant_networks: bool | UnsetType = UNSET


class Peer(Body):
    bgp_peer_id: Text255


class Gateway(Body):
    network_id: Text255


def views(ctx: Ctx, found: Sequence[Any]) -> list[Json]:
    ids = [speaker.id for speaker in found]
    its_peers: dict[str, list[str]] = {}
    bound = select(BgpSpeakerPeer.speaker_id, BgpSpeakerPeer.peer_id).where(BgpSpeakerPeer.speaker_id.in_(ids))
    for speaker_id, id in ctx.db.execute(bound.order_by(BgpSpeakerPeer.peer_id)):
        its_peers.setdefault(speaker_id, []).append(id)
    its_networks: dict[str, list[str]] = {}
    held = select(BgpSpeakerNetwork.speaker_id, BgpSpeakerNetwork.network_id)
    held = held.where(BgpSpeakerNetwork.speaker_id.in_(ids)).order_by(BgpSpeakerNetwork.network_id)
    for speaker_id, id in ctx.db.execute(held):
        its_networks.setdefault(speaker_id, []).append(id)
    return [
        standard(speaker)
        | {
            "local_as": speaker.local_as,
            "ip_version": speaker.ip_version,
            "peers": its_peers.get(speaker.id, []),
            "networks": its_networks.get(speaker.id, []),
            "advertise_floating_ip_host_routes": speaker.advertise_floating_ip_host_routes,
            "advertise_tenant_networks": speaker.advertise_tenant_networks,
        }
        for speaker in found
    ]


# What the calls do ---------------------------------------------------------------------------------------------------
quota("network", "bgp_speaker", -1, rows_of(BgpSpeaker))
speakers: Collection[BgpSpeaker] = Collection(
    "/v2.0/bgp-speakers", "bgp_speaker", "bgp_speakers", BgpSpeaker, views=views, quota="bgp_speaker", wakes="",
    rules=OPERATOR, error=BgpSpeakerNotFound, title="BGP speaker",
)  # fmt: skip


@speakers.create
def create(ctx: Ctx, body: Create) -> BgpSpeaker:
    speaker = BgpSpeaker(
        project_id=speakers.project_of(ctx, body),
        name=body.name,
        description=body.description,
        local_as=body.local_as,
        ip_version=body.ip_version,
        advertise_floating_ip_host_routes=body.advertise_floating_ip_host_routes,
        advertise_tenant_networks=body.advertise_tenant_networks,
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    ctx.db.add(speaker)
    ctx.db.flush()
    for network_id in dict.fromkeys(body.networks):
        bind(ctx, speaker, network_id)
    tell_hosts(ctx)
    return speaker


@speakers.update
def update(ctx: Ctx, speaker: BgpSpeaker, body: Update) -> None:
    take_over(speaker, body, "name", "description", "advertise_floating_ip_host_routes", "advertise_tenant_networks")
    tell_hosts(ctx)


@speakers.delete
def remove(ctx: Ctx, speaker: BgpSpeaker) -> None:
    for table in (BgpSpeakerPeer, BgpSpeakerNetwork):
        ctx.db.execute(delete(table).where(table.speaker_id == speaker.id))
    tell_hosts(ctx)


@speakers.action("add_bgp_peer")
def add_bgp_peer(ctx: Ctx, speaker: BgpSpeaker, body: Peer) -> Json:
    """Have a speaker talk to a peer."""
    peer = peers.seen(ctx, body.bgp_peer_id)
    present = select(BgpPeer.peer_ip).join(BgpSpeakerPeer, BgpSpeakerPeer.peer_id == BgpPeer.id)
    if peer.peer_ip in set(ctx.db.scalars(present.where(BgpSpeakerPeer.speaker_id == speaker.id))):
        raise DuplicateBgpPeerIpException(
            f"BGP Speaker {speaker.id} is already configured to peer with a BGP Peer at {peer.peer_ip}, it cannot peer with"
            f" BGP Peer {peer.id}."
        )
    ctx.db.add(BgpSpeakerPeer(speaker_id=speaker.id, peer_id=peer.id))
    tell_hosts(ctx)
    return {"bgp_peer_id": peer.id}


@speakers.action("remove_bgp_peer")
def remove_bgp_peer(ctx: Ctx, speaker: BgpSpeaker, body: Peer) -> Json:
    """End a speaker's session with a peer."""
    bound = ctx.db.get(BgpSpeakerPeer, (speaker.id, body.bgp_peer_id))
    if bound is None:
        raise BgpSpeakerPeerNotAssociated(
            f"BGP peer {body.bgp_peer_id} is not associated with BGP speaker {speaker.id}."
        )
    ctx.db.delete(bound)
    tell_hosts(ctx)
    return {"bgp_peer_id": body.bgp_peer_id}


@speakers.action("add_gateway_network")
def add_gateway_network(ctx: Ctx, speaker: BgpSpeaker, body: Gateway) -> Json:
    """Have a speaker tell what is behind gateways on an external network."""
    bind(ctx, speaker, body.network_id)
    tell_hosts(ctx)
    return {"network_id": body.network_id}


def bind(ctx: Ctx, speaker: BgpSpeaker, network_id: str) -> None:
    """Raises NetworkNotFound; BadRequest: no external network; BgpSpeakerNetworkBindingError: another of that version tells it."""
    outside = ctx.db.get(Network, networks.seen(ctx, network_id).id)
    if outside is None or not outside.external:
        raise BadRequest(f"Bad bgp-speaker request: Network {network_id} is not an external network (network_id).")
    present = select(BgpSpeaker.id).join(BgpSpeakerNetwork, BgpSpeakerNetwork.speaker_id == BgpSpeaker.id)
    here = (BgpSpeakerNetwork.network_id == network_id) & (BgpSpeaker.ip_version == speaker.ip_version)
    if other := ctx.db.scalar(present.where(here)):
        raise BgpSpeakerNetworkBindingError(f"Network {network_id} is already bound to BgpSpeaker {other}.")
    ctx.db.add(BgpSpeakerNetwork(speaker_id=speaker.id, network_id=network_id))
    ctx.db.flush()


@speakers.action("remove_gateway_network")
def remove_gateway_network(ctx: Ctx, speaker: BgpSpeaker, body: Gateway) -> Json:
    """Have a speaker be silent about an external network."""
    bound = ctx.db.get(BgpSpeakerNetwork, (speaker.id, body.network_id))
    if bound is None:
        raise BgpSpeakerNetworkNotAssociated(
            f"Network {body.network_id} is not associated with BGP speaker {speaker.id}."
        )
    ctx.db.delete(bound)
    tell_hosts(ctx)
    return {"network_id": body.network_id}


advertised = policy.rule("get_advertised_routes", policy.admin)


@network.call("GET", "/v2.0/bgp-speakers/{bgp_speaker_id}/get_advertised_routes", rule=advertised)
def get_advertised_routes(ctx: Ctx) -> Json:
    """What a speaker tells its peers."""
    ctx.require(advertised, policy.Target(None))
    speaker = speakers.seen(ctx, ctx.path["bgp_speaker_id"])
    told = announcements(ctx.db, [speaker])[speaker.id]
    return {"advertised_routes": [{"destination": one.prefix, "next_hop": one.next_hop} for one in told]}


agents = policy.rule("get_bgp_dragents", policy.admin)


@network.call("GET", "/v2.0/bgp-speakers/{bgp_speaker_id}/bgp-dragents", rule=agents)
def list_bgp_dragents(ctx: Ctx) -> Json:
    """The hosts that a speaker runs on: all that reach one of its networks."""
    ctx.require(agents, policy.Target(None))
    speaker = speakers.seen(ctx, ctx.path["bgp_speaker_id"])
    return {"agents": [{"id": host, "host": host} for host in carriers(ctx.db, speaker.id)]}
