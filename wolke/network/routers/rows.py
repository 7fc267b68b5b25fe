"""Routers in OVN: a Logical_Router, a port of it for each of our ports on it, routes, and source NAT.

OVN:  ovn-nb(5): Logical_Router, Logical_Router_Port, Logical_Router_Static_Route, BFD, NAT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.config import Config
from wolke.drivers.rows import Ref, Row, Value
from wolke.network import guard, names
from wolke.network.address_scopes.effect import policies
from wolke.network.chassis import Chassis
from wolke.network.lane import Site, kind
from wolke.network.metering import rows as metering
from wolke.network.routers.advertisements import advertisement
from wolke.network.routers.legs import Leg, gateways_first, legs_of
from wolke.network.routers.placement import candidates
from wolke.network.routers.table import Router
from wolke.network.routers.ways import SourceNat, Way, source_nats, ways


def rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    """Everything of some routers."""
    routers = db.execute(select(Router.__table__).where(Router.id.in_(ids))).all()
    legs = legs_of(db, [router.id for router in routers])
    chassis = db.execute(select(Chassis.__table__)).all()
    meters = metering.meters_of(db, routers)
    made = []
    for router in routers:
        own, *others = router_rows(router, legs[router.id], chassis, site.config)
        guarded, guards = guard.of_router(router.id, own.owner, site)
        made += [replace(own, columns={**own.columns, **guarded}), *others, *guards]
        made += [metering.row(one, own.owner) for one in meters.get(router.id, ())]
    return made


def router_rows(router: Any, legs: Sequence[Leg], chassis: Sequence[Any], config: Config) -> list[Row]:
    owner = names.owner(Router.__tablename__, router.id)
    options = {"always_learn_from_arp_request": "false", "dynamic_neigh_routers": "true"}
    columns: dict[str, Value] = {"name": router.id, "enabled": router.admin_state_up, "options": options}
    made = [Row("Logical_Router", router.id, owner, columns)]
    outer, inside = gateways_first(router, legs)
    made += [port_row(router, leg, owner, config) for leg in inside]
    for gateway in outer:
        group = names.gateway_group(gateway.port.id)
        made += [
            Row("HA_Chassis_Group", group, owner, {"name": group}),
            *candidates(router, group, gateway, chassis, owner),
            port_row(router, gateway, owner, config, group),
        ]
    made += [row for way in ways(router, legs) for row in way_rows(router.id, way, owner)]
    made += [nat_row(router.id, nat, owner) for nat in source_nats(router, legs)]
    return made + policies(router.id, inside, outer, owner)


def port_row(router: Any, leg: Leg, owner: str, config: Config, group: str = "") -> Row:
    """The router's end of a leg; the switch's end is the port's own row."""
    key = names.router_port(leg.port.id)
    columns: dict[str, Value] = {
        "name": key,
        "mac": leg.port.mac_address,
        "networks": frozenset(f"{address}/{ip_network(subnet.cidr).prefixlen}" for address, subnet in leg.addresses),
        "enabled": leg.port.admin_state_up,
    }
    if group:
        columns["ha_chassis_group"] = Ref("HA_Chassis_Group", group)
    elif told := advertisement(leg, config):
        columns["ipv6_ra_configs"] = told
    return Row("Logical_Router_Port", key, owner, columns, frozenset({("Logical_Router", router.id, "ports")}))


def way_rows(router_id: str, way: Way, owner: str) -> list[Row]:
    """A route, and the session that watches its next hop."""
    output = names.router_port(way.leg.port.id)
    columns: dict[str, Value] = {"ip_prefix": way.prefix, "nexthop": way.nexthop, "output_port": None, "bfd": None}
    made = []
    if way.default:
        columns["output_port"] = output
    if way.watched:
        session = f"{output}/{way.nexthop}"
        made.append(Row("BFD", session, owner, {"logical_port": output, "dst_ip": way.nexthop}))
        columns["bfd"] = Ref("BFD", session)
    key = f"{router_id}/{way.prefix}/{way.nexthop}" + (f"/{way.leg.port.id}" if way.default else "")
    parent = frozenset({("Logical_Router", router_id, "static_routes")})
    return [*made, Row("Logical_Router_Static_Route", key, owner, columns, parent)]


def nat_row(router_id: str, nat: SourceNat, owner: str) -> Row:
    columns: dict[str, Value] = {
        "type": "snat",
        "external_ip": nat.outside,
        "logical_ip": nat.inside,
        "gateway_port": Ref("Logical_Router_Port", names.router_port(nat.gateway.port.id)),
    }
    parent = frozenset({("Logical_Router", router_id, "nat")})
    return Row("NAT", f"{nat.gateway.port.id}/{nat.key}", owner, columns, parent)


kind(Router, rows)
