"""Refresh tokens: long-lived, random, known to the database by their hashes only."""

import hashlib
import secrets
from datetime import timedelta

from homeport.auth.accounts import Account, Accounts
from homeport.auth.clock import Clock, utc_now
from homeport.auth.errors import RefreshTokenInvalidError
from homeport.auth.secret import Secret
from homeport.db.engine import Database
from homeport.db.refresh_tokens import (
    StoredRefreshToken,
    add_refresh_token,
    find_refresh_token,
    prolong_refresh_token,
)

LIFETIME = timedelta(days=30)
MAX_PER_USER = 2000

_PREFIX = "hprt_"
_PROLONG_AFTER = timedelta(days=1)
_MAX_TOKEN_LENGTH = 256
_MAX_CLIENT_ID = 255


class RefreshTokens:
    """Gives out refresh tokens and finds whose they are.

    A token lives for 30 days after its last use, for one service, and ends when its user's password
    changes or the user is deleted.
    """

    def __init__(
        self,
        database: Database,
        accounts: Accounts,
        service: str,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._service = service
        self._clock = clock

    async def issue(self, account: Account, client_id: str) -> Secret:
        """Return a new token of the account; the one that expires first goes when there are too many."""
        text = _PREFIX + secrets.token_urlsafe(32)
        now = self._clock()
        stored = StoredRefreshToken(
            token_hash=_hash(text),
            user_id=account.user_id,
            password_fingerprint=account.password_fingerprint,
            service=self._service,
            client_id=_printable(client_id),
            created_at=now,
            expires_at=now + LIFETIME,
        )
        if not await self._database.write(add_refresh_token, stored, keep=MAX_PER_USER):
            raise RefreshTokenInvalidError
        return Secret(text)

    async def redeem(self, token: Secret) -> Account:
        """Return whose token it is and let it live on; raises RefreshTokenInvalidError."""
        text = token.reveal()
        if len(text) > _MAX_TOKEN_LENGTH:
            raise RefreshTokenInvalidError
        stored = await self._database.read(find_refresh_token, _hash(text))
        now = self._clock()
        if stored is None or stored.service != self._service or now >= stored.expires_at:
            raise RefreshTokenInvalidError
        account = await self._accounts.find(stored.user_id)
        if account is None or account.password_fingerprint != stored.password_fingerprint:
            raise RefreshTokenInvalidError
        if stored.expires_at - now <= LIFETIME - _PROLONG_AFTER:
            await self._database.write(prolong_refresh_token, stored.token_hash, now + LIFETIME)
        return account


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:_MAX_CLIENT_ID]
