"""Who wants to know: ports, networks and hosts tell here what those who stand above them have to follow.

Each is called in the transaction that makes the change. Things below never import what listens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy.orm import Session

from wolke.core.http import Ctx
from wolke.wire.seen import Seen

Hook = Callable[[Session, Sequence[str]], None]
port_comes: list[Callable[[Ctx, Any, Any], None]] = []  # with the network and the new port's row; may refuse by raising
port_goes: list[Hook] = []  # with ids, before the rows are deleted; may refuse by raising
port_changed: list[Hook] = []  # with ids: addresses, MAC, groups or name
network_closes: list[Callable[[Session, str], None]] = []  # with its id, before it leads outside no more
network_goes: list[Callable[[Session, str], None]] = []  # with its id, before its ports are looked at
network_opened: list[Callable[[Session, str], None]] = []  # with its id: whom it is for, or where it leads, has changed
# something in every host's slice has changed: compute has them fetch it
hosts_change: list[Callable[[Session], None]] = []
host_goes: list[Callable[[Session, str], None]] = []  # with its name, for good
# a host's picture has arrived; its ``drift``, counters and zones are ours
host_told: list[Callable[[Session, Seen], None]] = []


def tell(listeners: Iterable[Callable[..., None]], *news: Any) -> None:
    """Call each listener of one of the lists above."""
    for listener in listeners:
        listener(*news)


def tell_hosts(db: Session) -> None:
    """Every host fetches its slice anew."""
    tell(hosts_change, db)
