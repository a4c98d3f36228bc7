"""The independent client `harborapi` with projects, members, quotas, labels and search."""

import pytest
from harborapi import HarborAsyncClient
from harborapi.exceptions import NotFound, PreconditionFailed
from harborapi.models import (
    Label,
    ProjectMember,
    ProjectMetadata,
    ProjectReq,
    QuotaUpdateReq,
    ResourceList,
    RoleRequest,
    UserEntity,
)
from tests.api.client import Api
from tests.api.projects.house import DEVELOPER, MAINTAINER, fresh, push_image
from tests.api.users.accounts import make_user, unique

pytestmark = pytest.mark.anyio


@pytest.fixture
def client(admin: Api) -> HarborAsyncClient:
    """Return harborapi as the administrator."""
    return HarborAsyncClient(
        url=f"{admin.url}/api/v2.0", username=admin.user, secret=admin.password, validate=True
    )


async def test_harborapi_works_with_projects(client: HarborAsyncClient, admin: Api) -> None:
    name = unique("project")
    request = ProjectReq(project_name=name, metadata=ProjectMetadata(public="false"), storage_limit=-1)
    location = await client.create_project(request)
    assert location.startswith("/api/v2.0/projects/")
    assert await client.project_exists(name)
    assert not await client.project_exists(unique())
    project = await client.get_project(name)
    assert (project.name, project.owner_name) == (name, "admin")
    await client.update_project(name, ProjectReq(metadata=ProjectMetadata(auto_scan="true")))
    metadata = await client.get_project_metadata(name)
    assert (metadata.public, metadata.auto_scan) == ("false", "true")
    await client.update_project_metadata_entry(name, "auto_scan", {"auto_scan": "false"})
    assert (await client.get_project_metadata_entry(name, "auto_scan")) == {"auto_scan": "false"}
    await client.delete_project_metadata_entry(name, "auto_scan")
    await client.set_project_metadata(name, ProjectMetadata(severity="high"))
    listed = await client.get_projects(query=f"name={name}")
    assert [each.name for each in listed] == [name]
    assert (await client.get_project_deletable(name)).deletable

    push_image(admin, f"{name}/app", fresh(), fresh())
    summary = await client.get_project_summary(name)
    assert summary.repo_count == 1
    assert not (await client.get_project_deletable(name)).deletable
    with pytest.raises(PreconditionFailed):
        await client.delete_project(name)
    found = await client.search(name)
    assert [each.repository_name for each in found.repository or []] == [f"{name}/app"]
    assert ((await client.get_statistics()).total_project_count or 0) >= 1
    admin.delete(f"/projects/{name}/repositories/app")
    await client.delete_project(name)
    with pytest.raises(NotFound):
        await client.get_project(name)


async def test_harborapi_works_with_members_and_quotas(client: HarborAsyncClient, admin: Api) -> None:
    name = unique("project")
    await client.create_project(ProjectReq(project_name=name))
    user = make_user(admin)
    member = ProjectMember(role_id=DEVELOPER, member_user=UserEntity(username=user.name))

    location = await client.add_project_member(name, member)

    member_id = int(location.rpartition("/")[2])
    shown = await client.get_project_member(name, member_id)
    assert (shown.entity_name, shown.role_name) == (user.name, "developer")
    await client.update_project_member_role(name, member_id, RoleRequest(role_id=MAINTAINER))
    members = await client.get_project_members(name)
    assert {each.role_name for each in members} == {"projectAdmin", "maintainer"}
    await client.remove_project_member(name, member_id)
    project = await client.get_project(name)
    (quota,) = await client.get_quotas(reference="project", reference_id=str(project.project_id))
    assert quota.id is not None
    await client.update_quota(quota.id, QuotaUpdateReq(hard=ResourceList({"storage": 4096})))
    hard = (await client.get_quota(quota.id)).hard
    assert hard is not None
    assert hard.root == {"storage": 4096}


async def test_harborapi_works_with_labels(client: HarborAsyncClient) -> None:
    name = unique("label")
    location = await client.create_label(Label(name=name, scope="g", color="#00FF00"))
    label_id = int(location.rpartition("/")[2])
    assert (await client.get_label(label_id)).name == name
    await client.update_label(label_id, Label(name=name, description="changed"))
    (label,) = await client.get_labels(name=name, scope="g")
    assert label.description == "changed"
    await client.delete_label(label_id)
    with pytest.raises(NotFound):
        await client.get_label(label_id)
