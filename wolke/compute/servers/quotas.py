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

SUMS: dict[str, tuple[Any, int]] = {  # resource -> what is summed up, and the default limit
    "instances": (func.count(), 10),
    "cores": (func.coalesce(func.sum(Server.vcpus), 0), 20),
    "ram": (func.coalesce(func.sum(Server.ram_mib), 0), 50 * 1024),  # MiB
}


def usage(db: Session, project_id: str) -> dict[str, int]:
    """instances, cores and ram (MiB) of one project's servers, in one statement."""
    row = db.execute(counting(*SUMS)(project_id)).one()
    return {resource: int(number) for resource, number in zip(SUMS, row, strict=True)}


def counting(*resources: str) -> Callable[[str], Any]:
    sums = select(*(SUMS[resource][0] for resource in resources)).select_from(Server)
    return lambda project_id: sums.where(Server.project_id == project_id, Server.deleting.is_(False))


for _name, (_, _default) in SUMS.items():
    quota.quota("compute", _name, _default, counting(_name))


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
