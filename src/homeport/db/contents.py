"""Blobs and the links that make them part of a repository."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import TypeVar

from sqlalchemy import Connection, bindparam, delete, exists, select

from homeport.db.dialect import insert_or_keep
from homeport.db.quotas import count_blob, discount
from homeport.db.schema import blob, manifest, manifest_reference, project, repository, repository_blob

T = TypeVar("T")

_MAX_PARAMETERS = 500

_SIZE = (
    select(blob.c.size_bytes)
    .join(repository_blob, repository_blob.c.digest == blob.c.digest)
    .where(
        repository_blob.c.repository_id == bindparam("repository"),
        repository_blob.c.digest == bindparam("digest"),
    )
)


def find_blob_size(connection: Connection, repository_id: int, digest: str) -> int | None:
    """Return the size in bytes of a blob of this repository, or None when it has no such blob."""
    size_bytes: int | None = connection.execute(
        _SIZE, {"repository": repository_id, "digest": digest}
    ).scalar()
    return size_bytes


def link_blob(
    connection: Connection, repository_id: int, digest: str, size_bytes: int, now: datetime
) -> None:
    """Make stored content a blob of the repository; may be repeated. Raises QuotaExceededError."""
    insert_or_keep(connection, blob, {"digest": digest, "size_bytes": size_bytes, "created_at": now})
    insert_or_keep(
        connection,
        repository_blob,
        {"repository_id": repository_id, "digest": digest, "linked_at": now},
    )
    count_blob(connection, repository_id, digest, size_bytes)


def unlink_blob(connection: Connection, repository_id: int, digest: str) -> bool:
    """Take the blob out of the repository; tells whether it was there. Its content stays for others."""
    result = connection.execute(
        delete(repository_blob).where(
            repository_blob.c.repository_id == repository_id, repository_blob.c.digest == digest
        )
    )
    if result.rowcount > 0 and not _is_linked_in_project(connection, repository_id, digest):
        discount(connection, repository_id, [digest])
    return result.rowcount > 0


def _is_linked_in_project(connection: Connection, repository_id: int, digest: str) -> bool:
    own = select(repository.c.project_id).where(repository.c.id == repository_id).scalar_subquery()
    linked = exists().where(
        repository_blob.c.digest == digest,
        repository_blob.c.repository_id == repository.c.id,
        repository.c.project_id == own,
    )
    return bool(connection.execute(select(linked)).scalar())


def is_blob_referenced(connection: Connection, repository_id: int, digest: str) -> bool:
    """Tell whether a manifest of the repository names the blob."""
    return bool(
        connection.execute(
            select(
                exists().where(
                    manifest_reference.c.digest == digest,
                    manifest_reference.c.manifest_id == manifest.c.id,
                    manifest_reference.c.kind.in_(("config", "layer", "foreign", "blob")),
                    manifest.c.repository_id == repository_id,
                )
            )
        ).scalar()
    )


def known_blobs(connection: Connection, repository_id: int, digests: Iterable[str]) -> set[str]:
    """Return those of the digests that are blobs of the repository."""
    found: set[str] = set()
    for part in batched(digests, _MAX_PARAMETERS):
        found.update(
            connection.execute(
                select(repository_blob.c.digest).where(
                    repository_blob.c.repository_id == repository_id, repository_blob.c.digest.in_(part)
                )
            ).scalars()
        )
    return found


def repositories_with_blob(connection: Connection, digest: str, *, limit: int) -> list[tuple[str, str, bool]]:
    """Return (repository, project, is public) of up to `limit` repositories that hold the blob."""
    rows = connection.execute(
        select(repository.c.name, project.c.name, project.c.is_public)
        .join(repository_blob, repository_blob.c.repository_id == repository.c.id)
        .join(project, project.c.id == repository.c.project_id)
        .where(repository_blob.c.digest == digest)
        .order_by(repository_blob.c.linked_at.desc())
        .limit(limit)
    )
    return [(row[0], row[1], row[2]) for row in rows]


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of at most `size`."""
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part
