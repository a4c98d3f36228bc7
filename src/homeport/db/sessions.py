"""Browser sessions."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select

from homeport.db.dialect import insert_or_replace
from homeport.db.schema import session


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session, by the hash of its cookie."""

    token_hash: str
    user_id: int
    password_fingerprint: str
    auth_method: str
    csrf_token: str
    client_address: str
    created_at: datetime
    expires_at: datetime

    def until(self, expires_at: datetime) -> "StoredSession":
        """Return the session with another end."""
        return replace(self, expires_at=expires_at)


_BY_HASH = select(*session.c).where(session.c.token_hash == bindparam("wanted"))


def add_session(connection: Connection, stored: StoredSession) -> None:
    """Store the session, or overwrite the one with the same hash."""
    insert_or_replace(connection, session, asdict(stored))


def find_session(connection: Connection, token_hash: str) -> StoredSession | None:
    """Return the session with that hash, ended or not, or None."""
    row = connection.execute(_BY_HASH, {"wanted": token_hash}).first()
    return None if row is None else StoredSession(*row)


def delete_session(connection: Connection, token_hash: str) -> None:
    """Delete the session with that hash, if there is one."""
    connection.execute(delete(session).where(session.c.token_hash == token_hash))


def delete_sessions_expired_before(connection: Connection, moment: datetime) -> int:
    """Delete ended sessions; returns how many."""
    return connection.execute(delete(session).where(session.c.expires_at < moment)).rowcount
