"""Schema steps: from an empty or older database to the tables of this release. https://alembic.sqlalchemy.org/

Each step is a file in ``versions``, written from the tables by ``./run migration "what changes"`` and then read by a person.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

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
    """Bring the database to a step, in one transaction; another process that does the same waits.

    Raises
    ------
    RuntimeError: the database is of a release that knows more steps, or rows would refer to others that are gone
    """
    config = settings()
    with changing(database) as connection:
        known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
        if unknown := {*MigrationContext.configure(connection).get_current_heads()} - known:
            raise RuntimeError(
                f"the database is at step {', '.join(sorted(unknown))}, which this release does not know: a newer release "
                "has made it. Install that release, or restore the backup from before it."
            )
        config.attributes["connection"] = connection
        command.upgrade(config, to)


@contextmanager
def changing(database: Database) -> Iterator[Connection]:
    """One transaction for changes of tables.

    SQLite changes a table by copying and dropping it; with foreign keys in force the rows that refer to it would go along. So
    they are in force again, and looked at, when all is done.
    """
    with database.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        if database.is_sqlite:
            driver.execute("PRAGMA foreign_keys=OFF")  # does nothing once a transaction has begun
        try:
            with connection.begin():
                if not database.is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('migrations', 0))"))
                yield connection
                if database.is_sqlite and (lost := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
                    raise RuntimeError(f"rows that refer to others which are gone: {lost[:10]}")
        finally:
            if database.is_sqlite:
                driver.execute("PRAGMA foreign_keys=ON")


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
    lines = made.read_text().splitlines(keepends=True)
    made.write_text("".join(line for line in lines if "# ###" not in line))  # Alembic's request that a person reads it
    return made
