import json

import pytest
from tests.unit.control.house import ACTOR, ControlHouse

from homeport.control.errors import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    PreconditionError,
)
from homeport.control.projects import ProjectChange, Projects
from homeport.control.quotas import Quotas
from homeport.control.search import Search
from homeport.db.audit import AuditFilter
from homeport.db.audit_search import list_records
from homeport.db.projects import ProjectWish
from homeport.db.repositories import ensure_repository
from homeport.db.schema import EPOCH
from homeport.rules.listing import ListQuery
from homeport.rules.permissions import ANONYMOUS
from homeport.rules.projects import CveAllowlist, ProjectScope

pytestmark = pytest.mark.anyio


async def test_project_is_made_changed_and_deleted_with_records(house: ControlHouse) -> None:
    projects = Projects(house.database)
    alice = await house.add("alice")
    wanted = ProjectChange({"public": "TRUE", "severity": "High"}, CveAllowlist(("CVE-1",), 9))

    project_id = await projects.create(ACTOR, alice, "team", wanted)

    project = await projects.find(project_id)
    assert project is not None
    view = await projects.view(alice, project)
    assert view.metadata == {"public": "true", "severity": "high"}
    assert view.role_ids == (1,)
    assert json.loads(project.cve_allowlist or "") == {"items": ["CVE-1"], "expires_at": 9}
    await projects.update(ACTOR, alice, project_id, ProjectChange({"public": "false"}))
    await projects.delete(ACTOR, project_id)
    assert await projects.find(project_id) is None
    found = await house.database.read(list_records, AuditFilter(project="team"), limit=10)
    deleted, updated, created = (record for _, record in found)
    assert [each.operation for each in (created, updated, deleted)] == [
        "create_project",
        "update_project",
        "delete_project",
    ]
    assert created.before is None
    assert json.loads(updated.before or "")["metadata"]["public"] == "true"
    assert json.loads(updated.after or "")["metadata"]["public"] == "false"
    assert json.loads(deleted.before or "")["name"] == "team"


async def test_project_that_cannot_be_leaves_nothing(house: ControlHouse) -> None:
    root = await house.add("root", is_sysadmin=True)
    projects = Projects(house.database)
    alice = await house.add("alice")
    await projects.create(ACTOR, alice, "team", ProjectChange())

    with pytest.raises(ConflictError):
        await projects.create(ACTOR, alice, "team", ProjectChange())
    with pytest.raises(BadRequestError):
        await projects.create(ACTOR, alice, "Team", ProjectChange())
    with pytest.raises(BadRequestError):
        await projects.create(ACTOR, alice, "other", ProjectChange({"severity": "x"}))
    with pytest.raises(BadRequestError):
        await projects.create(ACTOR, alice, "other", ProjectChange(storage_limit_bytes=0))
    with pytest.raises(ForbiddenError):
        await projects.create(ACTOR, alice, "other", ProjectChange(storage_limit_bytes=5))
    assert await projects.find("other") is None
    await projects.create(ACTOR, root, "other", ProjectChange(storage_limit_bytes=5))


async def test_project_with_repositories_stays(house: ControlHouse) -> None:
    root = await house.add("root", is_sysadmin=True)
    projects = Projects(house.database)
    project_id = await projects.create(ACTOR, root, "team", ProjectChange())
    await house.database.write(ensure_repository, "team/app", EPOCH, project_id=project_id)

    assert not await projects.is_deletable(project_id)
    with pytest.raises(PreconditionError):
        await projects.delete(ACTOR, project_id)
    with pytest.raises(NotFoundError):
        await projects.delete(ACTOR, 10**9)
    rows, total = await projects.list(root, ProjectWish(ProjectScope(everywhere=True)), ListQuery())
    assert [(row.project.name, row.project.repository_count) for row in rows] == [("team", 1)]
    assert total == 1
    counts = await Search(house.database).count(root)
    assert (counts.private_projects, counts.private_repositories, counts.public_projects) == (1, 1, 0)
    found = await Search(house.database).find(root, "team")
    assert [each.stored.name for each in found.repositories] == ["team/app"]
    assert (await Search(house.database).find(ANONYMOUS, "team")).projects == []


async def test_quota_is_changed_within_sense(house: ControlHouse) -> None:
    root = await house.add("root", is_sysadmin=True)
    quotas = Quotas(house.database)
    await Projects(house.database).create(ACTOR, root, "team", ProjectChange())
    (quota,), _ = await quotas.list(ListQuery())

    await quotas.change(ACTOR, quota.id, 4096)

    assert (await quotas.find(quota.id)).hard_bytes == 4096
    with pytest.raises(BadRequestError):
        await quotas.change(ACTOR, quota.id, 0)
    with pytest.raises(NotFoundError):
        await quotas.change(ACTOR, 10**30, 1)
