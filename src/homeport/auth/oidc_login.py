"""Signing in at an OpenID provider: the authorization code flow with PKCE, one browser at a time."""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
import structlog

from homeport.auth.clock import Clock, utc_now
from homeport.auth.configuration import ConfigurationReader
from homeport.auth.errors import AuthenticationError, SealBrokenError, SourceUnavailableError
from homeport.auth.oidc_provider import CodeExchange, CodeRefusedError, OidcProvider, ProviderError
from homeport.auth.oidc_settings import OidcSettings, read_oidc_settings
from homeport.auth.oidc_tokens import (
    ExpectedToken,
    lacks_claims,
    read_header,
    read_identity,
    verify_id_token,
)
from homeport.auth.onboarding import ExternalIdentity
from homeport.auth.sealing import Sealer
from homeport.auth.secret import Secret
from homeport.db.external_users import ExternalGroup

log: structlog.stdlib.BoundLogger = structlog.get_logger()

FLOW_LIFETIME = timedelta(minutes=10)
MAX_TARGET_LENGTH = 1024
MAX_COOKIE_LENGTH = 16 * 1024

_MAX_PARAMETER = 4096
_FLOW = "sign-in at the OpenID provider"
_NEWCOMER = "newcomer of the OpenID provider"
_COOKIE_GROUPS, _COOKIE_GROUP_LENGTH = 20, 64  # what a cookie holds; the next sign-in brings the rest


class SignInRefusedError(AuthenticationError):
    """The sign-in at the provider did not come to its end; the message says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, hint="begin again at /c/oidc/login")


@dataclass(frozen=True, slots=True)
class BegunSignIn:
    """Where the browser goes, and the cookie that it must bring back."""

    url: str
    cookie: Secret


@dataclass(frozen=True, slots=True)
class FinishedSignIn:
    """Who the provider says it is, and which of our pages the browser wanted."""

    identity: ExternalIdentity
    target: str
    onboards: bool


def checked_target(target: str) -> str:
    """Return a path of this server to send a browser to: the given one, or the root for all others."""
    is_own = target.startswith("/") and not target.startswith(("//", "/\\"))
    is_good = is_own and len(target) <= MAX_TARGET_LENGTH and target.isascii() and target.isprintable()
    return target if is_good and "\\" not in target else "/"


class OidcLogin:
    """Sends browsers to the provider and believes what they come back with, if all of it fits together.

    State, nonce and the verifier of PKCE are in a sealed cookie, so that any worker finishes what another
    began, and only in the browser that began it. Every method raises OidcNotConfiguredError.
    """

    def __init__(
        self,
        configuration: ConfigurationReader,
        provider: OidcProvider,
        sealer: Sealer,
        clock: Clock = utc_now,
    ) -> None:
        self._configuration = configuration
        self._provider = provider
        self._sealer = sealer
        self._clock = clock

    async def begin(self, redirect_uri: str, target: str) -> BegunSignIn:
        """Return where to send a browser that wants to sign in. Raises SourceUnavailableError."""
        settings = await self._settings()
        try:
            discovery = await self._provider.discover(settings.endpoint)
        except ProviderError as error:
            raise _unavailable(settings, error) from error
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
        parameters = {
            **settings.extra,
            "response_type": "code",
            "response_mode": "query",
            "client_id": settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
        flow = {
            "state": state,
            "nonce": nonce,
            "verifier": verifier,
            "redirect_uri": redirect_uri,
            "target": checked_target(target),
            "issuer": discovery.issuer,
        }
        separator = "&" if "?" in discovery.authorization_url else "?"
        url = f"{discovery.authorization_url}{separator}{urlencode(parameters)}"
        return BegunSignIn(url, self._seal(flow, _FLOW))

    async def finish(self, cookie: str, answer: Mapping[str, str]) -> FinishedSignIn:
        """Return who signed in, by the cookie of `begin` and the parameters of the provider's answer.

        Raises SignInRefusedError, IdTokenInvalidError and SourceUnavailableError.
        """
        settings = await self._settings()
        flow = self._open(cookie, _FLOW)
        if flow is None:
            raise SignInRefusedError("the sign-in was not begun in this browser, or too long ago")
        if not secrets.compare_digest(answer.get("state", "").encode(), flow["state"].encode()):
            raise SignInRefusedError("the answer belongs to another sign-in")
        try:
            claims = await self._claims(settings, flow, answer)
        except CodeRefusedError as error:
            log.warning("oidc_code_refused", error=str(error))
            raise SignInRefusedError("the provider does not accept the code") from error
        except ProviderError as error:
            raise _unavailable(settings, error) from error
        identity = read_identity(settings, flow["issuer"], claims)
        return FinishedSignIn(identity, flow["target"], settings.onboards)

    def seal_newcomer(self, finished: FinishedSignIn) -> Secret:
        """Return a cookie that remembers somebody who must still choose a name."""
        identity = finished.identity
        groups = [group.name for group in (identity.groups or ()) if len(group.name) <= _COOKIE_GROUP_LENGTH]
        content = {
            "external_id": identity.external_id,
            "email": identity.email[:255],
            "realname": identity.realname[:255],
            "groups": groups[:_COOKIE_GROUPS],
            "is_admin": identity.is_admin,
        }
        return self._seal(content, _NEWCOMER)

    def open_newcomer(self, cookie: str, username: str) -> ExternalIdentity:
        """Return whom `seal_newcomer` remembered, under the chosen name. Raises SignInRefusedError."""
        found = self._open(cookie, _NEWCOMER)
        if found is None:
            raise SignInRefusedError("nobody signed in at the provider in this browser, or too long ago")
        groups = tuple(ExternalGroup(name) for name in found["groups"])
        return ExternalIdentity(
            "oidc",
            found["external_id"],
            username,
            found["email"],
            found["realname"],
            groups,
            found["is_admin"],
        )

    async def _claims(
        self, settings: OidcSettings, flow: Mapping[str, str], answer: Mapping[str, str]
    ) -> Mapping[str, Any]:
        discovery = await self._provider.discover(settings.endpoint)
        if discovery.issuer != flow["issuer"]:
            raise SignInRefusedError("the provider was changed meanwhile")
        if answer.get("iss", "" if discovery.names_issuer else discovery.issuer) != discovery.issuer:
            raise SignInRefusedError("the answer is of another provider")
        code = answer.get("code", "")
        if not 0 < len(code) <= _MAX_PARAMETER:
            reason = "".join(filter(str.isprintable, answer.get("error", "no code")))[:64]
            raise SignInRefusedError(f"the provider refused: {reason}")
        exchange = CodeExchange(Secret(code), Secret(flow["verifier"]), flow["redirect_uri"])
        tokens = await self._provider.exchange(settings, exchange)
        text = tokens.id_token.reveal()
        algorithm, kid = read_header(text)
        key = await self._provider.find_key(settings.endpoint, kid, algorithm)
        expected = ExpectedToken(discovery.issuer, settings.client_id, flow["nonce"])
        claims = verify_id_token(text, key, expected, self._clock())
        if tokens.access_token is not None and lacks_claims(settings, claims):
            more = await self._provider.read_userinfo(settings.endpoint, tokens.access_token)
            if more and more.get("sub") != claims["sub"]:
                raise SignInRefusedError("the provider's user information is of somebody else")
            claims = {**more, **claims}
        return claims

    async def _settings(self) -> OidcSettings:
        return read_oidc_settings(await self._configuration.read())

    def _seal(self, content: Mapping[str, object], purpose: str) -> Secret:
        ends = int((self._clock() + FLOW_LIFETIME).timestamp())
        sealed = self._sealer.seal(orjson.dumps({**content, "ends": ends}), purpose)
        return Secret(base64.urlsafe_b64encode(sealed).decode().rstrip("="))

    def _open(self, cookie: str, purpose: str) -> Any:
        """Return what was sealed for the purpose and has not ended, else None."""
        if not 0 < len(cookie) <= MAX_COOKIE_LENGTH:
            return None
        try:
            sealed = base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
            content = orjson.loads(self._sealer.unseal(sealed, purpose))
        except (binascii.Error, ValueError, SealBrokenError):
            return None
        ends: int = content["ends"]
        return content if _timestamp(self._clock()) < ends else None


def _timestamp(moment: datetime) -> float:
    return moment.timestamp()


def _unavailable(settings: OidcSettings, error: ProviderError) -> SourceUnavailableError:
    log.warning("oidc_unavailable", endpoint=settings.endpoint.issuer, error=str(error))
    return SourceUnavailableError("", "the OpenID provider cannot be asked")
