"""Conversations whose ground has gone: what a floating IP or a port forwarding led to another place is told to every host, which
forgets them.

A translation stays with a conversation that the data path knows: with the rule alone changed, its packets would still reach the server
before, whose answers nobody translates back.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from wolke.core.db import Base, new_hex
from wolke.network import hooks
from wolke.wire.wanted import Ended

TOLD_SECONDS = 600.0  # a host that was away for longer has started again, and forgotten everything


class EndedConversation(Base):
    __tablename__ = "ended_conversation"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_hex)
    address: Mapped[str] = mapped_column(index=True)
    protocol: Mapped[str] = mapped_column(default="")  # "": all, by whatever port
    first: Mapped[int] = mapped_column(default=0)
    last: Mapped[int] = mapped_column(default=0)
    mac: Mapped[str] = mapped_column(default="")  # from here on: what the port's host is to announce
    port_id: Mapped[str] = mapped_column(default="")
    localnet: Mapped[str] = mapped_column(default="")
    vlan: Mapped[int] = mapped_column(default=0)
    at: Mapped[float] = mapped_column(index=True)  # unix seconds


def end(db: Session, address: str, protocol: str = "", first: int = 0, last: int = 0, **announced: Any) -> None:
    """What was begun to an address, or to some ports of it, ends on every host.

    ``announced`` : ``mac``, ``port_id``, ``localnet`` and ``vlan``, where the address leads to a port from now on
    """
    now = db.info["clock"]()
    same = (EndedConversation.address == address) & (EndedConversation.protocol == protocol)
    same &= (EndedConversation.first == first) & (EndedConversation.last == last)
    db.execute(delete(EndedConversation).where(same | (EndedConversation.at < now - TOLD_SECONDS)))
    db.add(EndedConversation(address=address, protocol=protocol, first=first, last=last, at=now, **announced))
    hooks.tell_hosts(db)


def wanted_ended(db: Session) -> tuple[Ended, ...]:
    """What a host's slice says of it, oldest first."""
    lately = EndedConversation.at >= db.info["clock"]() - TOLD_SECONDS
    rows = db.execute(select(EndedConversation.__table__).where(lately).order_by(EndedConversation.at))
    return tuple(
        Ended(
            id=row.id, address=row.address, protocol=row.protocol, first=row.first, last=row.last, mac=row.mac,
            port_id=row.port_id, localnet=row.localnet, vlan=row.vlan,
        )
        for row in rows
    )  # fmt: skip
