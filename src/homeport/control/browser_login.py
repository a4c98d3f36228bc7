"""Signing in and out with a browser: a password for a session."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from homeport.auth.accounts import Account
from homeport.auth.bounded_cache import BoundedCache
from homeport.auth.clock import utc_now
from homeport.auth.errors import (
    AuthenticationError,
    LoginSlowedDownError,
    PasswordWrongError,
    SourceUnavailableError,
)
from homeport.auth.onboarding import OIDC
from homeport.auth.password_login import PasswordLogin
from homeport.auth.secret import Secret
from homeport.auth.sessions import Sessions
from homeport.db.actor import Actor, Target
from homeport.db.audit import add_records
from homeport.db.engine import Database
from homeport.oci.errors import OciError
from homeport.rules.permissions import AuthMethod, PrincipalKind

_RECORD_SLOWED_DOWN_EVERY = timedelta(minutes=1)
_MAX_SLOWED_DOWN = 10_000


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session that was just begun: its cookie and the token that its changes must carry."""

    cookie: Secret
    csrf_token: str


class BrowserLogin:
    """Opens and closes sessions; every attempt is in the audit records before its answer leaves."""

    def __init__(self, database: Database, login: PasswordLogin, sessions: Sessions) -> None:
        self._database = database
        self._login = login
        self._sessions = sessions
        self._slowed_down: BoundedCache[tuple[str, str], datetime] = BoundedCache(_MAX_SLOWED_DOWN)

    async def sign_in(
        self, actor: Actor, username: str, password: Secret, old_cookie: str | None
    ) -> OpenedSession:
        """Begin a session of the user, in place of the one that the browser had.

        Raises AuthenticationError, for robots too, and LoginSlowedDownError. The cookie is always a new one:
        whoever planted another in the browser gains nothing.
        """
        actor = replace(actor, principal=username, auth_method=AuthMethod.PASSWORD.value)
        try:
            account = await self._login.sign_in(username, password, actor.client_address)
            if account.kind is not PrincipalKind.USER or account.source == OIDC:
                raise PasswordWrongError(username)  # what they have is for programs
        except AuthenticationError as error:
            await self._record(actor, "login_user", "failure", str(error))
            raise
        except LoginSlowedDownError as error:
            await self._record_seldom(actor, "slowed_down", error)
            raise
        except SourceUnavailableError as error:
            await self._record_seldom(actor, "failure", error)
            raise
        return await self.open(replace(actor, principal=account.username), account, old_cookie)

    async def open(self, actor: Actor, account: Account, old_cookie: str | None) -> OpenedSession:
        """Begin a session of an account that was just checked, by the actor's method; see `sign_in`."""
        if old_cookie:
            await self._sessions.close(old_cookie)
        method = AuthMethod(actor.auth_method)
        cookie, csrf_token = await self._sessions.open(account, method, actor.client_address)
        source = None if account.source == "local" else account.source
        await self._record(actor, "login_user", "success", source)
        return OpenedSession(Secret(cookie), csrf_token)

    async def record_failure(self, actor: Actor, error: OciError) -> None:
        """Record a sign-in that failed elsewhere, once a minute for a name and an address."""
        await self._record_seldom(actor, "failure", error)

    async def sign_out(self, actor: Actor, cookie: str) -> None:
        """End the session of the cookie, if it has one; `actor` is whose it is."""
        if await self._sessions.close(cookie):
            await self._record(actor, "logout_user", "success", None)

    async def _record(self, actor: Actor, operation: str, outcome: str, detail: str | None) -> None:
        target = Target(reference=actor.principal)
        record = actor.record(operation, target, outcome=outcome, detail=detail)
        await self._database.write(add_records, [record])

    async def _record_seldom(self, actor: Actor, outcome: str, error: OciError) -> None:
        # a client that does not wait must not be able to fill the audit
        key = (actor.principal, actor.client_address)
        now = utc_now()
        last = self._slowed_down.get(key)
        if last is None or now - last >= _RECORD_SLOWED_DOWN_EVERY:
            self._slowed_down.put(key, now)
            await self._record(actor, "login_user", outcome, str(error))
