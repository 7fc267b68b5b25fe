"""the whole network"""

import sqlalchemy as sa
from alembic import op

revision = "e00b86618e55"
down_revision = "cd33fa43ad70"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "address_group",
        sa.Column("addresses", sa.JSON(), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_group")),
    )
    with op.batch_alter_table("address_group", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_address_group_project_id"), ["project_id"], unique=False)

    op.create_table(
        "address_scope",
        sa.Column("ip_version", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_scope")),
    )
    with op.batch_alter_table("address_scope", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_address_scope_project_id"), ["project_id"], unique=False)

    op.create_table(
        "bgp_peer",
        sa.Column("peer_ip", sa.String(length=255), nullable=False),
        sa.Column("remote_as", sa.BigInteger(), nullable=False),
        sa.Column("auth_type", sa.String(length=255), nullable=False),
        sa.Column("password", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bgp_peer")),
    )
    with op.batch_alter_table("bgp_peer", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_bgp_peer_project_id"), ["project_id"], unique=False)

    op.create_table(
        "bgp_speaker",
        sa.Column("local_as", sa.BigInteger(), nullable=False),
        sa.Column("ip_version", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("advertise_floating_ip_host_routes", sa.Boolean(), nullable=False),
        sa.Column("advertise_tenant_networks", sa.Boolean(), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bgp_speaker")),
    )
    with op.batch_alter_table("bgp_speaker", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_bgp_speaker_project_id"), ["project_id"], unique=False)

    op.create_table(
        "chassis_told",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("address", sa.String(length=255), nullable=False),
        sa.Column("tunnels", sa.JSON(), nullable=False),
        sa.Column("switching", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_chassis_told")),
    )
    op.create_table(
        "default_security_group_rule",
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("used_in_default_sg", sa.Boolean(), nullable=False),
        sa.Column("used_in_non_default_sg", sa.Boolean(), nullable=False),
        sa.Column("direction", sa.String(length=255), nullable=False),
        sa.Column("ethertype", sa.String(length=255), nullable=False),
        sa.Column("protocol", sa.String(length=255), nullable=True),
        sa.Column("port_range_min", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("port_range_max", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("remote_ip_prefix", sa.String(length=255), nullable=True),
        sa.Column("remote_group_id", sa.String(length=255), nullable=True),
        sa.Column("remote_address_group_id", sa.String(length=255), nullable=True),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_default_security_group_rule")),
    )
    with op.batch_alter_table("default_security_group_rule", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_default_security_group_rule_project_id"), ["project_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_default_security_group_rule_remote_address_group_id"),
            ["remote_address_group_id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_default_security_group_rule_remote_group_id"), ["remote_group_id"], unique=False
        )

    op.create_table(
        "doorman_rule",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("action", sa.String(length=255), nullable=False),
        sa.Column("direction", sa.String(length=255), nullable=False),
        sa.Column("ethertype", sa.String(length=255), nullable=True),
        sa.Column("protocol", sa.String(length=255), nullable=True),
        sa.Column("port_range_min", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("port_range_max", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("source_port_range_min", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("source_port_range_max", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("remote_ip_prefixes", sa.JSON(), nullable=False),
        sa.Column("local_ip_prefixes", sa.JSON(), nullable=False),
        sa.Column("network_id", sa.String(length=255), nullable=True),
        sa.Column("subnetpool_id", sa.String(length=255), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_doorman_rule")),
    )
    with op.batch_alter_table("doorman_rule", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_doorman_rule_network_id"), ["network_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_doorman_rule_position"), ["position"], unique=False)
        batch_op.create_index(batch_op.f("ix_doorman_rule_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_doorman_rule_subnetpool_id"), ["subnetpool_id"], unique=False)

    op.create_table(
        "drift",
        sa.Column("place", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=255), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("rows", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("noticed_at", sa.Double(), nullable=False),
        sa.Column("undone_at", sa.Double(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift")),
    )
    with op.batch_alter_table("drift", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_drift_noticed_at"), ["noticed_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_drift_place"), ["place"], unique=False)
        batch_op.create_index(batch_op.f("ix_drift_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_drift_undone_at"), ["undone_at"], unique=False)

    op.create_table(
        "edge_opening",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("way", sa.String(length=255), nullable=False),
        sa.Column("thing_id", sa.String(length=255), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("address", sa.String(length=255), nullable=False),
        sa.Column("port_id", sa.String(length=255), nullable=False),
        sa.Column("protocol", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("port_min", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("port_max", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("decided_by", sa.JSON(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("event_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_edge_opening")),
    )
    with op.batch_alter_table("edge_opening", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_edge_opening_port_id"), ["port_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_edge_opening_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_edge_opening_since"), ["since"], unique=False)
        batch_op.create_index(batch_op.f("ix_edge_opening_thing_id"), ["thing_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_edge_opening_way"), ["way"], unique=False)

    op.create_table(
        "ended_conversation",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("address", sa.String(length=255), nullable=False),
        sa.Column("protocol", sa.String(length=255), nullable=False),
        sa.Column("first", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("last", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("mac", sa.String(length=255), nullable=False),
        sa.Column("port_id", sa.String(length=255), nullable=False),
        sa.Column("localnet", sa.String(length=255), nullable=False),
        sa.Column("vlan", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ended_conversation")),
    )
    with op.batch_alter_table("ended_conversation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ended_conversation_address"), ["address"], unique=False)
        batch_op.create_index(batch_op.f("ix_ended_conversation_at"), ["at"], unique=False)

    op.create_table(
        "network_log",
        sa.Column("event", sa.String(length=255), nullable=False),
        sa.Column("resource_type", sa.String(length=255), nullable=False),
        sa.Column("resource_id", sa.String(length=255), nullable=True),
        sa.Column("target_id", sa.String(length=255), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_network_log")),
    )
    with op.batch_alter_table("network_log", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_network_log_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_network_log_resource_id"), ["resource_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_network_log_target_id"), ["target_id"], unique=False)

    op.create_table(
        "qos_policy",
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_policy")),
    )
    with op.batch_alter_table("qos_policy", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_qos_policy_project_id"), ["project_id"], unique=False)

    op.create_table(
        "rbac_policy",
        sa.Column("object_type", sa.String(length=255), nullable=False),
        sa.Column("object_id", sa.String(length=255), nullable=False),
        sa.Column("action", sa.String(length=255), nullable=False),
        sa.Column("target_project", sa.String(length=255), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rbac_policy")),
        sa.UniqueConstraint(
            "object_type",
            "object_id",
            "action",
            "target_project",
            name=op.f("uq_rbac_policy_object_type_object_id_action_target_project"),
        ),
    )
    with op.batch_alter_table("rbac_policy", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rbac_policy_object_id"), ["object_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_rbac_policy_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_rbac_policy_target_project"), ["target_project"], unique=False)

    op.create_table(
        "vtep",
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("address", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_vtep")),
    )
    op.create_table(
        "zone",
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("physical_network", sa.String(length=255), nullable=False),
        sa.Column("ranges", sa.JSON(), nullable=False),
        sa.Column("outer_tag", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("mtu", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("udp_port", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("peers", sa.JSON(), nullable=False),
        sa.Column("asn", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("bgp_peers", sa.JSON(), nullable=False),
        sa.Column("gateway_mac", sa.String(length=255), nullable=False),
        sa.Column("route_targets", sa.JSON(), nullable=False),
        sa.Column("l3_vni", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_zone")),
        sa.UniqueConstraint("name", name=op.f("uq_zone_name")),
    )
    with op.batch_alter_table("zone", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_zone_physical_network"), ["physical_network"], unique=False)
        batch_op.create_index(batch_op.f("ix_zone_project_id"), ["project_id"], unique=False)

    op.create_table(
        "auto_allocated_topology",
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("network_id", sa.String(length=64), nullable=False),
        sa.Column("router_id", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["network_id"], ["network.id"], name=op.f("fk_auto_allocated_topology_network_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["router_id"], ["router.id"], name=op.f("fk_auto_allocated_topology_router_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_auto_allocated_topology")),
    )
    op.create_table(
        "bgp_speaker_network",
        sa.Column("speaker_id", sa.String(length=64), nullable=False),
        sa.Column("network_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["network_id"], ["network.id"], name=op.f("fk_bgp_speaker_network_network_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["speaker_id"], ["bgp_speaker.id"], name=op.f("fk_bgp_speaker_network_speaker_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("speaker_id", "network_id", name=op.f("pk_bgp_speaker_network")),
    )
    with op.batch_alter_table("bgp_speaker_network", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_bgp_speaker_network_network_id"), ["network_id"], unique=False)

    op.create_table(
        "bgp_speaker_peer",
        sa.Column("speaker_id", sa.String(length=64), nullable=False),
        sa.Column("peer_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["peer_id"], ["bgp_peer.id"], name=op.f("fk_bgp_speaker_peer_peer_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["speaker_id"], ["bgp_speaker.id"], name=op.f("fk_bgp_speaker_peer_speaker_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("speaker_id", "peer_id", name=op.f("pk_bgp_speaker_peer")),
    )
    with op.batch_alter_table("bgp_speaker_peer", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_bgp_speaker_peer_peer_id"), ["peer_id"], unique=False)

    op.create_table(
        "doorman_exception",
        sa.Column("rule_id", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.String(length=255), nullable=False),
        sa.Column("floatingip_id", sa.String(length=255), nullable=True),
        sa.Column("local_ip_prefix", sa.String(length=255), nullable=True),
        sa.Column("remote_ip_prefix", sa.String(length=255), nullable=True),
        sa.Column("reason", sa.String(length=255), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("expired", sa.Boolean(), nullable=False),
        sa.Column("granted", sa.JSON(), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rule_id"], ["doorman_rule.id"], name=op.f("fk_doorman_exception_rule_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_doorman_exception")),
    )
    with op.batch_alter_table("doorman_exception", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_doorman_exception_expired"), ["expired"], unique=False)
        batch_op.create_index(batch_op.f("ix_doorman_exception_floatingip_id"), ["floatingip_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_doorman_exception_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_doorman_exception_rule_id"), ["rule_id"], unique=False)

    op.create_table(
        "ndp_proxy",
        sa.Column("router_id", sa.String(length=64), nullable=False),
        sa.Column("port_id", sa.String(length=255), nullable=False),
        sa.Column("ip_address", sa.String(length=255), nullable=False),
        sa.Column("mac_address", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["router_id"], ["router.id"], name=op.f("fk_ndp_proxy_router_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ndp_proxy")),
        sa.UniqueConstraint("router_id", "ip_address", name=op.f("uq_ndp_proxy_router_id_ip_address")),
    )
    with op.batch_alter_table("ndp_proxy", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ndp_proxy_port_id"), ["port_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_ndp_proxy_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_ndp_proxy_router_id"), ["router_id"], unique=False)

    op.create_table(
        "qos_rule",
        sa.Column("qos_policy_id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("direction", sa.String(length=255), nullable=False),
        sa.Column("max_kbps", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("max_burst_kbps", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("dscp_mark", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["qos_policy_id"], ["qos_policy.id"], name=op.f("fk_qos_rule_qos_policy_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_rule")),
        sa.UniqueConstraint(
            "qos_policy_id", "type", "direction", name=op.f("uq_qos_rule_qos_policy_id_type_direction")
        ),
    )
    with op.batch_alter_table("qos_rule", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_qos_rule_project_id"), ["project_id"], unique=False)

    op.create_table(
        "segment",
        sa.Column("network_id", sa.String(length=64), nullable=False),
        sa.Column("network_type", sa.String(length=255), nullable=False),
        sa.Column("physical_network", sa.String(length=255), nullable=False),
        sa.Column("segmentation_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("is_first", sa.Boolean(), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["network_id"], ["network.id"], name=op.f("fk_segment_network_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segment")),
        sa.UniqueConstraint(
            "network_type",
            "physical_network",
            "segmentation_id",
            name=op.f("uq_segment_network_type_physical_network_segmentation_id"),
        ),
    )
    with op.batch_alter_table("segment", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_segment_network_id"), ["network_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_segment_project_id"), ["project_id"], unique=False)

    op.create_table(
        "zone_grant",
        sa.Column("zone_id", sa.String(length=64), nullable=False),
        sa.Column("subject_type", sa.String(length=255), nullable=False),
        sa.Column("subject_id", sa.String(length=255), nullable=False),
        sa.Column("level", sa.String(length=255), nullable=False),
        sa.Column("on_revoke", sa.String(length=255), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_zone_grant_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_zone_grant")),
        sa.UniqueConstraint(
            "zone_id", "subject_type", "subject_id", name=op.f("uq_zone_grant_zone_id_subject_type_subject_id")
        ),
    )
    with op.batch_alter_table("zone_grant", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_zone_grant_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_zone_grant_subject_id"), ["subject_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_zone_grant_zone_id"), ["zone_id"], unique=False)

    op.create_table(
        "zone_host",
        sa.Column("zone_id", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.String(length=255), nullable=False),
        sa.Column("error", sa.String(length=255), nullable=False),
        sa.Column("peers", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_zone_host_zone_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("zone_id", "host", name=op.f("pk_zone_host")),
    )
    op.create_table(
        "zone_segment",
        sa.Column("network_id", sa.String(length=64), nullable=False),
        sa.Column("zone_id", sa.String(length=64), nullable=False),
        sa.Column("segmentation_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tag", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("stretched", sa.Boolean(), nullable=False),
        sa.Column("right", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_zone_segment_zone_id")),
        sa.PrimaryKeyConstraint("network_id", name=op.f("pk_zone_segment")),
        sa.UniqueConstraint("zone_id", "segmentation_id", name=op.f("uq_zone_segment_zone_id_segmentation_id")),
        sa.UniqueConstraint("zone_id", "tag", name=op.f("uq_zone_segment_zone_id_tag")),
    )
    with op.batch_alter_table("zone_segment", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_zone_segment_right"), ["right"], unique=False)
        batch_op.create_index(batch_op.f("ix_zone_segment_zone_id"), ["zone_id"], unique=False)

    op.create_table(
        "port_binding",
        sa.Column("port_id", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("vnic_type", sa.String(length=255), nullable=False),
        sa.Column("profile", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["port.id"], name=op.f("fk_port_binding_port_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("port_id", "host", name=op.f("pk_port_binding")),
    )
    op.create_table(
        "port_forwarding",
        sa.Column("floating_ip_id", sa.String(length=64), nullable=False),
        sa.Column("protocol", sa.String(length=255), nullable=False),
        sa.Column("external_first", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("external_last", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("internal_port_id", sa.String(length=255), nullable=False),
        sa.Column("internal_ip_address", sa.String(length=255), nullable=False),
        sa.Column("internal_first", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("internal_last", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["floating_ip_id"], ["floating_ip.id"], name=op.f("fk_port_forwarding_floating_ip_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_port_forwarding")),
    )
    with op.batch_alter_table("port_forwarding", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_port_forwarding_floating_ip_id"), ["floating_ip_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_port_forwarding_internal_port_id"), ["internal_port_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_port_forwarding_project_id"), ["project_id"], unique=False)

    op.create_table(
        "trunk",
        sa.Column("port_id", sa.String(length=64), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["port.id"], name=op.f("fk_trunk_port_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trunk")),
        sa.UniqueConstraint("port_id", name=op.f("uq_trunk_port_id")),
    )
    with op.batch_alter_table("trunk", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_trunk_project_id"), ["project_id"], unique=False)

    op.create_table(
        "zone_port",
        sa.Column("port_id", sa.String(length=64), nullable=False),
        sa.Column("zone_id", sa.String(length=64), nullable=False),
        sa.Column("right", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["port.id"], name=op.f("fk_zone_port_port_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_zone_port_zone_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("port_id", name=op.f("pk_zone_port")),
    )
    with op.batch_alter_table("zone_port", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_zone_port_right"), ["right"], unique=False)
        batch_op.create_index(batch_op.f("ix_zone_port_zone_id"), ["zone_id"], unique=False)

    op.create_table(
        "subport",
        sa.Column("port_id", sa.String(length=64), nullable=False),
        sa.Column("trunk_id", sa.String(length=64), nullable=False),
        sa.Column("segmentation_type", sa.String(length=255), nullable=False),
        sa.Column("segmentation_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["port.id"], name=op.f("fk_subport_port_id")),
        sa.ForeignKeyConstraint(["trunk_id"], ["trunk.id"], name=op.f("fk_subport_trunk_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("port_id", name=op.f("pk_subport")),
        sa.UniqueConstraint(
            "trunk_id",
            "segmentation_type",
            "segmentation_id",
            name=op.f("uq_subport_trunk_id_segmentation_type_segmentation_id"),
        ),
    )
    with op.batch_alter_table("subport", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_subport_trunk_id"), ["trunk_id"], unique=False)

    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.add_column(sa.Column("user_name", sa.String(length=255), server_default="", nullable=False))
        batch_op.add_column(sa.Column("user_domain_id", sa.String(length=255), server_default="", nullable=False))
        batch_op.add_column(sa.Column("before", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("after", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("place", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True))
        batch_op.add_column(sa.Column("seal", sa.String(length=255), server_default="", nullable=False))
        batch_op.create_unique_constraint(batch_op.f("uq_audit_event_place"), ["place"])

    with op.batch_alter_table("chassis", schema=None) as batch_op:
        batch_op.add_column(sa.Column("isolated", sa.Boolean(), server_default=sa.text("(false)"), nullable=False))
        batch_op.add_column(sa.Column("resting", sa.Boolean(), server_default=sa.text("(false)"), nullable=False))

    with op.batch_alter_table("floating_ip", schema=None) as batch_op:
        batch_op.add_column(sa.Column("qos_policy_id", sa.String(length=255), nullable=True))
        batch_op.create_index(batch_op.f("ix_floating_ip_qos_policy_id"), ["qos_policy_id"], unique=False)

    with op.batch_alter_table("network", schema=None) as batch_op:
        batch_op.add_column(sa.Column("qos_policy_id", sa.String(length=255), nullable=True))
        batch_op.create_index(batch_op.f("ix_network_qos_policy_id"), ["qos_policy_id"], unique=False)

    with op.batch_alter_table("port", schema=None) as batch_op:
        batch_op.add_column(sa.Column("dns_domain", sa.String(length=255), server_default="", nullable=False))
        batch_op.add_column(sa.Column("mac_learning", sa.Boolean(), nullable=True))
        batch_op.add_column(sa.Column("qos_policy_id", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("data_plane_status", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("shut", sa.Boolean(), server_default=sa.text("(false)"), nullable=False))
        batch_op.create_index(batch_op.f("ix_port_qos_policy_id"), ["qos_policy_id"], unique=False)

    with op.batch_alter_table("router", schema=None) as batch_op:
        batch_op.add_column(sa.Column("distributed", sa.Boolean(), server_default=sa.text("(true)"), nullable=False))
        batch_op.add_column(sa.Column("ha", sa.Boolean(), server_default=sa.text("(true)"), nullable=False))
        batch_op.add_column(
            sa.Column("enable_default_route_ecmp", sa.Boolean(), server_default=sa.text("(false)"), nullable=False)
        )
        batch_op.add_column(
            sa.Column("enable_default_route_bfd", sa.Boolean(), server_default=sa.text("(false)"), nullable=False)
        )
        batch_op.add_column(
            sa.Column("enable_ndp_proxy", sa.Boolean(), server_default=sa.text("(false)"), nullable=False)
        )

    with op.batch_alter_table("security_group_rule", schema=None) as batch_op:
        batch_op.add_column(sa.Column("remote_address_group_id", sa.String(length=255), nullable=True))
        batch_op.create_index(
            batch_op.f("ix_security_group_rule_remote_address_group_id"), ["remote_address_group_id"], unique=False
        )

    with op.batch_alter_table("subnetpool", schema=None) as batch_op:
        batch_op.add_column(sa.Column("address_scope_id", sa.String(length=255), nullable=True))
        batch_op.create_index(batch_op.f("ix_subnetpool_address_scope_id"), ["address_scope_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("subnetpool", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_subnetpool_address_scope_id"))
        batch_op.drop_column("address_scope_id")

    with op.batch_alter_table("security_group_rule", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_security_group_rule_remote_address_group_id"))
        batch_op.drop_column("remote_address_group_id")

    with op.batch_alter_table("router", schema=None) as batch_op:
        batch_op.drop_column("enable_ndp_proxy")
        batch_op.drop_column("enable_default_route_bfd")
        batch_op.drop_column("enable_default_route_ecmp")
        batch_op.drop_column("ha")
        batch_op.drop_column("distributed")

    with op.batch_alter_table("port", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_port_qos_policy_id"))
        batch_op.drop_column("shut")
        batch_op.drop_column("data_plane_status")
        batch_op.drop_column("qos_policy_id")
        batch_op.drop_column("mac_learning")
        batch_op.drop_column("dns_domain")

    with op.batch_alter_table("network", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_network_qos_policy_id"))
        batch_op.drop_column("qos_policy_id")

    with op.batch_alter_table("floating_ip", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_floating_ip_qos_policy_id"))
        batch_op.drop_column("qos_policy_id")

    with op.batch_alter_table("chassis", schema=None) as batch_op:
        batch_op.drop_column("resting")
        batch_op.drop_column("isolated")

    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_audit_event_place"), type_="unique")
        batch_op.drop_column("seal")
        batch_op.drop_column("place")
        batch_op.drop_column("after")
        batch_op.drop_column("before")
        batch_op.drop_column("user_domain_id")
        batch_op.drop_column("user_name")

    with op.batch_alter_table("subport", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_subport_trunk_id"))

    op.drop_table("subport")
    with op.batch_alter_table("zone_port", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_zone_port_zone_id"))
        batch_op.drop_index(batch_op.f("ix_zone_port_right"))

    op.drop_table("zone_port")
    with op.batch_alter_table("trunk", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_trunk_project_id"))

    op.drop_table("trunk")
    with op.batch_alter_table("port_forwarding", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_port_forwarding_project_id"))
        batch_op.drop_index(batch_op.f("ix_port_forwarding_internal_port_id"))
        batch_op.drop_index(batch_op.f("ix_port_forwarding_floating_ip_id"))

    op.drop_table("port_forwarding")
    op.drop_table("port_binding")
    with op.batch_alter_table("zone_segment", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_zone_segment_zone_id"))
        batch_op.drop_index(batch_op.f("ix_zone_segment_right"))

    op.drop_table("zone_segment")
    op.drop_table("zone_host")
    with op.batch_alter_table("zone_grant", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_zone_grant_zone_id"))
        batch_op.drop_index(batch_op.f("ix_zone_grant_subject_id"))
        batch_op.drop_index(batch_op.f("ix_zone_grant_project_id"))

    op.drop_table("zone_grant")
    with op.batch_alter_table("segment", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_segment_project_id"))
        batch_op.drop_index(batch_op.f("ix_segment_network_id"))

    op.drop_table("segment")
    with op.batch_alter_table("qos_rule", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_qos_rule_project_id"))

    op.drop_table("qos_rule")
    with op.batch_alter_table("ndp_proxy", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_ndp_proxy_router_id"))
        batch_op.drop_index(batch_op.f("ix_ndp_proxy_project_id"))
        batch_op.drop_index(batch_op.f("ix_ndp_proxy_port_id"))

    op.drop_table("ndp_proxy")
    with op.batch_alter_table("doorman_exception", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_doorman_exception_rule_id"))
        batch_op.drop_index(batch_op.f("ix_doorman_exception_project_id"))
        batch_op.drop_index(batch_op.f("ix_doorman_exception_floatingip_id"))
        batch_op.drop_index(batch_op.f("ix_doorman_exception_expired"))

    op.drop_table("doorman_exception")
    with op.batch_alter_table("bgp_speaker_peer", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_bgp_speaker_peer_peer_id"))

    op.drop_table("bgp_speaker_peer")
    with op.batch_alter_table("bgp_speaker_network", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_bgp_speaker_network_network_id"))

    op.drop_table("bgp_speaker_network")
    op.drop_table("auto_allocated_topology")
    with op.batch_alter_table("zone", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_zone_project_id"))
        batch_op.drop_index(batch_op.f("ix_zone_physical_network"))

    op.drop_table("zone")
    op.drop_table("vtep")
    with op.batch_alter_table("rbac_policy", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_rbac_policy_target_project"))
        batch_op.drop_index(batch_op.f("ix_rbac_policy_project_id"))
        batch_op.drop_index(batch_op.f("ix_rbac_policy_object_id"))

    op.drop_table("rbac_policy")
    with op.batch_alter_table("qos_policy", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_qos_policy_project_id"))

    op.drop_table("qos_policy")
    with op.batch_alter_table("network_log", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_network_log_target_id"))
        batch_op.drop_index(batch_op.f("ix_network_log_resource_id"))
        batch_op.drop_index(batch_op.f("ix_network_log_project_id"))

    op.drop_table("network_log")
    with op.batch_alter_table("ended_conversation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_ended_conversation_at"))
        batch_op.drop_index(batch_op.f("ix_ended_conversation_address"))

    op.drop_table("ended_conversation")
    with op.batch_alter_table("edge_opening", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_edge_opening_way"))
        batch_op.drop_index(batch_op.f("ix_edge_opening_thing_id"))
        batch_op.drop_index(batch_op.f("ix_edge_opening_since"))
        batch_op.drop_index(batch_op.f("ix_edge_opening_project_id"))
        batch_op.drop_index(batch_op.f("ix_edge_opening_port_id"))

    op.drop_table("edge_opening")
    with op.batch_alter_table("drift", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_drift_undone_at"))
        batch_op.drop_index(batch_op.f("ix_drift_project_id"))
        batch_op.drop_index(batch_op.f("ix_drift_place"))
        batch_op.drop_index(batch_op.f("ix_drift_noticed_at"))

    op.drop_table("drift")
    with op.batch_alter_table("doorman_rule", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_doorman_rule_subnetpool_id"))
        batch_op.drop_index(batch_op.f("ix_doorman_rule_project_id"))
        batch_op.drop_index(batch_op.f("ix_doorman_rule_position"))
        batch_op.drop_index(batch_op.f("ix_doorman_rule_network_id"))

    op.drop_table("doorman_rule")
    with op.batch_alter_table("default_security_group_rule", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_default_security_group_rule_remote_group_id"))
        batch_op.drop_index(batch_op.f("ix_default_security_group_rule_remote_address_group_id"))
        batch_op.drop_index(batch_op.f("ix_default_security_group_rule_project_id"))

    op.drop_table("default_security_group_rule")
    op.drop_table("chassis_told")
    with op.batch_alter_table("bgp_speaker", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_bgp_speaker_project_id"))

    op.drop_table("bgp_speaker")
    with op.batch_alter_table("bgp_peer", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_bgp_peer_project_id"))

    op.drop_table("bgp_peer")
    with op.batch_alter_table("address_scope", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_address_scope_project_id"))

    op.drop_table("address_scope")
    with op.batch_alter_table("address_group", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_address_group_project_id"))

    op.drop_table("address_group")
