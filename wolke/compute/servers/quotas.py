"""How many servers, cores and memory a project may have. Counted from the servers themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wolke.compute.servers.table import Server
from wolke.core import quota
from wolke.core.db import lock
from wolke.core.errors import OverQuota
from wolke.core.http import Ctx


def usage(db: Session, project_id: str) -> dict[str, int]:
    """instances, cores and ram (MiB) of one project's servers, in one statement."""
    sums = select(func.count(), func.coalesce(func.sum(Server.vcpus), 0), func.coalesce(func.sum(Server.ram_mib), 0))
    row = db.execute(sums.where(Server.project_id == project_id, Server.deleting.is_(False))).one()
    return {"instances": int(row[0]), "cores": int(row[1]), "ram": int(row[2])}


def used(resource: str) -> Callable[[Session, str], int]:
    return lambda db, project_id: usage(db, project_id)[resource]


for _name, _default in (("instances", 10), ("cores", 20), ("ram", 50 * 1024)):
    quota.quota("compute", _name, _default, used(_name))


def room_for(ctx: Ctx, least: int, most: int, **each: int) -> int:
    """How many new servers quota allows, ``most`` if it can; holds until the transaction ends.

    ``each`` : what one server takes of ``cores`` and ``ram``
    Raises
    ------
    OverQuota: not even ``least``
    """
    project_id = ctx.caller.project_id
    lock(ctx.db, f"quota/compute/{project_id}")
    allowed, have = quota.limits(ctx.db, "compute", project_id), usage(ctx.db, project_id)
    needs: dict[str, Any] = {"instances": 1, **each}
    count = most
    for resource, amount in needs.items():
        if allowed[resource] < 0 or amount == 0:
            continue
        count = min(count, max(0, allowed[resource] - have[resource]) // amount)
        if count < least:
            raise OverQuota(
                resource, limit=allowed[resource], used=have[resource], requested=least * amount
            )  # fmt: skip
    return count
