"""What Alembic runs: the connection comes from ``wolke.migrations``, the tables from the domains."""

from alembic import context

import wolke.cloud
from wolke.core.db import Base

assert wolke.cloud.DOMAINS  # their tables are known by having been imported
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    compare_type=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
