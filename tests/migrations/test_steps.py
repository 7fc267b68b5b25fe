"""Schema steps: the newest is what the tables say, none is taken by half, and a step keeps what is there."""

from __future__ import annotations

import shutil

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, inspect, select
from sqlalchemy.exc import IntegrityError

from wolke import migrations
from wolke.cli.setup import prepare
from wolke.core.config import Config
from wolke.core.db import Base, Database
from wolke.network.chassis import Chassis
from wolke.network.networks.table import Network
from wolke.network.ports.table import Port
from wolke.network.routers.table import Router
from wolke.network.subnets.table import Subnet

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
    migrations.upgrade(database)  # hosts that are there get what new ones get by default
    assert differences(database) == []
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT name, forced_down FROM host").all() == [("h1", 0)]
    database.close()


@pytest.fixture
def database(tmp_path, database_url):
    made = Database(database_url or f"sqlite:///{tmp_path}/cloud.db")
    yield made
    made.close()


def tables(database):
    with database.engine.connect() as connection:
        return set(inspect(connection).get_table_names())


def test_the_newest_step_of_this_release_is_what_its_tables_say(database):
    migrations.upgrade(database)
    assert differences(database) == [], "write the missing step: ./run migration MESSAGE"
    migrations.upgrade(database)
    assert differences(database) == []


def test_what_the_first_release_kept_is_there_in_the_newest(database):
    """Rows as they were, and in every new column what new rows get by default."""
    first = ScriptDirectory.from_config(migrations.settings()).get_base()
    migrations.upgrade(database, first)
    metadata = MetaData()
    with database.engine.begin() as connection:
        metadata.reflect(connection)
        for table in (metadata.tables[name] for name in ("chassis", "network", "router", "port")):
            row = {column.name: example(table, column) for column in table.columns if not column.nullable}
            connection.execute(table.insert().values(row))
    migrations.upgrade(database)
    with database.read() as db:
        chassis, router, port = (db.scalars(select(kind)).one() for kind in (Chassis, Router, Port))
        assert (chassis.isolated, chassis.resting) == (False, False)
        assert (router.distributed, router.ha, router.enable_ndp_proxy) == (True, True, False)
        assert (port.shut, port.dns_domain, port.network_id) == (False, "", "x")


def example(table, column):
    """A value of the column's type; every id is "x", so that what refers to it finds it."""
    if isinstance(column.type, sa.Boolean):
        return False
    if isinstance(column.type, sa.JSON):
        return []
    return 1 if isinstance(column.type, sa.Integer | sa.Float) else "x"


def test_a_step_that_dies_half_way_has_not_begun(place, database):
    step = migrations.new_step("first")
    whole = step.read_text()
    line = next(line for line in whole.splitlines() if "create_table('server'" in line)
    step.write_text(whole.replace(line, f"    raise OSError('no space left')\n{line}"))
    with pytest.raises(OSError, match="no space"):
        migrations.upgrade(database)
    assert tables(database) == set()
    step.write_text(whole)
    migrations.upgrade(database)
    assert differences(database) == []


def test_a_database_of_a_newer_release_is_left_alone(place, database):
    migrations.new_step("first")
    migrations.upgrade(database)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'later'")
    with pytest.raises(RuntimeError, match="step later, which this release does not know"):
        migrations.upgrade(database)


def test_a_table_that_is_copied_keeps_the_rows_that_refer_to_it(place, database):
    migrations.new_step("first")
    migrations.upgrade(database)
    with database.transaction() as db:
        db.add(Network(id="n", name="red"))
        db.flush()
        db.add(Subnet(id="s", network_id="n", cidr="10.0.0.0/24"))
    later = migrations.new_step("names are longer")
    change = "with op.batch_alter_table('network') as network:\n"
    change += "        network.alter_column('name', type_=sa.String(300), existing_nullable=False)\n"
    later.write_text(later.read_text().replace("def upgrade() -> None:\n", f"def upgrade() -> None:\n    {change}", 1))
    migrations.upgrade(database)
    with database.read() as db:
        assert [subnet.network_id for subnet in db.scalars(select(Subnet))] == ["n"]
    with pytest.raises(IntegrityError), database.transaction() as db:
        db.add(Subnet(id="t", network_id="nowhere", cidr="10.0.0.0/24"))


def test_a_step_that_loses_what_others_refer_to_is_not_taken(place, database):
    migrations.new_step("first")
    migrations.upgrade(database)
    with database.transaction() as db:
        db.add(Network(id="n", name="red"))
        db.flush()
        db.add(Subnet(id="s", network_id="n", cidr="10.0.0.0/24"))
    later = migrations.new_step("a mistake")
    body = later.read_text().replace(
        "def upgrade() -> None:\n", "def upgrade() -> None:\n    op.execute('DELETE FROM network')\n", 1
    )
    later.write_text(body)
    with pytest.raises((RuntimeError, IntegrityError)):
        migrations.upgrade(database)
    with database.read() as db:
        assert [network.name for network in db.scalars(select(Network))] == ["red"]


def test_init_takes_the_steps(tmp_path, database_url):
    config = Config(state=str(tmp_path / "state"), database=database_url)
    prepare(config)
    prepare(config)
    database = Database(config.database_url)
    assert differences(database) == [] and "alembic_version" in tables(database)
    database.close()
