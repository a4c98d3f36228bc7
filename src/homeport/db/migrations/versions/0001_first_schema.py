"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def byte_ordered(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "audit_record",
        sa.Column("id", ID, nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("operation", sa.String(length=32), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("principal", sa.String(length=255), nullable=False),
        sa.Column("auth_method", sa.String(length=32), nullable=False),
        sa.Column("client_address", sa.String(length=64), nullable=False),
        sa.Column("user_agent", sa.String(length=512), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=255), nullable=True),
        sa.Column("repository", sa.String(length=255), nullable=True),
        sa.Column("reference", sa.String(length=255), nullable=True),
        sa.Column("digest", sa.String(length=140), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_record")),
    )
    op.create_index(op.f("ix_audit_record_recorded_at"), "audit_record", ["recorded_at"], unique=False)
    op.create_table(
        "blob",
        sa.Column("digest", sa.String(length=140), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_blob")),
    )
    op.create_table(
        "journal_position",
        sa.Column("journal", sa.String(length=128), nullable=False),
        sa.Column("offset_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("journal", name=op.f("pk_journal_position")),
    )
    op.create_table(
        "login_failure",
        sa.Column("subject", sa.String(length=320), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_failure_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_login_failure")),
    )
    op.create_index(
        op.f("ix_login_failure_last_failure_at"), "login_failure", ["last_failure_at"], unique=False
    )
    op.create_table(
        "manifest_body",
        sa.Column("digest", sa.String(length=140), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_manifest_body")),
    )
    op.create_table(
        "project",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", byte_ordered(255), nullable=False),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project")),
        sa.UniqueConstraint("name", name=op.f("uq_project_name")),
    )
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.String(length=64), nullable=False),
        sa.Column("algorithm", sa.String(length=16), nullable=False),
        sa.Column("sealed_private_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_key")),
    )
    op.create_table(
        "user_account",
        sa.Column("id", ID, nullable=False),
        sa.Column("username", sa.String(length=255), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("is_sysadmin", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_account")),
        sa.UniqueConstraint("username", name=op.f("uq_user_account_username")),
    )
    op.create_table(
        "login_address",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("last_success_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_login_address_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "address", name=op.f("pk_login_address")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_login_address_last_success_at"), "login_address", ["last_success_at"], unique=False
    )
    op.create_table(
        "refresh_token",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("password_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("service", sa.String(length=255), nullable=False),
        sa.Column("client_id", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_refresh_token_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_refresh_token")),
    )
    op.create_index(op.f("ix_refresh_token_expires_at"), "refresh_token", ["expires_at"], unique=False)
    op.create_index(op.f("ix_refresh_token_user_id"), "refresh_token", ["user_id"], unique=False)
    op.create_table(
        "repository",
        sa.Column("id", ID, nullable=False),
        sa.Column("project_id", ID, nullable=False),
        sa.Column("name", byte_ordered(255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_repository_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repository")),
        sa.UniqueConstraint("name", name=op.f("uq_repository_name")),
    )
    op.create_index(op.f("ix_repository_project_id"), "repository", ["project_id"], unique=False)
    op.create_table(
        "manifest",
        sa.Column("id", ID, nullable=False),
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("digest", sa.String(length=140), nullable=False),
        sa.Column("media_type", sa.String(length=255), nullable=False),
        sa.Column("referrer_type", sa.Text(), nullable=True),
        sa.Column("subject_digest", sa.String(length=140), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("annotations", sa.Text(), nullable=True),
        sa.Column("pushed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["manifest_body.digest"], name=op.f("fk_manifest_digest")),
        sa.ForeignKeyConstraint(["repository_id"], ["repository.id"], name=op.f("fk_manifest_repository_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_manifest")),
        sa.UniqueConstraint("repository_id", "digest", name=op.f("uq_manifest_repository_id_digest")),
    )
    op.create_index(op.f("ix_manifest_digest"), "manifest", ["digest"], unique=False)
    op.create_index(
        "ix_manifest_repository_id_subject_digest",
        "manifest",
        ["repository_id", "subject_digest", "id"],
        unique=False,
    )
    op.create_table(
        "repository_blob",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("digest", sa.String(length=140), nullable=False),
        sa.Column("linked_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["blob.digest"], name=op.f("fk_repository_blob_digest")),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repository.id"], name=op.f("fk_repository_blob_repository_id")
        ),
        sa.PrimaryKeyConstraint("repository_id", "digest", name=op.f("pk_repository_blob")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_repository_blob_digest"), "repository_blob", ["digest"], unique=False)
    op.create_table(
        "manifest_reference",
        sa.Column("manifest_id", ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=140), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('config', 'layer', 'foreign', 'manifest', 'blob', 'absent')",
            name=op.f("ck_manifest_reference_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["manifest_id"],
            ["manifest.id"],
            name=op.f("fk_manifest_reference_manifest_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("manifest_id", "position", name=op.f("pk_manifest_reference")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_manifest_reference_digest"), "manifest_reference", ["digest"], unique=False)
    op.create_table(
        "tag",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("name", byte_ordered(128), nullable=False),
        sa.Column("manifest_id", ID, nullable=False),
        sa.Column("pushed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["manifest_id"], ["manifest.id"], name=op.f("fk_tag_manifest_id")),
        sa.ForeignKeyConstraint(["repository_id"], ["repository.id"], name=op.f("fk_tag_repository_id")),
        sa.PrimaryKeyConstraint("repository_id", "name", name=op.f("pk_tag")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_tag_manifest_id"), "tag", ["manifest_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_tag_manifest_id"), table_name="tag")
    op.drop_table("tag")
    op.drop_index(op.f("ix_manifest_reference_digest"), table_name="manifest_reference")
    op.drop_table("manifest_reference")
    op.drop_index(op.f("ix_repository_blob_digest"), table_name="repository_blob")
    op.drop_table("repository_blob")
    op.drop_index("ix_manifest_repository_id_subject_digest", table_name="manifest")
    op.drop_index(op.f("ix_manifest_digest"), table_name="manifest")
    op.drop_table("manifest")
    op.drop_index(op.f("ix_repository_project_id"), table_name="repository")
    op.drop_table("repository")
    op.drop_index(op.f("ix_refresh_token_user_id"), table_name="refresh_token")
    op.drop_index(op.f("ix_refresh_token_expires_at"), table_name="refresh_token")
    op.drop_table("refresh_token")
    op.drop_index(op.f("ix_login_address_last_success_at"), table_name="login_address")
    op.drop_table("login_address")
    op.drop_table("user_account")
    op.drop_table("signing_key")
    op.drop_table("project")
    op.drop_table("manifest_body")
    op.drop_index(op.f("ix_login_failure_last_failure_at"), table_name="login_failure")
    op.drop_table("login_failure")
    op.drop_table("journal_position")
    op.drop_table("blob")
    op.drop_index(op.f("ix_audit_record_recorded_at"), table_name="audit_record")
    op.drop_table("audit_record")
