"""`/v2/`, tag lists, the catalog, referrers and extensions."""

from urllib.parse import quote

import orjson

from homeport.oci import mediatype
from homeport.oci.digest import parse_digest
from homeport.oci.errors import OciError, OciErrorCode
from homeport.registry.listing import Lister
from homeport.registry.pull import Puller
from homeport.rules.permissions import RepositoryAction
from homeport.web.v2.access import Access
from homeport.web.v2.request import Header, Request
from homeport.web.v2.routing import Route

MAX_PAGE = 1000
DEFAULT_CATALOG_PAGE = 100

_JSON: Header = (b"content-type", b"application/json")


class Lists:
    """Answers everything that lists."""

    def __init__(self, access: Access, puller: Puller, lister: Lister) -> None:
        self._access = access
        self._puller = puller
        self._lister = lister

    async def ping(self, request: Request, _route: Route) -> None:
        """Tell a client that this is a registry and that its token is good."""
        await self._access.require_login(request)
        await request.respond(200, [*request.standard_headers(), _JSON], b"{}")

    async def extensions(self, request: Request, _route: Route) -> None:
        """List the extensions: none."""
        await self._access.require_login(request)
        await request.respond(200, [*request.standard_headers(), _JSON], b'{"extensions":[]}')

    async def catalog(self, request: Request, _route: Route) -> None:
        """List the repositories that the caller may see."""
        caller = await self._access.require_catalog(request)
        limit = _page_size(request, DEFAULT_CATALOG_PAGE)
        principal = caller.authentication.principal
        page = await self._lister.repositories(principal, after=request.query("last") or "", limit=limit)
        link = None
        if page.next_after is not None and limit:
            link = f'</v2/_catalog?n={limit}&last={quote(page.next_after, safe="")}>; rel="next"'
        await self._answer(request, {"repositories": page.items}, link)

    async def tags(self, request: Request, route: Route) -> None:
        """List the tags of a repository."""
        location = await self._puller.locate(route.name)
        await self._access.require(request, location, RepositoryAction.PULL)
        limit = _page_size(request, MAX_PAGE)
        page = await self._lister.tags(location, after=request.query("last") or "", limit=limit)
        link = None
        if page.next_after is not None and limit:
            last = quote(page.next_after, safe="")
            link = f'</v2/{route.name}/tags/list?n={limit}&last={last}>; rel="next"'
        await self._answer(request, {"name": route.name, "tags": page.items}, link)

    async def referrers(self, request: Request, route: Route) -> None:
        """List the manifests that refer to a subject (distribution-spec, "Listing Referrers")."""
        location = await self._puller.locate(route.name)
        await self._access.require(request, location, RepositoryAction.PULL)
        subject = parse_digest(route.argument)
        asked = [value for value in request.query_all("artifactType") if value]
        types = sorted({*asked, *(value.replace(" ", "+") for value in asked)})
        page = await self._lister.referrers(location, subject, types=types, after=request.query("last") or "")
        index = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": page.items}
        headers: list[Header] = [
            *request.standard_headers(),
            (b"content-type", mediatype.OCI_INDEX.encode()),
        ]
        if types:
            headers.append((b"oci-filters-applied", b"artifactType"))
        if page.next_after is not None:
            query = "".join(f"artifactType={quote(value, safe='')}&" for value in asked)
            link = f'</v2/{route.name}/referrers/{subject}?{query}last={page.next_after}>; rel="next"'
            headers.append((b"link", link.encode()))
        await request.respond(200, headers, orjson.dumps(index))

    async def _answer(self, request: Request, content: dict[str, object], link: str | None) -> None:
        headers: list[Header] = [*request.standard_headers(), _JSON]
        if link is not None:
            headers.append((b"link", link.encode()))
        await request.respond(200, headers, orjson.dumps(content))


def _page_size(request: Request, default: int) -> int:
    text = request.query("n")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18):  # noqa: PLR2004 - 64 bits
        raise OciError(OciErrorCode.PAGINATION_NUMBER_INVALID, detail=text[:64], hint="n is a number from 0")
    return min(int(text), MAX_PAGE)
