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
)

project = Table(
    "project",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", ByteOrdered(255), nullable=False, unique=True),
    Column("is_public", Boolean, nullable=False),
    Column("created_at", Timestamp, nullable=False),
)

repository = Table(
    "repository",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", ForeignKey("project.id"), nullable=False, index=True),
    Column("name", ByteOrdered(255), nullable=False, unique=True),
    Column("created_at", Timestamp, nullable=False),
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
    UniqueConstraint("repository_id", "digest"),
    Index("ix_manifest_repository_id_subject_digest", "repository_id", "subject_digest", "id"),
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
)

journal_position = Table(
    "journal_position",
    metadata,
    Column("journal", String(128), primary_key=True),
    Column("offset_bytes", BigInteger, nullable=False),
)
