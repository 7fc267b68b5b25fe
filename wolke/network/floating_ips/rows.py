"""Floating IPs in OVN: a NAT rule each, carried out on the chassis of the port it leads to.

OVN:  ovn-nb(5), table NAT, type dnat_and_snat with external_mac and logical_port ("distributed").
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.drivers.rows import Row, Value
from wolke.network import names
from wolke.network.floating_ips.table import FloatingIp
from wolke.network.lane import Site, kind


def rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    """One NAT row for each floating IP that leads somewhere."""
    made = []
    for one in db.execute(
        select(FloatingIp.__table__).where(FloatingIp.id.in_(ids), FloatingIp.router_id.is_not(None))
    ):
        columns: dict[str, Value] = {
            "type": "dnat_and_snat",
            "external_ip": one.floating_ip_address,
            "logical_ip": one.fixed_ip_address,
            "external_mac": one.mac_address,
            "logical_port": one.port_id,
        }
        parent = frozenset({("Logical_Router", one.router_id, "nat")})
        made.append(Row("NAT", one.id, names.owner(FloatingIp.__tablename__, one.id), columns, parent))
    return made


kind(FloatingIp, rows)
