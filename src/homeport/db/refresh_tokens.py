"""Refresh tokens, known by their hashes only."""

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from homeport.db.dialect import locked
from homeport.db.schema import refresh_token, user_account

_SURPLUS_PER_CALL = 1000


@dataclass(frozen=True, slots=True)
class StoredRefreshToken:
    """A refresh token: whose it is, and with which password and for which service it was given."""

    token_hash: str
    user_id: int
    password_fingerprint: str
    service: str
    client_id: str
    created_at: datetime
    expires_at: datetime


_COLUMNS = (
    refresh_token.c.token_hash,
    refresh_token.c.user_id,
    refresh_token.c.password_fingerprint,
    refresh_token.c.service,
    refresh_token.c.client_id,
    refresh_token.c.created_at,
    refresh_token.c.expires_at,
)


def add_refresh_token(connection: Connection, token: StoredRefreshToken, *, keep: int) -> bool:
    """Store the token; of the user's tokens only the `keep` that expire last stay.

    False, and nothing stored, when the user is gone.
    """
    user = select(user_account.c.id).where(user_account.c.id == token.user_id)
    if connection.execute(locked(connection, user)).first() is None:
        return False
    connection.execute(insert(refresh_token).values(asdict(token)))
    surplus = (
        select(refresh_token.c.token_hash)
        .where(refresh_token.c.user_id == token.user_id)
        .order_by(refresh_token.c.expires_at.desc(), refresh_token.c.token_hash)
        .limit(_SURPLUS_PER_CALL)
        .offset(keep)
    )
    connection.execute(delete(refresh_token).where(refresh_token.c.token_hash.in_(surplus)))
    return True


def find_refresh_token(connection: Connection, token_hash: str) -> StoredRefreshToken | None:
    """Return the token with that hash, expired or not, or None."""
    row = connection.execute(select(*_COLUMNS).where(refresh_token.c.token_hash == token_hash)).first()
    return None if row is None else StoredRefreshToken(*row)


def prolong_refresh_token(connection: Connection, token_hash: str, expires_at: datetime) -> None:
    """Let the token live until then; nothing happens when it is gone."""
    connection.execute(
        update(refresh_token).where(refresh_token.c.token_hash == token_hash).values(expires_at=expires_at)
    )


def carry_refresh_tokens_over(connection: Connection, user_id: int, old: str, new: str) -> None:
    """Give the user's tokens the new fingerprint of a password that was hashed again, not changed."""
    connection.execute(
        update(refresh_token)
        .where(refresh_token.c.user_id == user_id, refresh_token.c.password_fingerprint == old)
        .values(password_fingerprint=new)
    )


def delete_refresh_tokens_expired_before(connection: Connection, moment: datetime) -> int:
    """Delete expired tokens; returns how many."""
    return connection.execute(delete(refresh_token).where(refresh_token.c.expires_at < moment)).rowcount
