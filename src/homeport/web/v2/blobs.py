"""`/v2/<name>/blobs/<digest>`: whole, in part, and away."""

import secrets
from collections.abc import AsyncIterator

from homeport.blobs.store import BlobStore
from homeport.oci.digest import parse_digest
from homeport.oci.ranges import ByteRange, parse_range
from homeport.registry.delete import Deleter
from homeport.registry.pull import FoundBlob, Puller
from homeport.rules.permissions import RepositoryAction
from homeport.telemetry import Metrics
from homeport.web.v2.access import Access
from homeport.web.v2.manifests import matches_etag
from homeport.web.v2.request import Header, Request
from homeport.web.v2.routing import Route

_OCTET_STREAM: Header = (b"content-type", b"application/octet-stream")
_PART_BYTES = 256 * 1024


class Blobs:
    """Answers downloads and deletes of blobs."""

    def __init__(
        self, access: Access, puller: Puller, deleter: Deleter, store: BlobStore, metrics: Metrics
    ) -> None:
        self._access = access
        self._puller = puller
        self._deleter = deleter
        self._store = store
        self._metrics = metrics

    async def get(self, request: Request, route: Route) -> None:
        """Answer GET and HEAD, with conditions and, for GET, ranges (RFC 9110, 13 and 14)."""
        location = await self._puller.locate(route.name)
        await self._access.require(request, location, RepositoryAction.PULL)
        blob = await self._puller.find_blob(location, parse_digest(route.argument))
        digest = route.argument.encode()
        headers: list[Header] = [
            *request.standard_headers(),
            (b"docker-content-digest", digest),
            (b"etag", b'"%b"' % digest),
            (b"cache-control", b"max-age=31536000"),
            (b"accept-ranges", b"bytes"),
        ]
        condition = request.headers.get(b"if-none-match")
        if condition is not None and matches_etag(condition, digest):
            await request.begin(304, headers)
            await request.end()
            return
        ranges = self._ranges(request, blob, digest)
        if ranges is None or ranges == [ByteRange(0, blob.size_bytes)]:
            await self._send_whole(request, blob, headers, ranges)
        elif len(ranges) == 1:
            await self._send_range(request, blob, headers, ranges[0])
        else:
            await self._send_ranges(request, blob, headers, ranges)

    async def delete(self, request: Request, route: Route) -> None:
        """Take the blob out of this repository."""
        location = await self._puller.locate(route.name)
        caller = await self._access.require(request, location, RepositoryAction.DELETE)
        digest = parse_digest(route.argument)
        await self._deleter.delete_blob(caller.actor, route.name, digest)
        await request.respond(
            202, [*request.standard_headers(), (b"docker-content-digest", route.argument.encode())]
        )

    def _ranges(self, request: Request, blob: FoundBlob, digest: bytes) -> list[ByteRange] | None:
        header = request.header(b"range")
        if header is None or request.method != "GET":
            return None
        validator = request.headers.get(b"if-range")
        if validator is not None and validator.strip() != b'"%b"' % digest:
            return None
        return parse_range(header, blob.size_bytes)

    async def _send_whole(
        self,
        request: Request,
        blob: FoundBlob,
        headers: list[Header],
        ranges: list[ByteRange] | None,
    ) -> None:
        status = 200
        head: list[Header] = [*headers, _OCTET_STREAM, (b"content-length", b"%d" % blob.size_bytes)]
        if ranges:
            status = 206
            head.append((b"content-range", ranges[0].content_range(blob.size_bytes).encode()))
        path = None if blob.body is not None else self._puller.local_path(blob)
        await request.begin(status, head)
        if request.method == "HEAD" or blob.size_bytes == 0:
            await request.end()
            return
        self._metrics.count_served(blob.size_bytes)
        if path is not None:
            await request.send_file(path)
            return
        async for part in self._read(blob, ByteRange(0, blob.size_bytes)):
            await request.send_part(part)
        await request.end()

    async def _send_range(
        self, request: Request, blob: FoundBlob, headers: list[Header], wanted: ByteRange
    ) -> None:
        self._check_file(blob)
        await request.begin(
            206,
            [
                *headers,
                _OCTET_STREAM,
                (b"content-length", b"%d" % wanted.size_bytes),
                (b"content-range", wanted.content_range(blob.size_bytes).encode()),
            ],
        )
        self._metrics.count_served(wanted.size_bytes)
        async for part in self._read(blob, wanted):
            await request.send_part(part)
        await request.end()

    async def _send_ranges(
        self, request: Request, blob: FoundBlob, headers: list[Header], ranges: list[ByteRange]
    ) -> None:
        """Send several ranges as multipart/byteranges (RFC 9110, 14.6)."""
        self._check_file(blob)
        boundary = secrets.token_hex(16)
        heads = [
            (
                f"\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n"
                f"Content-Range: {wanted.content_range(blob.size_bytes)}\r\n\r\n"
            ).encode()
            for wanted in ranges
        ]
        tail = f"\r\n--{boundary}--\r\n".encode()
        size_bytes = sum(wanted.size_bytes for wanted in ranges)
        length = size_bytes + sum(map(len, heads)) + len(tail)
        await request.begin(
            206,
            [
                *headers,
                (b"content-type", f"multipart/byteranges; boundary={boundary}".encode()),
                (b"content-length", b"%d" % length),
            ],
        )
        self._metrics.count_served(size_bytes)
        for head, wanted in zip(heads, ranges, strict=True):
            await request.send_part(head)
            async for part in self._read(blob, wanted):
                await request.send_part(part)
        await request.end(tail)

    def _check_file(self, blob: FoundBlob) -> None:
        if blob.body is None:
            self._puller.local_path(blob)

    async def _read(self, blob: FoundBlob, wanted: ByteRange) -> AsyncIterator[bytes]:
        if blob.body is None:
            async for part in self._store.read(blob.digest, wanted.start, wanted.end):
                yield part
            return
        for start in range(wanted.start, wanted.end, _PART_BYTES):
            yield blob.body[start : min(start + _PART_BYTES, wanted.end)]
