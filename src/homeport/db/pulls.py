"""What pulls leave behind on repositories, artifacts and tags: how many, and when the last one was."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, or_, select, update

from homeport.db.audit import AuditRecord
from homeport.db.contents import batched
from homeport.db.schema import manifest, repository, tag

_MAX_PARAMETERS = 500

_AT = bindparam("at", type_=manifest.c.pulled_at.type)
_COUNT = (
    update(repository)
    .where(repository.c.id == bindparam("repository"))
    .values(pull_count=repository.c.pull_count + bindparam("pulls"))
)
_MANIFEST_PULLED = (
    update(manifest)
    .where(
        manifest.c.repository_id == bindparam("repository"),
        manifest.c.digest == bindparam("pulled"),
        or_(manifest.c.pulled_at.is_(None), manifest.c.pulled_at < _AT),
    )
    .values(pulled_at=_AT)
)
_TAG_PULLED = (
    update(tag)
    .where(
        tag.c.repository_id == bindparam("repository"),
        tag.c.name == bindparam("pulled"),
        or_(tag.c.pulled_at.is_(None), tag.c.pulled_at < _AT),
    )
    .values(pulled_at=_AT)
)


def count_pulls(connection: Connection, records: Iterable[AuditRecord]) -> None:
    """Add the pulls among the records to what they were of; what is deleted meanwhile is passed over.

    Rows are changed once however many pulls there are. On PostgreSQL repositories are locked by name, in
    order, as everything that changes several does.
    """
    pulls: Counter[str] = Counter()
    digests: dict[tuple[str, str], datetime] = {}
    tags: dict[tuple[str, str], datetime] = {}
    for record in records:
        name, digest, reference = record.repository, record.digest, record.reference
        if record.outcome != "success" or name is None or digest is None:
            continue
        pulls[name] += 1
        digests[name, digest] = record.recorded_at
        if reference is not None and ":" not in reference:
            tags[name, reference] = record.recorded_at
    if not pulls:
        return
    ids = _find_ids(connection, sorted(pulls))
    if not ids:
        return
    connection.execute(_COUNT, [{"repository": ids[name], "pulls": pulls[name]} for name in sorted(ids)])
    for statement, pulled in ((_MANIFEST_PULLED, digests), (_TAG_PULLED, tags)):
        rows = [
            {"repository": ids[name], "pulled": key, "at": at}
            for (name, key), at in sorted(pulled.items())
            if name in ids
        ]
        if rows:
            connection.execute(statement, rows)


def _find_ids(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in batched(names, _MAX_PARAMETERS):
        rows = connection.execute(
            select(repository.c.name, repository.c.id).where(repository.c.name.in_(part))
        )
        found.update((row[0], row[1]) for row in rows)
    return found
