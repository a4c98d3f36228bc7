"""Changing artifacts from the control plane: labels, deep deletion, copies between repositories."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, exists, insert, or_, select

from homeport.db.contents import link_blob
from homeport.db.manifests import (
    ArtifactFacts,
    NewManifest,
    Reference,
    delete_manifest,
    is_child_of_index,
    read_body,
    store_manifest,
)
from homeport.db.quotas import COUNTED_KINDS, discount
from homeport.db.schema import (
    blob,
    label,
    manifest,
    manifest_label,
    manifest_reference,
    repository,
    repository_blob,
    tag,
)
from homeport.rules.artifact_type import Accessory


@dataclass(frozen=True, slots=True)
class StoredLabel:
    """A label of a project, or a global one."""

    id: int
    name: str
    description: str
    color: str
    project_id: int | None
    created_at: datetime
    updated_at: datetime


_LABEL = (
    label.c.id,
    label.c.name,
    label.c.description,
    label.c.color,
    label.c.project_id,
    label.c.created_at,
    label.c.updated_at,
)


def labels_of(connection: Connection, manifest_ids: Sequence[int]) -> dict[int, list[StoredLabel]]:
    """Return the labels on each of the artifacts, by name."""
    rows = connection.execute(
        select(manifest_label.c.manifest_id, *_LABEL)
        .join(label, label.c.id == manifest_label.c.label_id)
        .where(manifest_label.c.manifest_id.in_(manifest_ids))
        .order_by(label.c.name, label.c.id)
    )
    found: dict[int, list[StoredLabel]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(StoredLabel(*row[1:]))
    return found


def is_usable_label(connection: Connection, label_id: int, project_id: int) -> bool:
    """Tell whether there is such a label for artifacts of the project: its own, or a global one."""
    return bool(
        connection.execute(
            select(
                exists().where(
                    label.c.id == label_id,
                    or_(label.c.project_id.is_(None), label.c.project_id == project_id),
                )
            )
        ).scalar()
    )


def add_label(connection: Connection, manifest_id: int, label_id: int) -> bool:
    """Put the label on the artifact; tells whether it was not there before."""
    known = select(
        exists().where(manifest_label.c.manifest_id == manifest_id, manifest_label.c.label_id == label_id)
    )
    if connection.execute(known).scalar():
        return False
    connection.execute(insert(manifest_label).values(manifest_id=manifest_id, label_id=label_id))
    return True


def remove_label(connection: Connection, manifest_id: int, label_id: int) -> bool:
    """Take the label off the artifact; tells whether it was there."""
    result = connection.execute(
        delete(manifest_label).where(
            manifest_label.c.manifest_id == manifest_id, manifest_label.c.label_id == label_id
        )
    )
    return result.rowcount > 0


def delete_deeply(connection: Connection, repository_id: int, manifest_id: int, digest: str) -> list[str]:
    """Delete the artifact, its tags and accessories, and its children that nothing else needs.

    A child stays when it is tagged or part of another index. Returns the digests of what is gone.
    """
    gone: list[str] = []
    waiting = [(manifest_id, digest, True)]
    deleted: set[int] = set()
    while waiting:
        current_id, current, is_wanted_gone = waiting.pop()
        if current_id in deleted or (not is_wanted_gone and _is_tagged(connection, current_id)):
            continue
        if gone and is_child_of_index(connection, repository_id, current):
            continue
        children = _child_ids(connection, repository_id, current_id)
        accessories = _accessory_ids(connection, repository_id, current)
        delete_manifest(connection, current_id)
        deleted.add(current_id)
        gone.append(current)
        waiting.extend((id_, text, False) for id_, text in children)
        waiting.extend((id_, text, True) for id_, text in accessories)
    return gone


def _is_tagged(connection: Connection, manifest_id: int) -> bool:
    return bool(connection.execute(select(exists().where(tag.c.manifest_id == manifest_id))).scalar())


def _child_ids(connection: Connection, repository_id: int, manifest_id: int) -> list[tuple[int, str]]:
    rows = connection.execute(
        select(manifest.c.id, manifest.c.digest)
        .join(manifest_reference, manifest_reference.c.digest == manifest.c.digest)
        .where(
            manifest_reference.c.manifest_id == manifest_id,
            manifest_reference.c.kind == "manifest",
            manifest.c.repository_id == repository_id,
        )
        .distinct()
    )
    return [(row[0], row[1]) for row in rows]


def _accessory_ids(connection: Connection, repository_id: int, digest: str) -> list[tuple[int, str]]:
    rows = connection.execute(
        select(manifest.c.id, manifest.c.digest).where(
            manifest.c.repository_id == repository_id, manifest.c.accessory_subject == digest
        )
    )
    return [(row[0], row[1]) for row in rows]


def delete_repository(connection: Connection, repository_id: int) -> int:
    """Delete the repository with all that is in it; returns how many artifacts that were."""
    inside = select(manifest.c.id).where(manifest.c.repository_id == repository_id)
    freed = set(
        connection.execute(
            select(manifest_reference.c.digest).where(
                manifest_reference.c.manifest_id.in_(inside), manifest_reference.c.kind.in_(COUNTED_KINDS)
            )
        ).scalars()
    )
    freed.update(
        connection.execute(
            select(manifest.c.digest).where(manifest.c.repository_id == repository_id)
        ).scalars()
    )
    linked = repository_blob.c.repository_id == repository_id
    freed.update(connection.execute(select(repository_blob.c.digest).where(linked)).scalars())
    connection.execute(delete(tag).where(tag.c.repository_id == repository_id))
    connection.execute(delete(manifest_reference).where(manifest_reference.c.manifest_id.in_(inside)))
    count = connection.execute(delete(manifest).where(manifest.c.repository_id == repository_id)).rowcount
    connection.execute(delete(repository_blob).where(linked))
    discount(connection, repository_id, freed)
    connection.execute(delete(repository).where(repository.c.id == repository_id))
    return count


@dataclass(frozen=True, slots=True)
class PlannedCopy:
    """A manifest that a copy takes along."""

    id: int
    digest: str
    is_accessory: bool


def plan_copy(
    connection: Connection, repository_id: int, manifest_id: int, *, limit: int
) -> list[PlannedCopy] | None:
    """Return what a copy of the artifact takes along, children before what names them, accessories last.

    These are the children of indexes and the accessories of all of these, each once; None is more than
    `limit`.
    """
    digest = connection.execute(select(manifest.c.digest).where(manifest.c.id == manifest_id)).scalar_one()
    planned: dict[int, PlannedCopy] = {}
    accessories = [PlannedCopy(manifest_id, digest, is_accessory=False)]
    begun: set[int] = set()
    while accessories:
        waiting = [(accessories.pop(0), False)]
        while waiting:
            current, is_ready = waiting.pop()
            if is_ready:
                planned.setdefault(current.id, current)
                continue
            if current.id in begun:
                continue
            begun.add(current.id)
            if len(begun) > limit:
                return None
            waiting.append((current, True))
            waiting.extend(
                (PlannedCopy(id_, text, is_accessory=False), False)
                for id_, text in _child_ids(connection, repository_id, current.id)
            )
            accessories.extend(
                PlannedCopy(id_, text, is_accessory=True)
                for id_, text in _accessory_ids(connection, repository_id, current.digest)
            )
    return list(planned.values())


def copy_manifest(
    connection: Connection, manifest_id: int, source_id: int, target_id: int, now: datetime
) -> int:
    """Store the manifest in another repository with links to its blobs, and return its id there.

    Raises QuotaExceededError.
    """
    row = connection.execute(select(manifest).where(manifest.c.id == manifest_id)).one()
    references = [
        Reference(*found)
        for found in connection.execute(
            select(manifest_reference.c.kind, manifest_reference.c.digest, manifest_reference.c.size_bytes)
            .where(manifest_reference.c.manifest_id == manifest_id)
            .order_by(manifest_reference.c.position)
        )
    ]
    blobs = connection.execute(
        select(blob.c.digest, blob.c.size_bytes)
        .join(repository_blob, repository_blob.c.digest == blob.c.digest)
        .join(manifest_reference, manifest_reference.c.digest == blob.c.digest)
        .where(repository_blob.c.repository_id == source_id, manifest_reference.c.manifest_id == manifest_id)
        .distinct()
        .order_by(blob.c.digest)
    ).fetchall()
    for digest, size_bytes in blobs:
        link_blob(connection, target_id, digest, size_bytes, now)
    body = read_body(connection, row.digest)
    if body is None:
        raise LookupError(row.digest)
    accessory = (
        Accessory(row.accessory_kind, row.accessory_subject) if row.accessory_subject is not None else None
    )
    new = NewManifest(
        digest=row.digest,
        media_type=row.media_type,
        body=body,
        referrer_type=row.referrer_type,
        subject_digest=row.subject_digest,
        annotations=row.annotations,
        references=tuple(references),
        facts=ArtifactFacts(row.kind, row.config_media_type or "", row.extra_attrs, accessory),
    )
    return store_manifest(connection, target_id, new, now)


def tag_names(connection: Connection, manifest_id: int) -> list[str]:
    """Return the names of the tags on the artifact."""
    return list(
        connection.execute(
            select(tag.c.name).where(tag.c.manifest_id == manifest_id).order_by(tag.c.name)
        ).scalars()
    )
