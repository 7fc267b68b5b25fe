"""What the API shows of routers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.db import Json
from wolke.network.networks.api import ZONE
from wolke.network.owners import GATEWAY
from wolke.network.ports.table import FixedIp, Port
from wolke.network.ports.views import groups as groups_on
from wolke.network.service import standard

OPERATORS = ("distributed", "ha", "enable_default_route_ecmp", "enable_default_route_bfd")  # attributes for them alone


def gateways_of(db: Session, routers: Sequence[Any]) -> dict[str, list[tuple[Any, list[Json]]]]:
    """The gateway ports of each router with their addresses, the first gateway first; two statements."""
    first = {router.gateway_port_id for router in routers}
    ids = [router.id for router in routers]
    query = select(Port.id, Port.device_id, Port.network_id, Port.qos_policy_id)
    query = query.where(Port.device_id.in_(ids), Port.device_owner == GATEWAY).order_by(Port.created_at, Port.id)
    ports = sorted(db.execute(query), key=lambda port: port.id not in first)
    held: dict[str, list[Json]] = defaultdict(list)
    fixed = select(FixedIp.__table__).where(FixedIp.port_id.in_([port.id for port in ports]))
    for one in db.execute(fixed.order_by(FixedIp.position)) if ports else ():
        held[one.port_id].append({"subnet_id": one.subnet_id, "ip_address": one.ip_address})
    found: dict[str, list[tuple[Any, list[Json]]]] = defaultdict(list)
    for port in ports:
        found[port.device_id].append((port, held[port.id]))
    return found


def views(db: Session, found: Sequence[Any], sees: Callable[[str], bool]) -> list[Json]:
    """``sees`` : whether the caller is shown an attribute"""
    gateways = gateways_of(db, found)
    operators = [name for name in OPERATORS if sees(name)]
    groups = groups_on(db, [port.id for some in gateways.values() for port, _ in some])
    return [
        view(router, gateways[router.id], groups) | {name: getattr(router, name) for name in operators}
        for router in found
    ]


def view(router: Any, gateways: Sequence[tuple[Any, list[Json]]], groups: Mapping[str, Sequence[str]]) -> Json:
    info = None
    for port, addresses in gateways[:1]:
        info = {
            "network_id": port.network_id,
            "enable_snat": router.enable_snat,
            "external_fixed_ips": addresses,
            "qos_policy_id": port.qos_policy_id,
            "security_groups": groups.get(port.id, []),
        }
    return standard(router) | {
        "admin_state_up": router.admin_state_up,
        "status": "ACTIVE",
        "external_gateway_info": info,
        "external_gateways": [
            {
                "network_id": port.network_id,
                "external_fixed_ips": addresses,
                "security_groups": groups.get(port.id, []),
            }
            for port, addresses in gateways
        ],
        "enable_snat": router.enable_snat,
        "enable_ndp_proxy": router.enable_ndp_proxy,
        "routes": router.routes,
        "availability_zone_hints": router.availability_zone_hints,
        "availability_zones": [ZONE],
        "flavor_id": None,
    }
