"""What we keep of a server: what is wanted, and what its host has told.

One writer per column: the API writes the wanted ones, the scheduler ``host``, ``record`` (``compute/hosts``) the seen ones.
A server that is gone keeps its row for a while (``deleted_at``, no host): usage, instance actions and ``changes-since`` ask for it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from wolke.core.db import Base, Resource


class Server(Resource):
    __tablename__ = "server"

    # wanted: by the API
    user_id: Mapped[str] = mapped_column(default="")
    description: Mapped[str | None]
    image_id: Mapped[str] = mapped_column(index=True, default="")
    flavor_id: Mapped[str] = mapped_column(index=True, default="")  # the flavor's key, which may be gone by now
    # as it was: name, vcpus, ram, disk, ephemeral, swap, extra_specs
    flavor: Mapped[dict[str, Any]] = mapped_column(default=dict)
    vcpus: Mapped[int] = mapped_column(default=1)
    ram_mib: Mapped[int] = mapped_column(default=0)
    disk_gib: Mapped[int] = mapped_column(default=0)
    power: Mapped[str] = mapped_column(default="running")  # wire.wanted.Power; GONE is ``deleting``
    boot: Mapped[int] = mapped_column(default=1)  # grows with each start and reboot that is asked for
    hard: Mapped[bool] = mapped_column(default=False)  # the last reboot or stop does not wait for the guest
    rebooting: Mapped[bool] = mapped_column(default=False)  # the last boot was asked for by a reboot, not by a start
    key_name: Mapped[str | None]
    public_key: Mapped[str] = mapped_column(Text, default="")
    user_data: Mapped[str] = mapped_column(Text, default="")  # base64 as it came, sealed by the vault; "" for none
    admin_pass: Mapped[str] = mapped_column(Text, default="")  # sealed by the vault
    cleared_password: Mapped[str] = mapped_column(Text, default="")  # the ``seen_password`` that nobody is to see again
    meta: Mapped[dict[str, str]] = mapped_column(default=dict)
    tags: Mapped[list[str]] = mapped_column(default=list)
    config_drive: Mapped[bool] = mapped_column(default=False)
    hostname: Mapped[str] = mapped_column(default="")
    availability_zone: Mapped[str | None]  # that was asked for
    host_wanted: Mapped[str] = mapped_column(default="")  # that was asked for by an operator
    hints: Mapped[dict[str, Any]] = mapped_column(default=dict)  # same_host, different_host: lists of server ids
    group_id: Mapped[str] = mapped_column(default="", index=True)
    reservation_id: Mapped[str] = mapped_column(default="", index=True)
    launch_index: Mapped[int] = mapped_column(default=0)
    access_ipv4: Mapped[str] = mapped_column(default="")
    access_ipv6: Mapped[str] = mapped_column(default="")
    disk_config: Mapped[str] = mapped_column(default="MANUAL")
    locked: Mapped[bool] = mapped_column(default=False)
    locked_by: Mapped[str] = mapped_column(default="")  # owner | admin
    locked_reason: Mapped[str | None]
    # wanted: by the scheduler
    host: Mapped[str] = mapped_column(default="", index=True)  # "" until one has been claimed, and once it is gone
    schedule_error: Mapped[str] = mapped_column(default="")
    # seen: by the host's picture
    seen_state: Mapped[str] = mapped_column(default="")  # wire.seen.State, "" as long as the host knows nothing of it
    seen_boot: Mapped[int] = mapped_column(default=0)
    seen_error: Mapped[str] = mapped_column(default="")
    seen_hint: Mapped[str] = mapped_column(default="")  # for the operator
    seen_machine: Mapped[str] = mapped_column(default="")
    seen_password: Mapped[str] = mapped_column(Text, default="")  # posted by the guest, encrypted by it
    launched_at: Mapped[float] = mapped_column(default=0.0)  # unix seconds of the first boot that was seen
    seen_at: Mapped[float] = mapped_column(default=0.0)
    deleted_at: Mapped[float] = mapped_column(default=0.0, index=True)  # unix seconds; 0 for one that is there


class ServerPort(Base):
    """A port that a server wants, in the order of its NICs. ``owned``: made with the server, so it goes with it."""

    __tablename__ = "server_port"

    port_id: Mapped[str] = mapped_column(primary_key=True)
    server_id: Mapped[str] = mapped_column(ForeignKey("server.id", ondelete="CASCADE"), index=True)
    position: Mapped[int] = mapped_column(default=0)
    owned: Mapped[bool] = mapped_column(default=False)
    tag: Mapped[str | None]


class ServerAction(Base):
    """What was asked of a server: one row per call that changes it. The API writes it, the host's picture ends it."""

    __tablename__ = "server_action"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    server_id: Mapped[str] = mapped_column(ForeignKey("server.id", ondelete="CASCADE"), index=True)
    action: Mapped[str]  # as Nova calls it: create start stop reboot ...
    request_id: Mapped[str]
    user_id: Mapped[str]
    project_id: Mapped[str]
    host: Mapped[str] = mapped_column(default="")
    started_at: Mapped[float]  # unix seconds
    # seen: by the host's picture or the scheduler
    finished_at: Mapped[float] = mapped_column(default=0.0, index=True)  # unix seconds; 0 while it is under way
    error: Mapped[str] = mapped_column(Text, default="")
