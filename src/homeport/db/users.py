"""User accounts."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, func, select, update

from homeport.db.dialect import insert_or_keep, locked
from homeport.db.filtering import fetch_page
from homeport.db.schema import refresh_token, user_account
from homeport.rules.listing import ListQuery


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user account."""

    id: int
    username: str
    password_hash: str = field(repr=False)
    is_sysadmin: bool
    is_auditor: bool = False
    source: str = "local"
    is_admin_in_source: bool = False
    cli_secret_hash: str | None = field(default=None, repr=False)


_COLUMNS = (
    user_account.c.id,
    user_account.c.username,
    user_account.c.password_hash,
    user_account.c.is_sysadmin,
    user_account.c.is_auditor,
    user_account.c.source,
    user_account.c.is_admin_in_source,
    user_account.c.cli_secret_hash,
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


@dataclass(frozen=True, slots=True)
class UserProfile:
    """What a user tells of itself."""

    email: str
    realname: str
    comment: str


@dataclass(frozen=True, slots=True)
class UserDetails:
    """A user account as administrators see it."""

    id: int
    username: str
    email: str
    realname: str
    comment: str
    is_sysadmin: bool
    is_auditor: bool
    source: str
    external_id: str | None
    created_at: datetime
    updated_at: datetime
    sealed_cli_secret: bytes | None = field(repr=False)
    is_admin_in_source: bool = False

    @property
    def profile(self) -> UserProfile:
        """What the user tells of itself."""
        return UserProfile(self.email, self.realname, self.comment)


_DETAILS: tuple[ColumnElement[Any], ...] = (
    user_account.c.id,
    user_account.c.username,
    user_account.c.email,
    user_account.c.realname,
    user_account.c.comment,
    user_account.c.is_sysadmin,
    user_account.c.is_auditor,
    user_account.c.source,
    user_account.c.external_id,
    user_account.c.created_at,
    user_account.c.updated_at,
    user_account.c.sealed_cli_secret,
    user_account.c.is_admin_in_source,
)
_LISTED_BY = {
    "user_id": user_account.c.id,
    "username": user_account.c.username,
    "email": user_account.c.email,
    "realname": user_account.c.realname,
    "comment": user_account.c.comment,
    "sysadmin_flag": user_account.c.is_sysadmin,
    "creation_time": user_account.c.created_at,
    "update_time": user_account.c.updated_at,
}

# all that users may learn of one another
_SEARCHED_BY = {"user_id": user_account.c.id, "username": user_account.c.username}


def list_users(connection: Connection, query: ListQuery) -> tuple[list[UserDetails], int]:
    """Return the users of the query's page and how many there are on all. Raises QueryInvalidError."""
    rows, total = fetch_page(connection, select(*_DETAILS), query, _LISTED_BY, user_account.c.id.asc())
    return [UserDetails(*row) for row in rows], total


def search_users(connection: Connection, part: str, query: ListQuery) -> tuple[list[tuple[int, str]], int]:
    """Return id and name of the users whose names contain the part, the query's page, and how many match."""
    statement = select(user_account.c.id, user_account.c.username).where(
        user_account.c.username.icontains(part, autoescape=True)
    )
    rows, total = fetch_page(connection, statement, query, _SEARCHED_BY, user_account.c.username.asc())
    return [(row[0], row[1]) for row in rows], total


def find_user_details(connection: Connection, user_id: int) -> UserDetails | None:
    """Return the user with that id, or None."""
    row = connection.execute(select(*_DETAILS).where(user_account.c.id == user_id)).first()
    return None if row is None else UserDetails(*row)


def lock_sysadmins(connection: Connection) -> frozenset[int]:
    """Return the ids of the system administrators; none is added or taken until the transaction ends."""
    statement = select(user_account.c.id).where(user_account.c.is_sysadmin)
    return frozenset(connection.execute(locked(connection, statement)).scalars())


def has_email(connection: Connection, email: str, *, besides: int | None = None) -> bool:
    """Tell whether a user has the address, whatever its case; `besides` is a user not to look at."""
    statement = select(user_account.c.id).where(func.lower(user_account.c.email) == email.lower()).limit(2)
    return any(user_id != besides for user_id in connection.execute(statement).scalars())


def insert_user(
    connection: Connection, username: str, password_hash: str, profile: UserProfile, now: datetime
) -> int | None:
    """Make an ordinary user and return its id; None, and nothing changed, when the name is taken."""
    if not add_user(connection, username, password_hash, now, is_sysadmin=False):
        return None
    made = find_user(connection, username)
    if made is None:
        raise LookupError(username)
    update_profile(connection, made.id, profile, now)
    return made.id


def update_profile(connection: Connection, user_id: int, profile: UserProfile, now: datetime) -> None:
    """Store what the user tells of itself."""
    statement = update(user_account).where(user_account.c.id == user_id)
    connection.execute(statement.values(**asdict(profile), updated_at=now))


def set_sysadmin(connection: Connection, user_id: int, now: datetime, *, is_sysadmin: bool) -> None:
    """Make the user a system administrator, or an ordinary one."""
    statement = update(user_account).where(user_account.c.id == user_id)
    connection.execute(statement.values(is_sysadmin=is_sysadmin, updated_at=now))


def set_auditor(connection: Connection, user_id: int, now: datetime, *, is_auditor: bool) -> None:
    """Let the user read everything in the system, or no more than its other rights allow."""
    statement = update(user_account).where(user_account.c.id == user_id)
    connection.execute(statement.values(is_auditor=is_auditor, updated_at=now))


def store_cli_secret(
    connection: Connection, user_id: int, secret_hash: str, sealed_secret: bytes, now: datetime
) -> bool:
    """Store the secret that the user's programs sign in with; False when there is no such user."""
    statement = update(user_account).where(user_account.c.id == user_id)
    values = {"cli_secret_hash": secret_hash, "sealed_cli_secret": sealed_secret, "updated_at": now}
    return connection.execute(statement.values(**values)).rowcount > 0
