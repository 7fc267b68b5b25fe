"""What Alembic runs: the connection comes from ``wolke.migrations``, the tables from the core and the domains."""

from importlib import import_module
from pkgutil import walk_packages

from alembic import context

from wolke import cloud, core
from wolke.core.db import Base

for package in (core, *cloud.DOMAINS):  # a table is known by its module having been imported
    for module in walk_packages(package.__path__, f"{package.__name__}."):
        import_module(module.name)
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    compare_type=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
