"""What we keep of zones: how each is made, who may use it, which networks stand on it, and what hosts tell of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wolke.core.db import Base, Resource


class Zone(Resource):
    """Belongs to no project. Columns that a type does not know stay at their defaults."""

    __tablename__ = "zone"
    __table_args__ = (UniqueConstraint("name"),)

    description: Mapped[str] = mapped_column(default="")
    type: Mapped[str] = mapped_column(default="")  # flat | vlan | qinq | vxlan | evpn
    physical_network: Mapped[str] = mapped_column(default="", index=True)  # of the site, as hosts map it to a bridge
    ranges: Mapped[list[Any]] = mapped_column(default=list)  # {"minimum", "maximum"} of VLANs or VNIs, ascending, apart
    outer_tag: Mapped[int] = mapped_column(default=0)  # of qinq: the service's VLAN (802.1ad)
    mtu: Mapped[int] = mapped_column(default=0)  # bytes
    udp_port: Mapped[int] = mapped_column(default=0)  # of VXLAN
    peers: Mapped[list[str]] = mapped_column(default=list)  # addresses of VTEPs that are not ours
    asn: Mapped[int] = mapped_column(default=0)
    bgp_peers: Mapped[list[Any]] = mapped_column(default=list)  # {"address", "asn", "route_reflector"}
    gateway_mac: Mapped[str] = mapped_column(default="")  # the same on every host; "" has no anycast gateway
    route_targets: Mapped[list[str]] = mapped_column(default=list)  # "ASN:NUMBER"; [] leaves them to BGP
    l3_vni: Mapped[int] = mapped_column(default=0)


class ZoneGrant(Resource):
    """A right on one zone."""

    __tablename__ = "zone_grant"
    __table_args__ = (UniqueConstraint("zone_id", "subject_type", "subject_id"),)

    zone_id: Mapped[str] = mapped_column(ForeignKey("zone.id"), index=True)
    subject_type: Mapped[str] = mapped_column(default="")  # project | user | group
    subject_id: Mapped[str] = mapped_column(default="", index=True)
    level: Mapped[str] = mapped_column(default="use")  # use | create
    on_revoke: Mapped[str] = mapped_column(default="shut")  # shut | keep


class ZoneSegment(Base):
    """A network on a zone: made there, or of a project and stretched over it."""

    __tablename__ = "zone_segment"
    __table_args__ = (UniqueConstraint("zone_id", "segmentation_id"), UniqueConstraint("zone_id", "tag"))

    network_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    zone_id: Mapped[str] = mapped_column(ForeignKey("zone.id"), index=True)
    segmentation_id: Mapped[int] = mapped_column(default=0)  # VLAN or VNI; 0 of a flat one
    tag: Mapped[int] = mapped_column(default=0)  # VLAN towards the zone's bridge on each host; 0: untagged
    stretched: Mapped[bool] = mapped_column(default=False)
    right: Mapped[str] = mapped_column(default="", index=True)  # "project/<id>" that it was made by; "": an operator's


class ZonePort(Base):
    """A port that is on a zone's network by somebody's right."""

    __tablename__ = "zone_port"

    port_id: Mapped[str] = mapped_column(ForeignKey("port.id", ondelete="CASCADE"), primary_key=True)
    zone_id: Mapped[str] = mapped_column(ForeignKey("zone.id", ondelete="CASCADE"), index=True)
    right: Mapped[str] = mapped_column(default="", index=True)


class ZoneHost(Base):
    """What a host has told of a zone."""

    __tablename__ = "zone_host"

    zone_id: Mapped[str] = mapped_column(ForeignKey("zone.id", ondelete="CASCADE"), primary_key=True)
    host: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[str] = mapped_column(default="")  # of the wanted zone that the host has worked on
    error: Mapped[str] = mapped_column(default="")  # "": in force
    peers: Mapped[dict[str, str]] = mapped_column(default=dict)  # address -> state of its BGP session


class Vtep(Base):
    """Where a host ends tunnels: its own address on the underlay, as the host tells it."""

    __tablename__ = "vtep"

    host: Mapped[str] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(default="")
