"""Accounts, groups, roles, robots, labels, quotas, network rules, sessions and the audit chain."""

import sqlalchemy as sa
from alembic import op

from homeport.db.triggers import create_statements, drop_statements

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_IS_INDEX = (
    "media_type IN ('application/vnd.oci.image.index.v1+json', "
    "'application/vnd.docker.distribution.manifest.list.v2+json')"
)

# what pushes note of a manifest, for those that are there already
_DESCRIBE_MANIFESTS = (
    """UPDATE manifest SET accessory_subject = subject_digest, accessory_kind = 'subject.accessory'
        WHERE subject_digest IS NOT NULL""",
    """UPDATE manifest SET kind = 'IMAGE' WHERE media_type LIKE '%index.v1+json'
        OR media_type LIKE '%manifest.list.v2+json' OR referrer_type IN
        ('application/vnd.oci.image.config.v1+json', 'application/vnd.docker.container.image.v1+json')""",
    "UPDATE manifest SET kind = 'CHART' WHERE referrer_type = 'application/vnd.cncf.helm.config.v1+json'",
    """UPDATE manifest SET total_bytes = size_bytes + COALESCE((SELECT SUM(r.size_bytes)
        FROM manifest_reference AS r WHERE r.manifest_id = manifest.id AND r.kind <> 'manifest'), 0)""",
    """UPDATE manifest SET total_bytes = total_bytes + COALESCE((SELECT SUM(child.total_bytes)
        FROM manifest_reference AS r JOIN manifest AS child ON child.digest = r.digest
        WHERE r.manifest_id = manifest.id AND r.kind = 'manifest'
        AND child.repository_id = manifest.repository_id), 0)
        WHERE id IN (SELECT manifest_id FROM manifest_reference WHERE kind = 'manifest')""",
)

# what the projects that are there already use: blobs and manifests, each once
_FILL_QUOTAS = (
    """INSERT INTO project_content (project_id, digest, size_bytes)
        SELECT r.project_id, m.digest, MAX(m.size_bytes) FROM manifest AS m
        JOIN repository AS r ON r.id = m.repository_id GROUP BY r.project_id, m.digest""",
    """INSERT INTO project_content (project_id, digest, size_bytes)
        SELECT r.project_id, b.digest, MAX(b.size_bytes) FROM repository_blob AS l
        JOIN repository AS r ON r.id = l.repository_id JOIN blob AS b ON b.digest = l.digest
        WHERE NOT EXISTS (SELECT 1 FROM project_content AS c
            WHERE c.project_id = r.project_id AND c.digest = b.digest)
        GROUP BY r.project_id, b.digest""",
    """INSERT INTO quota (project_id, hard_bytes, used_bytes, created_at, updated_at)
        SELECT p.id, -1, COALESCE((SELECT SUM(c.size_bytes) FROM project_content AS c
            WHERE c.project_id = p.id), 0), p.created_at, p.created_at FROM project AS p""",
)


def upgrade() -> None:  # noqa: PLR0915 - one statement per table and column
    op.create_table(
        "access_version",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_version")),
    )
    op.create_table(
        "audit_checkpoint",
        sa.Column("stream", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("kid", sa.String(length=64), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "sequence", "purpose", name=op.f("pk_audit_checkpoint")),
    )
    op.create_table(
        "audit_forward",
        sa.Column("target", sa.String(length=32), nullable=False),
        sa.Column("stream", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("target", "stream", name=op.f("pk_audit_forward")),
    )
    op.create_table(
        "audit_stream",
        sa.Column("stream", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("stream", name=op.f("pk_audit_stream")),
    )
    op.create_table(
        "role",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_role")),
        sa.UniqueConstraint("name", name=op.f("uq_role_name")),
    )
    op.create_table(
        "setting",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("sealed_value", sa.LargeBinary(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_setting")),
    )
    op.create_table(
        "user_group",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("ldap_group_dn", sa.String(length=512), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN (1, 2, 3)", name=op.f("ck_user_group_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_group")),
        sa.UniqueConstraint(
            "kind", "name", "ldap_group_dn", name=op.f("uq_user_group_kind_name_ldap_group_dn")
        ),
    )
    op.create_table(
        "label",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("color", sa.String(length=16), server_default="", nullable=False),
        sa.Column("project_id", ID, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_label_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label")),
        sa.UniqueConstraint("project_id", "name", name=op.f("uq_label_project_id_name")),
    )
    op.create_index(op.f("ix_label_project_id"), "label", ["project_id"], unique=False)
    op.create_index(
        "uq_label_global_name",
        "label",
        ["name"],
        unique=True,
        sqlite_where=sa.text("project_id IS NULL"),
        postgresql_where=sa.text("project_id IS NULL"),
    )
    op.create_table(
        "network_rule",
        sa.Column("id", ID, nullable=False),
        sa.Column("project_id", ID, nullable=True),
        sa.Column("operation", sa.String(length=16), nullable=False),
        sa.Column("network", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "operation IN ('pull', 'push', 'management')", name=op.f("ck_network_rule_operation")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_network_rule_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_network_rule")),
    )
    op.create_index(op.f("ix_network_rule_project_id"), "network_rule", ["project_id"], unique=False)
    op.create_table(
        "project_member",
        sa.Column("id", ID, nullable=False),
        sa.Column("project_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("group_id", ID, nullable=True),
        sa.Column("role_id", sa.BigInteger(), nullable=False),
        sa.Column("repository_pattern", sa.String(length=255), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(user_id IS NULL) <> (group_id IS NULL)", name=op.f("ck_project_member_entity")),
        sa.ForeignKeyConstraint(
            ["group_id"], ["user_group.id"], name=op.f("fk_project_member_group_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_project_member_project_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_project_member_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_member")),
    )
    op.create_index(op.f("ix_project_member_group_id"), "project_member", ["group_id"], unique=False)
    op.create_index(op.f("ix_project_member_user_id"), "project_member", ["user_id"], unique=False)
    op.create_index(
        "uq_project_member_group",
        "project_member",
        ["project_id", "group_id", "repository_pattern"],
        unique=True,
    )
    op.create_index(
        "uq_project_member_user",
        "project_member",
        ["project_id", "user_id", "repository_pattern"],
        unique=True,
    )
    op.create_table(
        "project_metadata",
        sa.Column("project_id", ID, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_project_metadata_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "name", name=op.f("pk_project_metadata")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "quota",
        sa.Column("id", ID, nullable=False),
        sa.Column("project_id", ID, nullable=False),
        sa.Column("hard_bytes", sa.BigInteger(), nullable=False),
        sa.Column("used_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_quota_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quota")),
        sa.UniqueConstraint("project_id", name=op.f("uq_quota_project_id")),
    )
    op.create_table(
        "project_content",
        sa.Column("project_id", ID, nullable=False),
        sa.Column("digest", sa.String(length=140), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_project_content_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "digest", name=op.f("pk_project_content")),
        sqlite_with_rowid=False,
    )
    for statement in _FILL_QUOTAS:
        op.execute(statement)
    op.create_table(
        "robot",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("project_id", ID, nullable=True),
        sa.Column("is_disabled", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("is_visible", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("duration_days", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("creator_kind", sa.String(length=16), server_default="user", nullable=False),
        sa.Column("creator_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_address", sa.String(length=64), nullable=True),
        sa.Column("expiry_warned_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_robot_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_robot")),
        sa.UniqueConstraint("project_id", "name", name=op.f("uq_robot_project_id_name")),
    )
    op.create_index(op.f("ix_robot_project_id"), "robot", ["project_id"], unique=False)
    op.create_index(
        "uq_robot_system_name",
        "robot",
        ["name"],
        unique=True,
        sqlite_where=sa.text("project_id IS NULL"),
        postgresql_where=sa.text("project_id IS NULL"),
    )
    op.create_table(
        "session",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("password_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("auth_method", sa.String(length=32), nullable=False),
        sa.Column("csrf_token", sa.String(length=64), nullable=False),
        sa.Column("client_address", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_session_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_session")),
    )
    op.create_index(op.f("ix_session_expires_at"), "session", ["expires_at"], unique=False)
    op.create_index(op.f("ix_session_user_id"), "session", ["user_id"], unique=False)
    op.create_table(
        "user_group_member",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("group_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["user_group.id"], name=op.f("fk_user_group_member_group_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_user_group_member_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "group_id", name=op.f("pk_user_group_member")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_user_group_member_group_id"), "user_group_member", ["group_id"], unique=False)
    op.create_table(
        "client_certificate",
        sa.Column("id", ID, nullable=False),
        sa.Column("field", sa.String(length=16), nullable=False),
        sa.Column("value", sa.String(length=512), nullable=False),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("robot_id", ID, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(user_id IS NULL) <> (robot_id IS NULL)", name=op.f("ck_client_certificate_entity")
        ),
        sa.ForeignKeyConstraint(
            ["robot_id"], ["robot.id"], name=op.f("fk_client_certificate_robot_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_client_certificate_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_certificate")),
        sa.UniqueConstraint("field", "value", name=op.f("uq_client_certificate_field_value")),
    )
    op.create_table(
        "robot_permission",
        sa.Column("id", ID, nullable=False),
        sa.Column("robot_id", ID, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("project_id", ID, nullable=True),
        sa.Column("permission", sa.String(length=128), nullable=False),
        sa.Column("is_denied", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.CheckConstraint("kind IN ('system', 'project')", name=op.f("ck_robot_permission_kind")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_robot_permission_project_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["robot_id"], ["robot.id"], name=op.f("fk_robot_permission_robot_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_robot_permission")),
    )
    op.create_index(op.f("ix_robot_permission_robot_id"), "robot_permission", ["robot_id"], unique=False)
    op.create_table(
        "robot_secret",
        sa.Column("id", ID, nullable=False),
        sa.Column("robot_id", ID, nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["robot_id"], ["robot.id"], name=op.f("fk_robot_secret_robot_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_robot_secret")),
    )
    op.create_index(op.f("ix_robot_secret_robot_id"), "robot_secret", ["robot_id"], unique=False)
    op.create_table(
        "robot_trust",
        sa.Column("id", ID, nullable=False),
        sa.Column("robot_id", ID, nullable=False),
        sa.Column("issuer", sa.String(length=512), nullable=False),
        sa.Column("audience", sa.String(length=255), nullable=False),
        sa.Column("claims", sa.Text(), nullable=False),
        sa.Column("jwks", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["robot_id"], ["robot.id"], name=op.f("fk_robot_trust_robot_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_robot_trust")),
    )
    op.create_index(op.f("ix_robot_trust_issuer"), "robot_trust", ["issuer"], unique=False)
    op.create_index(op.f("ix_robot_trust_robot_id"), "robot_trust", ["robot_id"], unique=False)
    op.create_table(
        "manifest_label",
        sa.Column("manifest_id", ID, nullable=False),
        sa.Column("label_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["label_id"], ["label.id"], name=op.f("fk_manifest_label_label_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["manifest_id"], ["manifest.id"], name=op.f("fk_manifest_label_manifest_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("manifest_id", "label_id", name=op.f("pk_manifest_label")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_manifest_label_label_id"), "manifest_label", ["label_id"], unique=False)
    op.add_column("audit_record", sa.Column("before", sa.Text(), nullable=True))
    op.add_column("audit_record", sa.Column("after", sa.Text(), nullable=True))
    op.add_column("audit_record", sa.Column("stream", sa.Integer(), nullable=True))
    op.add_column("audit_record", sa.Column("sequence", sa.BigInteger(), nullable=True))
    op.add_column("audit_record", sa.Column("hash", sa.String(length=64), nullable=True))
    op.create_index("ix_audit_record_operation_recorded_at", "audit_record", ["operation", "recorded_at"])
    for name in ("principal", "project", "repository"):
        columns = [name, "recorded_at", "operation"]
        op.create_index(f"ix_audit_record_{name}_recorded_at", "audit_record", columns)
    op.create_index("uq_audit_record_stream_sequence", "audit_record", ["stream", "sequence"], unique=True)
    op.add_column("manifest", sa.Column("pulled_at", sa.BigInteger(), nullable=True))
    op.add_column(
        "manifest", sa.Column("kind", sa.String(length=255), server_default="UNKNOWN", nullable=False)
    )
    op.add_column("manifest", sa.Column("config_media_type", sa.Text(), nullable=True))
    op.add_column("manifest", sa.Column("extra_attrs", sa.Text(), nullable=True))
    op.add_column("manifest", sa.Column("total_bytes", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("manifest", sa.Column("accessory_kind", sa.String(length=64), nullable=True))
    op.add_column("manifest", sa.Column("accessory_subject", sa.String(length=140), nullable=True))
    op.create_index(
        "ix_manifest_repository_id_accessory_subject",
        "manifest",
        ["repository_id", "accessory_subject", "pushed_at"],
        unique=False,
    )
    op.create_index(
        "ix_manifest_indexes",
        "manifest",
        ["repository_id"],
        unique=False,
        sqlite_where=sa.text(_IS_INDEX),
        postgresql_where=sa.text(_IS_INDEX),
    )
    for statement in _DESCRIBE_MANIFESTS:
        op.execute(statement)
    op.add_column("project", sa.Column("owner_id", sa.BigInteger(), nullable=True))
    op.add_column("project", sa.Column("updated_at", sa.BigInteger(), nullable=True))
    op.add_column("project", sa.Column("registry_id", sa.BigInteger(), nullable=True))
    op.add_column("project", sa.Column("cve_allowlist", sa.Text(), nullable=True))
    op.add_column("repository", sa.Column("updated_at", sa.BigInteger(), nullable=True))
    op.add_column("repository", sa.Column("description", sa.Text(), server_default="", nullable=False))
    op.add_column("repository", sa.Column("pull_count", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("tag", sa.Column("pulled_at", sa.BigInteger(), nullable=True))
    op.add_column(
        "user_account", sa.Column("email", sa.String(length=255), server_default="", nullable=False)
    )
    op.add_column(
        "user_account", sa.Column("realname", sa.String(length=255), server_default="", nullable=False)
    )
    op.add_column(
        "user_account", sa.Column("comment", sa.String(length=255), server_default="", nullable=False)
    )
    op.add_column(
        "user_account", sa.Column("is_auditor", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column(
        "user_account",
        sa.Column("is_admin_in_source", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column(
        "user_account", sa.Column("source", sa.String(length=16), server_default="local", nullable=False)
    )
    op.add_column("user_account", sa.Column("external_id", sa.String(length=512), nullable=True))
    op.add_column("user_account", sa.Column("cli_secret_hash", sa.Text(), nullable=True))
    op.add_column("user_account", sa.Column("sealed_cli_secret", sa.LargeBinary(), nullable=True))
    op.create_index(
        "uq_user_account_source_external_id", "user_account", ["source", "external_id"], unique=True
    )
    for statement in create_statements(op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:  # noqa: PLR0915 - as above
    for statement in drop_statements(op.get_bind().dialect.name):
        op.execute(statement)
    op.drop_table("access_version")
    op.drop_index("uq_user_account_source_external_id", table_name="user_account")
    op.drop_column("user_account", "sealed_cli_secret")
    op.drop_column("user_account", "cli_secret_hash")
    op.drop_column("user_account", "external_id")
    op.drop_column("user_account", "source")
    op.drop_column("user_account", "is_admin_in_source")
    op.drop_column("user_account", "is_auditor")
    op.drop_column("user_account", "comment")
    op.drop_column("user_account", "realname")
    op.drop_column("user_account", "email")
    op.drop_column("tag", "pulled_at")
    op.drop_column("repository", "pull_count")
    op.drop_column("repository", "description")
    op.drop_column("repository", "updated_at")
    op.drop_column("project", "cve_allowlist")
    op.drop_column("project", "registry_id")
    op.drop_column("project", "updated_at")
    op.drop_column("project", "owner_id")
    op.drop_index("ix_manifest_indexes", table_name="manifest")
    op.drop_index("ix_manifest_repository_id_accessory_subject", table_name="manifest")
    op.drop_column("manifest", "accessory_subject")
    op.drop_column("manifest", "accessory_kind")
    op.drop_column("manifest", "total_bytes")
    op.drop_column("manifest", "extra_attrs")
    op.drop_column("manifest", "config_media_type")
    op.drop_column("manifest", "kind")
    op.drop_column("manifest", "pulled_at")
    op.drop_index("uq_audit_record_stream_sequence", table_name="audit_record")
    for name in ("operation", "principal", "project", "repository"):
        op.drop_index(f"ix_audit_record_{name}_recorded_at", table_name="audit_record")
    op.drop_column("audit_record", "hash")
    op.drop_column("audit_record", "sequence")
    op.drop_column("audit_record", "stream")
    op.drop_column("audit_record", "after")
    op.drop_column("audit_record", "before")
    op.drop_index(op.f("ix_manifest_label_label_id"), table_name="manifest_label")
    op.drop_table("manifest_label")
    op.drop_index(op.f("ix_robot_trust_robot_id"), table_name="robot_trust")
    op.drop_index(op.f("ix_robot_trust_issuer"), table_name="robot_trust")
    op.drop_table("robot_trust")
    op.drop_index(op.f("ix_robot_secret_robot_id"), table_name="robot_secret")
    op.drop_table("robot_secret")
    op.drop_index(op.f("ix_robot_permission_robot_id"), table_name="robot_permission")
    op.drop_table("robot_permission")
    op.drop_table("client_certificate")
    op.drop_index(op.f("ix_user_group_member_group_id"), table_name="user_group_member")
    op.drop_table("user_group_member")
    op.drop_index(op.f("ix_session_user_id"), table_name="session")
    op.drop_index(op.f("ix_session_expires_at"), table_name="session")
    op.drop_table("session")
    op.drop_index("uq_robot_system_name", table_name="robot")
    op.drop_index(op.f("ix_robot_project_id"), table_name="robot")
    op.drop_table("robot")
    op.drop_table("project_content")
    op.drop_table("quota")
    op.drop_table("project_metadata")
    op.drop_index("uq_project_member_user", table_name="project_member")
    op.drop_index("uq_project_member_group", table_name="project_member")
    op.drop_index(op.f("ix_project_member_user_id"), table_name="project_member")
    op.drop_index(op.f("ix_project_member_group_id"), table_name="project_member")
    op.drop_table("project_member")
    op.drop_index(op.f("ix_network_rule_project_id"), table_name="network_rule")
    op.drop_table("network_rule")
    op.drop_index(op.f("ix_label_project_id"), table_name="label")
    op.drop_table("label")
    op.drop_table("user_group")
    op.drop_table("setting")
    op.drop_table("role")
    op.drop_table("audit_stream")
    op.drop_table("audit_forward")
    op.drop_table("audit_checkpoint")
