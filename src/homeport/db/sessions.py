"""Browser sessions."""

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select, update

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


_BY_HASH = select(*session.c).where(session.c.token_hash == bindparam("wanted"))


def add_session(connection: Connection, stored: StoredSession) -> None:
    """Store the session; its hash is new."""
    connection.execute(insert(session), asdict(stored))


def prolong_session(connection: Connection, token_hash: str, expires_at: datetime) -> None:
    """Let the session end later; one that was closed meanwhile stays closed."""
    connection.execute(
        update(session).where(session.c.token_hash == token_hash).values(expires_at=expires_at)
    )


def find_session(connection: Connection, token_hash: str) -> StoredSession | None:
    """Return the session with that hash, ended or not, or None."""
    row = connection.execute(_BY_HASH, {"wanted": token_hash}).first()
    return None if row is None else StoredSession(*row)


def delete_session(connection: Connection, token_hash: str) -> bool:
    """Delete the session with that hash; tells whether there was one."""
    return connection.execute(delete(session).where(session.c.token_hash == token_hash)).rowcount > 0


def delete_sessions_expired_before(connection: Connection, moment: datetime) -> int:
    """Delete ended sessions; returns how many."""
    return connection.execute(delete(session).where(session.c.expires_at < moment)).rowcount
