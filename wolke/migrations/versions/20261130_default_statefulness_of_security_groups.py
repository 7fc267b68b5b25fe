"""default statefulness of security groups"""

import sqlalchemy as sa
from alembic import op

revision = "c3d4bcbf723c"
down_revision = "e00b86618e55"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "default_statefulness",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("stateful", sa.Boolean(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_default_statefulness")),
        sa.UniqueConstraint("project_id", name=op.f("uq_default_statefulness_project_id")),
    )


def downgrade() -> None:
    op.drop_table("default_statefulness")
