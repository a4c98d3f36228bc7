"""The token service: credentials in, an access token for at most the asked scopes out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeport.auth.access_tokens import AccessTokens, TokenSubject
from homeport.auth.accounts import Account
from homeport.auth.authentication import parse_basic_credentials
from homeport.auth.bounded_cache import BoundedCache
from homeport.auth.clock import utc_now
from homeport.auth.errors import (
    CredentialsMalformedError,
    IdentityTokenInvalidError,
    LoginSlowedDownError,
    PasswordWrongError,
    RefreshTokenInvalidError,
    SourceUnavailableError,
)
from homeport.auth.grants import Grants, asked_actions, asks_for_catalog
from homeport.auth.login_event import LoginEvent, LoginOutcome, LoginRecorder, RequestFacts
from homeport.auth.onboarding import OnboardingRefusedError
from homeport.auth.password_login import PasswordLogin
from homeport.auth.refresh_tokens import RefreshTokens
from homeport.auth.secret import Secret
from homeport.db.engine import Database
from homeport.db.repositories import find_project_facts, project_of
from homeport.oci.name import is_repository_name
from homeport.oci.scope import REPOSITORY, Scope, parse_scopes
from homeport.rules.permissions import (
    ANONYMOUS,
    AuthMethod,
    Principal,
    PrincipalKind,
    ProjectFacts,
    may_list_catalog,
    repository_actions,
)

_MAX_AUTHORIZATION_BYTES = 24 * 1024  # an identity token may be the password
_MAX_DETAIL = 1024
_RECORD_SLOWED_DOWN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What is asked for: scopes as they came, and whether a refresh token is wanted beside."""

    scopes: Sequence[str] = ()
    client_id: str = ""
    wants_refresh_token: bool = False


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """What is given: the token, what it covers and until when."""

    access_token: Secret
    granted: tuple[Scope, ...]
    issued_at: datetime
    expires_in_s: int
    refresh_token: Secret | None = None


class TokenService:
    """Issues tokens (distribution, "Token Authentication Specification" and "OAuth2 Token Authentication").

    There is one service here, so a token is for it whatever service was asked for. Less than was asked, or
    nothing, is no error: the token then covers less. Every sign-in, good or bad, is recorded before the
    answer leaves.
    """

    def __init__(
        self,
        database: Database,
        login: PasswordLogin,
        tokens: AccessTokens,
        refresh_tokens: RefreshTokens,
        record_login: LoginRecorder,
    ) -> None:
        self._database = database
        self._login = login
        self._tokens = tokens
        self._refresh_tokens = refresh_tokens
        self._record_login = record_login
        self._slowed_down: BoundedCache[tuple[str, str], datetime] = BoundedCache(10_000)

    @property
    def service(self) -> str:
        """The service that the tokens are for."""
        return self._tokens.audience.service

    async def answer_header(
        self, authorization: bytes | None, request: TokenRequest, facts: RequestFacts
    ) -> TokenAnswer:
        """Return a token for the account of a Basic header; none or an empty one asks anonymously.

        Access tokens are not accepted: they would prolong themselves. Raises AuthenticationError and
        LoginSlowedDownError.
        """
        if authorization is None:
            return await self._issue(None, ANONYMOUS, request)
        scheme, _, value = authorization.strip().partition(b" ")
        if scheme.lower() != b"basic" or len(value) > _MAX_AUTHORIZATION_BYTES:
            raise CredentialsMalformedError(
                "tokens are given for Basic credentials", hint="send user name and password"
            )
        username, password = parse_basic_credentials(value.strip())
        if not username and not password:
            return await self._issue(None, ANONYMOUS, request)
        account = await self._sign_in(username, password, AuthMethod.BASIC, facts)
        return await self._issue(account, account.as_principal(AuthMethod.BASIC), request)

    async def answer_password(
        self, username: str, password: Secret, request: TokenRequest, facts: RequestFacts
    ) -> TokenAnswer:
        """Return a token for the account (OAuth2 grant `password`); raises as `answer_header` does."""
        account = await self._sign_in(username, password, AuthMethod.PASSWORD, facts)
        return await self._issue(account, account.as_principal(AuthMethod.PASSWORD), request)

    async def answer_exchange(
        self, identity_token: Secret, robot_name: str, request: TokenRequest, facts: RequestFacts
    ) -> TokenAnswer:
        """Return a token for the robot that the identity token's workload acts as (RFC 8693).

        An empty name leaves it to the trust rules which robot that is. Raises IdentityTokenInvalidError.
        """
        method = AuthMethod.WORKLOAD
        try:
            workload = await self._login.sign_in_workload(identity_token, robot_name, facts.client_address)
        except IdentityTokenInvalidError as error:
            await self._record_login(LoginEvent(robot_name, method, LoginOutcome.FAILURE, facts, str(error)))
            raise
        account = workload.account
        detail = f"{workload.subject} of {workload.issuer}"
        await self._record_login(
            LoginEvent(account.username, method, LoginOutcome.SUCCESS, facts, detail[:_MAX_DETAIL])
        )
        return await self._issue(account, account.as_principal(method), request)

    async def answer_refresh_token(
        self, refresh_token: Secret, request: TokenRequest, facts: RequestFacts
    ) -> TokenAnswer:
        """Return a token for the refresh token's account; raises RefreshTokenInvalidError."""
        method = AuthMethod.REFRESH_TOKEN
        try:
            account = await self._refresh_tokens.redeem(refresh_token)
        except RefreshTokenInvalidError as error:
            await self._record_login(LoginEvent("", method, LoginOutcome.FAILURE, facts, str(error)))
            raise
        await self._record_login(LoginEvent(account.username, method, LoginOutcome.SUCCESS, facts))
        return await self._issue(account, account.as_principal(method), request, refresh_token)

    async def _sign_in(
        self, username: str, password: Secret, method: AuthMethod, facts: RequestFacts
    ) -> Account:
        try:
            account = await self._login.sign_in(username, password, facts.client_address)
        except (PasswordWrongError, IdentityTokenInvalidError, OnboardingRefusedError) as error:
            await self._record_login(LoginEvent(username, method, LoginOutcome.FAILURE, facts, str(error)))
            raise
        except LoginSlowedDownError as error:
            await self._record_seldom(
                LoginEvent(username, method, LoginOutcome.SLOWED_DOWN, facts, str(error))
            )
            raise
        except SourceUnavailableError as error:
            await self._record_seldom(LoginEvent(username, method, LoginOutcome.FAILURE, facts, str(error)))
            raise
        method = account.as_principal(method).auth_method
        source = "" if account.source == "local" else account.source
        await self._record_login(LoginEvent(account.username, method, LoginOutcome.SUCCESS, facts, source))
        return account

    async def _record_seldom(self, event: LoginEvent) -> None:
        # a client that does not wait must not be able to fill the audit
        key = (event.principal_name, event.facts.client_address)
        now = utc_now()
        last = self._slowed_down.get(key)
        if last is None or now - last >= _RECORD_SLOWED_DOWN_EVERY:
            self._slowed_down.put(key, now)
            await self._record_login(event)

    async def _issue(
        self,
        account: Account | None,
        principal: Principal,
        request: TokenRequest,
        refresh_token: Secret | None = None,
    ) -> TokenAnswer:
        grants = await self._grant(principal, parse_scopes(request.scopes))
        if account is None:
            text, token = await self._tokens.issue(TokenSubject("", None, ""), grants)
        else:
            subject = TokenSubject(
                account.username, account.user_id, account.password_fingerprint, account.kind
            )
            text, token = await self._tokens.issue(subject, grants)
            # robots have secrets that are as long-lived; whom others vouch for may have left there
            is_lasting = account.kind is PrincipalKind.USER and account.source == "local"
            if request.wants_refresh_token and refresh_token is None and is_lasting:
                refresh_token = await self._refresh_tokens.issue(account, request.client_id)
        return TokenAnswer(
            access_token=Secret(text),
            granted=tuple(grants.scopes()),
            issued_at=token.issued_at,
            expires_in_s=int((token.expires_at - token.issued_at).total_seconds()),
            refresh_token=refresh_token if request.wants_refresh_token else None,
        )

    async def _grant(self, principal: Principal, scopes: list[Scope]) -> Grants:
        asked = {
            scope.name: asked_actions(scope)
            for scope in scopes
            if scope.type == REPOSITORY and is_repository_name(scope.name)
        }
        projects = {name: project_of(name) for name in asked}
        facts: dict[str, ProjectFacts] = {}
        if projects:
            facts = await self._database.read(find_project_facts, set(projects.values()))
        granted = {}
        for name, actions in asked.items():
            allowed = actions & repository_actions(principal, facts.get(projects[name]), name)
            if allowed:
                granted[name] = allowed
        return Grants(granted, asks_for_catalog(scopes) and may_list_catalog(principal))
