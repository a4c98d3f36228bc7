import time

import pytest
from harborapi import HarborAsyncClient
from harborapi.models import Access, RobotCreateV1
from tests.api.client import Api
from tests.api.robots.robots import entry, made, make_robot, new_name
from tests.servers import HomeportServer


@pytest.fixture
def client(robot_server: HomeportServer) -> HarborAsyncClient:
    """Return the independent client as the system administrator."""
    return HarborAsyncClient(
        url=f"{robot_server.url}/api/v2.0", username="admin", secret=robot_server.password
    )


@pytest.mark.anyio
async def test_harborapi_drives_robots_of_old(client: HarborAsyncClient, project: str) -> None:
    wanted = RobotCreateV1(
        name=new_name(),
        expires_at=int(time.time()) + 3600,
        access=[Access(resource="/project/1/repository", action="pull")],
    )
    created = await client.create_robot_v1(project, wanted)
    assert created.id
    assert created.name == f"robot${project}+{wanted.name}"
    assert created.expires_at == wanted.expires_at

    (listed,) = await client.get_robots_v1(project)
    assert listed.id == created.id
    robot = await client.get_robot_v1(project, created.id)
    assert robot.permissions
    assert robot.permissions[0].namespace == project
    await client.update_robot_v1(project, created.id, robot.model_copy(update={"disable": True}))
    assert (await client.get_robot_v1(project, created.id)).disable is True
    await client.delete_robot_v1(project, created.id)
    assert await client.get_robots_v1(project) == []


def test_robot_of_another_project_is_not_there(admin: Api, project: str) -> None:
    robot = make_robot(admin, entry("library", "repository:pull"), level="project")
    path = f"/projects/{project}/robots/{robot.id}"
    assert admin.get(path).status == admin.put(path, {}).status == admin.delete(path).status == 404
    assert admin.get(robot.path).status == 200


def test_robot_of_old_signs_in_and_can_be_for_ever(admin: Api, project: str) -> None:
    access = [{"resource": "repository", "action": "pull"}]
    body = {"name": new_name(), "expires_at": -1, "access": access}
    answer = admin.post(f"/projects/{project}/robots", body)
    robot = made(admin, answer)
    assert answer.json["expires_at"] == -1
    assert robot.api.request("GET", f"/v2/{project}/image/tags/list").status == 200
    assert admin.post(f"/projects/{project}/robots", {**body, "expires_at": 1}).status == 400
    assert admin.post(f"/projects/{project}/robots", {**body, "expires_at": 10**30}).status == 400
    assert admin.post("/projects/no-such-project/robots", body).status == 404
    assert admin.get("/projects/no-such-project/robots").status == 404
    assert admin.as_stranger().get(f"/projects/{project}/robots").status == 401
