"""Schema steps: from an empty or older database to the tables of this release. https://alembic.sqlalchemy.org/

Each step is a file in ``versions``, written from the tables by ``./run migration "what changes"`` and then read by a person.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from wolke.core.db import Database

HERE = Path(__file__).parent


def steps() -> list[Path]:
    return sorted((HERE / "versions").glob("[0-9]*.py"))


def settings() -> Config:
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(year)d%%(month).2d%%(day).2d_%%(slug)s")
    return config


def upgrade(database: Database, to: str = "head") -> None:
    """Bring the database to a step, in one transaction; another process that does the same waits."""
    config = settings()
    with database.engine.begin() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('migrations', 0))"))
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def new_step(message: str) -> Path:
    """Write the step from the newest schema to the tables as they are declared now."""
    config = settings()
    before = set(steps())
    with TemporaryDirectory() as directory:
        database = Database(f"sqlite:///{directory}/scratch.db")
        upgrade(database)
        with database.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.revision(config, message, autogenerate=True)
        database.close()
    [made] = set(steps()) - before
    return made
