"""Browser sessions: a random cookie, kept by its hash, and a CSRF token beside it."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from homeport.auth.accounts import Account, Accounts
from homeport.auth.clock import utc_now
from homeport.db.engine import Database
from homeport.db.sessions import StoredSession, add_session, delete_session, find_session
from homeport.rules.permissions import AuthMethod, Principal

SESSION_TTL = timedelta(hours=1)
_RENEW_BELOW = timedelta(minutes=50)
_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """A session that holds: who it is, and the token that its changes must carry."""

    principal: Principal
    csrf_token: str


class Sessions:
    """Opens, finds and closes sessions.

    A session ends an hour after its last use, at once when its account is deleted or gets another password.
    """

    def __init__(
        self, database: Database, accounts: Accounts, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._clock = clock

    async def open(self, account: Account, method: AuthMethod, client_address: str) -> tuple[str, str]:
        """Begin a session and return the cookie's value and the CSRF token."""
        cookie, csrf_token = secrets.token_urlsafe(_TOKEN_BYTES), secrets.token_urlsafe(_TOKEN_BYTES)
        now = self._clock()
        stored = StoredSession(
            token_hash=_hash(cookie),
            user_id=account.user_id,
            password_fingerprint=account.password_fingerprint,
            auth_method=method.value,
            csrf_token=csrf_token,
            client_address=client_address,
            created_at=now,
            expires_at=now + SESSION_TTL,
        )
        await self._database.write(add_session, stored)
        return cookie, csrf_token

    async def find(self, cookie: str) -> Session | None:
        """Return the session of the cookie while it holds, and prolong it when it is used."""
        now = self._clock()
        stored = await self._database.read(find_session, _hash(cookie))
        if stored is None or stored.expires_at <= now:
            return None
        account = await self._accounts.find(stored.user_id)
        if account is None or account.password_fingerprint != stored.password_fingerprint:
            return None
        if stored.expires_at - now < _RENEW_BELOW:
            await self._database.write(add_session, stored.until(now + SESSION_TTL))
        return Session(account.as_principal(AuthMethod.SESSION), stored.csrf_token)

    async def close(self, cookie: str) -> None:
        """End the session of the cookie, if there is one."""
        await self._database.write(delete_session, _hash(cookie))


def _hash(cookie: str) -> str:
    return sha256(cookie.encode()).hexdigest()
