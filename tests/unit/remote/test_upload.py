import os
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from tests.unit.remote.hostile import (
    HostileRegistry,
    Respond,
    answer,
    cut_download,
    cut_upload,
    digest_of,
    run_handler,
    run_registry,
)

from homeport.oci.digest import Digest
from homeport.oci.manifest import Descriptor
from homeport.oci.reference import ImageReference
from homeport.remote.blob import VerifiedBlob
from homeport.remote.errors import (
    ContentMismatchError,
    ProtocolError,
    RefusedError,
    RemoteError,
    TransientError,
)
from homeport.remote.places import Registries
from homeport.remote.repository import RegistryRepository
from homeport.remote.upload import SMALL_BLOB_BYTES

pytestmark = pytest.mark.anyio

LARGE = os.urandom(SMALL_BLOB_BYTES + 1_000_000)
SMALL = os.urandom(100_000)


@pytest.fixture
async def target(registries: Registries) -> AsyncIterator[tuple[HostileRegistry, RegistryRepository]]:
    """Return a second hostile registry and a repository in it."""
    async with run_registry() as registry:
        yield registry, await registries.repository(ImageReference(registry.host, "b/image"))


Target = tuple[HostileRegistry, RegistryRepository]


def blob_in(hostile: HostileRegistry, repository: RegistryRepository, content: bytes) -> VerifiedBlob:
    hostile.add_blob(content)
    return VerifiedBlob(repository, Descriptor("x/y", Digest.of(content), len(content)))


@pytest.mark.parametrize("content", [b"", SMALL, LARGE])
async def test_blob_streams_from_registry_to_registry(
    content: bytes, hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    assert not await destination.write_blob(blob_in(hostile, repository, content), None)
    assert registry.blobs == {digest_of(content): content}
    assert registry.uploads == {}


async def test_upload_goes_on_where_it_broke(
    hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    registry.on("PATCH", "/uploads/", cut_upload(registry, 2_000_000))
    await destination.write_blob(blob_in(hostile, repository, LARGE), None)
    assert registry.blobs == {digest_of(LARGE): LARGE}
    first, second = registry.requests("PATCH", "/uploads/")
    assert "Content-Range" not in first.headers
    assert second.headers["Content-Range"] == f"2000000-{len(LARGE) - 1}"
    assert registry.started_uploads == 1
    assert hostile.requests("GET", "/blobs/")[-1].headers["Range"] == "bytes=2000000-"


async def test_upload_that_was_lost_starts_again(
    hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    registry.on("PATCH", "/uploads/", cut_upload(registry, 2_000_000, keep=False))
    await destination.write_blob(blob_in(hostile, repository, LARGE), None)
    assert registry.blobs == {digest_of(LARGE): LARGE}
    assert registry.started_uploads == 2


async def test_upload_survives_a_source_that_breaks(
    hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    hostile.on("GET", "/blobs/", cut_download(LARGE, 3_000_000))
    await destination.write_blob(blob_in(hostile, repository, LARGE), None)
    assert registry.blobs == {digest_of(LARGE): LARGE}
    assert len(registry.requests("PATCH", "/uploads/")) == 1


@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_wrong_bytes_are_never_committed(
    content: bytes, hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    blob = blob_in(hostile, repository, content)
    hostile.blobs[digest_of(content)] = content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(ContentMismatchError):
        await destination.write_blob(blob, None)
    assert registry.blobs == {}
    assert registry.requests("PUT", "") == []
    assert registry.uploads == {}


async def test_source_that_vanishes_ends_the_upload_with_its_own_error(
    hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    hostile.on("GET", "/blobs/", cut_download(LARGE, 3_000_000))
    hostile.on("GET", "/blobs/", answer(403), times=9)
    with pytest.raises(RefusedError, match=hostile.host):
        await destination.write_blob(blob_in(hostile, repository, LARGE), None)
    assert registry.uploads == {}


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_transient_status_at_any_step_is_repeated(
    method: str, status: int, hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    registry.on(method, "/uploads/", answer(status), times=2)
    await destination.write_blob(blob_in(hostile, repository, LARGE), None)
    assert registry.blobs == {digest_of(LARGE): LARGE}


@pytest.mark.parametrize(("method", "status"), [("PATCH", 404), ("PATCH", 416), ("PUT", 404)])
async def test_upload_that_the_registry_no_longer_knows_starts_again(
    method: str, status: int, hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    registry.on(method, "/uploads/", read_and_answer(status))
    await destination.write_blob(blob_in(hostile, repository, LARGE), None)
    assert registry.blobs == {digest_of(LARGE): LARGE}
    assert registry.started_uploads == 2


def read_and_answer(status: int, **headers: str) -> Respond:
    """Read the whole body before the answer."""

    async def respond(request: web.BaseRequest) -> web.StreamResponse:
        async for _ in request.content.iter_any():
            pass
        return await answer(status, b"", **headers)(request)

    return respond


async def test_token_that_ends_during_an_upload_is_replaced(
    hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    challenge = f'Bearer realm="{registry.url}/token"'
    registry.on("GET", "^/token", answer(200, b'{"token": "new"}'), times=9)
    registry.on("PATCH", "/uploads/", read_and_answer(401, WWW_Authenticate=challenge))
    registry.on("PUT", "/uploads/", answer(401, WWW_Authenticate=challenge))
    await destination.write_blob(blob_in(hostile, repository, LARGE), None)
    assert registry.blobs == {digest_of(LARGE): LARGE}
    assert registry.requests("PUT", "")[-1].headers["Authorization"] == "Bearer new"


@pytest.mark.parametrize(
    ("method", "status"), [("POST", 200), ("PATCH", 400), ("PATCH", 403), ("PUT", 400), ("PUT", 413)]
)
async def test_unexpected_status_ends_the_upload(
    method: str, status: int, hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    registry.on(method, "/uploads/", read_and_answer(status), times=9)
    with pytest.raises(RemoteError, match="a blob for b/image"):
        await destination.write_blob(blob_in(hostile, repository, LARGE), None)
    assert registry.blobs == {}
    assert registry.uploads == {}


async def test_small_blob_is_sent_again_in_a_new_upload(
    hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    registry.on("PUT", "/uploads/", cut_upload(registry, 10))
    registry.on("PUT", "/uploads/", answer(404))
    await destination.write_blob(blob_in(hostile, repository, SMALL), None)
    assert registry.blobs == {digest_of(SMALL): SMALL}
    assert len(hostile.requests("GET", "/blobs/")) == 1


async def test_registry_that_never_takes_the_blob_is_given_up(
    hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    registry.on("PATCH", "/uploads/", answer(503), times=99)
    with pytest.raises(TransientError):
        await destination.write_blob(blob_in(hostile, repository, LARGE), None)
    assert registry.uploads == {}


async def test_registry_that_takes_less_than_was_sent_gets_the_rest(
    hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target

    async def take_half(request: web.BaseRequest) -> web.StreamResponse:
        body = b"".join([chunk async for chunk in request.content.iter_any()])
        registry.uploads["1"].extend(body[: len(body) // 2])
        headers = {"Location": request.path, "Range": f"0-{len(body) // 2 - 1}"}
        return web.Response(status=202, headers=headers)

    registry.on("PATCH", "/uploads/", take_half)
    await destination.write_blob(blob_in(hostile, repository, LARGE), None)
    assert registry.blobs == {digest_of(LARGE): LARGE}


async def test_refused_upload_is_an_error_in_the_registrys_words(
    hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    registry.on("POST", "/uploads/", answer(403, b'{"errors":[{"code":"DENIED","message":"read only"}]}'))
    with pytest.raises(RefusedError, match="DENIED read only"):
        await destination.write_blob(blob_in(hostile, repository, SMALL), None)


async def test_mount_reads_nothing(
    hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    registry.add_blob(LARGE)
    assert await destination.write_blob(blob_in(hostile, repository, LARGE), "a/other")
    assert hostile.requests("GET", "/blobs/") == []
    (mount,) = registry.requests("POST", "/uploads/")
    assert mount.path.endswith(f"?mount={digest_of(LARGE)}&from=a/other")


async def test_mount_that_is_not_possible_becomes_an_upload(
    hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    assert not await destination.write_blob(blob_in(hostile, repository, LARGE), "a/other")
    assert registry.blobs == {digest_of(LARGE): LARGE}
    assert registry.started_uploads == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
async def test_mount_that_is_refused_becomes_an_upload(
    status: int, hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    registry.on("POST", "mount=", answer(status), times=9)
    assert not await destination.write_blob(blob_in(hostile, repository, SMALL), "a/other")
    assert registry.blobs == {digest_of(SMALL): SMALL}


async def test_upload_location_on_another_host_gets_no_credentials(
    hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    elsewhere = HostileRegistry()
    async with run_handler(elsewhere.handle) as url:
        elsewhere.uploads["7"] = bytearray()
        location = f"{url}/v2/b/image/blobs/uploads/7?state=a%3Db"
        registry.on("POST", "/uploads/", answer(202, Location=location))
        await destination.write_blob(blob_in(hostile, repository, LARGE), None)
    assert elsewhere.blobs == {digest_of(LARGE): LARGE}
    assert {seen.headers.get("Authorization") for seen in elsewhere.seen} == {None}
    assert elsewhere.requests("PATCH", "")[0].path.endswith("?state=a%3Db")


@pytest.mark.parametrize("location", ["", "ftp://127.0.0.1/x", "http://169.254.169.254/latest", "/a b", "//"])
async def test_unusable_upload_location_is_refused(
    location: str, hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    registry.on("POST", "/uploads/", answer(202, Location=location), times=9)
    with pytest.raises(ProtocolError):
        await destination.write_blob(blob_in(hostile, repository, SMALL), None)
