"""What we keep of BGP speakers and their peers."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from wolke.core.db import Base
from wolke.network.tables import Standard


class BgpSpeaker(Standard):
    __tablename__ = "bgp_speaker"

    local_as: Mapped[int] = mapped_column(BigInteger)  # up to 2**32 - 1
    ip_version: Mapped[int]
    advertise_floating_ip_host_routes: Mapped[bool] = mapped_column(default=True)
    advertise_tenant_networks: Mapped[bool] = mapped_column(default=True)


class BgpPeer(Standard):
    __tablename__ = "bgp_peer"

    peer_ip: Mapped[str]
    remote_as: Mapped[int] = mapped_column(BigInteger)
    auth_type: Mapped[str] = mapped_column(default="none")  # none | md5
    password: Mapped[str] = mapped_column(default="")  # sealed by the vault


class BgpSpeakerPeer(Base):
    """A speaker has a session with a peer."""

    __tablename__ = "bgp_speaker_peer"

    speaker_id: Mapped[str] = mapped_column(ForeignKey("bgp_speaker.id", ondelete="CASCADE"), primary_key=True)
    peer_id: Mapped[str] = mapped_column(ForeignKey("bgp_peer.id", ondelete="CASCADE"), primary_key=True, index=True)


class BgpSpeakerNetwork(Base):
    """A speaker tells what is behind gateways on an external network."""

    __tablename__ = "bgp_speaker_network"

    speaker_id: Mapped[str] = mapped_column(ForeignKey("bgp_speaker.id", ondelete="CASCADE"), primary_key=True)
    network_id: Mapped[str] = mapped_column(ForeignKey("network.id", ondelete="CASCADE"), primary_key=True, index=True)
