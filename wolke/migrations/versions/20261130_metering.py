"""metering"""

import sqlalchemy as sa
from alembic import op

revision = "a1caddcb079f"
down_revision = "c3d4bcbf723c"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "metering_flow",
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("meter", sa.String(length=64), nullable=False),
        sa.Column("router_id", sa.String(length=255), nullable=False),
        sa.Column("direction", sa.String(length=255), nullable=False),
        sa.Column("packets", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("bytes", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("born", sa.Double(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("host", "meter", name=op.f("pk_metering_flow")),
    )
    op.create_table(
        "metering_label",
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metering_label")),
    )
    with op.batch_alter_table("metering_label", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_metering_label_project_id"), ["project_id"], unique=False)

    op.create_table(
        "metering_count",
        sa.Column("label_id", sa.String(length=64), nullable=False),
        sa.Column("router_id", sa.String(length=255), nullable=False),
        sa.Column("packets_in", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("bytes_in", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("packets_out", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("bytes_out", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("counted_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["label_id"], ["metering_label.id"], name=op.f("fk_metering_count_label_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("label_id", "router_id", name=op.f("pk_metering_count")),
    )
    op.create_table(
        "metering_label_rule",
        sa.Column("metering_label_id", sa.String(length=64), nullable=False),
        sa.Column("direction", sa.String(length=255), nullable=False),
        sa.Column("remote_ip_prefix", sa.String(length=255), nullable=True),
        sa.Column("source_ip_prefix", sa.String(length=255), nullable=True),
        sa.Column("destination_ip_prefix", sa.String(length=255), nullable=True),
        sa.Column("excluded", sa.Boolean(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["metering_label_id"],
            ["metering_label.id"],
            name=op.f("fk_metering_label_rule_metering_label_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metering_label_rule")),
    )
    with op.batch_alter_table("metering_label_rule", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_metering_label_rule_metering_label_id"), ["metering_label_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_metering_label_rule_project_id"), ["project_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("metering_label_rule", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_metering_label_rule_project_id"))
        batch_op.drop_index(batch_op.f("ix_metering_label_rule_metering_label_id"))

    op.drop_table("metering_label_rule")
    op.drop_table("metering_count")
    with op.batch_alter_table("metering_label", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_metering_label_project_id"))

    op.drop_table("metering_label")
    op.drop_table("metering_flow")
