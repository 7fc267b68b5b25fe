"""Whose a port is: the values of ``device_owner`` that mean something here.

API:  Network v2.0, ports, device_owner
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, or_

INTERFACE, GATEWAY, HA_INTERFACE = "network:router_interface", "network:router_gateway", "network:router_ha_interface"
ROUTERS = (INTERFACE, GATEWAY, HA_INTERFACE)
FLOATING = "network:floatingip"  # it only holds an address: OVN has no such port
METADATA = "network:distributed"  # a network's own, on each of its hosts
DHCP = "network:dhcp"
SUBPORT = "trunk:subport"  # while it is a trunk's
TRUSTED = ("network:", "neutron:")  # prefixes
CLOUDS = (
    *ROUTERS,
    FLOATING,
    METADATA,
)  # the cloud makes such ports itself, and their ``device_id`` says whose part they are


def is_trusted(owner: str) -> bool:
    """Whether a port is the cloud's own: neither port security nor security groups stand before it."""
    return owner.startswith(TRUSTED)


def trusted(column: Any) -> ColumnElement[bool]:
    """The same in SQL: ``~trusted(Port.device_owner)`` are servers' and projects' ports."""
    return or_(*(column.startswith(prefix) for prefix in TRUSTED))
