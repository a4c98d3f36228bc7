"""Artifacts as the control plane lists them: manifests with their tags, labels, children and accessories."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
)

from homeport.db.contents import batched
from homeport.db.filtering import Columns, fetch_page, fetch_rows, filtered
from homeport.db.repositories import within
from homeport.db.schema import (
    IS_INDEX,
    Timestamp,
    manifest,
    manifest_body,
    manifest_label,
    manifest_reference,
    project,
    repository,
    tag,
)
from homeport.rules.listing import Condition, ListQuery, Match, QueryInvalidError
from homeport.rules.visibility import RepositoryScope

_MAX_PARAMETERS = 500


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """A manifest as lists show it; `extra_attrs` and `annotations` are JSON texts."""

    id: int
    project_id: int
    repository_id: int
    repository_name: str
    digest: str
    kind: str
    config_media_type: str | None
    media_type: str
    artifact_type: str
    total_bytes: int
    pushed_at: datetime
    pulled_at: datetime | None
    extra_attrs: str | None
    annotations: str | None


@dataclass(frozen=True, slots=True)
class StoredTag:
    """A tag on an artifact."""

    repository_id: int
    manifest_id: int
    name: str
    pushed_at: datetime
    pulled_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredChild:
    """A manifest that an index names and its repository has."""

    parent_id: int
    child_id: int
    digest: str


@dataclass(frozen=True, slots=True)
class StoredAccessory:
    """An artifact that belongs to another one, its subject."""

    id: int
    kind: str
    digest: str
    total_bytes: int
    pushed_at: datetime
    subject_id: int
    subject_digest: str
    repository_name: str


@dataclass(frozen=True, slots=True)
class ArtifactScope:
    """Whose artifacts to list: of one repository, or of those of a project that the scope has."""

    project_id: int
    repository_id: int | None = None
    repositories: RepositoryScope | None = None
    latest_only: bool = False


_PULLED = func.coalesce(manifest.c.pulled_at, literal_column("0"), type_=Timestamp())
_ARTIFACT_TYPE = func.coalesce(manifest.c.referrer_type, manifest.c.media_type)
_STORED = (
    manifest.c.id,
    repository.c.project_id,
    repository.c.id,
    repository.c.name,
    manifest.c.digest,
    manifest.c.kind,
    manifest.c.config_media_type,
    manifest.c.media_type,
    _ARTIFACT_TYPE,
    manifest.c.total_bytes,
    manifest.c.pushed_at,
    manifest.c.pulled_at,
    manifest.c.extra_attrs,
    manifest.c.annotations,
)
_COLUMNS: Columns = {
    "id": manifest.c.id,
    "digest": manifest.c.digest,
    "type": manifest.c.kind,
    "media_type": manifest.c.config_media_type,
    "manifest_media_type": manifest.c.media_type,
    "artifact_type": _ARTIFACT_TYPE,
    "size": manifest.c.total_bytes,
    "push_time": manifest.c.pushed_at,
    "pull_time": _PULLED,
    "repository_id": manifest.c.repository_id,
    "repository_name": repository.c.name,
    "project_id": repository.c.project_id,
}
_TAG_COLUMNS: Columns = {
    "name": tag.c.name,
    "push_time": tag.c.pushed_at,
    "pull_time": func.coalesce(tag.c.pulled_at, literal_column("0"), type_=Timestamp()),
    "repository_id": tag.c.repository_id,
    "artifact_id": tag.c.manifest_id,
}
_ORDER = (manifest.c.pushed_at.desc(), manifest.c.id.desc())
_SPECIAL = {"tags", "labels", "base"}

_parent = manifest.alias("parent")
_subject = manifest.alias("subject")
_IS_TAGGED = exists().where(tag.c.manifest_id == manifest.c.id)
_IS_CHILD = exists().where(
    manifest_reference.c.digest == manifest.c.digest,
    manifest_reference.c.kind == "manifest",
    manifest_reference.c.manifest_id == _parent.c.id,
    _parent.c.repository_id == manifest.c.repository_id,
)


def list_artifacts(
    connection: Connection, scope: ArtifactScope, query: ListQuery
) -> tuple[list[StoredArtifact], int]:
    """Return a page of the artifacts, the last pushed first, and how many there are.

    Accessories and the untagged children of indexes are left out: they show with what they belong to.
    Beside columns the query may say `tags` (`*`, `nil`, a name, parts of one) and `labels` (ids). Raises
    QueryInvalidError.
    """
    statement: Select[Any] = select(*_STORED).join(repository, repository.c.id == manifest.c.repository_id)
    if scope.repository_id is not None:
        statement = statement.where(manifest.c.repository_id == scope.repository_id)
    else:
        statement = statement.join(project, project.c.id == repository.c.project_id).where(
            project.c.id == scope.project_id, within(scope.repositories or RepositoryScope())
        )
    special = [condition for condition in query.conditions if condition.key in _SPECIAL]
    statement = statement.where(
        manifest.c.accessory_subject.is_(None),
        *(_has_labels(condition) for condition in special if condition.key == "labels"),
    )
    tags = [condition for condition in special if condition.key == "tags"]
    if not tags:
        statement = statement.where(or_(_IS_TAGGED, ~_IS_CHILD))
    for condition in tags:
        name = _only_name(condition)
        if name is not None and scope.repository_id is not None:
            named = tag.alias()
            statement = statement.join(named, named.c.manifest_id == manifest.c.id).where(
                named.c.repository_id == scope.repository_id, named.c.name == name
            )
        else:
            statement = statement.where(_has_tags(condition, scope))
    plain = ListQuery(
        tuple(condition for condition in query.conditions if condition.key not in _SPECIAL),
        query.orders,
        query.page,
        query.page_size,
    )
    if scope.latest_only:
        statement = _latest(filtered(statement, plain, _COLUMNS), statement)
        plain = ListQuery((), query.orders, query.page, query.page_size)
    if scope.repository_id is not None and not query.conditions:
        # Harbor's pages ask for this all the time; counting from the indexes takes a tenth
        total = count_artifacts(connection, [scope.repository_id]).get(scope.repository_id, 0)
        rows = fetch_rows(connection, statement, plain, _COLUMNS, *_ORDER)
    else:
        rows, total = fetch_page(connection, statement, plain, _COLUMNS, *_ORDER)
    return [StoredArtifact(*row) for row in rows], total


def _latest(matching: Select[Any], statement: Select[Any]) -> Select[Any]:
    """Return the statement for the last pushed one of each repository among the matching."""
    place = func.row_number().over(partition_by=manifest.c.repository_id, order_by=_ORDER).label("place")
    ranked = matching.with_only_columns(manifest.c.id, place).subquery()
    return statement.where(manifest.c.id.in_(select(ranked.c.id).where(ranked.c.place == 1)))


def _only_name(condition: Condition) -> str | None:
    """Return the one tag that is wanted: the database then begins with that instead of every artifact."""
    if condition.match is not Match.EXACT or condition.values[0] in {"*", "nil"}:
        return None
    return condition.values[0]


def _has_tags(condition: Condition, scope: ArtifactScope) -> ColumnElement[bool]:
    value = condition.values[0] if condition.values else ""
    match condition.match:
        case Match.EXACT if value == "*":
            return _IS_TAGGED
        case Match.EXACT if value == "nil":
            return and_(~_IS_TAGGED, ~_IS_CHILD)
        case Match.EXACT | Match.ANY:
            named = select(tag.c.manifest_id).where(tag.c.name.in_(condition.values))
        case Match.FUZZY:
            named = select(tag.c.manifest_id).where(tag.c.name.icontains(value, autoescape=True))
        case Match.RANGE | Match.ALL:
            raise QueryInvalidError("tags cannot be compared like that", hint="use tags=NAME or tags=~PART")
    if scope.repository_id is not None:
        named = named.where(tag.c.repository_id == scope.repository_id)
    else:
        named = named.join(repository, repository.c.id == tag.c.repository_id).where(
            repository.c.project_id == scope.project_id
        )
    return manifest.c.id.in_(named.correlate(None))


def _has_labels(condition: Condition) -> ColumnElement[bool]:
    try:
        ids = [int(value.strip(",")) for value in condition.values]
    except ValueError:
        raise QueryInvalidError("labels are given by their ids", hint="use labels=(1 2)") from None
    if condition.match in {Match.FUZZY, Match.RANGE} or not ids or max(map(abs, ids)) >= 2**63:
        raise QueryInvalidError("labels are given by their ids", hint="use labels=(1 2)")
    one_each = [
        exists().where(manifest_label.c.manifest_id == manifest.c.id, manifest_label.c.label_id == id_)
        for id_ in ids
    ]
    return or_(*one_each) if condition.match is Match.ANY else and_(*one_each)


def find_artifact(connection: Connection, repository_id: int, reference: str) -> StoredArtifact | None:
    """Return the artifact under the tag or digest, also one that belongs to another."""
    statement: Select[Any] = (
        select(*_STORED)
        .join(repository, repository.c.id == manifest.c.repository_id)
        .where(manifest.c.repository_id == repository_id)
    )
    if ":" in reference:
        statement = statement.where(manifest.c.digest == reference)
    else:
        statement = statement.join(tag, tag.c.manifest_id == manifest.c.id).where(
            tag.c.repository_id == repository_id, tag.c.name == reference
        )
    row = connection.execute(statement).first()
    return None if row is None else StoredArtifact(*row)


def count_artifacts(connection: Connection, repository_ids: Sequence[int]) -> dict[int, int]:
    """Return how many artifacts each of the repositories lists; those without manifests are left out.

    All but accessories count, less the untagged children: those are found from the indexes, which are few.
    """
    rows = connection.execute(
        select(manifest.c.repository_id, func.count())
        .where(manifest.c.repository_id.in_(repository_ids), manifest.c.accessory_subject.is_(None))
        .group_by(manifest.c.repository_id)
    )
    counts = {row[0]: row[1] for row in rows}
    named = (
        select(_parent.c.repository_id, manifest_reference.c.digest)
        .join(manifest_reference, manifest_reference.c.manifest_id == _parent.c.id)
        .where(
            _parent.c.repository_id.in_(repository_ids),
            text(f"parent.{IS_INDEX}"),
            manifest_reference.c.kind == "manifest",
        )
        .distinct()
        .cte("named")
    )
    hidden = connection.execute(
        select(manifest.c.repository_id, func.count())
        .select_from(named)
        .join(
            manifest,
            and_(manifest.c.repository_id == named.c.repository_id, manifest.c.digest == named.c.digest),
        )
        .where(manifest.c.accessory_subject.is_(None), ~_IS_TAGGED)
        .group_by(manifest.c.repository_id)
    )
    for repository_id, count in hidden:
        counts[repository_id] -= count
    return counts


def tags_of(connection: Connection, manifest_ids: Sequence[int]) -> dict[int, list[StoredTag]]:
    """Return the tags on each of the artifacts, the last pushed first."""
    rows = connection.execute(
        select(*_TAG).where(tag.c.manifest_id.in_(manifest_ids)).order_by(tag.c.pushed_at.desc(), tag.c.name)
    )
    found: dict[int, list[StoredTag]] = defaultdict(list)
    for row in rows:
        found[row[1]].append(StoredTag(*row))
    return found


_TAG = (tag.c.repository_id, tag.c.manifest_id, tag.c.name, tag.c.pushed_at, tag.c.pulled_at)


def page_of_tags(connection: Connection, manifest_id: int, query: ListQuery) -> tuple[list[StoredTag], int]:
    """Return a page of the tags on an artifact and how many there are. Raises QueryInvalidError."""
    statement = select(*_TAG).where(tag.c.manifest_id == manifest_id)
    order = (tag.c.pushed_at.desc(), tag.c.name)
    rows, total = fetch_page(connection, statement, query, _TAG_COLUMNS, *order)
    return [StoredTag(*row) for row in rows], total


def children_of(connection: Connection, manifest_ids: Sequence[int]) -> dict[int, list[StoredChild]]:
    """Return the manifests that each of the indexes names, in its order."""
    child = manifest.alias("child")
    rows = connection.execute(
        select(_parent.c.id, child.c.id, child.c.digest)
        .select_from(_parent)
        .join(manifest_reference, manifest_reference.c.manifest_id == _parent.c.id)
        .join(
            child,
            and_(
                child.c.repository_id == _parent.c.repository_id,
                child.c.digest == manifest_reference.c.digest,
            ),
        )
        .where(_parent.c.id.in_(manifest_ids), manifest_reference.c.kind == "manifest")
        .order_by(manifest_reference.c.manifest_id, manifest_reference.c.position)
    )
    found: dict[int, list[StoredChild]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(StoredChild(*row))
    return found


def read_bodies(connection: Connection, digests: Iterable[str]) -> dict[str, bytes]:
    """Return the bytes of the manifests."""
    found: dict[str, bytes] = {}
    for part in batched(digests, _MAX_PARAMETERS):
        rows = connection.execute(
            select(manifest_body.c.digest, manifest_body.c.body).where(manifest_body.c.digest.in_(part))
        )
        found.update((row[0], row[1]) for row in rows)
    return found


_ACCESSORY = (
    manifest.c.id,
    manifest.c.accessory_kind,
    manifest.c.digest,
    manifest.c.total_bytes,
    manifest.c.pushed_at,
    _subject.c.id,
    _subject.c.digest,
    repository.c.name,
)
_ACCESSORIES = (
    select(*_ACCESSORY)
    .select_from(_subject)
    .join(
        manifest,
        and_(
            manifest.c.repository_id == _subject.c.repository_id,
            manifest.c.accessory_subject == _subject.c.digest,
        ),
    )
    .join(repository, repository.c.id == manifest.c.repository_id)
)
_ACCESSORY_COLUMNS: Columns = {
    "id": manifest.c.id,
    "artifact_id": manifest.c.id,
    "type": manifest.c.accessory_kind,
    "digest": manifest.c.digest,
    "size": manifest.c.total_bytes,
    "creation_time": manifest.c.pushed_at,
    "subject_artifact_id": _subject.c.id,
    "subject_artifact_digest": _subject.c.digest,
    "subject_artifact_repo": repository.c.name,
}


def accessories_of(connection: Connection, manifest_ids: Sequence[int]) -> dict[int, list[StoredAccessory]]:
    """Return what belongs to each of the artifacts, in the order of the first push."""
    found: dict[int, list[StoredAccessory]] = defaultdict(list)
    for row in connection.execute(
        _ACCESSORIES.where(_subject.c.id.in_(manifest_ids)).order_by(manifest.c.id)
    ):
        accessory = StoredAccessory(*row)
        found[accessory.subject_id].append(accessory)
    return found


def page_of_accessories(
    connection: Connection, manifest_id: int, query: ListQuery
) -> tuple[list[StoredAccessory], int]:
    """Return a page of what belongs to the artifact and how much that is. Raises QueryInvalidError."""
    statement = _ACCESSORIES.where(_subject.c.id == manifest_id)
    rows, total = fetch_page(connection, statement, query, _ACCESSORY_COLUMNS, manifest.c.id)
    return [StoredAccessory(*row) for row in rows], total


def signatures_of_parents(
    connection: Connection, manifest_ids: Sequence[int]
) -> dict[int, list[StoredAccessory]]:
    """Return the signatures of the indexes that name each of the artifacts."""
    child = manifest.alias("child")
    rows = connection.execute(
        select(child.c.id, *_ACCESSORY)
        .select_from(child)
        .join(
            manifest_reference,
            and_(manifest_reference.c.digest == child.c.digest, manifest_reference.c.kind == "manifest"),
        )
        .join(
            _subject,
            and_(
                _subject.c.id == manifest_reference.c.manifest_id,
                _subject.c.repository_id == child.c.repository_id,
            ),
        )
        .join(
            manifest,
            and_(
                manifest.c.repository_id == _subject.c.repository_id,
                manifest.c.accessory_subject == _subject.c.digest,
            ),
        )
        .join(repository, repository.c.id == manifest.c.repository_id)
        .where(child.c.id.in_(manifest_ids), manifest.c.accessory_kind.like("signature.%"))
        .order_by(manifest.c.id)
        .distinct()
    )
    found: dict[int, list[StoredAccessory]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(StoredAccessory(*row[1:]))
    return found
