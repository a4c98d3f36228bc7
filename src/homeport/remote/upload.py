"""Uploading a blob: mounted, in one piece or streamed, resumed where it broke (distribution-spec, "Push")."""

import asyncio
import contextlib
import re
from collections.abc import Mapping
from contextlib import aclosing

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from homeport.remote.authorization import mount_access, push_access
from homeport.remote.blob import VerifiedBlob
from homeport.remote.errors import ProtocolError, RefusedError, RemoteError, TransientError
from homeport.remote.registry import Registry, answer_error
from homeport.remote.retry import pause_after, retrying
from homeport.remote.transport import Answer, Request

SMALL_BLOB_BYTES = 4 * 1024 * 1024
CANCEL_TIMEOUT_S = 3.0

_OCTET_STREAM = "application/octet-stream"
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})")
_OK, _CREATED, _ACCEPTED, _NO_CONTENT = 200, 201, 202, 204
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _RANGE_INVALID = 401, 403, 404, 416


class _SessionLostError(TransientError):
    """The registry no longer knows the upload; it has to start again."""


class BlobUpload:
    """One blob on its way into a repository; `run` may be called once."""

    def __init__(self, registry: Registry, repository: str, blob: VerifiedBlob) -> None:
        self._registry = registry
        self._repository = repository
        self._blob = blob
        self._access = push_access(repository)
        self._location: URL | None = None

    async def run(self, mount_from: str | None) -> bool:
        """Make the blob be there; returns whether it was mounted. An unfinished upload is cancelled.

        Raises what the source raised, ContentMismatchError before anything is committed, RefusedError,
        ProtocolError, TransientError.
        """
        try:
            if mount_from is not None and await self._mount(mount_from):
                return True
            if self._blob.descriptor.size_bytes <= SMALL_BLOB_BYTES:
                await self._send_whole()
            else:
                await self._send_stream()
        except BaseException:
            await self._cancel()
            raise
        return False

    async def _mount(self, origin: str) -> bool:
        query = {"mount": str(self._blob.descriptor.digest), "from": origin}
        url = (await self._uploads_url()).with_query(query)
        try:
            answer = await self._registry.call(Request("POST", url), mount_access(self._repository, origin))
        except RefusedError:
            return False
        if answer.status == _CREATED:
            return True
        if answer.status == _ACCEPTED:
            self._location = self._next_location(answer.url, answer.headers)
        return False

    async def _start(self) -> URL:
        """Return the location of an upload, the one that a failed mount has left if there is one."""
        if self._location is None:
            url = await self._uploads_url()
            answer = await self._registry.call(Request("POST", url), self._access)
            self._expect(answer, {_ACCEPTED})
            self._location = self._next_location(answer.url, answer.headers)
        return self._location

    async def _send_whole(self) -> None:
        body = await self._blob.read_all()

        async def attempt() -> None:
            location = await self._start()
            request = Request(
                "PUT",
                self._with_digest(location),
                {"Content-Type": _OCTET_STREAM},
                body,
                timeout_s=self._registry.options.timeouts.commit_s,
            )
            try:
                answer = await self._registry.call_once(request, self._access)
            except TransientError:
                self._location = None
                raise
            if answer.status == _NOT_FOUND:
                self._location = None
                raise _SessionLostError(f"{self._registry.name} lost an upload")
            self._expect(answer, {_CREATED, _NO_CONTENT, _OK})
            self._location = None

        await retrying(self._registry.options.retry, attempt)

    async def _send_stream(self) -> None:
        size_bytes = self._blob.descriptor.size_bytes
        offset, failures = 0, 0
        while True:
            seen = self._blob.hashed_bytes
            try:
                if failures:
                    offset = await self._resume_offset()
                location = await self._start()
                if offset < size_bytes:
                    location = await self._patch(location, offset)
                    offset = size_bytes
                await self._commit(location)
            except TransientError as error:
                failures = 1 if self._blob.hashed_bytes > seen else failures + 1
                await pause_after(self._registry.options.retry, failures, error)
            else:
                self._location = None
                return

    async def _patch(self, location: URL, offset: int) -> URL:
        size_bytes = self._blob.descriptor.size_bytes
        headers = {"Content-Type": _OCTET_STREAM}
        if offset:
            headers["Content-Range"] = f"{offset}-{size_bytes - 1}"
        body = _BlobPayload(self._blob, offset, self._registry.options.timeouts.idle_s)
        request = Request(
            "PATCH", location, headers, body, timeout_s=self._registry.options.timeouts.commit_s
        )
        try:
            async with self._registry.open(request, self._access) as response:
                status, answer_headers, url = response.status, response.headers, response.url
                text = await response.content.read(64 * 1024)
        except TransientError:
            if self._blob.failure is not None:
                raise self._blob.failure from None
            raise
        if self._blob.failure is not None:
            raise self._blob.failure
        if status in {_UNAUTHORIZED, _RANGE_INVALID}:
            raise TransientError(f"{self._registry.name} interrupted an upload ({status})")
        if status == _NOT_FOUND:
            self._location = None
            raise _SessionLostError(f"{self._registry.name} lost an upload")
        if status not in {_ACCEPTED, _NO_CONTENT, _CREATED}:
            raise answer_error(self._registry.name, self._what, status, text)
        self._location = self._next_location(url, answer_headers)
        arrived = _received_bytes(answer_headers)
        if arrived is not None and arrived != size_bytes:
            raise TransientError(f"{self._registry.name} took {arrived} of {size_bytes} bytes")
        return self._location

    async def _commit(self, location: URL) -> None:
        timeout_s = self._registry.options.timeouts.commit_s
        request = Request("PUT", self._with_digest(location), {"Content-Length": "0"}, timeout_s=timeout_s)
        answer = await self._registry.call_once(request, self._access)
        if answer.status == _NOT_FOUND:
            self._location = None
            raise _SessionLostError(f"{self._registry.name} lost an upload")
        self._expect(answer, {_CREATED, _NO_CONTENT, _OK})

    async def _resume_offset(self) -> int:
        """Ask the registry how much has arrived; 0 starts a new upload."""
        location = self._location
        if location is not None:
            answer = await self._registry.call(Request("GET", location), self._access)
            arrived = _received_bytes(answer.headers) if answer.status in {_NO_CONTENT, _OK} else None
            if arrived is not None and 1 < arrived <= self._blob.hashed_bytes:
                self._location = self._next_location(answer.url, answer.headers, location)
                return arrived
            await self._cancel()
        return 0

    async def _cancel(self) -> None:
        location, self._location = self._location, None
        if location is None:
            return
        with contextlib.suppress(RemoteError, TimeoutError):
            async with asyncio.timeout(CANCEL_TIMEOUT_S):
                await self._registry.call_once(Request("DELETE", location), self._access)

    async def _uploads_url(self) -> URL:
        return await self._registry.url(f"/v2/{self._repository}/blobs/uploads/")

    def _next_location(self, base: URL, headers: Mapping[str, str], default: URL | None = None) -> URL:
        location = headers.get("Location")
        if location is None:
            if default is not None:
                return default
            raise ProtocolError(f"{self._registry.name} named no place for an upload")
        return self._registry.transport.derive(base, location)

    def _with_digest(self, location: URL) -> URL:
        query = f"{location.raw_query_string}&" if location.raw_query_string else ""
        path = str(location).partition("?")[0]
        return URL(f"{path}?{query}digest={self._blob.descriptor.digest}", encoded=True)

    def _expect(self, answer: Answer, statuses: set[int]) -> None:
        if answer.status not in statuses:
            raise answer_error(self._registry.name, self._what, answer.status, answer.body)

    @property
    def _what(self) -> str:
        return f"a blob for {self._repository}"


def _received_bytes(headers: Mapping[str, str]) -> int | None:
    """Return how many bytes the registry says it has; `0-0` stands for none or one and is read as none."""
    found = _RANGE.fullmatch(headers.get("Range", "").strip())
    if found is None:
        return None
    last = int(found[1])
    return last + 1 if last else 0


class _BlobPayload(aiohttp.Payload):
    """A blob as a request body of known length; ends with an error when nothing moves for too long."""

    def __init__(self, blob: VerifiedBlob, offset: int, idle_s: float) -> None:
        super().__init__(blob, content_type=_OCTET_STREAM)
        self._blob = blob
        self._offset = offset
        self._idle_s = idle_s
        self._size = blob.descriptor.size_bytes - offset

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's signature
        """Refuse: the body is a stream."""
        raise TypeError("a blob cannot be decoded")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Stream the blob from the offset on."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:  # noqa: ARG002 - aiohttp's signature
        """Stream the blob from the offset on; the length is that of the blob."""
        async with aclosing(self._blob.chunks(self._offset)) as chunks:
            async for chunk in chunks:
                async with asyncio.timeout(self._idle_s):
                    await writer.write(chunk)

    async def close(self) -> None:
        """Release nothing: each write closes its own stream."""
