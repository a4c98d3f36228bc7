import time
from typing import Any

import pytest
from harborapi import HarborAsyncClient
from harborapi.models import Access, Robot, RobotCreate, RobotPermission
from tests.api.client import Api
from tests.api.robots.robots import body, entry, made, make_robot, new_name, token_of, with_token
from tests.servers import HomeportServer

PULL, PUSH = "repository:pull", "repository:push"
# or slowed down, after the failures of other tests
REFUSED = {401, 429}


@pytest.fixture
def client(robot_server: HomeportServer) -> HarborAsyncClient:
    """Return the independent client as the system administrator."""
    return HarborAsyncClient(
        url=f"{robot_server.url}/api/v2.0", username="admin", secret=robot_server.password
    )


@pytest.mark.anyio
async def test_harborapi_drives_the_life_of_a_robot(client: HarborAsyncClient, project: str) -> None:
    name = new_name()
    access = [Access(resource="repository", action="pull"), Access(resource="repository", action="push")]
    wanted = RobotCreate(
        name=name,
        description="builds",
        level="project",
        duration=10,
        permissions=[RobotPermission(kind="project", namespace=project, access=access)],
    )

    created = await client.create_robot(wanted)
    assert created.name == f"robot${project}+{name}"
    assert created.secret
    assert created.id
    robot = await client.get_robot(created.id)
    assert (robot.name, robot.level, robot.duration, robot.disable, robot.editable) == (
        created.name,
        "project",
        10,
        False,
        True,
    )
    assert robot.expires_at == created.expires_at
    assert (robot.secret, robot.creator_type) == (None, "local")
    assert robot.permissions
    assert robot.permissions[0].namespace == project

    await client.update_robot(created.id, robot.model_copy(update={"disable": True, "description": "none"}))
    changed = await client.get_robot(created.id)
    assert (changed.disable, changed.description) == (True, "none")

    refreshed = await client.refresh_robot_secret(created.id, "")
    assert refreshed.secret
    assert refreshed.secret != created.secret
    await client.delete_robot(created.id)
    assert created.id not in [each.id for each in await client.get_robots()]


@pytest.mark.anyio
async def test_harborapi_lists_by_level_and_project(
    client: HarborAsyncClient, admin: Api, project: str
) -> None:
    system = make_robot(admin, entry("/", "catalog:read"))
    own = make_robot(admin, entry(project, PULL), level="project")
    project_id = _project_id(own.id, admin, project)

    in_system = await client.get_robots(query=f"name={_short(system.name)}")
    assert [robot.id for robot in in_system] == [system.id]
    in_project = await client.get_robots(query=f"Level=project,ProjectID={project_id}")
    assert [robot.id for robot in in_project] == [own.id]
    assert isinstance(in_project[0], Robot)


def _short(name: str) -> str:
    return name.removeprefix("robot$").rpartition("+")[2]


def _project_id(robot_id: int, admin: Api, project: str) -> int:
    """Return the id of the project, found by trying: it has one robot alone."""
    for candidate in range(1, 1000):
        answer = admin.get(f"/robots?q=Level%3Dproject%2CProjectID%3D{candidate}")
        if answer.status == 200 and [each["id"] for each in answer.json] == [robot_id]:
            return candidate
    raise LookupError(project)


def test_list_has_pages_and_a_total(admin: Api) -> None:
    for _ in range(3):
        make_robot(admin, entry("/", "catalog:read"))

    answer = admin.get("/robots?page=1&page_size=2&sort=-id")
    assert answer.status == 200
    assert len(answer.json) == 2
    assert int(answer.headers["x-total-count"]) >= 3
    assert 'rel="next"' in answer.headers["link"]
    assert answer.json[0]["id"] > answer.json[1]["id"]


@pytest.mark.parametrize(
    "query",
    ["Level=project", "Level=system,ProjectID=1", "Level=galaxy", "ProjectID=x", "secret=1", "Level=~sys"],
)
def test_list_refuses_queries_that_make_no_sense(admin: Api, query: str) -> None:
    answer = admin.get(f"/robots?q={query.replace('=', '%3D')}")
    assert (answer.status, answer.code) == (400, "BAD_REQUEST")


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("upper case name", {"name": "Bot"}),
    ("empty name", {"name": ""}),
    ("name with a plus", {"name": "a+b"}),
    ("long name", {"name": "a" * 256}),
    ("no level", {"level": ""}),
    ("unknown level", {"level": "galaxy"}),
    ("duration of nothing", {"duration": -2}),
    ("duration of ages", {"duration": 999_999}),
    ("no permissions", {"permissions": []}),
    ("no access", {"permissions": [{"kind": "system", "namespace": "/", "access": []}]}),
    ("unknown kind", {"permissions": [{**entry("/", "catalog:read"), "kind": "galaxy"}]}),
    ("unknown permission", {"permissions": [entry("/", "catalog:destroy")]}),
    ("project permission in the system", {"permissions": [entry("/", "repository:pull")]}),
    ("a NUL in the description", {"description": "a\0b"}),
    ("unknown effect", {"permissions": [entry("/", "catalog:read", effect="maybe")]}),
    ("weak secret", {"secret": "password"}),
    ("short secret", {"secret": "Aa1"}),
    ("project robot of two entries", {"level": "project", "permissions": [entry("library", PULL)] * 2}),
    ("project robot of every project", {"level": "project", "permissions": [entry("*", PULL)]}),
    ("project robot of the system", {"level": "project", "permissions": [entry("/", "catalog:read")]}),
]


@pytest.mark.parametrize(("case", "change"), WRONG, ids=[case for case, _ in WRONG])
def test_robot_that_cannot_be_is_refused(admin: Api, case: str, change: dict[str, Any]) -> None:
    del case
    answer = admin.post("/robots", {**body(entry("/", "catalog:read")), **change})
    assert (answer.status, answer.code) == (400, "BAD_REQUEST"), answer.body


def test_unknown_project_is_not_found(admin: Api) -> None:
    answer = admin.post("/robots", body(entry("no-such-project", PULL), level="project"))
    assert (answer.status, answer.code) == (404, "NOT_FOUND")
    answer = admin.post("/robots", body(entry("no-such-project", PULL)))
    assert answer.status == 404


@pytest.mark.parametrize("level", ["system", "project"])
def test_name_can_be_taken_once_per_place(admin: Api, project: str, level: str) -> None:
    name = new_name()
    wanted = body(entry(project, PULL), level=level, name=name)
    assert admin.post("/robots", wanted).status == 201
    answer = admin.post("/robots", wanted)
    assert (answer.status, answer.code) == (409, "CONFLICT")
    assert admin.post("/robots", body(entry("library", PULL), level="project", name=name)).status == 201


def test_strangers_are_asked_to_sign_in(stranger: Api, admin: Api) -> None:
    robot = make_robot(admin, entry("/", "catalog:read"))
    for answer in (
        stranger.get("/robots"),
        stranger.post("/robots", body(entry("/", "catalog:read"))),
        stranger.get(robot.path),
        stranger.put(robot.path, body(entry("/", "catalog:read"))),
        stranger.patch(robot.path, {}),
        stranger.delete(robot.path),
        stranger.get("/permissions"),
        stranger.get(f"{robot.path}/secrets"),
        stranger.get(f"{robot.path}/trusts"),
    ):
        assert (answer.status, answer.code) == (401, "UNAUTHORIZED")


def test_robot_that_is_not_there_looks_like_one_that_may_not_be_seen(admin: Api, project: str) -> None:
    outsider = make_robot(admin, entry("library", "robot:read"), level="project").api
    hidden = make_robot(admin, entry(project, PULL), level="project")
    answers = [outsider.get(hidden.path), outsider.get("/robots/999999"), outsider.delete("/robots/999999")]
    assert [(each.status, each.code) for each in answers] == [(403, "FORBIDDEN")] * 3
    assert answers[0].message == answers[1].message.replace("999999", str(hidden.id))
    assert admin.get("/robots/999999").status == 404
    assert admin.get(f"/robots/{2**63}").status == 422


def test_duration_of_zero_is_the_configured_one(admin: Api) -> None:
    robot = made(admin, admin.post("/robots", body(entry("/", "catalog:read"), duration=0)))
    shown = admin.get(robot.path).json
    assert shown["duration"] == 30
    assert 29 * 86_400 < shown["expires_at"] - time.time() < 31 * 86_400


def test_robot_for_ever_has_no_end(admin: Api) -> None:
    robot = make_robot(admin, entry("/", "catalog:read"), duration=-1)
    assert admin.get(robot.path).json["expires_at"] == -1


def test_update_keeps_name_and_level(admin: Api, project: str) -> None:
    robot = make_robot(admin, entry(project, PULL), level="project")
    same = {**admin.get(robot.path).json}
    assert admin.put(robot.path, {**same, "name": "other"}).status == 400
    assert admin.put(robot.path, {**same, "level": "system"}).status == 400
    assert admin.put(robot.path, {**same, "permissions": [entry("library", PULL)]}).status == 400
    assert admin.put(robot.path, same).status == 200


def test_update_of_duration_counts_from_the_making(admin: Api) -> None:
    robot = make_robot(admin, entry("/", "catalog:read"), duration=10)
    before = admin.get(robot.path).json
    assert admin.put(robot.path, {**before, "duration": 20}).status == 200
    after = admin.get(robot.path).json
    assert (after["duration"], after["expires_at"] - before["expires_at"]) == (20, 10 * 86_400)
    assert admin.put(robot.path, {**after, "duration": -1}).status == 200
    assert admin.get(robot.path).json["expires_at"] == -1


def test_robot_signs_in_with_basic_and_tokens(admin: Api, project: str) -> None:
    robot = make_robot(admin, entry(project, PULL, PUSH), level="project")
    path = f"/v2/{project}/image/blobs/uploads/"
    assert robot.api.request("GET", "/v2/").status == 200
    assert robot.api.request("POST", path).status == 202
    status, token = token_of(robot.api, f"repository:{project}/image:pull,push")
    assert status == 200
    assert with_token(admin, token, "POST", path) == 202
    form = f"grant_type=password&username={robot.name.replace('$', '%24').replace('+', '%2B')}"
    form += f"&password={robot.secret}&service=homeport&access_type=offline"
    answer = admin.as_stranger().request(
        "POST",
        "/service/token",
        form.encode(),
        {"content-type": "application/x-www-form-urlencoded"},
    )
    assert answer.status == 200
    assert "refresh_token" not in answer.json
    shown = admin.get(robot.path).json
    assert shown["last_used_address"] == "127.0.0.1"
    assert shown["last_used_time"]


def test_robot_with_a_wrong_secret_is_refused(admin: Api, project: str) -> None:
    robot = make_robot(admin, entry(project, PULL), level="project")
    wrong = admin.as_user(robot.name, "Wrong-secret-1")
    assert wrong.request("GET", "/v2/").status in REFUSED
    assert token_of(wrong)[0] in REFUSED
    assert wrong.get("/robots").status in REFUSED


def test_own_secret_signs_in(admin: Api) -> None:
    robot = make_robot(admin, entry("/", "catalog:read"), secret="My-own-secret-7")
    assert robot.secret == "My-own-secret-7"
    assert robot.api.request("GET", "/v2/").status == 200
    assert admin.patch(robot.path, {"secret": "My-next-secret-8"}).json == {}
    assert robot.api.request("GET", "/v2/").status in REFUSED
    assert admin.as_user(robot.name, "My-next-secret-8").request("GET", "/v2/").status == 200
    assert admin.patch(robot.path, {"secret": "weak"}).status == 400


def _end_by_deleting(admin: Api, path: str) -> None:
    assert admin.delete(path).status == 200


def _end_by_disabling(admin: Api, path: str) -> None:
    assert admin.put(path, {**admin.get(path).json, "disable": True}).status == 200


def _end_by_refreshing(admin: Api, path: str) -> None:
    assert admin.patch(path, {}).status == 200


def _end_by_revoking(admin: Api, path: str) -> None:
    for secret in admin.get(f"{path}/secrets").json:
        assert admin.delete(f"{path}/secrets/{secret['id']}").status == 200


def _end_by_taking_permissions(admin: Api, path: str) -> None:
    before = admin.get(path).json
    namespace = before["permissions"][0]["namespace"]
    assert admin.put(path, {**before, "permissions": [entry(namespace, "label:list")]}).status == 200


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (_end_by_deleting, REFUSED),
        (_end_by_disabling, REFUSED),
        (_end_by_refreshing, REFUSED),
        (_end_by_revoking, REFUSED),
        (_end_by_taking_permissions, {403}),
    ],
)
def test_robot_that_ended_is_refused_by_every_worker_at_the_next_request(
    admin: Api, project: str, end: Any, expected: set[int]
) -> None:
    robot = make_robot(admin, entry(project, PULL, PUSH), level="project")
    path = f"/v2/{project}/image/blobs/uploads/"
    token = token_of(robot.api, f"repository:{project}/image:pull,push")[1]
    for _ in range(4):  # the kernel spreads connections over the workers
        assert robot.api.request("POST", path).status == 202
        assert with_token(admin, token, "POST", path) == 202

    end(admin, robot.path)

    for _ in range(4):
        assert robot.api.request("POST", path).status in expected
        assert with_token(admin, token, "POST", path) in expected


def test_two_secrets_overlap_while_one_replaces_the_other(admin: Api) -> None:
    robot = make_robot(admin, entry("/", "catalog:read"))
    second = admin.patch(robot.path, {"overlap_hours": 24}).json["secret"]
    new = admin.as_user(robot.name, second)
    assert robot.api.request("GET", "/v2/").status == new.request("GET", "/v2/").status == 200
    listed = admin.get(f"{robot.path}/secrets").json
    assert [set(each) for each in listed] == [
        {"id", "creation_time", "expires_at"},
        {"id", "creation_time"},
    ]

    third = admin.patch(robot.path, {"overlap_hours": 1}).json["secret"]
    assert robot.api.request("GET", "/v2/").status in REFUSED
    newest = admin.as_user(robot.name, third)
    assert new.request("GET", "/v2/").status == newest.request("GET", "/v2/").status == 200

    first_id = admin.get(f"{robot.path}/secrets").json[0]["id"]
    assert admin.delete(f"{robot.path}/secrets/{first_id}").status == 200
    assert admin.delete(f"{robot.path}/secrets/{first_id}").status == 404
    assert new.request("GET", "/v2/").status in REFUSED
    assert newest.request("GET", "/v2/").status == 200
    assert admin.patch(robot.path, {"overlap_hours": 9999}).status in {400, 422}


def test_pull_counts_as_a_use_soon_after(admin: Api, project: str) -> None:
    robot = make_robot(admin, entry(project, PULL), level="project")
    token = token_of(robot.api, f"repository:{project}/image:pull")[1]
    signed_in_at = admin.get(robot.path).json["last_used_time"]
    assert with_token(admin, token, "GET", f"/v2/{project}/image/manifests/latest") == 200
    deadline = time.monotonic() + 20
    while admin.get(robot.path).json["last_used_time"] == signed_in_at:
        assert time.monotonic() < deadline
        time.sleep(0.2)
