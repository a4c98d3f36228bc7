"""Who calls the control plane: Basic credentials for programs, sessions for browsers."""

import os
import re
from secrets import compare_digest

from starlette.requests import Request

from homeport.auth.authentication import Authenticator
from homeport.auth.certificates import CertificateLogin
from homeport.auth.errors import AuthenticationError
from homeport.auth.sessions import Sessions
from homeport.control.errors import ForbiddenError, UnauthenticatedError
from homeport.db.actor import Actor, Target
from homeport.registry.recorder import Recorder
from homeport.rules.permissions import ANONYMOUS, AuthMethod, Principal
from homeport.web.forwarded import Forwarding

SESSION_COOKIE = "sid"
CSRF_HEADER = "x-harbor-csrf-token"

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


class Callers:
    """Identifies callers and gives their requests an id."""

    def __init__(
        self,
        authenticator: Authenticator,
        sessions: Sessions,
        forwarding: Forwarding,
        recorder: Recorder,
        certificates: CertificateLogin,
    ) -> None:
        self._certificates = certificates
        self._authenticator = authenticator
        self._sessions = sessions
        self._forwarding = forwarding
        self._recorder = recorder

    async def identify(self, request: Request) -> tuple[Principal, Actor]:
        """Return who calls and the facts for audit records.

        Raises AuthenticationError for wrong credentials, which is recorded; UnauthenticatedError for a
        registry token, whose scopes say nothing here; ForbiddenError for a session's change without its
        CSRF token.
        """
        headers = dict(request.scope["headers"])
        address = self._forwarding.client_address(request.scope, headers)
        authorization = headers.get(b"authorization")
        if authorization is not None:
            principal = await self._identify_header(request, authorization, address)
        else:
            principal = await self._identify_certificate(request, address)
            if principal.is_anonymous:
                principal = await self._identify_session(request)
        return principal, self.actor(request, principal.name, principal.auth_method, address)

    def actor(self, request: Request, principal: str, method: str, address: str) -> Actor:
        """Return the facts of a request for audit records."""
        agent = request.headers.get("user-agent", "")[:512]
        return Actor(principal, method, address, agent, request_id_of(request))

    async def _identify_header(self, request: Request, authorization: bytes, address: str) -> Principal:
        if authorization[:7].lower() == b"bearer ":
            raise UnauthenticatedError(
                "registry tokens are not accepted here", hint="use Basic credentials or a session"
            )
        try:
            authentication = await self._authenticator.authenticate(authorization, address)
        except AuthenticationError as error:
            await self._record_failure(request, error, "basic", address)
            raise
        return authentication.principal

    async def _identify_certificate(self, request: Request, address: str) -> Principal:
        if not self._certificates.is_enabled:
            return ANONYMOUS
        certificate = self._forwarding.client_certificate(request.scope, dict(request.scope["headers"]))
        if certificate is None:
            return ANONYMOUS
        try:
            account = await self._certificates.sign_in(certificate)
        except AuthenticationError as error:
            await self._record_failure(request, error, "certificate", address)
            raise
        return account.as_principal(AuthMethod.CERTIFICATE)

    async def _record_failure(
        self, request: Request, error: AuthenticationError, method: str, address: str
    ) -> None:
        actor = self.actor(request, error.account, method, address)
        record = actor.record("login", Target(), outcome="failure", detail=str(error))
        await self._recorder.record(record)

    async def _identify_session(self, request: Request) -> Principal:
        cookie = request.cookies.get(SESSION_COOKIE)
        if not cookie:
            return ANONYMOUS
        session = await self._sessions.find(cookie)
        if session is None:
            return ANONYMOUS
        if request.method not in _SAFE_METHODS:
            sent = request.headers.get(CSRF_HEADER, "")
            if not compare_digest(sent.encode(), session.csrf_token.encode()):
                raise ForbiddenError("the CSRF token is missing or wrong", hint=f"send {CSRF_HEADER}")
        request.state.csrf_token = session.csrf_token
        return session.principal


def request_id_of(request: Request) -> str:
    """Return the request's id: the client's X-Request-Id when it is one, else a new one."""
    known: str | None = getattr(request.state, "request_id", None)
    if known is None:
        given = request.headers.get("x-request-id", "")
        known = given if _REQUEST_ID.fullmatch(given) else os.urandom(8).hex()
        request.state.request_id = known
    return known
