"""Artifacts of repositories: lists, tags, labels, accessories, copies, deletion."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from homeport.control.errors import BadRequestError, ConflictError, NotFoundError, PreconditionError
from homeport.db.actor import Actor, Target
from homeport.db.artifact_changes import (
    StoredLabel,
    add_label,
    copy_manifest,
    delete_deeply,
    is_usable_label,
    labels_of,
    plan_copy,
    remove_label,
    tag_names,
)
from homeport.db.artifacts import (
    ArtifactScope,
    StoredAccessory,
    StoredArtifact,
    StoredChild,
    StoredTag,
    accessories_of,
    children_of,
    find_artifact,
    list_artifacts,
    page_of_accessories,
    page_of_tags,
    read_bodies,
    signatures_of_parents,
    tags_of,
)
from homeport.db.audit import add_records
from homeport.db.engine import Database
from homeport.db.manifests import (
    delete_tag,
    find_by_digest,
    find_by_tag,
    is_child_of_index,
    set_tag,
)
from homeport.db.repositories import Location, ensure_repository, locate, lock_repository
from homeport.oci import mediatype
from homeport.oci.digest import parse_digest
from homeport.oci.manifest import Descriptor, parse_manifest
from homeport.oci.name import is_tag, parse_tag
from homeport.rules.listing import ListQuery

MAX_COPIED = 2_000


@dataclass(frozen=True, slots=True)
class ArtifactParts:
    """What to show beside the artifacts themselves."""

    tags: bool = True
    labels: bool = False
    accessories: bool = False
    inherited_accessories: bool = False


@dataclass(frozen=True, slots=True)
class Child:
    """A manifest that an index names, with the words of the index about it."""

    stored: StoredChild
    descriptor: Descriptor | None


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact with the parts that were asked for; the others are None."""

    stored: StoredArtifact
    children: list[Child]
    tags: list[StoredTag] | None
    labels: list[StoredLabel] | None
    accessories: list[StoredAccessory] | None
    inherited_accessories: list[StoredAccessory] | None


class Artifacts:
    """The artifacts of the registry; the caller has checked the rights. References are tags or digests.

    What is not found raises NotFoundError, a malformed digest DigestInvalidError.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, scope: ArtifactScope, query: ListQuery, parts: ArtifactParts
    ) -> tuple[list[Artifact], int]:
        """Return a page of the artifacts and how many there are. Raises QueryInvalidError."""
        return await self._database.read(_list, scope, query, parts)

    async def get(self, repository_id: int, reference: str, parts: ArtifactParts) -> Artifact:
        """Return the artifact, also one that belongs to another."""
        return await self._database.read(_get, repository_id, reference, parts)

    async def delete(self, actor: Actor, name: str, reference: str) -> None:
        """Delete the artifact with its tags, its accessories and its children that nothing else needs.

        Raises PreconditionError for a child of an index.
        """
        await self._database.write(_delete, actor, name, reference)

    async def copy(self, actor: Actor, source: Location, reference: str, target: Location) -> str:
        """Copy the artifact with its tags, children and accessories into another repository.

        No content moves: the target gets links, all in one transaction. The locations are those in which
        the caller was allowed. Returns the digest. Raises ConflictError when the target has the artifact
        already, ProjectGoneError, QuotaExceededError.
        """
        return await self._database.write(_copy, actor, source, reference, target)

    async def tags(self, repository_id: int, reference: str, query: ListQuery) -> tuple[list[StoredTag], int]:
        """Return a page of the artifact's tags and how many there are. Raises QueryInvalidError."""
        return await self._database.read(_tags, repository_id, reference, query)

    async def create_tag(self, actor: Actor, name: str, reference: str, tag: str) -> None:
        """Tag the artifact. Raises TagInvalidError, and ConflictError for a tag that the repository has."""
        await self._database.write(_create_tag, actor, name, reference, parse_tag(tag))

    async def delete_tag(self, actor: Actor, name: str, reference: str, tag: str) -> None:
        """Take the tag off the artifact, which stays."""
        await self._database.write(_delete_tag, actor, name, reference, tag)

    async def accessories(
        self, repository_id: int, reference: str, query: ListQuery
    ) -> tuple[list[StoredAccessory], int]:
        """Return a page of what belongs to the artifact and how much that is. Raises QueryInvalidError."""
        return await self._database.read(_accessories, repository_id, reference, query)

    async def add_label(self, actor: Actor, name: str, reference: str, label_id: int) -> None:
        """Label the artifact with a label of its project or a global one.

        Raises ConflictError when it has the label.
        """
        await self._database.write(_add_label, actor, name, reference, label_id)

    async def remove_label(self, actor: Actor, name: str, reference: str, label_id: int) -> None:
        """Take the label off the artifact."""
        await self._database.write(_remove_label, actor, name, reference, label_id)


def require_artifact(connection: Connection, repository_id: int, reference: str) -> StoredArtifact:
    """Return the artifact under the tag or digest. Raises NotFoundError, DigestInvalidError."""
    if ":" in reference:
        parse_digest(reference)
    elif not is_tag(reference):
        raise NotFoundError(f"artifact {reference[:256]!r} not found")
    found = find_artifact(connection, repository_id, reference)
    if found is None:
        raise NotFoundError(f"artifact {reference} not found")
    return found


def _locked(connection: Connection, name: str, reference: str) -> StoredArtifact:
    repository_id = lock_repository(connection, name)
    if repository_id is None:
        raise NotFoundError(f"repository {name} not found")
    return require_artifact(connection, repository_id, reference)


def _list(
    connection: Connection, scope: ArtifactScope, query: ListQuery, parts: ArtifactParts
) -> tuple[list[Artifact], int]:
    rows, total = list_artifacts(connection, scope, query)
    return _assemble(connection, rows, parts), total


def _get(connection: Connection, repository_id: int, reference: str, parts: ArtifactParts) -> Artifact:
    return _assemble(connection, [require_artifact(connection, repository_id, reference)], parts)[0]


def _assemble(connection: Connection, rows: list[StoredArtifact], parts: ArtifactParts) -> list[Artifact]:
    """Return the artifacts with their parts: one query for each kind of part, however many artifacts."""
    ids = [row.id for row in rows]
    tags = tags_of(connection, ids) if parts.tags else None
    labels = labels_of(connection, ids) if parts.labels else None
    accessories = accessories_of(connection, ids) if parts.accessories else None
    inherited = signatures_of_parents(connection, ids) if parts.inherited_accessories else None
    children = _children(connection, [row for row in rows if row.media_type in mediatype.INDEXES])
    return [
        Artifact(
            stored=row,
            children=children.get(row.id, []),
            tags=None if tags is None else tags.get(row.id, []),
            labels=None if labels is None else labels.get(row.id, []),
            accessories=None if accessories is None else accessories.get(row.id, []),
            inherited_accessories=None if inherited is None else inherited.get(row.id, []),
        )
        for row in rows
    ]


def _children(connection: Connection, indexes: list[StoredArtifact]) -> dict[int, list[Child]]:
    if not indexes:
        return {}
    stored = children_of(connection, [index.id for index in indexes])
    bodies = read_bodies(connection, {index.digest for index in indexes})
    found = {}
    for index in indexes:
        body = bodies.get(index.digest)
        named = parse_manifest(body, index.media_type).manifests if body is not None else ()
        descriptors = {str(descriptor.digest): descriptor for descriptor in named}
        found[index.id] = [Child(child, descriptors.get(child.digest)) for child in stored.get(index.id, [])]
    return found


def _delete(connection: Connection, actor: Actor, name: str, reference: str) -> None:
    found = _locked(connection, name, reference)
    if is_child_of_index(connection, found.repository_id, found.digest):
        raise PreconditionError(
            f"artifact {found.digest} is part of an index in this repository", hint="delete the index first"
        )
    tags = tag_names(connection, found.id)
    gone = delete_deeply(connection, found.repository_id, found.id, found.digest)
    add_records(
        connection,
        [
            actor.record(
                "delete_artifact",
                Target(name, reference if digest == found.digest else digest, digest),
                detail=f"tags: {', '.join(tags)}"[:4096] if tags and digest == found.digest else None,
            )
            for digest in gone
        ],
    )


def _copy(
    connection: Connection, actor: Actor, origin: Location, reference: str, destination: Location
) -> str:
    now = datetime.now(UTC)
    source, target = origin.repository_name, destination.repository_name
    # in order, so that copies that cross each other do not wait for one another
    locked = {name: lock_repository(connection, name) for name in sorted({source, target})}
    source_id = locked[source]
    if source_id is None or locate(connection, source).project_id != origin.project_id:
        raise NotFoundError(f"repository {source} not found")
    found = require_artifact(connection, source_id, reference)
    target_id = ensure_repository(connection, target, now, project_id=destination.project_id)
    if find_by_digest(connection, target_id, found.digest) is not None:
        raise ConflictError(f"{target} has the artifact {found.digest} already")
    planned = plan_copy(connection, source_id, found.id, limit=MAX_COPIED)
    if planned is None:
        raise BadRequestError(f"the artifact has more than {MAX_COPIED} children and accessories")
    for item in planned:
        if find_by_digest(connection, target_id, item.digest) is not None:
            continue
        copied = copy_manifest(connection, item.id, source_id, target_id, now)
        # a child's tags name other artifacts; cosign finds an accessory by its tag
        if item.id == found.id or item.is_accessory:
            for tag in tag_names(connection, item.id):
                set_tag(connection, target_id, tag, copied, now)
    record = actor.record(
        "copy", Target(target, reference, found.digest), detail=f"from {source}; {len(planned)} artifacts"
    )
    add_records(connection, [record])
    return found.digest


def _tags(
    connection: Connection, repository_id: int, reference: str, query: ListQuery
) -> tuple[list[StoredTag], int]:
    return page_of_tags(connection, require_artifact(connection, repository_id, reference).id, query)


def _create_tag(connection: Connection, actor: Actor, name: str, reference: str, tag: str) -> None:
    found = _locked(connection, name, reference)
    if find_by_tag(connection, found.repository_id, tag) is not None:
        raise ConflictError(f"{name} has the tag {tag} already", hint="delete it first, or push to it")
    set_tag(connection, found.repository_id, tag, found.id, datetime.now(UTC))
    add_records(connection, [actor.record("create_tag", Target(name, tag, found.digest))])


def _delete_tag(connection: Connection, actor: Actor, name: str, reference: str, tag: str) -> None:
    found = _locked(connection, name, reference)
    tagged = find_by_tag(connection, found.repository_id, tag) if is_tag(tag) else None
    if tagged is None or tagged.id != found.id:
        raise NotFoundError(f"the artifact {found.digest} has no tag {tag[:128]!r}")
    delete_tag(connection, found.repository_id, tag)
    add_records(connection, [actor.record("delete_tag", Target(name, tag, found.digest))])


def _accessories(
    connection: Connection, repository_id: int, reference: str, query: ListQuery
) -> tuple[list[StoredAccessory], int]:
    return page_of_accessories(connection, require_artifact(connection, repository_id, reference).id, query)


def _add_label(connection: Connection, actor: Actor, name: str, reference: str, label_id: int) -> None:
    found = _locked(connection, name, reference)
    if not is_usable_label(connection, label_id, found.project_id):
        raise NotFoundError(f"label {label_id} not found")
    if not add_label(connection, found.id, label_id):
        raise ConflictError(f"the artifact {found.digest} has the label {label_id} already")
    record = actor.record("add_label", Target(name, reference, found.digest), detail=f"label {label_id}")
    add_records(connection, [record])


def _remove_label(connection: Connection, actor: Actor, name: str, reference: str, label_id: int) -> None:
    found = _locked(connection, name, reference)
    if not remove_label(connection, found.id, label_id):
        raise NotFoundError(f"the artifact {found.digest} has no label {label_id}")
    record = actor.record("remove_label", Target(name, reference, found.digest), detail=f"label {label_id}")
    add_records(connection, [record])
