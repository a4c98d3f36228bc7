import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection

from homeport.db.contents import link_blob
from homeport.db.engine import Database
from homeport.db.projects import (
    NewProject,
    ProjectWish,
    add_project,
    count_projects,
    delete_metadata,
    delete_project,
    find_project,
    find_projects,
    has_repositories,
    list_projects,
    lock_project,
    read_metadata,
    search_projects,
    set_metadata,
    total_blob_bytes,
)
from homeport.db.repositories import ProjectGoneError, ensure_project, ensure_repository, locate
from homeport.rules.listing import Condition, ListQuery, Match, QueryInvalidError
from homeport.rules.projects import ProjectScope

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVERYWHERE = ProjectScope(everywhere=True)


def delete_empty(connection: Connection, project_id: int) -> bool:
    """Delete the project unless there are repositories in it."""
    if not lock_project(connection, project_id) or has_repositories(connection, project_id):
        return False
    delete_project(connection, project_id)
    return True


async def make(database: Database, name: str, *, is_public: bool = False) -> int:
    """Make a project."""
    made = await database.write(add_project, NewProject(name, is_public, None), NOW)
    assert made is not None
    return made


async def test_project_is_found_by_name_and_id(database: Database) -> None:
    project_id = await make(database, "123")

    by_id, by_name = await database.read(find_project, project_id), await database.read(find_project, "123")

    assert by_id == by_name
    assert by_id is not None
    assert (by_id.name, by_id.is_public, by_id.repository_count) == ("123", False, 0)
    assert await database.read(find_project, 123) is None
    for key in (0, -1, 2**63, 10**40, "", "124"):
        assert await database.read(find_project, key) is None
    assert await database.write(add_project, NewProject("123", is_public=True, owner_id=None), NOW) is None


async def test_list_shows_what_is_in_the_scope(database: Database) -> None:
    private, other = await make(database, "private"), await make(database, "other")
    public = await make(database, "public", is_public=True)

    async def names(scope: ProjectScope, query: ListQuery | None = None) -> list[str]:
        rows, total = await database.read(list_projects, ProjectWish(scope), query or ListQuery())
        assert total == len(rows)
        return [row.name for row in rows]

    assert await names(ProjectScope(in_public=False)) == []
    assert await names(ProjectScope()) == ["public"]
    assert await names(ProjectScope(project_ids=frozenset({private}))) == ["private", "public"]
    assert await names(EVERYWHERE) == ["private", "other", "public"]
    without = ProjectScope(everywhere=True, except_in=frozenset({other, public}), in_public=False)
    assert await names(without) == ["private"]
    fuzzy = ListQuery((Condition("name", Match.FUZZY, ("PRIV",)),))
    assert await names(EVERYWHERE, fuzzy) == ["private"]
    with pytest.raises(QueryInvalidError):
        await names(EVERYWHERE, ListQuery((Condition("cve_allowlist", Match.EXACT, ("x",)),)))
    found = await database.read(search_projects, ProjectScope(), "p", 10)
    assert [row.name for row in found] == ["public"]
    assert await database.read(search_projects, EVERYWHERE, "%", 10) == []
    await database.write(ensure_repository, "private/app", NOW)
    assert await database.read(count_projects, EVERYWHERE) == {False: (2, 1), True: (1, 0)}
    assert set(await database.read(find_projects, [private, public, 99])) == {private, public}


async def test_metadata_is_kept_beside_the_visibility(database: Database) -> None:
    project_id = await make(database, "a")
    await database.write(set_metadata, project_id, {"public": "true", "severity": "low"}, NOW)

    def metadata(connection: Connection) -> dict[str, str]:
        found = find_project(connection, project_id)
        assert found is not None
        return read_metadata(connection, [found])[project_id]

    assert await database.read(metadata) == {"public": "true", "severity": "low"}
    assert (await database.read(locate, "a/b")).is_public
    await database.write(delete_metadata, project_id, "public", NOW)
    await database.write(delete_metadata, project_id, "severity", NOW)
    assert await database.read(metadata) == {"public": "false"}


async def test_push_into_a_project_that_is_another_one_now_is_refused(database: Database) -> None:
    old = await make(database, "a")
    assert await database.write(delete_empty, old)

    with pytest.raises(ProjectGoneError):
        await database.write(ensure_repository, "a/x", NOW, project_id=old + 10)
    assert await database.read(find_project, "a") is None

    new = await database.write(ensure_project, "a", NOW)
    with pytest.raises(ProjectGoneError):
        await database.write(ensure_repository, "a/x", NOW, project_id=new + 10)
    await database.write(ensure_repository, "a/x", NOW, project_id=new)
    with pytest.raises(ProjectGoneError):
        await database.write(ensure_repository, "a/x", NOW, project_id=new + 10)


async def test_project_is_deleted_or_pushed_into_never_both(
    database: Database, other_database: Database
) -> None:
    def push(connection: Connection, name: str, project_id: int) -> None:
        repository_id = ensure_repository(connection, f"{name}/x", NOW, project_id=project_id)
        link_blob(connection, repository_id, "sha256:1", 10, NOW)

    for number in range(12):
        name = f"project-{number}"
        project_id = await make(database, name)
        deleted, pushed = await asyncio.gather(
            database.write(delete_empty, project_id),
            other_database.write(push, name, project_id),
            return_exceptions=True,
        )
        assert isinstance(deleted, bool)
        assert pushed is None or isinstance(pushed, ProjectGoneError)
        assert deleted is isinstance(pushed, ProjectGoneError)
        found = await database.read(find_project, name)
        assert (found is None) is deleted
    assert await database.read(total_blob_bytes) in {0, 10}
