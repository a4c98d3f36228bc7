"""Sessions for users of an OpenID provider; accounts for those who come first; a look at the provider."""

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection

from homeport.auth.accounts import Accounts
from homeport.auth.cli_secrets import seal_cli_secret
from homeport.auth.configuration import ConfigurationReader
from homeport.auth.errors import AuthenticationError, SourceUnavailableError
from homeport.auth.oidc_login import BegunSignIn, FinishedSignIn, OidcLogin, SignInRefusedError
from homeport.auth.oidc_provider import ProviderError, fetch_discovery
from homeport.auth.oidc_settings import OidcEndpoint, OidcNotConfiguredError
from homeport.auth.onboarding import (
    OIDC,
    ExternalIdentity,
    NameTakenError,
    OnboardingRefusedError,
    check_onboarding_name,
    onboard,
)
from homeport.auth.passwords import Passwords
from homeport.auth.sealing import Sealer
from homeport.auth.secret import Secret
from homeport.control.browser_login import BrowserLogin, OpenedSession
from homeport.control.errors import BadRequestError, ConflictError, PreconditionError
from homeport.db.actor import Actor
from homeport.db.engine import Database
from homeport.db.external_users import find_user_by_external_id
from homeport.db.users import find_user_details, store_cli_secret
from homeport.rules.permissions import AuthMethod


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody whom the provider knows and who must choose a name: a cookie, a suggestion, and the page."""

    cookie: Secret
    suggestion: str
    target: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that was begun, and the page that the browser wanted."""

    session: OpenedSession
    target: str


@dataclass(frozen=True, slots=True)
class AccountParts:
    """What accounts are made with."""

    database: Database
    accounts: Accounts
    passwords: Passwords
    sealer: Sealer


class OidcSignIn:
    """Opens sessions for whom the provider vouches; every end of a sign-in is in the audit records.

    Raises PreconditionError while no provider is configured, and SourceUnavailableError when it cannot be
    asked.
    """

    def __init__(self, parts: AccountParts, login: OidcLogin, browser_login: BrowserLogin) -> None:
        self._parts = parts
        self._login = login
        self._browser_login = browser_login

    async def begin(self, redirect_uri: str, target: str) -> BegunSignIn:
        """Return where to send the browser."""
        try:
            return await self._login.begin(redirect_uri, target)
        except OidcNotConfiguredError as error:
            raise PreconditionError(str(error), hint=error.hint) from None

    async def finish(
        self, actor: Actor, cookie: str, answer: dict[str, str], old_session: str | None
    ) -> SignedIn | Newcomer:
        """Open a session for whom the provider sent back, or learn that it must choose a name first.

        Raises AuthenticationError.
        """
        actor = replace(actor, principal="", auth_method=AuthMethod.OIDC.value)
        try:
            finished = await self._login.finish(cookie, answer)
            identity = finished.identity
            actor = replace(actor, principal=identity.username)
            if not await self._has_account(finished):
                return Newcomer(self._login.seal_newcomer(finished), identity.username, finished.target)
            session = await self._open(actor, identity, old_session)
        except OidcNotConfiguredError as error:
            raise PreconditionError(str(error), hint=error.hint) from None
        except (AuthenticationError, SourceUnavailableError) as error:
            await self._browser_login.record_failure(actor, error)
            raise
        return SignedIn(session, finished.target)

    async def onboard(
        self, actor: Actor, cookie: str, username: str, old_session: str | None
    ) -> OpenedSession:
        """Make the account under the name that the newcomer chose, and open a session.

        Raises SignInRefusedError, BadRequestError for an impossible name, ConflictError for a taken one.
        """
        actor = replace(actor, principal=username, auth_method=AuthMethod.OIDC.value)
        try:
            identity = self._login.open_newcomer(cookie, username)
        except SignInRefusedError as error:
            await self._browser_login.record_failure(actor, error)
            raise
        try:
            return await self._open(actor, identity, old_session)
        except NameTakenError as error:
            raise ConflictError(str(error)) from None
        except OnboardingRefusedError as error:
            raise BadRequestError(str(error)) from None

    async def _has_account(self, finished: FinishedSignIn) -> bool:
        """Tell whether there is an account or one can be made without asking."""
        identity = finished.identity
        known = await self._parts.database.read(
            find_user_by_external_id, identity.source, identity.external_id
        )
        if known is not None:
            return True
        if not finished.onboards or not identity.username:
            return False
        try:
            await self._parts.database.read(check_onboarding_name, identity.username)
        except OnboardingRefusedError:
            return False
        return True

    async def _open(self, actor: Actor, identity: ExternalIdentity, old_session: str | None) -> OpenedSession:
        parts = self._parts
        user_id = await parts.database.write(onboard, identity, actor, datetime.now(UTC))
        await self._ensure_cli_secret(user_id)
        account = await parts.accounts.find(user_id)
        if account is None:
            raise SignInRefusedError("the account was just deleted")
        return await self._browser_login.open(
            replace(actor, principal=account.username), account, old_session
        )

    async def _ensure_cli_secret(self, user_id: int) -> None:
        parts = self._parts
        found = await parts.database.read(find_user_details, user_id)
        if found is None or found.sealed_cli_secret is not None:
            return
        secret = _make_cli_secret()
        async with parts.passwords.turn():
            secret_hash = await parts.passwords.hash(secret)
        await parts.database.write(_store_first_secret, user_id, secret_hash, (parts.sealer, secret))


def _store_first_secret(
    connection: Connection, user_id: int, secret_hash: str, sealing: tuple[Sealer, Secret]
) -> None:
    found = find_user_details(connection, user_id)
    if found is not None and found.source == OIDC and found.sealed_cli_secret is None:
        sealer, secret = sealing
        sealed = seal_cli_secret(sealer, user_id, secret)
        store_cli_secret(connection, user_id, secret_hash, sealed, datetime.now(UTC))


def _make_cli_secret() -> Secret:
    """Return 190 random bits that keep Harbor's rule for passwords."""
    return Secret(f"Hp0-{secrets.token_urlsafe(24)}")


async def ping_provider(configuration: ConfigurationReader, url: str, *, verifies: bool) -> None:
    """Ask a provider for its discovery document. Raises BadRequestError when that does not work."""
    ca = (await configuration.read()).oidc_ca_certificate
    if not url.startswith(("https://", "http://")):
        raise BadRequestError("the URL must begin with https://")
    try:
        await fetch_discovery(OidcEndpoint(url, verifies, ca))
    except ProviderError as error:
        raise BadRequestError(str(error), hint=error.hint) from None
