"""NDP proxies in OVN: a NAT rule that translates an address into itself. Without a translation, the router still answers neighbour
solicitations for it on the external network, on the host of its port, and sends what comes there to the port.

OVN:  ovn-nb(5), table NAT, type dnat_and_snat, options:stateless.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.drivers.rows import Ref, Row, Value
from wolke.network import names
from wolke.network.lane import Site, kind
from wolke.network.ndp_proxies.table import NdpProxy
from wolke.network.routers.table import Router


def rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    query = select(NdpProxy.__table__, Router.distributed, Router.gateway_port_id)
    query = query.join(Router, Router.id == NdpProxy.router_id)
    made = []
    for one in db.execute(query.where(NdpProxy.id.in_(ids), Router.gateway_port_id.is_not(None))):
        columns: dict[str, Value] = {
            "type": "dnat_and_snat",
            "external_ip": one.ip_address,
            "logical_ip": one.ip_address,
            "external_mac": one.mac_address if one.distributed else None,
            "logical_port": one.port_id if one.distributed else None,
            "gateway_port": Ref("Logical_Router_Port", names.router_port(one.gateway_port_id)),
            "options": {"stateless": "true"},
        }
        parent = frozenset({("Logical_Router", one.router_id, "nat")})
        made.append(Row("NAT", one.id, names.owner(NdpProxy.__tablename__, one.id), columns, parent))
    return made


kind(NdpProxy, rows)
