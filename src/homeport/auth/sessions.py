"""Browser sessions: a random cookie, kept by its hash, and a CSRF token beside it."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from homeport.auth.accounts import Account, Accounts
from homeport.auth.clock import Clock, utc_now
from homeport.auth.configuration import ConfigurationReader
from homeport.db.engine import Database
from homeport.db.sessions import (
    StoredSession,
    add_session,
    delete_session,
    find_session,
    prolong_session,
)
from homeport.rules.permissions import AuthMethod, Principal

EXTERNAL_LIFETIME = timedelta(hours=12)

_MAX_COOKIE_LENGTH = 128
_RENEW_EVERY = 6  # parts of a session's life; a write with each request would be too much
_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """A session that holds: who it is, and the token that its changes must carry."""

    principal: Principal
    csrf_token: str


class Sessions:
    """Opens, finds and closes sessions.

    A session ends when it was not used for the configured time (`session_timeout`), and at once when its
    account is deleted or gets another password. Users whom a directory or a provider vouches for sign in
    again after EXTERNAL_LIFETIME, so that those who left are out.
    """

    def __init__(
        self,
        database: Database,
        accounts: Accounts,
        configuration: ConfigurationReader,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._configuration = configuration
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
            client_address=client_address[:64],
            created_at=now,
            expires_at=now + await self._ttl(),
        )
        await self._database.write(add_session, stored)
        return cookie, csrf_token

    async def find(self, cookie: str) -> Session | None:
        """Return the session of the cookie while it holds, and prolong it when it is used."""
        if len(cookie) > _MAX_COOKIE_LENGTH:
            return None
        now = self._clock()
        stored = await self._database.read(find_session, _hash(cookie))
        if stored is None or stored.expires_at <= now:
            return None
        account = await self._accounts.find(stored.user_id)
        if account is None or account.password_fingerprint != stored.password_fingerprint:
            return None
        if account.source != "local" and now >= stored.created_at + EXTERNAL_LIFETIME:
            return None
        ttl = await self._ttl()
        if stored.expires_at - now < ttl - ttl / _RENEW_EVERY:
            await self._database.write(prolong_session, stored.token_hash, now + ttl)
        return Session(account.as_principal(AuthMethod.SESSION), stored.csrf_token)

    async def close(self, cookie: str) -> bool:
        """End the session of the cookie; tells whether there was one."""
        return await self._database.write(delete_session, _hash(cookie))

    async def _ttl(self) -> timedelta:
        return timedelta(minutes=(await self._configuration.read()).session_timeout)


def _hash(cookie: str) -> str:
    return sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()
