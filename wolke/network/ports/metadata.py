"""A network's metadata port: where its servers reach the metadata service, and where DHCP is answered from without a gateway.

One per network that has an IPv4 subnet with DHCP, with an address on each of those. Its logical port is of type ``localport``:
every host that has a server of the network has one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select

from wolke.core.http import Ctx
from wolke.core.work import wake_all
from wolke.network import names
from wolke.network.ports import ipam
from wolke.network.ports.make import Given, Wish, add_addresses, addresses_of, new_port, subnets_of
from wolke.network.ports.table import FixedIp, Port

OWNER = "network:distributed"


def keep(ctx: Ctx, network: Any) -> None:
    """Make the port agree with the network's subnets, in the transaction that changes them."""
    subnets = {s.id: s for s in subnets_of(ctx.db, network.id) if s.ip_version == 4 and s.enable_dhcp}
    here = (Port.network_id == network.id) & (Port.device_owner == OWNER)
    port = ctx.db.scalars(select(Port).where(here)).first()
    if port is None:
        if not subnets:
            return
        device = names.metadata_device(network.id)
        wish = Wish(project_id=network.project_id, device_id=device, device_owner=OWNER, fixed_ips=())
        port = new_port(ctx, network, wish)
    have = {given.subnet_id: given for given in addresses_of(ctx.db, port.id)}
    stale = [id for id in have if id not in subnets]
    if stale:
        ctx.db.execute(delete(FixedIp).where(FixedIp.port_id == port.id, FixedIp.subnet_id.in_(stale)))
    ipam.reserve(ctx.db, list(subnets))
    added = []
    for id, subnet in subnets.items():
        if id not in have and (address := ipam.free_address(ctx.db, subnet, lowest=True)):
            added.append(Given(id, address))  # a subnet without a free address does without metadata
    add_addresses(ctx.db, port, added, len(have))
    if stale or added:
        wake_all(ctx.db, [("port", port.id), *(("subnet", given.subnet_id) for given in added)])
