"""A host's part of BGP: every host that reaches a speaker's external network runs it, so none of them is missed.

The next hop of what is told is never the host but the router's gateway, wherever OVN has put that; a host that dies takes no way with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.secrets import Vault
from wolke.network.bgp.table import BgpPeer, BgpSpeaker, BgpSpeakerNetwork, BgpSpeakerPeer
from wolke.network.chassis import Chassis
from wolke.network.networks.table import Network
from wolke.network.routed.published import FLOATING, TENANT, Published, published
from wolke.network.subnets.checks import eui64
from wolke.wire import wanted

LINK_LOCAL = "fe80::/64"


def announcements(db: Session, speakers: Sequence[Any]) -> dict[str, list[Published]]:
    """What each speaker tells: prefixes and floating IPs of its IP version behind gateways on its networks."""
    bound = select(BgpSpeakerNetwork.speaker_id, BgpSpeakerNetwork.network_id)
    on: dict[str, set[str]] = {speaker.id: set() for speaker in speakers}
    for speaker_id, network_id in db.execute(bound.where(BgpSpeakerNetwork.speaker_id.in_(on))):
        on[speaker_id].add(network_id)
    everything = published(db) if any(on.values()) else []
    return {
        speaker.id: [
            one
            for one in everything
            if one.ip_version == speaker.ip_version
            and one.external_network_id in on[speaker.id]
            and (speaker.advertise_tenant_networks or one.kind != TENANT)
            and (speaker.advertise_floating_ip_host_routes or one.kind != FLOATING)
        ]
        for speaker in speakers
    }


def carriers(db: Session, speaker_id: str) -> list[str]:
    """The hosts that reach the physical network of one of a speaker's networks."""
    return [host for host, ids in _places(db).items() if speaker_id in ids]


def _places(db: Session) -> dict[str, set[str]]:
    """Host -> the speakers that it runs."""
    query = select(BgpSpeakerNetwork.speaker_id, Network.physical_network)
    bound = db.execute(query.join(Network, Network.id == BgpSpeakerNetwork.network_id)).all()
    return {
        row.hostname: {speaker_id for speaker_id, physical in bound if physical in row.physical_networks}
        for row in db.execute(select(Chassis.__table__).order_by(Chassis.hostname))
    }


def wanted_speakers(db: Session, vault: Vault, host: str) -> tuple[wanted.BgpSpeaker, ...]:
    """The speakers of one host's slice."""
    mine = _places(db).get(host, set())
    if not mine:
        return ()
    speakers = db.execute(select(BgpSpeaker.__table__).where(BgpSpeaker.id.in_(mine)).order_by(BgpSpeaker.id)).all()
    query = select(BgpSpeakerPeer.speaker_id, BgpPeer.peer_ip, BgpPeer.remote_as, BgpPeer.password)
    query = query.join(BgpPeer, BgpPeer.id == BgpSpeakerPeer.peer_id).where(BgpSpeakerPeer.speaker_id.in_(mine))
    neighbours: dict[str, list[wanted.BgpNeighbour]] = {}
    for row in db.execute(query.order_by(BgpPeer.peer_ip)):
        secret = vault.open(row.password).decode() if row.password else ""
        one = wanted.BgpNeighbour(address=row.peer_ip, asn=row.remote_as, password=secret)
        neighbours.setdefault(row.speaker_id, []).append(one)
    told = announcements(db, speakers)
    return tuple(
        wanted.BgpSpeaker(
            id=speaker.id,
            asn=speaker.local_as,
            ip_version=speaker.ip_version,
            neighbours=tuple(neighbours.get(speaker.id, ())),
            routes=tuple(
                wanted.BgpRoute(prefix=one.prefix, next_hop=one.next_hop, link_local=eui64(LINK_LOCAL, one.mac_address))
                for one in told[speaker.id]
            ),
        )
        for speaker in speakers
    )
