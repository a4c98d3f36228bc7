"""Lists of tags, repositories and referrers, a page at a time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import orjson

from homeport.db.engine import Database
from homeport.db.manifests import ReferrersPage, StoredReferrer, list_referrers, list_tags
from homeport.db.repositories import Location, Visibility, list_repositories
from homeport.oci.digest import Digest
from homeport.registry.errors import NameUnknownError
from homeport.rules.permissions import Principal, may_in_project, sees_every_repository

T = TypeVar("T")

_AFTER_ID = re.compile("[0-9]{1,18}")
_MAX_REFERRERS = 500
_MAX_REFERRERS_BYTES = 3 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list; `next_after` is where the next part starts, or None when this is the last."""

    items: list[T]
    next_after: str | None


class Lister:
    """Lists what repositories hold; the caller has checked the right to see it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tags(self, location: Location, *, after: str, limit: int) -> Page[str]:
        """Return tag names in byte order. Raises NameUnknownError for a repository that does not exist."""
        if location.repository_id is None:
            raise NameUnknownError(location.repository_name)
        names = await self._database.read(list_tags, location.repository_id, after=after, limit=limit + 1)
        return _page(names, limit)

    async def repositories(self, principal: Principal, *, after: str, limit: int) -> Page[str]:
        """Return the names of the repositories that the principal may list, in byte order."""
        visibility = visibility_of(principal)
        sees_all = sees_every_repository(principal)
        names: list[str] = []
        while len(names) <= limit:
            rows = await self._database.read(
                list_repositories, visibility, after=after, limit=limit + 1 - len(names)
            )
            if not rows:
                break
            after = rows[-1][0]
            names.extend(
                name
                for name, project in rows
                if sees_all or may_in_project(principal, project, "repository:list", name)
            )
        return _page(names, limit)

    async def referrers(
        self, location: Location, subject: Digest, *, types: Sequence[str], after: str
    ) -> Page[dict[str, object]]:
        """Return descriptors of the manifests whose subject this is, of the given types if any are given.

        A repository or subject that does not exist has none. A page is bounded in entries and in bytes.
        """
        after_id = int(after) if _AFTER_ID.fullmatch(after) else 0
        if location.repository_id is None:
            return Page([], None)
        page = ReferrersPage(types, after_id, _MAX_REFERRERS + 1)
        rows = await self._database.read(list_referrers, location.repository_id, str(subject), page)
        items: list[dict[str, object]] = []
        size_bytes = 0
        for row in rows[:_MAX_REFERRERS]:
            size_bytes += len(row.annotations or "") + 512
            if items and size_bytes > _MAX_REFERRERS_BYTES:
                break
            items.append(_descriptor(row))
        has_more = len(items) < len(rows)
        return Page(items, str(rows[len(items) - 1].id) if has_more and items else None)


def visibility_of(principal: Principal) -> Visibility:
    """Return whose repositories a list may show to the principal, before patterns are looked at."""
    rights = principal.rights
    everything = sees_every_repository(principal) or any(
        "repository:list" in grant.permissions and not grant.pattern for grant in rights.every_project
    )
    return Visibility(everything, frozenset(rights.projects))


def _page(names: list[str], limit: int) -> Page[str]:
    items = names[:limit]
    return Page(items, items[-1] if len(names) > limit and items else None)


def _descriptor(row: StoredReferrer) -> dict[str, object]:
    descriptor: dict[str, object] = {
        "mediaType": row.media_type,
        "digest": row.digest,
        "size": row.size_bytes,
    }
    if row.referrer_type:
        descriptor["artifactType"] = row.referrer_type
    if row.annotations:
        descriptor["annotations"] = orjson.loads(row.annotations)
    return descriptor
