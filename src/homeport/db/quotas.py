"""Quotas of projects: what each stores, counted once per content, kept right in the same transaction.

Content counts from the moment it is linked or named by a manifest, and until the last manifest of the project
that names it is deleted; `project_content` holds what counts, `quota.used_bytes` its sum. On PostgreSQL the
quota's row is locked first, so that changes of one project's use follow one another.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Executable,
    bindparam,
    delete,
    exists,
    or_,
    select,
    update,
)

from homeport.db.dialect import insert_or_keep
from homeport.db.filtering import Columns, fetch_page
from homeport.db.schema import (
    blob,
    manifest,
    manifest_reference,
    project,
    project_content,
    quota,
    repository,
    setting,
    user_account,
)
from homeport.rules.listing import ListQuery
from homeport.rules.quota import UNLIMITED, QuotaExceededError, QuotaState

COUNTED_KINDS = ("config", "layer", "blob")

_MAX_PARAMETERS = 500


@dataclass(frozen=True, slots=True)
class StoredQuota:
    """A project's quota as the lists show it."""

    id: int
    project_id: int
    project_name: str
    owner_name: str
    hard_bytes: int
    used_bytes: int
    created_at: datetime
    updated_at: datetime


# built once: every push runs these
_PROJECT = select(repository.c.project_id).where(repository.c.id == bindparam("repository"))
_PROJECT_ID = _PROJECT.scalar_subquery()
_LOCK = select(quota.c.id).where(quota.c.project_id == _PROJECT_ID).with_for_update()
_STATE = select(quota.c.hard_bytes, quota.c.used_bytes).where(quota.c.project_id == bindparam("project"))
_ADD = (
    update(quota)
    .where(
        quota.c.project_id == bindparam("project"),
        or_(quota.c.hard_bytes < 0, quota.c.used_bytes + bindparam("added") <= quota.c.hard_bytes),
    )
    .values(used_bytes=quota.c.used_bytes + bindparam("added"))
)
_ADD_IN_REPOSITORY = (
    update(quota)
    .where(
        quota.c.project_id == _PROJECT_ID,
        or_(quota.c.hard_bytes < 0, quota.c.used_bytes + bindparam("added") <= quota.c.hard_bytes),
    )
    .values(used_bytes=quota.c.used_bytes + bindparam("added"))
)
_ADD_ANYWAY = (
    update(quota)
    .where(quota.c.project_id == bindparam("project"))
    .values(used_bytes=quota.c.used_bytes + bindparam("added"))
)
_COUNTED = select(project_content.c.digest).where(
    project_content.c.project_id == bindparam("project"),
    project_content.c.digest.in_(bindparam("digests", expanding=True)),
)
_SIZES = select(blob.c.digest, blob.c.size_bytes).where(
    blob.c.digest.in_(bindparam("digests", expanding=True))
)
_SETTING = select(setting.c.value).where(setting.c.name == bindparam("name"))
_NEEDED_AS_MANIFEST = exists().where(
    manifest.c.digest == project_content.c.digest,
    manifest.c.repository_id == repository.c.id,
    repository.c.project_id == project_content.c.project_id,
)
_NEEDED_AS_BLOB = exists().where(
    manifest_reference.c.digest == project_content.c.digest,
    manifest_reference.c.kind.in_(COUNTED_KINDS),
    manifest_reference.c.manifest_id == manifest.c.id,
    manifest.c.repository_id == repository.c.id,
    repository.c.project_id == project_content.c.project_id,
)
_DISCOUNT = (
    delete(project_content)
    .where(
        project_content.c.project_id == bindparam("project"),
        project_content.c.digest.in_(bindparam("digests", expanding=True)),
        ~_NEEDED_AS_MANIFEST,
        ~_NEEDED_AS_BLOB,
    )
    .returning(project_content.c.size_bytes)
)


def add_quota(connection: Connection, project_id: int, hard_bytes: int | None, now: datetime) -> None:
    """Give the project a quota unless it has one; None is the limit that the settings give new projects."""
    limit = default_storage_limit(connection) if hard_bytes is None else hard_bytes
    row = {
        "project_id": project_id,
        "hard_bytes": limit,
        "used_bytes": 0,
        "created_at": now,
        "updated_at": now,
    }
    insert_or_keep(connection, quota, row)


def default_storage_limit(connection: Connection) -> int:
    """Return the limit of new projects in bytes, -1 for none."""
    stored = _read_setting(connection, "storage_per_project")
    return stored if isinstance(stored, int) else UNLIMITED


def count_blob(connection: Connection, repository_id: int, digest: str, size_bytes: int) -> None:
    """Count a blob that becomes one of the repository, unless its project has it already.

    Raises QuotaExceededError.
    """
    _lock(connection, repository_id)
    values = {"repository": repository_id, "digest": digest, "size": size_bytes}
    result = connection.execute(_counting_insert(connection.dialect.name), values)
    if result.rowcount == 0:
        return
    added = {"repository": repository_id, "added": size_bytes}
    if connection.execute(_ADD_IN_REPOSITORY, added).rowcount == 0:
        _add(connection, _project_of(connection, repository_id), size_bytes)


def count_manifest(
    connection: Connection, repository_id: int, manifest_content: tuple[str, int], blobs: Iterable[str]
) -> None:
    """Count a manifest (digest and size) and the blobs that it names, those that do not count yet.

    Raises QuotaExceededError.
    """
    _lock(connection, repository_id)
    project_id = _project_of(connection, repository_id)
    digest, size_bytes = manifest_content
    wanted = list(dict.fromkeys([digest, *blobs]))
    missing = set(wanted)
    for part in _parts(wanted):
        missing.difference_update(
            connection.execute(_COUNTED, {"project": project_id, "digests": part}).scalars()
        )
    if not missing:
        return
    sizes: dict[str, int] = {digest: size_bytes} if digest in missing else {}
    for part in _parts(sorted(missing - {digest})):
        sizes.update((row[0], row[1]) for row in connection.execute(_SIZES, {"digests": part}))
    rows = [{"project_id": project_id, "digest": key, "size_bytes": size} for key, size in sizes.items()]
    insert_or_keep(connection, project_content, rows)
    _add(connection, project_id, sum(sizes.values()))


def discount(connection: Connection, repository_id: int, digests: Iterable[str]) -> None:
    """Count no longer those of the digests that no manifest of the repository's project needs."""
    _lock(connection, repository_id)
    project_id = _project_of(connection, repository_id)
    freed = 0
    for part in _parts(sorted(set(digests))):
        freed += sum(connection.execute(_DISCOUNT, {"project": project_id, "digests": part}).scalars())
    if freed:
        connection.execute(_ADD_ANYWAY, {"project": project_id, "added": -freed})


def check_room(connection: Connection, project_id: int, digest: str, size_bytes: int) -> None:
    """Raise QuotaExceededError when the project has no room for the content and does not have it either."""
    if connection.execute(_COUNTED, {"project": project_id, "digests": [digest]}).first() is not None:
        return
    state = read_state(connection, project_id)
    if state is not None and not state.has_room(size_bytes) and _is_enforced(connection):
        raise QuotaExceededError(state, size_bytes)


def read_state(connection: Connection, project_id: int) -> QuotaState | None:
    """Return the project's limit and use, or None when there is no such project."""
    row = connection.execute(_STATE, {"project": project_id}).first()
    return None if row is None else QuotaState(row[0], row[1])


_COLUMNS: Columns = {
    "id": quota.c.id,
    "reference_id": quota.c.project_id,
    "hard.storage": quota.c.hard_bytes,
    "used.storage": quota.c.used_bytes,
    "creation_time": quota.c.created_at,
    "update_time": quota.c.updated_at,
}
_STORED = (
    select(
        quota.c.id,
        project.c.id,
        project.c.name,
        user_account.c.username,
        quota.c.hard_bytes,
        quota.c.used_bytes,
        quota.c.created_at,
        quota.c.updated_at,
    )
    .join(project, project.c.id == quota.c.project_id)
    .outerjoin(user_account, user_account.c.id == project.c.owner_id)
)


def list_quotas(connection: Connection, query: ListQuery) -> tuple[list[StoredQuota], int]:
    """Return a page of the quotas and how many there are. Raises QueryInvalidError."""
    rows, total = fetch_page(connection, _STORED, query, _COLUMNS, quota.c.id)
    return [_as_stored(row) for row in rows], total


def find_quota(connection: Connection, quota_id: int) -> StoredQuota | None:
    """Return the quota with that id, or None."""
    row = connection.execute(_STORED.where(quota.c.id == quota_id)).first()
    return None if row is None else _as_stored(row)


def set_hard_bytes(connection: Connection, project_id: int, hard_bytes: int, now: datetime) -> None:
    """Change the project's limit; what is used may be above it, and then nothing more fits."""
    connection.execute(
        update(quota).where(quota.c.project_id == project_id).values(hard_bytes=hard_bytes, updated_at=now)
    )


def _as_stored(row: Sequence[Any]) -> StoredQuota:
    return StoredQuota(row[0], row[1], row[2], row[3] or "", row[4], row[5], row[6], row[7])


def _lock(connection: Connection, repository_id: int) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK, {"repository": repository_id})


def _project_of(connection: Connection, repository_id: int) -> int:
    return int(connection.execute(_PROJECT, {"repository": repository_id}).scalar_one())


def _add(connection: Connection, project_id: int, added_bytes: int) -> None:
    values = {"project": project_id, "added": added_bytes}
    if connection.execute(_ADD, values).rowcount > 0:
        return
    state = read_state(connection, project_id)
    if state is None:
        return
    if not state.has_room(added_bytes) and _is_enforced(connection):
        raise QuotaExceededError(state, added_bytes)
    connection.execute(_ADD_ANYWAY, values)


def _is_enforced(connection: Connection) -> bool:
    return _read_setting(connection, "quota_per_project_enable") is not False


def _read_setting(connection: Connection, name: str) -> object:
    text: str | None = connection.execute(_SETTING, {"name": name}).scalar()
    return None if text is None else json.loads(text)


def _parts(items: list[str]) -> Iterable[list[str]]:
    for start in range(0, len(items), _MAX_PARAMETERS):
        yield items[start : start + _MAX_PARAMETERS]


@cache
def _counting_insert(dialect: str) -> Executable:
    from sqlalchemy.dialects import postgresql, sqlite

    source = select(
        repository.c.project_id,
        bindparam("digest", type_=project_content.c.digest.type),
        bindparam("size", type_=project_content.c.size_bytes.type),
    ).where(repository.c.id == bindparam("repository"))
    builder = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return (
        builder(project_content)
        .from_select(["project_id", "digest", "size_bytes"], source)
        .on_conflict_do_nothing()
    )
