"""What Alembic runs: the connection comes from ``wolke.migrations``, the tables from the core and the domains."""

import json
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import sqlalchemy as sa
from alembic import context
from alembic.operations import ops

from wolke import cloud, core
from wolke.core.db import Base

for package in (core, *cloud.DOMAINS):  # a table is known by its module having been imported
    for module in walk_packages(package.__path__, f"{package.__name__}."):
        import_module(module.name)


def filled(_context: Any, _revision: Any, directives: list[ops.MigrationScript]) -> None:
    """Give rows that are there already what new rows get by default, where a new column must hold something."""
    for script in directives:
        for step in waiting(script.upgrade_ops):
            if isinstance(step, ops.AddColumnOp) and not step.column.nullable and step.column.server_default is None:
                step.column.server_default = default_of(step.column)


def waiting(step: Any) -> Any:
    for inner in getattr(step, "ops", ()):
        yield inner
        yield from waiting(inner)


def default_of(column: sa.Column[Any]) -> sa.DefaultClause | None:
    """A column's default as the database spells it; None where only a person can say what older rows are to hold."""
    declared: Any = column.default
    if declared is None or not (declared.is_scalar or declared.is_callable):
        return None
    value = declared.arg(None) if declared.is_callable else declared.arg
    if isinstance(value, bool):
        return sa.DefaultClause(sa.text("true" if value else "false"))  # a word that both databases know
    return sa.DefaultClause(json.dumps(value) if isinstance(column.type, sa.JSON) else str(value))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    compare_type=True,
    transactional_ddl=True,
    process_revision_directives=filled,
)
with context.begin_transaction():
    context.run_migrations()
