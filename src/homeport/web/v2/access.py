"""Who calls, and may they? Authentication, challenges and denials under /v2."""

from dataclasses import dataclass

from homeport.auth.authentication import Authentication, Authenticator
from homeport.auth.certificates import CertificateLogin
from homeport.auth.configuration import ConfigurationReader
from homeport.auth.errors import AuthenticationError
from homeport.auth.network import NetworkGuard
from homeport.db.actor import Actor, Target
from homeport.db.repositories import Location
from homeport.oci.errors import OciError, OciErrorCode
from homeport.oci.name import NameInvalidError
from homeport.oci.scope import CATALOG, REGISTRY, REPOSITORY, Scope
from homeport.registry.errors import NameUnknownError
from homeport.registry.recorder import Recorder
from homeport.rules.network import NetworkOperation, is_admitted
from homeport.rules.permissions import (
    AuthMethod,
    RepositoryAction,
    may_do,
    may_list_catalog,
)
from homeport.web.forwarded import Forwarding
from homeport.web.v2.request import Request

_CATALOG_SCOPE = Scope(REGISTRY, CATALOG, frozenset({"*"}))


class ChallengeError(OciError):
    """The request needs credentials, better ones or a token for another scope (RFC 6750, 3)."""

    def __init__(self, scopes: tuple[Scope, ...], *, error: str = "", message: str = "") -> None:
        super().__init__(
            OciErrorCode.UNAUTHORIZED,
            message or "authentication is required",
            detail=[{"type": s.type, "name": s.name, "actions": sorted(s.actions)} for s in scopes] or None,
        )
        self.scopes = scopes
        self.error = error


class Caller:
    """Who sent a request, and what its token was issued for."""

    __slots__ = ("_request", "address", "authentication")

    def __init__(self, authentication: Authentication, request: Request, address: str) -> None:
        self.authentication = authentication
        self._request = request
        self.address = address

    @property
    def actor(self) -> Actor:
        """The facts for audit records."""
        principal = self.authentication.principal
        return _actor(self._request, principal.name, principal.auth_method, self.address)


@dataclass(frozen=True, slots=True)
class HouseRules:
    """What every caller meets, whoever it is."""

    configuration: ConfigurationReader
    network: NetworkGuard
    certificates: CertificateLogin


class Access:
    """Decides on requests by what the account may do now and what its token was issued for."""

    def __init__(
        self,
        authenticator: Authenticator,
        forwarding: Forwarding,
        recorder: Recorder,
        house: HouseRules,
    ) -> None:
        self._authenticator = authenticator
        self._forwarding = forwarding
        self._recorder = recorder
        self._configuration = house.configuration
        self._network = house.network
        self._certificates = house.certificates

    async def require(self, request: Request, location: Location, action: RepositoryAction) -> Caller:
        """Return the caller when it may do this to the repository.

        Raises ChallengeError when other credentials or another token could help, and an OciError DENIED
        when the account may never do it; a private repository looks to strangers like one that does not
        exist. Names without a project are refused here, the same to everybody, and in read-only mode all
        that would change something.
        """
        header = request.headers.get(b"authorization")
        authentication = self._authenticator.authenticate_cached(header, request.access_version)
        if authentication is None or (header is None and self._certificates.is_enabled):
            authentication = await self._verify(request, header, (_scope(location, action),))
        caller = self._caller(request, authentication)
        if self.is_allowed(caller, location, action):
            await self._check_network(caller, request, location, action)
            if "/" not in location.repository_name:
                raise _nameless(location.repository_name, action)
            if action is not RepositoryAction.PULL and (await self._configuration.read()).read_only:
                raise OciError(
                    OciErrorCode.UNSUPPORTED,
                    "the registry is in read-only mode",
                    hint="try again when the administrator has turned it off",
                )
            return caller
        await self._refuse(caller, location, action)
        raise AssertionError  # _refuse always raises

    def is_allowed(self, caller: Caller, location: Location, action: RepositoryAction) -> bool:
        """Tell whether account and token both allow the action."""
        authentication = caller.authentication
        scopes = authentication.scopes
        if scopes is not None and action not in scopes.get(location.repository_name, ()):
            return False
        return may_do(authentication.principal, location.project, action, location.repository_name)

    async def require_login(self, request: Request) -> Caller:
        """Return the caller when it sent any valid credentials, an anonymous token too; else challenge.

        Clients choose their way to authenticate from this answer, so it must not be 200 without them.
        """
        if b"authorization" not in request.headers and not self._certificates.is_enabled:
            raise ChallengeError(())
        caller = await self._identify(request, ())
        if _is_stranger(caller.authentication):
            raise ChallengeError(())
        return caller

    async def require_catalog(self, request: Request) -> Caller:
        """Return the caller when it may list repositories."""
        caller = await self._identify(request, (_CATALOG_SCOPE,))
        authentication = caller.authentication
        if _is_stranger(authentication):
            raise ChallengeError((_CATALOG_SCOPE,))
        if not authentication.may_list_catalog or not may_list_catalog(authentication.principal):
            raise ChallengeError((_CATALOG_SCOPE,), error="insufficient_scope")
        return caller

    def challenge(self, request: Request, error: ChallengeError) -> bytes:
        """Return the WWW-Authenticate value that tells the client where to get a token, and for what."""
        base = self._forwarding.base_url(request.scope, request.headers)
        text = f'Bearer realm="{base}/service/token",service="{self._authenticator.service}"'
        if error.scopes:
            text += f',scope="{" ".join(map(str, error.scopes))}"'
        if error.error:
            text += f',error="{error.error}"'
        return text.encode("latin-1", "replace")

    async def _identify(self, request: Request, scopes: tuple[Scope, ...]) -> Caller:
        header = request.headers.get(b"authorization")
        authentication = self._authenticator.authenticate_cached(header, request.access_version)
        if authentication is None or (header is None and self._certificates.is_enabled):
            authentication = await self._verify(request, header, scopes)
        return self._caller(request, authentication)

    def _caller(self, request: Request, authentication: Authentication) -> Caller:
        address = self._forwarding.client_address(request.scope, request.headers)
        return Caller(authentication, request, address)

    async def _verify(
        self, request: Request, header: bytes | None, scopes: tuple[Scope, ...]
    ) -> Authentication:
        address = self._forwarding.client_address(request.scope, request.headers)
        certificate = None
        if header is None and self._certificates.is_enabled:
            certificate = self._forwarding.client_certificate(request.scope, request.headers)
        try:
            if certificate is not None:
                account = await self._certificates.sign_in(certificate)
                return Authentication(account.as_principal(AuthMethod.CERTIFICATE))
            return await self._authenticator.authenticate(header, address)
        except AuthenticationError as error:
            actor = _actor(request, error.account, "", address)
            record = actor.record("login", Target(), outcome="failure", detail=str(error))
            await self._recorder.record(record)
            raise ChallengeError(scopes, error="invalid_token", message=str(error)) from error

    async def _check_network(
        self, caller: Caller, request: Request, location: Location, action: RepositoryAction
    ) -> None:
        is_pull = action is RepositoryAction.PULL
        operation = NetworkOperation.PULL if is_pull else NetworkOperation.PUSH
        rules = await self._network.rules(request.access_version)
        if is_admitted(rules, operation, caller.address, location.project_id):
            return
        target = Target(location.repository_name)
        record = caller.actor.record("denial", target, outcome="denied", detail=f"{action.value}: network")
        await self._recorder.record(record)
        raise OciError(
            OciErrorCode.DENIED,
            f"this repository does not take a {operation.value} from {caller.address}",
            hint="ask an administrator of the project about its network rules",
        )

    async def _refuse(self, caller: Caller, location: Location, action: RepositoryAction) -> None:
        authentication = caller.authentication
        principal = authentication.principal
        scope = _scope(location, action)
        if _is_stranger(authentication):
            raise ChallengeError((scope,))
        may_at_all = may_do(principal, location.project, action, location.repository_name)
        if may_at_all:
            raise ChallengeError((scope,), error="insufficient_scope")
        record = caller.actor.record(
            "denial", Target(location.repository_name), outcome="denied", detail=action.value
        )
        await self._recorder.record(record)
        if principal.is_anonymous:
            raise ChallengeError((scope,), error="insufficient_scope")
        raise OciError(
            OciErrorCode.DENIED,
            f"{principal.name} may not {action.value} in this repository",
            detail=[{"type": scope.type, "name": scope.name, "action": action.value}],
            hint="ask an administrator of the project for access",
        )


def _actor(request: Request, principal: str, method: str, address: str) -> Actor:
    agent = request.headers.get(b"user-agent", b"")[:512].decode("latin-1")
    return Actor(principal, method, address, agent, request.request_id)


def _scope(location: Location, action: RepositoryAction) -> Scope:
    actions = {RepositoryAction.PULL, action} if action is RepositoryAction.PUSH else {action}
    return Scope(REPOSITORY, location.repository_name, frozenset(map(str, actions)))


def _is_stranger(authentication: Authentication) -> bool:
    """Tell whether no credentials came at all, not even an anonymous token."""
    return authentication.principal.is_anonymous and authentication.scopes is None


def _nameless(name: str, action: RepositoryAction) -> OciError:
    hint = f"put it into a project, for example library/{name}"
    if action is RepositoryAction.PUSH:
        return NameInvalidError(name, f"{name!r} names no project; {hint}")
    return NameUnknownError(name, hint=hint)
