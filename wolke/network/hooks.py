"""Who wants to know when ports change or go: floating IPs, routers and servers, which ports themselves know nothing of.

Each is called in the transaction that makes the change, with the ids of the ports. A network tells, too, before it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

Hook = Callable[[Session, Sequence[str]], None]
port_goes: list[Hook] = []  # before the rows are deleted; may refuse by raising
port_changed: list[Hook] = []  # addresses, MAC, groups or name
network_goes: list[Callable[[Session, str], None]] = []  # with its id, before its ports are looked at
