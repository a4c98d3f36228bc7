"""Manifests, what they name, and the tags on them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, func, insert, select, update

from homeport.db.contents import batched
from homeport.db.dialect import insert_or_keep, insert_or_replace
from homeport.db.quotas import COUNTED_KINDS, count_manifest, discount
from homeport.db.schema import manifest, manifest_body, manifest_reference, tag
from homeport.rules.artifact_type import Accessory

_MAX_PARAMETERS = 500
_MAX_BYTES = 2**62  # sizes come from clients; sums of them stay numbers that databases hold


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest of a repository, without its bytes."""

    id: int
    digest: str
    media_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Reference:
    """What a manifest names; kind is config, layer, foreign, manifest, blob or absent."""

    kind: str
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ArtifactFacts:
    """What lists of artifacts show of a manifest; `extra_attrs` is a JSON text."""

    kind: str
    config_media_type: str
    extra_attrs: str | None = None
    accessory: Accessory | None = None


@dataclass(frozen=True, slots=True)
class NewManifest:
    """A checked manifest that is to be stored."""

    digest: str
    media_type: str
    body: bytes
    referrer_type: str | None
    subject_digest: str | None
    annotations: str | None
    references: tuple[Reference, ...]
    facts: ArtifactFacts


@dataclass(frozen=True, slots=True)
class StoredReferrer:
    """A manifest that names a subject, as the referrers list shows it; annotations are a JSON text."""

    id: int
    digest: str
    media_type: str
    size_bytes: int
    referrer_type: str | None
    annotations: str | None


@dataclass(frozen=True, slots=True)
class ReferrersPage:
    """Up to `limit` referrers after the one with the id `after_id`, of these types when any are given."""

    types: Sequence[str]
    after_id: int
    limit: int


_STORED = (manifest.c.id, manifest.c.digest, manifest.c.media_type, manifest.c.size_bytes)

# built once: pulls and pushes run these with every request that follows a change of the database
_BY_TAG = (
    select(*_STORED)
    .join(tag, tag.c.manifest_id == manifest.c.id)
    .where(tag.c.repository_id == bindparam("repository"), tag.c.name == bindparam("name"))
)
_BY_DIGEST = select(*_STORED).where(
    manifest.c.repository_id == bindparam("repository"), manifest.c.digest == bindparam("digest")
)
_BODY = select(manifest_body.c.body).where(manifest_body.c.digest == bindparam("digest"))


def find_by_tag(connection: Connection, repository_id: int, name: str) -> StoredManifest | None:
    """Return the manifest that the tag points to."""
    row = connection.execute(_BY_TAG, {"repository": repository_id, "name": name}).first()
    return None if row is None else StoredManifest(*row)


def find_by_digest(connection: Connection, repository_id: int, digest: str) -> StoredManifest | None:
    """Return the repository's manifest with this digest."""
    row = connection.execute(_BY_DIGEST, {"repository": repository_id, "digest": digest}).first()
    return None if row is None else StoredManifest(*row)


def read_body(connection: Connection, digest: str) -> bytes | None:
    """Return the bytes of a manifest, exactly as pushed."""
    body: bytes | None = connection.execute(_BODY, {"digest": digest}).scalar()
    return body


def known_manifests(connection: Connection, repository_id: int, digests: Iterable[str]) -> set[str]:
    """Return those of the digests that are manifests of the repository."""
    found: set[str] = set()
    for part in batched(digests, _MAX_PARAMETERS):
        found.update(
            connection.execute(
                select(manifest.c.digest).where(
                    manifest.c.repository_id == repository_id, manifest.c.digest.in_(part)
                )
            ).scalars()
        )
    return found


def store_manifest(connection: Connection, repository_id: int, new: NewManifest, now: datetime) -> int:
    """Store the manifest with all that it names and return its id; may be repeated.

    Raises QuotaExceededError.
    """
    blobs = [reference.digest for reference in new.references if reference.kind in COUNTED_KINDS]
    count_manifest(connection, repository_id, (new.digest, len(new.body)), blobs)
    values: dict[str, Any] = {
        "media_type": new.media_type,
        "referrer_type": new.referrer_type,
        "subject_digest": new.subject_digest,
        "size_bytes": len(new.body),
        "annotations": new.annotations,
        "pushed_at": now,
        "kind": new.facts.kind,
        "config_media_type": new.facts.config_media_type,
        "total_bytes": _total_bytes(connection, repository_id, new),
    }
    if new.facts.extra_attrs is not None:
        values["extra_attrs"] = new.facts.extra_attrs
    accessory = new.facts.accessory
    if accessory is not None:
        values |= {"accessory_kind": accessory.kind, "accessory_subject": accessory.subject_digest}
    insert_or_keep(connection, manifest_body, {"digest": new.digest, "body": new.body})
    known = find_by_digest(connection, repository_id, new.digest)
    if known is not None:
        connection.execute(update(manifest).where(manifest.c.id == known.id).values(**values))
        connection.execute(delete(manifest_reference).where(manifest_reference.c.manifest_id == known.id))
        manifest_id = known.id
    else:
        key = connection.execute(
            insert(manifest).values(repository_id=repository_id, digest=new.digest, **values)
        ).inserted_primary_key
        manifest_id = int(key[0]) if key is not None else 0
    rows = [
        {
            "manifest_id": manifest_id,
            "position": position,
            "kind": reference.kind,
            "digest": reference.digest,
            "size_bytes": reference.size_bytes,
        }
        for position, reference in enumerate(new.references)
    ]
    if rows:
        connection.execute(insert(manifest_reference), rows)
    return manifest_id


def _total_bytes(connection: Connection, repository_id: int, new: NewManifest) -> int:
    """Return the bytes of the manifest with all that it names; a child counts with all that it names."""
    total = len(new.body)
    children = []
    for reference in new.references:
        if reference.kind == "manifest":
            children.append(reference.digest)
        else:
            total += reference.size_bytes
    for part in batched(children, _MAX_PARAMETERS):
        total += int(
            connection.execute(
                select(func.coalesce(func.sum(manifest.c.total_bytes), 0)).where(
                    manifest.c.repository_id == repository_id, manifest.c.digest.in_(part)
                )
            ).scalar_one()
        )
    return min(total, _MAX_BYTES)


def set_tag(connection: Connection, repository_id: int, name: str, manifest_id: int, now: datetime) -> None:
    """Point the tag to the manifest, new or moved."""
    insert_or_replace(
        connection,
        tag,
        {"repository_id": repository_id, "name": name, "manifest_id": manifest_id, "pushed_at": now},
    )


def delete_tag(connection: Connection, repository_id: int, name: str) -> str | None:
    """Take the tag away and return the digest it stood for, or None when there was no such tag."""
    found = find_by_tag(connection, repository_id, name)
    if found is None:
        return None
    connection.execute(delete(tag).where(tag.c.repository_id == repository_id, tag.c.name == name))
    return found.digest


def delete_manifest(connection: Connection, manifest_id: int) -> list[str]:
    """Take the manifest and every tag on it out of its repository; returns the tags."""
    found = connection.execute(
        select(manifest.c.repository_id, manifest.c.digest).where(manifest.c.id == manifest_id)
    ).first()
    named = connection.execute(
        select(manifest_reference.c.digest).where(
            manifest_reference.c.manifest_id == manifest_id, manifest_reference.c.kind.in_(COUNTED_KINDS)
        )
    ).scalars()
    counted = list(named)
    names = list(
        connection.execute(
            delete(tag).where(tag.c.manifest_id == manifest_id).returning(tag.c.name)
        ).scalars()
    )
    connection.execute(delete(manifest_reference).where(manifest_reference.c.manifest_id == manifest_id))
    connection.execute(delete(manifest).where(manifest.c.id == manifest_id))
    if found is not None:
        discount(connection, found.repository_id, [found.digest, *counted])
    return names


def is_child_of_index(connection: Connection, repository_id: int, digest: str) -> bool:
    """Tell whether an index of the repository names the manifest."""
    return bool(
        connection.execute(
            select(
                exists().where(
                    manifest_reference.c.digest == digest,
                    manifest_reference.c.kind == "manifest",
                    manifest_reference.c.manifest_id == manifest.c.id,
                    manifest.c.repository_id == repository_id,
                )
            )
        ).scalar()
    )


def adopt_child(connection: Connection, repository_id: int, digest: str) -> None:
    """Mark the manifest as present in the indexes that named it while it was absent."""
    absent_in = (
        select(manifest.c.id)
        .join(manifest_reference, manifest_reference.c.manifest_id == manifest.c.id)
        .where(
            manifest.c.repository_id == repository_id,
            manifest_reference.c.digest == digest,
            manifest_reference.c.kind == "absent",
        )
    )
    connection.execute(
        update(manifest_reference)
        .where(
            manifest_reference.c.manifest_id.in_(absent_in.scalar_subquery()),
            manifest_reference.c.digest == digest,
            manifest_reference.c.kind == "absent",
        )
        .values(kind="manifest")
    )


def list_tags(connection: Connection, repository_id: int, *, after: str, limit: int) -> list[str]:
    """Return up to `limit` tag names greater than `after`, in byte order."""
    return list(
        connection.execute(
            select(tag.c.name)
            .where(tag.c.repository_id == repository_id, tag.c.name > after)
            .order_by(tag.c.name)
            .limit(limit)
        ).scalars()
    )


def list_referrers(
    connection: Connection,
    repository_id: int,
    subject_digest: str,
    page: ReferrersPage,
) -> list[StoredReferrer]:
    """Return a page of the manifests that name the subject, in the order of their first push."""
    statement = (
        select(
            manifest.c.id,
            manifest.c.digest,
            manifest.c.media_type,
            manifest.c.size_bytes,
            manifest.c.referrer_type,
            manifest.c.annotations,
        )
        .where(
            manifest.c.repository_id == repository_id,
            manifest.c.subject_digest == subject_digest,
            manifest.c.id > page.after_id,
        )
        .order_by(manifest.c.id)
        .limit(page.limit)
    )
    if page.types:
        statement = statement.where(manifest.c.referrer_type.in_(page.types))
    return [StoredReferrer(*row) for row in connection.execute(statement)]
