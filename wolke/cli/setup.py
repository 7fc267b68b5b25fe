"""One-off commands on a cloud's database: make it, let a host join, rotate keys."""

from __future__ import annotations

from wolke import cloud, migrations
from wolke.compute.hosts import joining
from wolke.core.app import quiet_app
from wolke.core.config import Config
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


def token_for(config: Config, host: str) -> str:
    app = quiet_app(config)
    try:
        return joining.new_token(app, host)
    finally:
        app.close()


def rotate(config: Config) -> str:
    """New tokens are signed with the next key at once; those that were given out stay valid until they end."""
    app = quiet_app(config)
    try:
        with app.database.transaction() as db:
            keys.rotate(db, app.vault, app.clock(), config.token_seconds)
    finally:
        app.close()
    return "The keys that tokens are signed with have been rotated."
