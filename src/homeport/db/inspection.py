"""Statements that look for what contradicts itself in the database, in parts of bounded size."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, exists, false, func, select, text

from homeport.db.contents import batched
from homeport.db.manifests import Reference
from homeport.db.quotas import COUNTED_KINDS
from homeport.db.schema import (
    blob,
    manifest,
    manifest_body,
    manifest_reference,
    project,
    project_content,
    quota,
    repository,
    repository_blob,
    tag,
)

_MAX_PARAMETERS = 500


@dataclass(frozen=True, slots=True)
class Counts:
    """How much the database promises; bytes are those of the blobs that some repository has, each once."""

    projects: int
    repositories: int
    manifests: int
    tags: int
    blobs: int
    blob_bytes: int


@dataclass(frozen=True, slots=True)
class NamedContent:
    """What a manifest names, and what its repository has under the digest; a size is None for nothing."""

    reference: Reference
    blob_bytes: int | None
    manifest_bytes: int | None


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """A manifest as it is recorded, all of it read in one snapshot; the body is None when it is missing."""

    id: int
    repository: str
    digest: str
    media_type: str
    size_bytes: int
    subject_digest: str | None
    referrer_type: str | None
    annotations: str | None
    body: bytes | None
    names: tuple[NamedContent, ...]


@dataclass(frozen=True, slots=True)
class BlobRow:
    """A blob as it is recorded; `repository` is one that has it, None when none has."""

    digest: str
    size_bytes: int
    repository: str | None


def count_contents(connection: Connection) -> Counts:
    """Return how much there is."""
    projects, repositories, manifests, tags = (
        connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in (project, repository, manifest, tag)
    )
    linked = exists().where(repository_blob.c.digest == blob.c.digest)
    blobs, size_bytes = connection.execute(
        select(func.count(), func.coalesce(func.sum(blob.c.size_bytes), 0)).where(linked)
    ).one()
    return Counts(projects, repositories, manifests, tags, int(blobs), int(size_bytes))


def find_file_problems(connection: Connection, *, limit: int) -> list[str]:
    """Return what the database finds wrong with the structure of its file; PostgreSQL looks after its own."""
    if connection.dialect.name != "sqlite":
        return []
    checked = connection.execute(text(f"PRAGMA quick_check({int(limit)})")).scalars()
    return [str(line) for line in checked if line != "ok"]


def find_broken_links(connection: Connection, *, limit: int) -> list[tuple[str, int | None, str]]:
    """Return (table, row id, table it should point into) of up to `limit` rows that point to nothing."""
    if connection.dialect.name != "sqlite":
        return []
    rows = connection.execute(text("PRAGMA foreign_key_check")).fetchmany(limit)
    return [(row[0], row[1], row[2]) for row in rows]


def find_stray_tags(connection: Connection, *, limit: int) -> list[tuple[str, str]]:
    """Return (repository, tag) of up to `limit` tags that lead to no manifest of their repository."""
    leads_somewhere = exists().where(
        manifest.c.id == tag.c.manifest_id, manifest.c.repository_id == tag.c.repository_id
    )
    rows = connection.execute(
        select(func.coalesce(repository.c.name, "?"), tag.c.name)
        .select_from(tag.outerjoin(repository, repository.c.id == tag.c.repository_id))
        .where(~leads_somewhere)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


def find_stray_links(connection: Connection, *, limit: int) -> list[tuple[str, str]]:
    """Return (repository, digest) of up to `limit` blobs of repositories that are not recorded as blobs."""
    rows = connection.execute(
        select(func.coalesce(repository.c.name, "?"), repository_blob.c.digest)
        .select_from(
            repository_blob.outerjoin(repository, repository.c.id == repository_blob.c.repository_id)
        )
        .where(~exists().where(blob.c.digest == repository_blob.c.digest))
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


def find_stray_repositories(connection: Connection, *, limit: int) -> list[tuple[str, str]]:
    """Return (repository, project) of up to `limit` repositories recorded under another project's name."""
    stands = (func.substr(repository.c.name, 1, func.length(project.c.name) + 1) == project.c.name + "/") | (
        repository.c.name == project.c.name
    )
    rows = connection.execute(
        select(repository.c.name, func.coalesce(project.c.name, "?"))
        .select_from(repository.outerjoin(project, project.c.id == repository.c.project_id))
        .where(~func.coalesce(stands, false()))
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


def find_miscounted_quotas(connection: Connection, *, limit: int) -> list[tuple[str, int, int]]:
    """Return (project, recorded bytes, bytes of all that counts) of up to `limit` projects that differ."""
    counted = func.coalesce(func.sum(project_content.c.size_bytes), 0)
    rows = connection.execute(
        select(project.c.name, quota.c.used_bytes, counted)
        .select_from(
            quota.join(project, project.c.id == quota.c.project_id).outerjoin(
                project_content, project_content.c.project_id == quota.c.project_id
            )
        )
        .group_by(project.c.name, quota.c.used_bytes)
        .having(quota.c.used_bytes != counted)
        .limit(limit)
    )
    return [(row[0], int(row[1]), int(row[2])) for row in rows]


def find_uncounted_contents(connection: Connection, *, limit: int) -> list[tuple[str, str]]:
    """Return (repository, digest) of up to `limit` contents that do not count for their project."""
    named = (
        select(manifest.c.repository_id, manifest_reference.c.digest)
        .join(manifest_reference, manifest_reference.c.manifest_id == manifest.c.id)
        .where(manifest_reference.c.kind.in_(COUNTED_KINDS))
        .union(select(manifest.c.repository_id, manifest.c.digest))
        .subquery()
    )
    is_counted = exists().where(
        project_content.c.project_id == repository.c.project_id, project_content.c.digest == named.c.digest
    )
    rows = connection.execute(
        select(repository.c.name, named.c.digest)
        .join(named, named.c.repository_id == repository.c.id)
        .where(~is_counted)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


def read_manifests(connection: Connection, *, after_id: int, limit: int, max_bytes: int) -> list[ManifestRow]:
    """Return manifests with ids above `after_id`, in order, all that is recorded of each.

    At most `limit` of them, and as many as have bodies of up to `max_bytes` together; one at least, unless
    there is none.
    """
    ids = _ids_of_page(connection, after_id=after_id, limit=limit, max_bytes=max_bytes)
    if not ids:
        return []
    page = manifest.c.id.between(ids[0], ids[-1])
    named: defaultdict[int, list[NamedContent]] = defaultdict(list)
    for manifest_id, kind, digest, size_bytes, blob_bytes, manifest_bytes in connection.execute(
        _named_content().where(page)
    ):
        reference = Reference(kind, digest, size_bytes)
        named[manifest_id].append(NamedContent(reference, blob_bytes, manifest_bytes))
    rows = connection.execute(
        select(
            manifest.c.id,
            func.coalesce(repository.c.name, "?"),
            manifest.c.digest,
            manifest.c.media_type,
            manifest.c.size_bytes,
            manifest.c.subject_digest,
            manifest.c.referrer_type,
            manifest.c.annotations,
            manifest_body.c.body,
        )
        .select_from(
            manifest.outerjoin(repository, repository.c.id == manifest.c.repository_id).outerjoin(
                manifest_body, manifest_body.c.digest == manifest.c.digest
            )
        )
        .where(page)
        .order_by(manifest.c.id)
    )
    return [ManifestRow(*row, tuple(named[row[0]])) for row in rows]


def read_blobs(connection: Connection, *, after: str, limit: int) -> list[BlobRow]:
    """Return up to `limit` blobs with digests after `after`, in the database's own order."""
    statement = (
        select(
            blob.c.digest,
            blob.c.size_bytes,
            select(func.min(repository.c.name))
            .join(repository_blob, repository_blob.c.repository_id == repository.c.id)
            .where(repository_blob.c.digest == blob.c.digest)
            .scalar_subquery(),
        )
        .where(blob.c.digest > after)
        .order_by(blob.c.digest)
        .limit(limit)
    )
    return [BlobRow(*row) for row in connection.execute(statement)]


def is_blob_linked(connection: Connection, digest: str) -> bool:
    """Tell whether any repository has the blob."""
    linked = exists().where(repository_blob.c.digest == digest)
    return bool(connection.execute(select(linked)).scalar())


def linked_blobs(connection: Connection, digests: Iterable[str]) -> set[str]:
    """Return those of the digests that are blobs of some repository."""
    found: set[str] = set()
    for part in batched(digests, _MAX_PARAMETERS):
        found.update(
            connection.execute(
                select(repository_blob.c.digest).where(repository_blob.c.digest.in_(part)).distinct()
            ).scalars()
        )
    return found


def _ids_of_page(connection: Connection, *, after_id: int, limit: int, max_bytes: int) -> list[int]:
    ids: list[int] = []
    total_bytes = 0
    statement = (
        select(manifest.c.id, manifest.c.size_bytes)
        .where(manifest.c.id > after_id)
        .order_by(manifest.c.id)
        .limit(limit)
    )
    for key, size_bytes in connection.execute(statement):
        total_bytes += size_bytes
        if ids and total_bytes > max_bytes:
            break
        ids.append(key)
    return ids


def _named_content() -> Select[Any]:
    child = manifest.alias("child")
    return (
        select(
            manifest_reference.c.manifest_id,
            manifest_reference.c.kind,
            manifest_reference.c.digest,
            manifest_reference.c.size_bytes,
            blob.c.size_bytes,
            child.c.size_bytes,
        )
        .select_from(
            manifest_reference.join(manifest, manifest.c.id == manifest_reference.c.manifest_id)
            .outerjoin(
                repository_blob,
                (repository_blob.c.repository_id == manifest.c.repository_id)
                & (repository_blob.c.digest == manifest_reference.c.digest),
            )
            .outerjoin(blob, blob.c.digest == repository_blob.c.digest)
            .outerjoin(
                child,
                (child.c.repository_id == manifest.c.repository_id)
                & (child.c.digest == manifest_reference.c.digest),
            )
        )
        .order_by(manifest_reference.c.manifest_id, manifest_reference.c.position)
    )
