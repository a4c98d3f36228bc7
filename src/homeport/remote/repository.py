"""A repository of a registry as a source and a destination (distribution-spec)."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDictProxy

from homeport.oci import mediatype
from homeport.oci.digest import Digest, DigestInvalidError, parse_digest
from homeport.oci.manifest import Descriptor
from homeport.remote import referrers
from homeport.remote.authorization import pull_access, push_access
from homeport.remote.blob import VerifiedBlob
from homeport.remote.errors import (
    ContentMismatchError,
    NotFoundError,
    ProtocolError,
    TransientError,
)
from homeport.remote.manifest import MAX_MANIFEST_BYTES, ManifestContent, read_manifest
from homeport.remote.registry import Registry, answer_error
from homeport.remote.retry import pause_after
from homeport.remote.transport import Request
from homeport.remote.upload import BlobUpload

ACCEPT_MANIFESTS = ", ".join([*sorted(mediatype.MANIFESTS), *sorted(mediatype.DOCKER_SCHEMA1)])

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_OK, _CREATED, _PARTIAL, _NOT_FOUND, _PRECONDITION_FAILED = 200, 201, 206, 404, 412


class RegistryRepository:
    """One repository of a registry; the registry is closed by its owner.

    One that is opened for writing asks for a single token that allows both.
    """

    def __init__(self, registry: Registry, name: str, *, for_writing: bool = False) -> None:
        self.registry = registry
        self.name = name
        self._reading = push_access(name) if for_writing else pull_access(name)
        self._fallback_lock = asyncio.Lock()

    @property
    def description(self) -> str:
        """The registry and the repository."""
        return f"{self.registry.name}/{self.name}"

    async def fetch_manifest(self, reference: str | Digest) -> ManifestContent:
        """Return the manifest; see ImageSource."""
        url = await self.registry.url(f"/v2/{self.name}/manifests/{reference}")
        request = Request("GET", url, {"Accept": ACCEPT_MANIFESTS}, limit_bytes=MAX_MANIFEST_BYTES)
        answer = await self.registry.call(request, self._reading)
        if answer.status != _OK:
            raise answer_error(self.registry.name, self._manifest(reference), answer.status, answer.body)
        expected = reference if isinstance(reference, Digest) else _header_digest(answer.headers)
        media_type = answer.headers.get("Content-Type")
        return read_manifest(self.description, answer.body, media_type, expected)

    async def find_manifest(self, reference: str | Digest) -> Digest | None:
        """Return the digest of the manifest, None when it is not there; see ImageDestination."""
        url = await self.registry.url(f"/v2/{self.name}/manifests/{reference}")
        request = Request("HEAD", url, {"Accept": ACCEPT_MANIFESTS})
        answer = await self.registry.call(request, self._reading)
        if answer.status == _NOT_FOUND:
            return None
        if answer.status != _OK:
            raise answer_error(self.registry.name, self._manifest(reference), answer.status, answer.body)
        if isinstance(reference, Digest):
            return reference
        found = _header_digest(answer.headers)
        return found if found is not None else (await self.fetch_manifest(reference)).digest

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """Tell whether the repository has the blob; see ImageDestination."""
        url = await self.registry.url(self._blob_path(descriptor.digest))
        answer = await self.registry.call(Request("HEAD", url), self._reading)
        if answer.status == _NOT_FOUND:
            return False
        if answer.status != _OK:
            raise answer_error(self.registry.name, f"blob {descriptor.digest}", answer.status, answer.body)
        length = answer.headers.get("Content-Length")
        return length is None or length == str(descriptor.size_bytes)

    async def read_blob(self, descriptor: Descriptor, offset: int) -> AsyncGenerator[bytes, None]:
        """Yield the blob's bytes from the offset on; see ImageSource.

        After a broken connection the rest is asked for with `Range`, guarded by `If-Match` when the first
        answer had a strong ETag.
        """
        position, failures, guard = offset, 0, _RangeGuard()
        while position < descriptor.size_bytes:
            before = position
            try:
                async with aclosing(self._read_once(descriptor, position, guard)) as parts:
                    async for part in parts:
                        position += len(part)
                        yield part
            except TransientError as error:
                failures = failures + 1 if position == before else 1
                await pause_after(self.registry.options.retry, failures, error)

    async def _read_once(
        self, descriptor: Descriptor, position: int, guard: "_RangeGuard"
    ) -> AsyncGenerator[bytes, None]:
        headers = {"Range": f"bytes={position}-"} if position else {}
        if position and guard.etag:
            headers["If-Match"] = guard.etag
        request = Request("GET", await self.registry.url(self._blob_path(descriptor.digest)), headers)
        arrived = position
        async with self.registry.open(request, self._reading) as response:
            if response.status == _PRECONDITION_FAILED and guard.etag:
                guard.etag = ""
                raise TransientError(f"{self.registry.name} changed its ETag of {descriptor.digest}")
            skip = await self._start_of_body(response, descriptor, position)
            guard.etag = guard.etag or _strong_etag(response)
            async for chunk in response.content.iter_any():
                part = chunk[skip:] if skip else chunk
                skip -= len(chunk) - len(part)
                arrived += len(part)
                if part:
                    yield part
        if arrived < descriptor.size_bytes:
            raise TransientError(f"{self.registry.name} ended {descriptor.digest} early")

    async def _start_of_body(
        self, response: aiohttp.ClientResponse, descriptor: Descriptor, position: int
    ) -> int:
        """Check status and length; return how many bytes of the body come before the position."""
        if response.status not in {_OK, _PARTIAL}:
            body = await response.content.read(64 * 1024)
            raise answer_error(self.registry.name, f"blob {descriptor.digest}", response.status, body)
        start = 0
        if response.status == _PARTIAL:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != position:
                raise ProtocolError(f"{self.registry.name} sent another range of {descriptor.digest}")
            start = position
        length = response.content_length
        if length is not None and length != descriptor.size_bytes - start:
            reason = f"it has {start + length} bytes, not {descriptor.size_bytes}"
            raise ContentMismatchError(self.description, descriptor.digest, reason)
        return position - start

    async def list_referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        """Return the referrers, from the API or the fallback tag; see ImageSource."""
        found = await referrers.ask_referrers_api(self.registry, self.name, subject)
        if found is not None:
            return found
        index = await self._fallback_index(subject)
        return index.manifest.manifests if index is not None and index.manifest.is_index else ()

    async def write_blob(self, blob: VerifiedBlob, mount_from: str | None) -> bool:
        """Upload or mount the blob; see ImageDestination."""
        upload = BlobUpload(self.registry, self.name, blob)
        return await upload.run(mount_from)

    async def write_manifest(self, content: ManifestContent, tag: str | None) -> None:
        """Put the manifest; see ImageDestination. Without a referrers API the fallback tag is kept."""
        await self.put_manifest(content, tag if tag is not None else content.digest)

    async def put_manifest(self, content: ManifestContent, reference: str | Digest) -> None:
        """Put the manifest under a tag or its digest, and check what the registry made of it."""
        url = await self.registry.url(f"/v2/{self.name}/manifests/{reference}")
        if isinstance(reference, str) and content.digest.algorithm != "sha256":
            url = await self.registry.url(f"/v2/{self.name}/manifests/{content.digest}?tag={reference}")
        request = Request("PUT", url, {"Content-Type": content.media_type}, content.body)
        answer = await self.registry.call(request, push_access(self.name))
        if answer.status not in {_OK, _CREATED, 202}:
            raise answer_error(self.registry.name, self._manifest(reference), answer.status, answer.body)
        found = _header_digest(answer.headers)
        if found is not None and found.algorithm == content.digest.algorithm and found != content.digest:
            raise ContentMismatchError(self.description, content.digest, f"it was stored as {found}")
        if content.manifest.subject is not None and "OCI-Subject" not in answer.headers:
            await self._keep_fallback_tag(content, content.manifest.subject.digest)

    async def _keep_fallback_tag(self, content: ManifestContent, subject: Digest) -> None:
        async with self._fallback_lock:
            body = referrers.add_referrer(await self._fallback_index(subject), content)
            if body is not None:
                index = read_manifest(self.description, body, None, None)
                await self.put_manifest(index, referrers.fallback_tag(subject))

    async def _fallback_index(self, subject: Digest) -> ManifestContent | None:
        try:
            return await self.fetch_manifest(referrers.fallback_tag(subject))
        except NotFoundError:
            return None

    async def finish(self) -> None:
        """Do nothing: each write is visible at once."""

    def _blob_path(self, digest: Digest) -> str:
        return f"/v2/{self.name}/blobs/{digest}"

    def _manifest(self, reference: str | Digest) -> str:
        return f"{self.name}{'@' if isinstance(reference, Digest) else ':'}{reference}"


@dataclass(slots=True)
class _RangeGuard:
    """The ETag that later parts of a download must still have."""

    etag: str = ""


def _header_digest(headers: CIMultiDictProxy[str]) -> Digest | None:
    try:
        return parse_digest(headers.get("Docker-Content-Digest", ""))
    except DigestInvalidError:
        return None


def _strong_etag(response: aiohttp.ClientResponse) -> str:
    """Return the ETag when it can guard a range: strong, and from the host that will be asked again."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') and not response.history else ""
