"""How a server ends: first it is wanted to be gone, then its host says that it is and its row is history (``compute/hosts/seen.py``),
and after a while nothing is left (``past.py``)."""

from __future__ import annotations

from wolke.compute.hosts.seen import forget
from wolke.compute.hosts_table import bump
from wolke.compute.servers import cards
from wolke.compute.servers.history import begin
from wolke.compute.servers.table import Server
from wolke.core.http import Ctx


def end(ctx: Ctx, server: Server, action: str = "delete") -> None:
    """Have a server go. Its addresses are free at once; without a host it is gone at once."""
    if not server.deleting:
        begin(ctx, server, action)
        server.deleting, server.user_data, server.admin_pass = True, "", ""
        cards.drop(ctx.db, server)
        ctx.db.flush()
    if server.host:
        bump(ctx.db, server.host)
    else:
        forget(ctx.db, [server.id])
        ctx.db.expire(server)
