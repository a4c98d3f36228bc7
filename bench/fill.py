"""Fills registries with many tags and repositories, straight into their stores, while they are stopped."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.content import MANIFEST_TYPE, digest_of, make_image
from bench.servers import Launch, Server
from sqlalchemy import Connection, insert, select

from homeport.db.repositories import ensure_project, ensure_repository
from homeport.db.schema import manifest, manifest_body, repository, tag
from homeport.db.sqlite import make_engine

PROJECT = "bench"

_BATCH = 10_000


def database_path(launch: Launch) -> Path:
    """Return where this Homeport keeps its database."""
    return launch.home / "data" / "homeport.db"


def repository_name(number: int) -> str:
    """Return the name of a filled repository."""
    return f"{PROJECT}/r{number:06d}"


def tagged_name(tags: int) -> str:
    """Return the name of the repository that has so many tags."""
    return f"{PROJECT}/tags-{tags}"


def tag_name(number: int) -> str:
    """Return the name of a filled tag."""
    return f"v{number:06d}"


def fill_homeport(launch: Launch, repositories: int, tags: tuple[int, ...]) -> None:
    """Give a new Homeport so many repositories, and a further one for each number of tags.

    It is started once, so that it makes its own schema; a database that is filled already is left as it is.
    """
    if database_path(launch).exists():
        return
    with Server(launch):
        pass
    engine = make_engine(database_path(launch), begin="BEGIN IMMEDIATE")
    try:
        with engine.begin() as connection:
            _insert_all(connection, repositories, tags)
    finally:
        engine.dispose()


def _insert_all(connection: Connection, repositories: int, tags: tuple[int, ...]) -> None:
    now = datetime.now(UTC)
    body = make_image(1, 1024).manifest
    connection.execute(insert(manifest_body).values(digest=digest_of(body), body=body))
    project_id = ensure_project(connection, PROJECT, now)
    names = [repository_name(number) for number in range(repositories)]
    rows = [{"project_id": project_id, "name": name, "created_at": now} for name in names]
    _insert(connection, repository, rows)
    for count in tags:
        ensure_repository(connection, tagged_name(count), now)
    ids = list(connection.execute(select(repository.c.id)).scalars())
    known = {
        "digest": digest_of(body),
        "media_type": MANIFEST_TYPE,
        "size_bytes": len(body),
        "pushed_at": now,
    }
    _insert(connection, manifest, [{"repository_id": repository_id, **known} for repository_id in ids])
    for count in tags:
        _insert_tags(connection, count, now)


def _insert_tags(connection: Connection, count: int, now: datetime) -> None:
    repository_id, manifest_id = connection.execute(
        select(repository.c.id, manifest.c.id)
        .join(manifest, manifest.c.repository_id == repository.c.id)
        .where(repository.c.name == tagged_name(count))
    ).one()
    same = {"repository_id": repository_id, "manifest_id": manifest_id, "pushed_at": now}
    _insert(connection, tag, [{"name": tag_name(number), **same} for number in range(count)])


def _insert(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), _BATCH):
        connection.execute(insert(table), rows[start : start + _BATCH])


def fill_docker_registry(launch: Launch, repositories: int, tags: tuple[int, ...]) -> None:
    """Give a docker-registry the same, as far as its lists look: by the folders of its file system driver."""
    root = launch.home / "data" / "docker" / "registry" / "v2" / "repositories"
    for number in range(repositories):
        folder = root / repository_name(number)
        (folder / "_layers").mkdir(parents=True)
        (folder / "_manifests").mkdir()
    for count in tags:
        folder = root / tagged_name(count)
        (folder / "_layers").mkdir(parents=True)
        for number in range(count):
            (folder / "_manifests" / "tags" / tag_name(number)).mkdir(parents=True)
