"""The tables. Alembic's migrations make them; this module is what statements are written against."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

Id = BigInteger().with_variant(Integer(), "sqlite")


def ByteOrdered(length: int) -> String:  # noqa: N802 - a type, named as types are
    """Return a text type that sorts by bytes on every database, as the distribution API lists names."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


class Timestamp(TypeDecorator[datetime]):
    """A moment in UTC, kept as microseconds since 1970 so that both databases compare and index it alike."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Return the microseconds of an aware datetime."""
        del dialect
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Return the aware datetime of the microseconds."""
        del dialect
        return None if value is None else EPOCH + timedelta(microseconds=value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

user_account = Table(
    "user_account",
    metadata,
    Column("id", Id, primary_key=True),
    Column("username", String(255), nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
    Column("is_sysadmin", Boolean, nullable=False, default=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    Column("email", String(255), nullable=False, server_default=""),
    Column("realname", String(255), nullable=False, server_default=""),
    Column("comment", String(255), nullable=False, server_default=""),
    Column("is_auditor", Boolean, nullable=False, server_default=false()),
    # a system administrator for as long as the directory or the provider says so at each sign-in
    Column("is_admin_in_source", Boolean, nullable=False, server_default=false()),
    # where the account comes from: local, ldap or oidc; the external id names it there
    Column("source", String(16), nullable=False, server_default="local"),
    Column("external_id", String(512)),
    Column("cli_secret_hash", Text),
    Column("sealed_cli_secret", LargeBinary),
    Index("uq_user_account_source_external_id", "source", "external_id", unique=True),
)

user_group = Table(
    "user_group",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("kind", Integer, nullable=False),
    Column("ldap_group_dn", String(512), nullable=False, server_default=""),
    Column("created_at", Timestamp, nullable=False),
    UniqueConstraint("kind", "name", "ldap_group_dn"),
    CheckConstraint("kind IN (1, 2, 3)", name="kind"),
)

user_group_member = Table(
    "user_group_member",
    metadata,
    Column("user_id", ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True),
    Column("group_id", ForeignKey("user_group.id", ondelete="CASCADE"), primary_key=True, index=True),
    sqlite_with_rowid=False,
)

session = Table(
    "session",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("user_id", ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("password_fingerprint", String(64), nullable=False),
    Column("auth_method", String(32), nullable=False),
    Column("csrf_token", String(64), nullable=False),
    Column("client_address", String(64), nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False, index=True),
)

# one row; triggers raise it with every change that rights depend on (see `db.triggers`)
access_version = Table(
    "access_version",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)

setting = Table(
    "setting",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("value", Text),
    Column("sealed_value", LargeBinary),
    Column("updated_at", Timestamp, nullable=False),
)

project = Table(
    "project",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", ByteOrdered(255), nullable=False, unique=True),
    Column("is_public", Boolean, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("owner_id", BigInteger),
    Column("updated_at", Timestamp),
    Column("registry_id", BigInteger),
    Column("cve_allowlist", Text),
)

project_metadata = Table(
    "project_metadata",
    metadata,
    Column("project_id", ForeignKey("project.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)

quota = Table(
    "quota",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", ForeignKey("project.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("hard_bytes", BigInteger, nullable=False),
    Column("used_bytes", BigInteger, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
)

# what counts against a project's quota, each content once; `quota.used_bytes` is the sum
project_content = Table(
    "project_content",
    metadata,
    Column("project_id", ForeignKey("project.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", String(140), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

role = Table(
    "role",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", String(1024), nullable=False, server_default=""),
    Column("permissions", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
)

project_member = Table(
    "project_member",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", ForeignKey("project.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", ForeignKey("user_account.id", ondelete="CASCADE"), index=True),
    Column("group_id", ForeignKey("user_group.id", ondelete="CASCADE"), index=True),
    # one of Harbor's five (1 to 5) or a custom role
    Column("role_id", BigInteger, nullable=False),
    Column("repository_pattern", String(255), nullable=False, server_default=""),
    Column("created_at", Timestamp, nullable=False),
    CheckConstraint("(user_id IS NULL) <> (group_id IS NULL)", name="entity"),
    Index("uq_project_member_user", "project_id", "user_id", "repository_pattern", unique=True),
    Index("uq_project_member_group", "project_id", "group_id", "repository_pattern", unique=True),
)

label = Table(
    "label",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(128), nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("color", String(16), nullable=False, server_default=""),
    # None is a global label
    Column("project_id", ForeignKey("project.id", ondelete="CASCADE"), index=True),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    UniqueConstraint("project_id", "name"),
    Index(
        "uq_label_global_name",
        "name",
        unique=True,
        sqlite_where=text("project_id IS NULL"),
        postgresql_where=text("project_id IS NULL"),
    ),
)

robot = Table(
    "robot",
    metadata,
    Column("id", Id, primary_key=True),
    # the name as given; the login name has the prefix and, in a project, the project's name
    Column("name", String(255), nullable=False),
    Column("description", String(1024), nullable=False, server_default=""),
    Column("project_id", ForeignKey("project.id", ondelete="CASCADE"), index=True),
    Column("is_disabled", Boolean, nullable=False, server_default=false()),
    Column("is_visible", Boolean, nullable=False, server_default=true()),
    Column("duration_days", Integer, nullable=False),
    Column("expires_at", Timestamp),
    # user or robot, with its id; 0 is Homeport itself
    Column("creator_kind", String(16), nullable=False, server_default="user"),
    Column("creator_id", BigInteger, nullable=False, server_default="0"),
    Column("last_used_at", Timestamp),
    Column("last_used_address", String(64)),
    Column("expiry_warned_at", Timestamp),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    UniqueConstraint("project_id", "name"),
    # NULLs are never equal, so the constraint above does not hold for robots of the system
    Index(
        "uq_robot_system_name",
        "name",
        unique=True,
        sqlite_where=text("project_id IS NULL"),
        postgresql_where=text("project_id IS NULL"),
    ),
)

robot_secret = Table(
    "robot_secret",
    metadata,
    Column("id", Id, primary_key=True),
    Column("robot_id", ForeignKey("robot.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("secret_hash", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp),
)

robot_permission = Table(
    "robot_permission",
    metadata,
    Column("id", Id, primary_key=True),
    Column("robot_id", ForeignKey("robot.id", ondelete="CASCADE"), nullable=False, index=True),
    # system, or project with an id, or project without one: every project
    Column("kind", String(16), nullable=False),
    Column("project_id", ForeignKey("project.id", ondelete="CASCADE")),
    Column("permission", String(128), nullable=False),
    Column("is_denied", Boolean, nullable=False, server_default=false()),
    CheckConstraint("kind IN ('system', 'project')", name="kind"),
)

robot_trust = Table(
    "robot_trust",
    metadata,
    Column("id", Id, primary_key=True),
    Column("robot_id", ForeignKey("robot.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("issuer", String(512), nullable=False, index=True),
    Column("audience", String(255), nullable=False),
    Column("claims", Text, nullable=False),
    # the issuer's keys where it cannot be asked for them
    Column("jwks", Text),
    Column("created_at", Timestamp, nullable=False),
)

network_rule = Table(
    "network_rule",
    metadata,
    Column("id", Id, primary_key=True),
    # None is a rule of the whole system
    Column("project_id", ForeignKey("project.id", ondelete="CASCADE"), index=True),
    Column("operation", String(16), nullable=False),
    Column("network", String(64), nullable=False),
    Column("created_at", Timestamp, nullable=False),
    CheckConstraint("operation IN ('pull', 'push', 'management')", name="operation"),
)

client_certificate = Table(
    "client_certificate",
    metadata,
    Column("id", Id, primary_key=True),
    Column("field", String(16), nullable=False),
    Column("value", String(512), nullable=False),
    Column("user_id", ForeignKey("user_account.id", ondelete="CASCADE")),
    Column("robot_id", ForeignKey("robot.id", ondelete="CASCADE")),
    Column("created_at", Timestamp, nullable=False),
    UniqueConstraint("field", "value"),
    CheckConstraint("(user_id IS NULL) <> (robot_id IS NULL)", name="entity"),
)

repository = Table(
    "repository",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", ForeignKey("project.id"), nullable=False, index=True),
    Column("name", ByteOrdered(255), nullable=False, unique=True),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp),
    Column("description", Text, nullable=False, server_default=""),
    Column("pull_count", BigInteger, nullable=False, server_default="0"),
)

blob = Table(
    "blob",
    metadata,
    Column("digest", String(140), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", Timestamp, nullable=False),
)

repository_blob = Table(
    "repository_blob",
    metadata,
    Column("repository_id", ForeignKey("repository.id"), primary_key=True),
    Column("digest", ForeignKey("blob.digest"), primary_key=True, index=True),
    Column("linked_at", Timestamp, nullable=False),
    sqlite_with_rowid=False,
)

manifest_body = Table(
    "manifest_body",
    metadata,
    Column("digest", String(140), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

IS_INDEX = (
    "media_type IN ('application/vnd.oci.image.index.v1+json', "
    "'application/vnd.docker.distribution.manifest.list.v2+json')"
)

manifest = Table(
    "manifest",
    metadata,
    Column("id", Id, primary_key=True),
    Column("repository_id", ForeignKey("repository.id"), nullable=False),
    Column("digest", ForeignKey("manifest_body.digest"), nullable=False, index=True),
    Column("media_type", String(255), nullable=False),
    Column("referrer_type", Text),
    Column("subject_digest", String(140)),
    Column("size_bytes", BigInteger, nullable=False),
    Column("annotations", Text),
    Column("pushed_at", Timestamp, nullable=False),
    Column("pulled_at", Timestamp),
    # what the lists of artifacts show and filter by, found when the manifest is pushed
    Column("kind", String(255), nullable=False, server_default="UNKNOWN"),
    Column("config_media_type", Text),
    Column("extra_attrs", Text),
    # with all that it names; of an index, with all of its children
    Column("total_bytes", BigInteger, nullable=False, server_default="0"),
    # of what belongs to another artifact: by its subject, or by a tag like sha256-HEX.sig
    Column("accessory_kind", String(64)),
    Column("accessory_subject", String(140)),
    UniqueConstraint("repository_id", "digest"),
    Index("ix_manifest_repository_id_subject_digest", "repository_id", "subject_digest", "id"),
    Index("ix_manifest_repository_id_accessory_subject", "repository_id", "accessory_subject", "pushed_at"),
    # indexes are few among the manifests: their children are found from them
    Index(
        "ix_manifest_indexes",
        "repository_id",
        sqlite_where=text(IS_INDEX),
        postgresql_where=text(IS_INDEX),
    ),
)

manifest_reference = Table(
    "manifest_reference",
    metadata,
    Column("manifest_id", ForeignKey("manifest.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("digest", String(140), nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    CheckConstraint("kind IN ('config', 'layer', 'foreign', 'manifest', 'blob', 'absent')", name="kind"),
    sqlite_with_rowid=False,
)

tag = Table(
    "tag",
    metadata,
    Column("repository_id", ForeignKey("repository.id"), primary_key=True),
    Column("name", ByteOrdered(128), primary_key=True),
    Column("manifest_id", ForeignKey("manifest.id"), nullable=False, index=True),
    Column("pushed_at", Timestamp, nullable=False),
    Column("pulled_at", Timestamp),
    sqlite_with_rowid=False,
)

manifest_label = Table(
    "manifest_label",
    metadata,
    Column("manifest_id", ForeignKey("manifest.id", ondelete="CASCADE"), primary_key=True),
    Column("label_id", ForeignKey("label.id", ondelete="CASCADE"), primary_key=True, index=True),
    sqlite_with_rowid=False,
)

signing_key = Table(
    "signing_key",
    metadata,
    Column("kid", String(64), primary_key=True),
    Column("algorithm", String(16), nullable=False),
    Column("sealed_private_key", LargeBinary, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("retired_at", Timestamp),
)

refresh_token = Table(
    "refresh_token",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("user_id", ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("password_fingerprint", String(64), nullable=False),
    Column("service", String(255), nullable=False),
    Column("client_id", String(255), nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False, index=True),
)

login_failure = Table(
    "login_failure",
    metadata,
    Column("subject", String(320), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_failure_at", Timestamp, nullable=False, index=True),
)

login_address = Table(
    "login_address",
    metadata,
    Column("user_id", ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True),
    Column("address", String(64), primary_key=True),
    Column("last_success_at", Timestamp, nullable=False, index=True),
    sqlite_with_rowid=False,
)

audit_record = Table(
    "audit_record",
    metadata,
    Column("id", Id, primary_key=True),
    Column("recorded_at", Timestamp, nullable=False, index=True),
    Column("operation", String(32), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("principal", String(255), nullable=False),
    Column("auth_method", String(32), nullable=False),
    Column("client_address", String(64), nullable=False),
    Column("user_agent", String(512), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("project", String(255)),
    Column("repository", String(255)),
    Column("reference", String(255)),
    Column("digest", String(140)),
    Column("detail", Text),
    # JSON texts of what a policy change found and left
    Column("before", Text),
    Column("after", Text),
    # the chain that the record is part of; each hash covers the record and the hash before it
    Column("stream", Integer),
    Column("sequence", BigInteger),
    Column("hash", String(64)),
    Index("uq_audit_record_stream_sequence", "stream", "sequence", unique=True),
    # the operation so that most filters by two columns need not look at the records
    Index("ix_audit_record_project_recorded_at", "project", "recorded_at", "operation"),
    Index("ix_audit_record_repository_recorded_at", "repository", "recorded_at", "operation"),
    Index("ix_audit_record_principal_recorded_at", "principal", "recorded_at", "operation"),
    Index("ix_audit_record_operation_recorded_at", "operation", "recorded_at"),
)

audit_stream = Table(
    "audit_stream",
    metadata,
    Column("stream", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)

audit_checkpoint = Table(
    "audit_checkpoint",
    metadata,
    Column("stream", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    # checkpoint: the stream was like this; purged: the record and all before it were deleted on purpose
    Column("purpose", String(16), primary_key=True),
    Column("hash", String(64), nullable=False),
    Column("kid", String(64), nullable=False),
    Column("signature", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
)

audit_forward = Table(
    "audit_forward",
    metadata,
    Column("target", String(32), primary_key=True),
    Column("stream", Integer, primary_key=True, autoincrement=False),
    # the last record of the stream that the target is known to have
    Column("sequence", BigInteger, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
)

journal_position = Table(
    "journal_position",
    metadata,
    Column("journal", String(128), primary_key=True),
    Column("offset_bytes", BigInteger, nullable=False),
)
