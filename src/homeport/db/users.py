"""User accounts."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, exists, select, update

from homeport.db.dialect import insert_or_keep
from homeport.db.schema import refresh_token, user_account


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user account."""

    id: int
    username: str
    password_hash: str = field(repr=False)
    is_sysadmin: bool
    is_auditor: bool = False


_COLUMNS = (
    user_account.c.id,
    user_account.c.username,
    user_account.c.password_hash,
    user_account.c.is_sysadmin,
    user_account.c.is_auditor,
)
# built once: these run with every request that follows a change of the database
_BY_NAME = select(*_COLUMNS).where(user_account.c.username == bindparam("wanted"))
_BY_ID = select(*_COLUMNS).where(user_account.c.id == bindparam("wanted"))


def find_user(connection: Connection, username: str) -> StoredUser | None:
    """Return the user of that name, or None."""
    row = connection.execute(_BY_NAME, {"wanted": username}).first()
    return None if row is None else StoredUser(*row)


def find_user_by_id(connection: Connection, user_id: int) -> StoredUser | None:
    """Return the user with that id, or None."""
    row = connection.execute(_BY_ID, {"wanted": user_id}).first()
    return None if row is None else StoredUser(*row)


def has_user(connection: Connection, username: str) -> bool:
    """Tell whether there is a user of that name."""
    return bool(connection.execute(select(exists().where(user_account.c.username == username))).scalar())


def has_other_users(connection: Connection) -> bool:
    """Tell whether there are users besides the first one."""
    return len(connection.execute(select(user_account.c.id).limit(2)).fetchall()) > 1


def add_user(
    connection: Connection, username: str, password_hash: str, now: datetime, *, is_sysadmin: bool
) -> bool:
    """Make the user; False, and nothing changed, when the name is taken."""
    if has_user(connection, username):
        return False
    insert_or_keep(
        connection,
        user_account,
        {
            "username": username,
            "password_hash": password_hash,
            "is_sysadmin": is_sysadmin,
            "created_at": now,
            "updated_at": now,
        },
    )
    stored = find_user(connection, username)
    return stored is not None and stored.password_hash == password_hash


def change_password_hash(connection: Connection, user_id: int, password_hash: str, now: datetime) -> bool:
    """Store a new password's hash and revoke the user's refresh tokens; False when there is no such user."""
    connection.execute(delete(refresh_token).where(refresh_token.c.user_id == user_id))
    result = connection.execute(
        update(user_account)
        .where(user_account.c.id == user_id)
        .values(password_hash=password_hash, updated_at=now)
    )
    return result.rowcount > 0


def replace_password_hash(connection: Connection, user_id: int, old_hash: str, new_hash: str) -> bool:
    """Store another hash of the same password; False when the hash is not `old_hash` any more."""
    result = connection.execute(
        update(user_account)
        .where(user_account.c.id == user_id, user_account.c.password_hash == old_hash)
        .values(password_hash=new_hash)
    )
    return result.rowcount > 0


def delete_user(connection: Connection, user_id: int) -> bool:
    """Delete the user with everything that lets it sign in; tells whether it was there."""
    result = connection.execute(delete(user_account).where(user_account.c.id == user_id))
    return result.rowcount > 0
