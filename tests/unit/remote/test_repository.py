import json
import os

import pytest
from aiohttp import web
from tests.images import INDEX_TYPE, MANIFEST_TYPE
from tests.unit.remote.hostile import HostileRegistry, answer, cut_download, digest_of

from homeport.oci.digest import Digest, parse_digest
from homeport.oci.manifest import Descriptor
from homeport.remote.blob import VerifiedBlob
from homeport.remote.errors import (
    ContentMismatchError,
    NotFoundError,
    ProtocolError,
    RefusedError,
    TransientError,
)
from homeport.remote.manifest import MAX_MANIFEST_BYTES
from homeport.remote.referrers import fallback_tag
from homeport.remote.repository import RegistryRepository

pytestmark = pytest.mark.anyio


def descriptor_of(content: bytes) -> Descriptor:
    return Descriptor("application/octet-stream", Digest.of(content), len(content))


async def test_manifest_is_read_by_tag_and_by_digest(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    digest = parse_digest(hostile.add_image("a/image", "1", b"layer"))
    by_tag, by_digest = await repository.fetch_manifest("1"), await repository.fetch_manifest(digest)
    assert by_tag == by_digest
    assert (by_tag.digest, by_tag.media_type) == (digest, MANIFEST_TYPE)


async def test_manifest_of_other_bytes_is_refused(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    digest = parse_digest(hostile.add_image("a/image", "1", b"layer"))
    other = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": []}).encode()
    hostile.manifests["a/image", str(digest)] = (MANIFEST_TYPE, other)
    with pytest.raises(ContentMismatchError):
        await repository.fetch_manifest(digest)


async def test_manifest_under_a_tag_must_have_the_digest_that_the_registry_says(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    hostile.add_image("a/image", "1", b"layer")
    body = hostile.manifests["a/image", "1"][1]
    lie = answer(200, body, Content_Type=MANIFEST_TYPE, Docker_Content_Digest=digest_of(b"other"))
    hostile.on("GET", "/manifests/1", lie)
    with pytest.raises(ContentMismatchError):
        await repository.fetch_manifest("1")


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain; charset=utf-8"])
async def test_manifest_with_a_vague_content_type_is_read_by_what_it_says(
    content_type: str, hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    hostile.add_image("a/image", "1", b"layer")
    body = hostile.manifests["a/image", "1"][1]
    hostile.on("GET", "/manifests/1", answer(200, body, Content_Type=content_type))
    assert (await repository.fetch_manifest("1")).media_type == MANIFEST_TYPE


async def test_manifest_beyond_the_limit_is_refused(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    hostile.on("GET", "/manifests/1", answer(200, b" " * (MAX_MANIFEST_BYTES + 1)), times=9)
    with pytest.raises(ProtocolError, match="more than"):
        await repository.fetch_manifest("1")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, RefusedError),
        (403, RefusedError),
        (412, RefusedError),
        (404, NotFoundError),
        (418, ProtocolError),
    ],
)
async def test_status_becomes_an_error_of_its_kind(
    status: int, error: type[Exception], hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    hostile.on("GET", "/manifests/1", answer(status), times=9)
    with pytest.raises(error):
        await repository.fetch_manifest("1")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_transient_status_is_repeated(
    status: int, hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    hostile.add_image("a/image", "1", b"layer")
    hostile.on("GET", "/manifests/1", answer(status, Retry_After="0"), times=3)
    await repository.fetch_manifest("1")
    assert len(hostile.requests("GET", "/manifests/1")) == 4


async def test_transient_status_without_end_is_an_error(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    hostile.on("GET", "/manifests/1", answer(503), times=99)
    with pytest.raises(TransientError, match="503"):
        await repository.fetch_manifest("1")
    assert len(hostile.requests("GET", "/manifests/1")) == 4


async def test_error_text_of_a_registry_cannot_command_the_terminal(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    body = json.dumps({"errors": [{"code": "DENIED", "message": "\x1b[2Jgone\r\n" + "x" * 1000}]}).encode()
    hostile.on("GET", "/manifests/1", answer(403, body))
    with pytest.raises(RefusedError) as caught:
        await repository.fetch_manifest("1")
    assert str(caught.value).isprintable()
    assert "DENIED [2Jgone" in str(caught.value)
    assert len(str(caught.value)) < 500


async def test_download_goes_on_where_it_broke(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    content = os.urandom(300_000)
    digest = hostile.add_blob(content)
    hostile.on("GET", "/blobs/", cut_download(content, 100_000, ETag=f'"{digest}"'))
    assert await VerifiedBlob(repository, descriptor_of(content)).read_all() == content
    first, second = hostile.requests("GET", "/blobs/")
    assert "Range" not in first.headers
    start = int(second.headers["Range"].removeprefix("bytes=").rstrip("-"))
    assert 0 < start <= 100_000
    assert second.headers["If-Match"] == f'"{digest}"'


async def test_download_goes_on_although_the_range_is_ignored(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    content = os.urandom(300_000)
    hostile.add_blob(content)
    hostile.on("GET", "/blobs/", cut_download(content, 100_000))
    hostile.on("GET", "/blobs/", answer(200, content))
    assert await VerifiedBlob(repository, descriptor_of(content)).read_all() == content


async def test_download_goes_on_although_the_etag_changed(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    content = os.urandom(300_000)
    hostile.add_blob(content)
    hostile.on("GET", "/blobs/", cut_download(content, 100_000, ETag='"of another replica"'))
    assert await VerifiedBlob(repository, descriptor_of(content)).read_all() == content
    assert len(hostile.requests("GET", "/blobs/")) == 3


async def test_download_that_always_breaks_at_the_same_byte_is_given_up(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    content = os.urandom(300_000)
    hostile.on("GET", "/blobs/", cut_download(content, 0), times=99)
    with pytest.raises(TransientError):
        await VerifiedBlob(repository, descriptor_of(content)).read_all()
    assert len(hostile.requests("GET", "/blobs/")) == 4


async def test_download_survives_many_breaks_while_it_moves(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    content = os.urandom(64_000)
    hostile.add_blob(content)
    hostile.on("GET", "/blobs/", cut_download(content, 5_000), times=12)
    assert await VerifiedBlob(repository, descriptor_of(content)).read_all() == content
    assert len(hostile.requests("GET", "/blobs/")) == 13


async def test_download_of_another_range_is_refused(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    content = os.urandom(300_000)
    hostile.add_blob(content)
    hostile.on("GET", "/blobs/", cut_download(content, 100_000))
    hostile.on("GET", "/blobs/", answer(206, content[5:], Content_Range="bytes 5-299999/300000"))
    with pytest.raises(ProtocolError, match="another range"):
        await VerifiedBlob(repository, descriptor_of(content)).read_all()


@pytest.mark.parametrize("wrong", [b"x" * 299_999, b"x" * 300_001, b"", b"x" * 300_000])
async def test_download_of_other_bytes_is_refused(
    wrong: bytes, hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    content = os.urandom(300_000)
    hostile.blobs[digest_of(content)] = wrong
    with pytest.raises(ContentMismatchError):
        await VerifiedBlob(repository, descriptor_of(content)).read_all()


async def test_download_without_a_length_is_stopped_where_it_gets_too_long(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    content = os.urandom(1000)
    sent = 0

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            for _ in range(10_000):
                await response.write(b"x" * 65536)
                sent += 65536
        except ConnectionError:
            pass
        return response

    hostile.on("GET", "/blobs/", endless)
    with pytest.raises(ContentMismatchError, match="longer"):
        await VerifiedBlob(repository, descriptor_of(content)).read_all()
    assert sent < 100 * 65536


async def test_absent_blob_is_not_found(repository: RegistryRepository) -> None:
    with pytest.raises(NotFoundError):
        await VerifiedBlob(repository, descriptor_of(b"absent")).read_all()


async def test_empty_blob_needs_no_download(repository: RegistryRepository) -> None:
    assert await VerifiedBlob(repository, descriptor_of(b"")).read_all() == b""


async def test_presence_needs_the_right_size(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    content = b"content"
    assert not await repository.has_blob(descriptor_of(content))
    hostile.add_blob(content)
    assert await repository.has_blob(descriptor_of(content))
    assert not await repository.has_blob(Descriptor("x", Digest.of(content), 8))


async def test_tag_without_digest_header_is_found_by_its_bytes(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    digest = hostile.add_image("a/image", "1", b"layer")
    hostile.on("HEAD", "/manifests/1", answer(200))
    assert str(await repository.find_manifest("1")) == digest
    assert await repository.find_manifest("2") is None


async def test_registry_that_stores_other_bytes_is_found_out(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    hostile.add_image("a/image", "1", b"layer")
    content = await repository.fetch_manifest("1")
    hostile.on("PUT", "/manifests/", answer(201, Docker_Content_Digest=digest_of(b"other")))
    with pytest.raises(ContentMismatchError, match="stored as"):
        await repository.write_manifest(content, "2")


async def test_referrers_come_in_pages(hostile: HostileRegistry, repository: RegistryRepository) -> None:
    subject = Digest.of(b"subject")

    def page(number: int) -> bytes:
        child = {"mediaType": MANIFEST_TYPE, "digest": digest_of(bytes([number])), "size": 1}
        return json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [child]}).encode()

    link = f'</v2/a/image/referrers/{subject}?page=2>; rel="next"'
    hostile.on("GET", f"/referrers/{subject}$", answer(200, page(1), Content_Type=INDEX_TYPE, Link=link))
    hostile.on("GET", "page=2", answer(200, page(2), Content_Type=INDEX_TYPE))
    found = await repository.list_referrers(subject)
    assert [str(child.digest) for child in found] == [digest_of(b"\x01"), digest_of(b"\x02")]


async def test_referrers_without_an_api_are_kept_and_read_under_the_fallback_tag(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    hostile.has_referrers_api = False
    digest = parse_digest(hostile.add_image("a/image", "1", b"layer"))
    subject = {"mediaType": MANIFEST_TYPE, "digest": str(digest), "size": 1}
    for kind in ("x/sbom", "x/signature", "x/sbom"):
        hostile.add_image("b/other", kind[2:], subject=subject, artifactType=kind)
        content = read(hostile, "b/other", kind[2:])
        await repository.write_manifest(await repository.fetch_manifest(content), None)
    assert ("a/image", fallback_tag(digest)) in hostile.manifests
    found = await repository.list_referrers(digest)
    assert [child.artifact_type for child in found] == ["x/sbom", "x/signature"]


def read(hostile: HostileRegistry, repository: str, tag: str) -> Digest:
    media_type, body = hostile.manifests[repository, tag]
    hostile.put("a/image", digest_of(body), media_type, body)
    return parse_digest(digest_of(body))
