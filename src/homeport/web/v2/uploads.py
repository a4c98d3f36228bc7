"""`/v2/<name>/blobs/uploads/`: sessions, chunks, single posts and mounts."""

from collections.abc import AsyncIterator

from homeport.blobs.store import OffsetMismatchError, UploadStatus
from homeport.db.repositories import Location
from homeport.errors import HomeportError
from homeport.oci.digest import ALGORITHMS, Digest, DigestInvalidError, parse_digest
from homeport.oci.errors import OciError, OciErrorCode
from homeport.oci.name import is_repository_name
from homeport.oci.ranges import ByteRange, parse_content_range, upload_range
from homeport.registry.pull import Puller
from homeport.registry.uploads import Uploads
from homeport.rules.permissions import RepositoryAction
from homeport.telemetry import Metrics
from homeport.web.v2.access import Access, Caller
from homeport.web.v2.errors import ErrorAnswer
from homeport.web.v2.request import Header, Request
from homeport.web.v2.routing import Route


class UploadHandlers:
    """Answers everything about uploads; all of it needs the right to push, also the cancel."""

    def __init__(self, access: Access, puller: Puller, uploads: Uploads, metrics: Metrics) -> None:
        self._access = access
        self._puller = puller
        self._uploads = uploads
        self._metrics = metrics

    async def post(self, request: Request, route: Route) -> None:
        """Begin a session, or do all at once: `?mount=` or `?digest=` with the body."""
        caller, location = await self._require_push(request, route)
        mount = request.query_all("mount")
        if mount:
            digest = await self._mount(request, caller, location, mount[0])
            if digest is not None:
                await self._answer_created(request, route.name, digest)
                return
        text = request.query("digest")
        algorithm = request.query("digest-algorithm")
        if algorithm is not None and algorithm not in ALGORITHMS:
            raise DigestInvalidError(algorithm)
        if text is not None and not mount:
            digest = parse_digest(text)
            await self._take_whole(request, location, digest)
            await self._answer_created(request, route.name, digest)
            return
        upload_id = await self._uploads.start(route.name, algorithm)
        await request.drain_body()
        await request.respond(202, self._session_headers(request, route.name, upload_id, 0))

    async def get(self, request: Request, route: Route) -> None:
        """Tell how much has arrived."""
        await self._require_push(request, route)
        status = await self._uploads.status(route.name, route.argument)
        headers = self._session_headers(request, route.name, route.argument, status.size_bytes)
        await request.begin(204, headers)
        await request.end()

    async def patch(self, request: Request, route: Route) -> None:
        """Append a chunk, or all that there is."""
        await self._require_push(request, route)
        try:
            chunk = await self._checked_chunk(request, route)
            status = await self._append(request, route.name, route.argument, chunk)
        except OffsetMismatchError as error:
            await self._answer_out_of_order(request, route, error.size_bytes)
            return
        headers = self._session_headers(request, route.name, route.argument, status.size_bytes)
        await request.respond(202, headers)

    async def put(self, request: Request, route: Route) -> None:
        """Append what the body has and make the whole a blob."""
        _, location = await self._require_push(request, route)
        text = request.query("digest")
        if text is None:
            raise OciError(
                OciErrorCode.DIGEST_INVALID,
                "the digest is missing",
                hint="end an upload with PUT ...?digest=sha256:<64 hex digits>",
            )
        digest = parse_digest(text)
        try:
            chunk = await self._checked_chunk(request, route)
            if chunk is not None or request.content_length() != 0:
                await self._append(request, route.name, route.argument, chunk)
        except OffsetMismatchError as error:
            await self._answer_out_of_order(request, route, error.size_bytes)
            return
        await self._uploads.finish(location, route.argument, digest)
        await self._answer_created(request, route.name, digest)

    async def delete(self, request: Request, route: Route) -> None:
        """Cancel the upload."""
        await self._require_push(request, route)
        await self._uploads.cancel(route.name, route.argument)
        await request.begin(204, request.standard_headers())
        await request.end()

    async def _require_push(self, request: Request, route: Route) -> tuple[Caller, Location]:
        location = await self._puller.locate(route.name)
        return await self._access.require(request, location, RepositoryAction.PUSH), location

    async def _take_whole(self, request: Request, location: Location, digest: Digest) -> None:
        """Make the body a blob; what arrived of a cut one is dropped, since nobody knows its session."""
        name = location.repository_name
        upload_id = await self._uploads.start(name, digest.algorithm)
        try:
            await self._append(request, name, upload_id, None)
        except HomeportError:
            await self._uploads.cancel(name, upload_id)
            raise
        await self._uploads.finish(location, upload_id, digest)

    async def _append(
        self, request: Request, name: str, upload_id: str, chunk: ByteRange | None
    ) -> UploadStatus:
        body = request.body_chunks()
        if chunk is not None and request.content_length() is None:
            body = _exactly(body, chunk.size_bytes)
        offset = None if chunk is None else chunk.start
        status = await self._uploads.append(name, upload_id, body, offset=offset)
        self._metrics.count_received(request.received_bytes)
        return status

    async def _checked_chunk(self, request: Request, route: Route) -> ByteRange | None:
        """Return the part that the body says it is; None when the whole body is to be appended."""
        header = request.header(b"content-range")
        if header is None:
            return None
        chunk = parse_content_range(header)
        if chunk is None:
            status = await self._uploads.status(route.name, route.argument)
            raise OffsetMismatchError(status.size_bytes)
        length = request.content_length()
        if length is not None and length != chunk.size_bytes:
            raise _size_invalid(chunk.size_bytes)
        return chunk

    async def _mount(
        self, request: Request, caller: Caller, target: Location, digest_text: str
    ) -> Digest | None:
        """Return the digest when it was mounted; None means that an ordinary session is to begin."""
        try:
            digest = parse_digest(digest_text)
        except DigestInvalidError:
            return None
        source_name = request.query("from")
        if source_name is None:
            candidates = await self._uploads.mount_candidates(digest)
        elif is_repository_name(source_name):
            candidates = [await self._puller.locate(source_name)]
        else:
            return None
        for source in candidates:
            if not self._access.is_allowed(caller, source, RepositoryAction.PULL):
                continue
            if await self._uploads.mount(caller.actor, target, digest, source):
                return digest
        return None

    async def _answer_created(self, request: Request, name: str, digest: Digest) -> None:
        headers: list[Header] = [
            (b"location", f"/v2/{name}/blobs/{digest}".encode()),
            (b"docker-content-digest", str(digest).encode()),
        ]
        await request.respond(201, [*request.standard_headers(), *headers])

    async def _answer_out_of_order(self, request: Request, route: Route, size_bytes: int) -> None:
        await request.drain_body()
        answer = ErrorAnswer(
            416,
            OciErrorCode.BLOB_UPLOAD_INVALID,
            f"the chunk does not start where the upload ends, at {size_bytes}",
        )
        headers = self._session_headers(request, route.name, route.argument, size_bytes)
        await request.respond(416, [*headers, (b"content-type", b"application/json")], answer.body())

    def _session_headers(self, request: Request, name: str, upload_id: str, size_bytes: int) -> list[Header]:
        return [
            *request.standard_headers(),
            (b"location", f"/v2/{name}/blobs/uploads/{upload_id}".encode()),
            (b"range", upload_range(size_bytes).encode()),
            (b"docker-upload-uuid", upload_id.encode()),
        ]


async def _exactly(body: AsyncIterator[bytes], size_bytes: int) -> AsyncIterator[bytes]:
    """Yield a body of unannounced length; what arrived before it turned out wrong stays in the upload."""
    left = size_bytes
    async for part in body:
        left -= len(part)
        if left < 0:
            raise _size_invalid(size_bytes)
        yield part
    if left:
        raise _size_invalid(size_bytes)


def _size_invalid(size_bytes: int) -> OciError:
    return OciError(
        OciErrorCode.SIZE_INVALID, f"the body has not the {size_bytes} bytes that Content-Range announces"
    )
