"""A network's metadata port: where its servers reach the metadata service, and where DHCP is answered from without a gateway.

One per network that has a subnet with DHCP, with an address on each of those that are IPv4; at fe80::a9fe:a9fe it is reached without any
address of its own, so a network with IPv6 alone has one too. Its logical port is of type ``localport``: every host that has a server of
the network has one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select

from wolke.core.http import Ctx
from wolke.core.work import wake_all
from wolke.network import names
from wolke.network.owners import METADATA
from wolke.network.ports import ipam
from wolke.network.ports.make import Given, Wish, add_addresses, addresses_of, new_port, subnets_of
from wolke.network.ports.table import FixedIp, Port


def keep(ctx: Ctx, network: Any) -> None:
    """Make the port agree with the network's subnets, in the transaction that changes them."""
    told = [subnet for subnet in subnets_of(ctx.db, network.id) if subnet.enable_dhcp]
    subnets = {subnet.id: subnet for subnet in told if subnet.ip_version == 4}
    here = (Port.network_id == network.id) & (Port.device_owner == METADATA)
    port = ctx.db.scalars(select(Port).where(here)).first()
    if port is None:
        if not told:
            return
        device = names.metadata_device(network.id)
        wish = Wish(project_id=network.project_id, device_id=device, device_owner=METADATA, fixed_ips=())
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
