"""One-off commands on a cloud's database: make it, let a host join, rotate keys."""

from __future__ import annotations

from sqlalchemy import func, select

from wolke import cloud, migrations
from wolke.audit import api as log
from wolke.compute.hosts import joining, membership
from wolke.compute.hosts_table import Host
from wolke.compute.servers.table import Server
from wolke.core.app import App, quiet_app
from wolke.core.config import Config
from wolke.core.db import Json
from wolke.core.errors import Conflict
from wolke.core.pki import authority
from wolke.identity import keys


def prepare(config: Config) -> str:
    """Everything an empty state directory lacks; what is there stays. Says where the administrator's password lies."""
    config.state_path.mkdir(parents=True, exist_ok=True, mode=0o700)
    app = quiet_app(config)
    try:
        if migrations.steps():
            migrations.upgrade(app.database)
        else:
            app.database.create_tables()
        cloud.assemble(app)
        cloud.bootstrap(app)
        with app.database.transaction() as db:
            authority(db, app.vault)
    finally:
        app.close()
    return (
        f"The cloud in {config.state_path} is ready. The administrator's password: {config.state_path}/admin.password"
    )


def audit(config: Config, expected: str) -> Json:
    """What is true of the audit log's chain."""
    app = quiet_app(config)
    try:
        with app.database.read() as db:
            return log.result(app, db, log.expectation(expected))
    finally:
        app.close()


def token_for(config: Config, host: str) -> str:
    app = quiet_app(config)
    try:
        return joining.new_token(app, host)
    finally:
        app.close()


def hosts(config: Config) -> str:
    """A line for each host: its name, how many servers, and how long ago it was heard."""
    app = quiet_app(config)
    try:
        with app.database.read() as db:
            counts = dict(db.execute(select(Server.host, func.count()).group_by(Server.host)).all())
            found = db.scalars(select(Host).order_by(Host.name)).all()
            lines = [
                f"{host.name:20} {counts.get(host.name, 0):>6} server(s)  heard {app.clock() - host.seen_at:.0f} s ago"
                for host in found
            ]
    finally:
        app.close()
    return "\n".join(lines) or "No host has joined."


def remove_host(config: Config, name: str) -> str:
    """Take a host out for good, as ``DELETE /wolke/v1/hosts/{name}`` does; OVN forgets it when the loops run."""
    app = App(config)  # it rings the loops
    try:
        with app.database.transaction() as db:
            host = db.get(Host, name)
            if host is None:
                raise ValueError(f"there is no host {name}")
            membership.take_out(db, host)
    except Conflict as error:
        raise ValueError(str(error)) from error
    finally:
        app.close()
    return f"{name} is no host of this cloud any more. What still runs on it is cut off from OVN as soon as its agent asks."


def rotate(config: Config) -> str:
    """New tokens are signed with the next key at once; those that were given out stay valid until they end."""
    app = quiet_app(config)
    try:
        with app.database.transaction() as db:
            keys.rotate(db, app.vault, app.clock(), config.token_seconds)
    finally:
        app.close()
    return "The keys that tokens are signed with have been rotated."
