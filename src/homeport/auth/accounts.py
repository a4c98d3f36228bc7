"""The facts of accounts that every request depends on, cached for as long as nothing changed."""

from dataclasses import dataclass

from sqlalchemy import Connection

from homeport.auth.passwords import (
    password_fingerprint,
)
from homeport.db.engine import Database
from homeport.db.rights import read_user_rights
from homeport.db.users import StoredUser, find_user_by_id
from homeport.rules.permissions import NO_RIGHTS, AuthMethod, Principal, PrincipalKind, Rights

MAX_USERNAME_LENGTH = 255

_MAX_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class Account:
    """What a request must know about a user."""

    user_id: int
    username: str
    is_sysadmin: bool
    password_fingerprint: str
    rights: Rights = NO_RIGHTS

    def as_principal(self, auth_method: AuthMethod) -> Principal:
        """Return the account as one who acts."""
        return Principal(
            self.username, PrincipalKind.USER, self.user_id, self.is_sysadmin, auth_method, self.rights
        )


def account_of(user: StoredUser, rights: Rights = NO_RIGHTS) -> Account:
    """Return the facts of a stored user who has these rights."""
    return Account(user.id, user.username, user.is_sysadmin, password_fingerprint(user.password_hash), rights)


def find_account(connection: Connection, user_id: int) -> Account | None:
    """Return the account with that id, or None."""
    user = find_user_by_id(connection, user_id)
    if user is None:
        return None
    return account_of(user, read_user_rights(connection, user.id, is_auditor=user.is_auditor))


class Accounts:
    """Finds accounts; asks the database once per change of anything in it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._version: int | None = None
        self._accounts: dict[int, Account | None] = {}

    async def find(self, user_id: int) -> Account | None:
        """Return the account as it is now, or None when it is gone."""
        version = await self._database.access_version()
        if version != self._version or len(self._accounts) >= _MAX_CACHED:
            self._version = version
            self._accounts = {}
        if user_id in self._accounts:
            return self._accounts[user_id]
        cached = self._accounts
        account = await self._database.read(find_account, user_id)
        cached[user_id] = account
        return account


def is_username(text: str) -> bool:
    """Tell whether the text can be the name of an account."""
    return 0 < len(text) <= MAX_USERNAME_LENGTH and text.isprintable() and ":" not in text
