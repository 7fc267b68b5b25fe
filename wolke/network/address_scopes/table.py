"""What we keep of an address scope. Subnet pools name the one they belong to."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from wolke.network.tables import Standard


class AddressScope(Standard):
    __tablename__ = "address_scope"

    ip_version: Mapped[int]
    shared: Mapped[bool] = mapped_column(default=False)  # with everybody
