"""packet rates"""

import sqlalchemy as sa
from alembic import op

revision = "79d0e63ee00c"
down_revision = "a1caddcb079f"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("qos_rule", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "max_kpps", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), server_default="0", nullable=False
            )
        )
        batch_op.add_column(
            sa.Column(
                "max_burst_kpps",
                sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
                server_default="0",
                nullable=False,
            )
        )


def downgrade() -> None:
    with op.batch_alter_table("qos_rule", schema=None) as batch_op:
        batch_op.drop_column("max_burst_kpps")
        batch_op.drop_column("max_kpps")
