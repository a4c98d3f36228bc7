import asyncio
import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

import pytest
from aiohttp import web
from tests.unit.remote.conftest import QUICK
from tests.unit.remote.hostile import HostileRegistry, Respond, answer, run_handler

from homeport.oci.reference import ImageReference
from homeport.remote.blob import VerifiedBlob
from homeport.remote.credentials import Credentials
from homeport.remote.errors import ProtocolError, RefusedError, RemoteError, TransientError
from homeport.remote.places import PlaceOptions, Registries
from homeport.remote.repository import RegistryRepository

pytestmark = pytest.mark.anyio

ALICE = Credentials("alice", "pass:word")


@dataclass(slots=True)
class TokenService:
    """Guards a hostile registry with tokens of its own making."""

    registry: HostileRegistry
    expires_in: float | None = 300
    issued: int = 0
    valid: set[str] = field(default_factory=set)
    asked: list[web.BaseRequest] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)
    realm: str = ""

    async def guard(self, request: web.BaseRequest) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if given.removeprefix("Bearer ") in self.valid and given.startswith("Bearer "):
            return web.Response()
        realm = self.realm or f"{self.registry.url}/token"
        return web.Response(status=401, headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'})

    async def issue(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        self.forms.append((await request.read()).decode())
        self.issued += 1
        token = f"token-{self.issued}"
        self.valid.add(token)
        reply: dict[str, object] = {"token": token}
        if self.expires_in is not None:
            reply["expires_in"] = self.expires_in
        return web.json_response(reply)


def guarded(hostile: HostileRegistry) -> TokenService:
    """Guard the registry with tokens; faults come before the guard, so the token service is one."""
    service = TokenService(hostile)
    hostile.guard = service.guard
    for method in ("GET", "POST"):
        hostile.on(method, "^/token", service.issue, times=99)
    return service


async def client(
    hostile: HostileRegistry, credentials: Credentials | None, names: Sequence[str] = ("a/image",)
) -> tuple[Registries, list[RegistryRepository]]:
    registries = Registries(PlaceOptions(registry=QUICK, credentials=credentials))
    return registries, [await registries.repository(ImageReference(hostile.host, name)) for name in names]


async def test_token_is_fetched_with_the_credentials_and_kept(hostile: HostileRegistry) -> None:
    service = guarded(hostile)
    hostile.add_image("a/image", "1", b"layer")
    registries, (repository,) = await client(hostile, ALICE)
    async with registries:
        await asyncio.gather(*(repository.fetch_manifest("1") for _ in range(5)))
    (asked,) = service.asked
    assert dict(asked.query) == {"scope": "repository:a/image:pull", "service": "s", "account": "alice"}
    expected = base64.b64encode(b"alice:pass:word").decode()
    assert asked.headers["Authorization"] == f"Basic {expected}"
    assert hostile.requests("GET", "/manifests/")[0].headers["Authorization"] == "Bearer token-1"


async def test_token_without_credentials_is_asked_for_anonymously(hostile: HostileRegistry) -> None:
    service = guarded(hostile)
    hostile.add_image("a/image", "1", b"layer")
    registries, (repository,) = await client(hostile, None)
    async with registries:
        await repository.fetch_manifest("1")
    assert "Authorization" not in service.asked[0].headers
    assert "account" not in service.asked[0].query


async def test_identity_token_is_posted(hostile: HostileRegistry) -> None:
    service = guarded(hostile)
    hostile.add_image("a/image", "1", b"layer")
    registries, (repository,) = await client(hostile, Credentials("", identity_token="refresh/me+now="))
    async with registries:
        await repository.fetch_manifest("1")
    (asked,) = service.asked
    assert asked.method == "POST"
    form = dict(part.split("=", 1) for part in service.forms[0].split("&"))
    assert form["grant_type"] == "refresh_token"
    assert unquote_plus(form["refresh_token"]) == "refresh/me+now="
    assert "Authorization" not in asked.headers


async def test_token_is_renewed_before_it_expires(hostile: HostileRegistry) -> None:
    service = guarded(hostile)
    service.expires_in = 1
    hostile.add_image("a/image", "1", b"layer")
    registries, (repository,) = await client(hostile, None)
    async with registries:
        await repository.fetch_manifest("1")
        await repository.fetch_manifest("1")
        assert service.issued == 1
        await asyncio.sleep(0.8)
        await repository.fetch_manifest("1")
    assert service.issued == 2


async def test_token_that_the_registry_no_longer_takes_is_replaced(hostile: HostileRegistry) -> None:
    service = guarded(hostile)
    hostile.add_image("a/image", "1", b"layer")
    registries, (repository,) = await client(hostile, None)
    async with registries:
        await repository.fetch_manifest("1")
        service.valid.clear()
        await repository.fetch_manifest("1")
    assert service.issued == 2


async def test_token_that_ends_before_a_download_is_replaced(hostile: HostileRegistry) -> None:
    service = guarded(hostile)
    hostile.add_image("a/image", "1", b"layer")
    registries, (repository,) = await client(hostile, None)
    async with registries:
        content = await repository.fetch_manifest("1")
        service.valid.clear()
        for blob in content.blobs():
            await VerifiedBlob(repository, blob).read_all()
        service.valid.clear()
        hostile.on("GET", "/blobs/", answer(401, WWW_Authenticate="Bearer realm=/token"), times=9)
        with pytest.raises(RefusedError):
            await VerifiedBlob(repository, content.blobs()[0]).read_all()


async def test_registry_that_takes_no_token_is_refused_and_not_asked_forever(
    hostile: HostileRegistry,
) -> None:
    service = guarded(hostile)
    hostile.on("GET", "/manifests/", answer(401, WWW_Authenticate="Bearer realm=/token"), times=99)
    registries, (repository,) = await client(hostile, None)
    async with registries:
        with pytest.raises(RefusedError, match="wants authentication"):
            await repository.fetch_manifest("1")
    assert service.issued <= 2


async def test_scope_of_the_challenge_is_asked_for_too(hostile: HostileRegistry) -> None:
    service = guarded(hostile)
    hostile.add_image("a/image", "1", b"layer")
    challenge = f'Bearer realm="{hostile.url}/token",scope="aws",error="insufficient_scope"'
    hostile.on("GET", "/manifests/", answer(401, WWW_Authenticate=challenge))
    registries, (repository,) = await client(hostile, None)
    async with registries:
        await repository.fetch_manifest("1")
    assert service.asked[-1].query.getall("scope") == ["aws", "repository:a/image:pull"]


async def test_each_repository_has_its_own_token(hostile: HostileRegistry) -> None:
    service = guarded(hostile)
    registries, repositories = await client(hostile, None, ["a/image", "b/image"])
    async with registries:
        for repository in repositories:
            await repository.find_manifest("1")
    assert service.issued == 2


async def test_basic_is_sent_only_when_asked_for(hostile: HostileRegistry) -> None:
    hostile.add_image("a/image", "1", b"layer")
    registries, (repository,) = await client(hostile, ALICE)
    async with registries:
        await repository.fetch_manifest("1")
    assert {seen.headers.get("Authorization") for seen in hostile.seen} == {None}


async def test_basic_challenge_is_answered(hostile: HostileRegistry) -> None:
    async def guard(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Authorization") == ALICE.basic():
            return web.Response()
        return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    hostile.guard = guard
    hostile.add_image("a/image", "1", b"layer")
    registries, (repository,) = await client(hostile, ALICE)
    async with registries:
        await repository.fetch_manifest("1")
    registries, (repository,) = await client(hostile, Credentials("alice", "wrong"))
    async with registries:
        with pytest.raises(RefusedError):
            await repository.fetch_manifest("1")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (answer(200, b"[]"), ProtocolError),
        (answer(200, b"no json"), ProtocolError),
        (answer(200, b'{"token": 5}'), ProtocolError),
        (answer(200, b'{"token": "a\\r\\nX-Evil: 1"}'), ProtocolError),
        (answer(200, b'{"token": "' + b"x" * 300_000 + b'"}'), ProtocolError),
        (answer(404), ProtocolError),
        (answer(503), TransientError),
        (answer(401), RefusedError),
        (answer(403), RefusedError),
    ],
)
async def test_token_service_that_misbehaves_is_an_error(
    reply: Respond, error: type[RemoteError], hostile: HostileRegistry
) -> None:
    service = guarded(hostile)
    hostile.faults.clear()
    hostile.on("GET", "^/token", reply, times=99)
    registries, (repository,) = await client(hostile, ALICE)
    async with registries:
        with pytest.raises(error) as caught:
            await repository.fetch_manifest("1")
    assert "pass:word" not in str(caught.value)
    assert service.issued == 0


async def test_token_service_may_answer_later(hostile: HostileRegistry) -> None:
    guarded(hostile)
    hostile.add_image("a/image", "1", b"layer")
    kept, hostile.faults = hostile.faults, []
    hostile.on("GET", "^/token", answer(429, Retry_After="0"), times=2)
    hostile.faults += kept
    registries, (repository,) = await client(hostile, None)
    async with registries:
        await repository.fetch_manifest("1")


@pytest.mark.parametrize("realm", ["http://169.254.169.254/token", "file:///etc/passwd", "http://[::]/x"])
async def test_realm_that_no_token_service_has_is_refused(realm: str, hostile: HostileRegistry) -> None:
    service = guarded(hostile)
    service.realm = realm
    registries, (repository,) = await client(hostile, ALICE)
    async with registries:
        with pytest.raises(ProtocolError):
            await repository.fetch_manifest("1")


async def test_authorization_does_not_follow_a_redirect_to_another_host(hostile: HostileRegistry) -> None:
    guarded(hostile)
    hostile.add_image("a/image", "1", b"layer")
    media_type, body = hostile.manifests["a/image", "1"]
    seen: list[dict[str, str]] = []

    async def elsewhere(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(dict(request.headers))
        return web.Response(body=body, content_type=media_type)

    registries, (repository,) = await client(hostile, ALICE)
    async with registries, run_handler(elsewhere) as url:
        hostile.on("GET", "/manifests/", answer(307, Location=f"{url}/somewhere?signed=1"))
        content = await repository.fetch_manifest("1")
    assert json.loads(content.body) == json.loads(body)
    assert len(seen) == 1
    assert "Authorization" not in seen[0]


async def test_challenge_of_a_redirect_target_gets_no_credentials(hostile: HostileRegistry) -> None:
    guarded(hostile)
    stolen: list[web.BaseRequest] = []

    async def thief(request: web.BaseRequest) -> web.StreamResponse:
        stolen.append(request)
        return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="give"'})

    registries, (repository,) = await client(hostile, ALICE)
    async with registries, run_handler(thief) as url:
        hostile.on("GET", "/manifests/", answer(307, Location=url), times=9)
        with pytest.raises(RefusedError):
            await repository.fetch_manifest("1")
    assert {request.headers.get("Authorization") for request in stolen} == {None}


async def test_redirects_end(hostile: HostileRegistry, repository: RegistryRepository) -> None:
    hostile.on("GET", "/manifests/", answer(302, Location="/v2/a/image/manifests/1"), times=99)
    with pytest.raises(ProtocolError, match="redirects more than"):
        await repository.fetch_manifest("1")
    assert len(hostile.requests("GET", "/manifests/")) == 6
