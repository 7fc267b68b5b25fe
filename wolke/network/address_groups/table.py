"""What we keep of an address group."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from wolke.network.tables import Standard


class AddressGroup(Standard):
    __tablename__ = "address_group"

    addresses: Mapped[list[str]] = mapped_column(default=list)  # prefixes without host bits, of both families, in order
