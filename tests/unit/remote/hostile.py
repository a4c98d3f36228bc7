"""A registry that misbehaves on command: an adversary for the client, in memory, on a real socket."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from tests.images import CONFIG_TYPE, INDEX_TYPE, LAYER_TYPE, MANIFEST_TYPE

Respond = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Route = Callable[[web.BaseRequest, str, str], Awaitable[web.StreamResponse]]

_BLOB = re.compile(r"/v2/(.+)/blobs/(sha(?:256|512):[0-9a-f]+)")
_MANIFEST = re.compile(r"/v2/(.+)/manifests/([^/]+)")
_START = re.compile(r"/v2/(.+)/blobs/uploads/")
_UPLOAD = re.compile(r"/v2/(.+)/blobs/uploads/(\d+)")
_REFERRERS = re.compile(r"/v2/(.+)/referrers/([^/]+)")


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(slots=True)
class Fault:
    """What to answer instead, to the next so many requests that match."""

    method: str
    path: re.Pattern[str]
    respond: Respond
    times: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came in."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(slots=True)
class HostileRegistry:
    """A registry in memory; without faults it is an honest one, of one repository namespace."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    guard: Respond | None = None
    has_referrers_api: bool = True
    url: str = ""
    started_uploads: int = 0

    @property
    def host(self) -> str:
        return self.url.partition("://")[2]

    def on(self, method: str, path: str, respond: Respond, *, times: int = 1) -> None:
        """Answer the next requests that match differently."""
        self.faults.append(Fault(method, re.compile(path), respond, times))

    def requests(self, method: str, path: str) -> list[Seen]:
        """Return the requests so far that match."""
        return [seen for seen in self.seen if seen.method == method and re.search(path, seen.path)]

    def add_blob(self, content: bytes) -> str:
        digest = digest_of(content)
        self.blobs[digest] = content
        return digest

    def add_manifest(self, repository: str, tag: str, document: Mapping[str, Any]) -> str:
        body = json.dumps(document).encode()
        self.put(repository, tag, str(document.get("mediaType", MANIFEST_TYPE)), body)
        return digest_of(body)

    def put(self, repository: str, reference: str, media_type: str, body: bytes) -> None:
        self.manifests[repository, digest_of(body)] = (media_type, body)
        self.manifests[repository, reference] = (media_type, body)

    def add_image(self, repository: str, tag: str, *layers: bytes, **more: Any) -> str:
        """Store an image with these bytes as layers and return its digest."""
        config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}}).encode()
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": self.add_blob(config), "size": len(config)},
            "layers": [
                {"mediaType": LAYER_TYPE, "digest": self.add_blob(layer), "size": len(layer)}
                for layer in layers
            ],
            **more,
        }
        return self.add_manifest(repository, tag, document)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(Seen(request.method, request.path_qs, dict(request.headers)))
        for fault in self.faults:
            if fault.times > 0 and fault.method == request.method and fault.path.search(request.path_qs):
                fault.times -= 1
                return await fault.respond(request)
        if self.guard is not None:
            refusal = await self.guard(request)
            if refusal.status != 200:
                return refusal
        return await self._serve(request)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        routes: list[tuple[re.Pattern[str], Route]] = [
            (_START, self._start),
            (_UPLOAD, self._upload),
            (_BLOB, self._blob),
            (_MANIFEST, self._manifest),
        ]
        if self.has_referrers_api:
            routes.append((_REFERRERS, self._referrers))
        if request.path == "/v2/":
            return web.json_response({})
        for pattern, route in routes:
            if found := pattern.fullmatch(request.path):
                return await route(request, found[1], found[found.lastindex or 1])
        return web.json_response({"errors": [{"code": "NOT_FOUND", "message": "no"}]}, status=404)

    async def _start(self, request: web.BaseRequest, repository: str, _: str) -> web.StreamResponse:
        mount = request.query.get("mount", "")
        if mount in self.blobs:
            return web.Response(status=201, headers={"Location": f"/v2/{repository}/blobs/{mount}"})
        self.started_uploads += 1
        self.uploads[str(self.started_uploads)] = bytearray()
        location = f"/v2/{repository}/blobs/uploads/{self.started_uploads}"
        return web.Response(status=202, headers={"Location": location, "Range": "0-0"})

    async def _upload(self, request: web.BaseRequest, _: str, name: str) -> web.StreamResponse:
        content = self.uploads.get(name)
        if content is None:
            return web.json_response({"errors": [{"code": "BLOB_UPLOAD_UNKNOWN"}]}, status=404)
        state = {"Location": request.path, "Range": f"0-{max(len(content) - 1, 0)}"}
        if request.method == "GET":
            return web.Response(status=204, headers=state)
        if request.method == "DELETE":
            del self.uploads[name]
            return web.Response(status=204)
        start = request.headers.get("Content-Range", f"{len(content)}-").partition("-")[0]
        if int(start) != len(content):
            return web.Response(status=416, headers=state)
        async for chunk in request.content.iter_any():
            content.extend(chunk)
        if request.method == "PATCH":
            state["Range"] = f"0-{max(len(content) - 1, 0)}"
            return web.Response(status=202, headers=state)
        return self._commit(name, request.query["digest"])

    def _commit(self, name: str, digest: str) -> web.StreamResponse:
        content = bytes(self.uploads[name])
        if digest_of(content) != digest:
            return web.json_response({"errors": [{"code": "DIGEST_INVALID", "message": "other"}]}, status=400)
        self.blobs[digest] = content
        del self.uploads[name]
        return web.Response(status=201, headers={"Location": f"/v2/x/blobs/{digest}"})

    async def _blob(self, request: web.BaseRequest, _: str, digest: str) -> web.StreamResponse:
        content = self.blobs.get(digest)
        if content is None:
            return web.json_response({"errors": [{"code": "BLOB_UNKNOWN"}]}, status=404)
        headers = {"ETag": f'"{digest}"'}
        if request.headers.get("If-Match", headers["ETag"]) != headers["ETag"]:
            return web.Response(status=412)
        wanted = request.headers.get("Range")
        if wanted is None:
            return web.Response(body=content, headers=headers)
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return web.Response(status=206, body=content[start:], headers=headers)

    async def _manifest(
        self, request: web.BaseRequest, repository: str, reference: str
    ) -> web.StreamResponse:
        if request.method == "PUT":
            body = await request.read()
            self.put(repository, reference, request.headers["Content-Type"], body)
            headers = {"Docker-Content-Digest": digest_of(body)}
            subject = json.loads(body).get("subject")
            if subject and self.has_referrers_api:
                headers["OCI-Subject"] = subject["digest"]
            return web.Response(status=201, headers=headers)
        found = self.manifests.get((repository, reference))
        if found is None:
            return web.json_response({"errors": [{"code": "MANIFEST_UNKNOWN"}]}, status=404)
        headers = {"Docker-Content-Digest": digest_of(found[1])}
        return web.Response(body=found[1], content_type=found[0], headers=headers)

    async def _referrers(self, _: web.BaseRequest, __: str, subject: str) -> web.StreamResponse:
        unique = {digest_of(body): (kind, body) for kind, body in self.manifests.values()}
        manifests = [
            {"mediaType": kind, "digest": digest, "size": len(body)}
            for digest, (kind, body) in unique.items()
            if (json.loads(body).get("subject") or {}).get("digest") == subject
        ]
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}
        return web.Response(body=json.dumps(index).encode(), content_type=INDEX_TYPE)


@asynccontextmanager
async def run_registry() -> AsyncIterator[HostileRegistry]:
    """Run a hostile registry on a free port of 127.0.0.1."""
    registry = HostileRegistry()
    async with run_handler(registry.handle) as url:
        registry.url = url
        yield registry


@asynccontextmanager
async def run_handler(handle: Respond) -> AsyncIterator[str]:
    """Run a server of one handler on a free port of 127.0.0.1 and give its URL."""
    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def answer(status: int, body: bytes = b"", **headers: str) -> Respond:
    """Answer with this status; underscores in header names stand for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def respond(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=named)

    return respond


def cut_download(content: bytes, after: int, **headers: str) -> Respond:
    """Announce what is asked for of the content, send so many bytes of it, and break the connection."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def respond(request: web.BaseRequest) -> web.StreamResponse:
        wanted = request.headers.get("Range", "bytes=0-")
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        response = web.StreamResponse(headers={"Content-Length": str(len(content) - start), **named})
        if start:
            response.set_status(206)
            response.headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        await response.prepare(request)
        await response.write(content[start : start + after])
        await asyncio.sleep(0.02)
        if request.transport is not None:
            request.transport.abort()
        return response

    return respond


def cut_upload(registry: HostileRegistry, after: int, *, keep: bool = True) -> Respond:
    """Take so many bytes of an upload's body, keep them or not, and break the connection."""

    async def respond(request: web.BaseRequest) -> web.StreamResponse:
        taken = await request.content.readexactly(after)
        name = request.path.rpartition("/")[2]
        if keep:
            registry.uploads[name].extend(taken)
        else:
            registry.uploads.pop(name)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    return respond
