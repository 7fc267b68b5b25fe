"""``wolke migration`` writes the step from the newest schema to the tables; ``upgrade`` takes it."""

from __future__ import annotations

import shutil

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from wolke import migrations
from wolke.core.db import Base, Database

SOURCE = migrations.HERE


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The migrations of a project that has none yet."""
    (tmp_path / "versions").mkdir()
    for name in ("env.py", "script.py.mako"):
        shutil.copy(SOURCE / name, tmp_path / name)
    monkeypatch.setattr(migrations, "HERE", tmp_path)
    return tmp_path


def differences(database):
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return compare_metadata(context, Base.metadata)


def test_the_first_step_makes_every_table_and_a_second_has_nothing_to_do(place, database_url):
    first = migrations.new_step("the first tables")
    assert first.name.endswith("_the_first_tables.py") and migrations.steps() == [first]
    database = Database(database_url or f"sqlite:///{place}/new.db")
    migrations.upgrade(database)
    assert differences(database) == []
    assert {"server", "port", "host", "authority"} <= set(inspect(database.engine).get_table_names())
    migrations.upgrade(database)  # safe to repeat
    database.close()
    second = migrations.new_step("nothing")
    assert "op." not in second.read_text()


def test_a_later_step_keeps_what_is_there(place):
    step = migrations.new_step("first")
    database = Database(f"sqlite:///{place}/old.db")
    text = step.read_text()
    without = text.replace("sa.Column('forced_down', sa.Boolean(), nullable=False),", "")
    assert without != text
    step.write_text(without)
    migrations.upgrade(database)
    with database.engine.begin() as connection:
        columns = [c["name"] for c in inspect(connection).get_columns("host") if not c["nullable"]]
        values = dict.fromkeys(columns, "''") | {"name": "'h1'", "facts": "'{}'"}
        connection.exec_driver_sql(f"INSERT INTO host ({','.join(values)}) VALUES ({','.join(values.values())})")
    added = migrations.new_step("hosts may be forced down")
    body = added.read_text()
    assert "add_column" in body and "forced_down" in body
    added.write_text(body.replace("nullable=False", "nullable=False, server_default=sa.false()"))
    migrations.upgrade(database)
    assert differences(database) == []
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT name, forced_down FROM host").all() == [("h1", 0)]
    database.close()
