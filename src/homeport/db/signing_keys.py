"""The sealed keys that sign access tokens."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, text, update

from homeport.db.schema import signing_key


@dataclass(frozen=True, slots=True)
class StoredSigningKey:
    """A key pair; the newest that is not retired signs, retired ones only verify."""

    kid: str
    algorithm: str
    sealed_private_key: bytes = field(repr=False)
    created_at: datetime
    retired_at: datetime | None


# built once: it runs with every request that follows a change of the database
_ALL = select(
    signing_key.c.kid,
    signing_key.c.algorithm,
    signing_key.c.sealed_private_key,
    signing_key.c.created_at,
    signing_key.c.retired_at,
).order_by(signing_key.c.created_at.desc(), signing_key.c.kid)


def list_signing_keys(connection: Connection) -> list[StoredSigningKey]:
    """Return every key, the newest first."""
    return [StoredSigningKey(*row) for row in connection.execute(_ALL)]


def add_first_signing_key(connection: Connection, key: StoredSigningKey) -> bool:
    """Store the key unless one that is not retired exists; of several processes at once, one stores."""
    _lock(connection)
    statement = select(signing_key.c.kid).where(signing_key.c.retired_at.is_(None)).limit(1)
    if connection.execute(statement).first() is not None:
        return False
    _add(connection, key)
    return True


def replace_signing_key(connection: Connection, key: StoredSigningKey) -> None:
    """Store the key as the one that signs and retire the others."""
    _lock(connection)
    connection.execute(
        update(signing_key).where(signing_key.c.retired_at.is_(None)).values(retired_at=key.created_at)
    )
    _add(connection, key)


def delete_keys_retired_before(connection: Connection, moment: datetime) -> int:
    """Delete keys that no valid token can be signed with any more; returns how many."""
    return connection.execute(delete(signing_key).where(signing_key.c.retired_at < moment)).rowcount


def _add(connection: Connection, key: StoredSigningKey) -> None:
    connection.execute(
        insert(signing_key).values(
            kid=key.kid,
            algorithm=key.algorithm,
            sealed_private_key=key.sealed_private_key,
            created_at=key.created_at,
            retired_at=key.retired_at,
        )
    )


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE signing_key IN SHARE ROW EXCLUSIVE MODE"))
