"""The facts of accounts that every request depends on, cached for as long as nothing changed."""

from dataclasses import dataclass

from homeport.auth.passwords import (
    password_fingerprint,
)
from homeport.db.engine import Database
from homeport.db.users import StoredUser, find_user_by_id
from homeport.rules.permissions import AuthMethod, Principal, PrincipalKind

MAX_USERNAME_LENGTH = 255

_MAX_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class Account:
    """What a request must know about a user."""

    user_id: int
    username: str
    is_sysadmin: bool
    password_fingerprint: str

    def as_principal(self, auth_method: AuthMethod) -> Principal:
        """Return the account as one who acts."""
        return Principal(self.username, PrincipalKind.USER, self.user_id, self.is_sysadmin, auth_method)


def account_of(user: StoredUser) -> Account:
    """Return the facts of a stored user."""
    return Account(user.id, user.username, user.is_sysadmin, password_fingerprint(user.password_hash))


class Accounts:
    """Finds accounts; asks the database once per change of anything in it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._version: int | None = None
        self._accounts: dict[int, Account | None] = {}

    async def find(self, user_id: int) -> Account | None:
        """Return the account as it is now, or None when it is gone."""
        version = self._database.version()
        if version != self._version or len(self._accounts) >= _MAX_CACHED:
            self._version = version
            self._accounts = {}
        if user_id in self._accounts:
            return self._accounts[user_id]
        cached = self._accounts
        user = await self._database.read(find_user_by_id, user_id)
        account = None if user is None else account_of(user)
        cached[user_id] = account
        return account


def is_username(text: str) -> bool:
    """Tell whether the text can be the name of an account."""
    return 0 < len(text) <= MAX_USERNAME_LENGTH and text.isprintable() and ":" not in text
