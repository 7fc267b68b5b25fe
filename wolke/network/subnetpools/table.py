"""What we keep of a subnet pool."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from wolke.network.tables import Standard


class SubnetPool(Standard):
    __tablename__ = "subnetpool"

    ip_version: Mapped[int]
    prefixes: Mapped[list[str]] = mapped_column(default=list)
    min_prefixlen: Mapped[int]
    max_prefixlen: Mapped[int]
    default_prefixlen: Mapped[int]
    default_quota: Mapped[int | None]  # in units of /32 or /64, for each project
    shared: Mapped[bool] = mapped_column(default=False, index=True)  # with everybody
    is_default: Mapped[bool] = mapped_column(default=False)
    address_scope_id: Mapped[str | None] = mapped_column(index=True)
