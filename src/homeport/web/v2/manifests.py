"""`/v2/<name>/manifests/<reference>`."""

from homeport.oci.errors import OciError, OciErrorCode
from homeport.registry.delete import Deleter
from homeport.registry.journal import PullJournal
from homeport.registry.pull import PulledManifest, Puller
from homeport.registry.push import ManifestPush, Pusher
from homeport.rules.permissions import RepositoryAction
from homeport.web.v2.access import Access, Caller
from homeport.web.v2.request import API_VERSION, Header, Request
from homeport.web.v2.routing import Route

MAX_TAG_PARAMETERS = 32


class Manifests:
    """Answers pulls, pushes and deletes of manifests."""

    def __init__(
        self, access: Access, puller: Puller, pusher: Pusher, deleter: Deleter, journal: PullJournal
    ) -> None:
        self._access = access
        self._puller = puller
        self._pusher = pusher
        self._deleter = deleter
        self._journal = journal
        self.max_bytes = 4 * 1024 * 1024

    async def get(self, request: Request, route: Route) -> None:
        """Answer GET and HEAD; a GET is in the journal before the answer leaves."""
        name, reference = route.name, route.argument
        pulled = self._puller.cached_manifest(name, reference, request.version)
        if pulled is not None:
            caller = await self._access.require(request, pulled.location, RepositoryAction.PULL)
        else:
            location = await self._puller.locate(name)
            caller = await self._access.require(request, location, RepositoryAction.PULL)
            pulled = await self._puller.find_manifest(location, reference)
        if request.method == "GET":
            self._record(request, caller, pulled, reference)
        digest = pulled.digest.encode()
        headers: list[Header] = [
            (b"content-type", pulled.media_type.encode()),
            (b"docker-content-digest", digest),
            (b"etag", b'"%b"' % digest),
            API_VERSION,
            (b"x-request-id", request.request_id.encode()),
        ]
        condition = request.headers.get(b"if-none-match")
        if condition is not None and matches_etag(condition, digest):
            await request.begin(304, headers)
            await request.end()
            return
        await request.respond(200, headers, pulled.body)

    async def put(self, request: Request, route: Route) -> None:
        """Store a manifest under a tag or a digest."""
        location = await self._puller.locate(route.name)
        caller = await self._access.require(request, location, RepositoryAction.PUSH)
        tags = self._tag_parameters(request, route.argument)
        body = await request.read_body(self.max_bytes)
        content_type = request.header(b"content-type")
        push = ManifestPush(route.name, route.argument, tags, content_type, body, location.project_id)
        pushed = await self._pusher.put_manifest(caller.actor, push)
        headers: list[Header] = [
            (b"location", f"/v2/{route.name}/manifests/{pushed.digest}".encode()),
            (b"docker-content-digest", pushed.digest.encode()),
        ]
        if pushed.subject_digest is not None:
            headers.append((b"oci-subject", pushed.subject_digest.encode()))
        if pushed.tags:
            headers.append((b"oci-tag", ", ".join(pushed.tags).encode()))
        await request.respond(201, [*request.standard_headers(), *headers])

    async def delete(self, request: Request, route: Route) -> None:
        """Delete a tag, or a manifest with its tags."""
        location = await self._puller.locate(route.name)
        caller = await self._access.require(request, location, RepositoryAction.DELETE)
        await self._deleter.delete_manifest(caller.actor, route.name, route.argument)
        await request.respond(202, request.standard_headers())

    def _record(self, request: Request, caller: Caller, pulled: PulledManifest, reference: str) -> None:
        actor = caller.actor
        self._journal.append(
            (
                actor.principal,
                actor.auth_method,
                actor.client_address,
                actor.user_agent,
                request.request_id,
                pulled.location.repository_name,
                reference,
                pulled.digest,
            )
        )

    def _tag_parameters(self, request: Request, reference: str) -> list[str]:
        tags = request.query_all("tag")
        if tags and ":" not in reference:
            raise OciError(
                OciErrorCode.TAG_INVALID,
                "?tag= goes with a push by digest",
                hint="put the manifest under its digest, or leave ?tag= out",
            )
        if len(tags) > MAX_TAG_PARAMETERS:
            raise TooManyTagsError(len(tags))
        return tags


class TooManyTagsError(OciError):
    """More `?tag=` parameters than one request may have."""

    def __init__(self, count: int) -> None:
        super().__init__(
            OciErrorCode.TAG_INVALID,
            f"{count} tags are too many for one request",
            hint=f"send at most {MAX_TAG_PARAMETERS} and push again for the rest",
        )


def matches_etag(condition: bytes, digest: bytes) -> bool:
    """Tell whether If-None-Match names the digest: quoted or bare, weak, in a list, or `*`."""
    for part in condition.split(b","):
        tag = part.strip().removeprefix(b"W/").strip(b'"')
        if tag in {digest, b"*"}:
            return True
    return False
