"""Every role and every robot permission against every operation in a project, over HTTP, /v2 included.

What each may do comes from Harbor's own table (tests/facts/harbor-permissions.json).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.api.artifacts.content import make_image, push, unique
from tests.api.client import Api
from tests.api.users.accounts import make_user
from tests.servers import HomeportServer

FACTS = json.loads((Path(__file__).parent.parent / "facts" / "harbor-permissions.json").read_text())
ROLES = {"projectAdmin": 1, "developer": 2, "guest": 3, "maintainer": 4, "limitedGuest": 5}
DENIED = {401, 403}
ANYBODY = {
    ".:read",
    "label:read",
    "label:list",
    "repository:list",
    "repository:pull",
    "tag:list",
    "artifact:read",
    "artifact:list",
    "artifact-addition:read",
    "accessory:list",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """A request in the project; what it names may be missing, so that little is changed by it."""

    permission: str
    method: str
    path: str
    body: object = None


A = "/api/v2.0"
P = A + "/projects/{project}"
R = P + "/repositories/app"
OPERATIONS = [
    Operation(".:read", "GET", P),
    Operation(".:read", "GET", P + "/summary"),
    Operation(".:update", "PUT", P, {"metadata": {"auto_scan": "false"}}),
    Operation(".:delete", "DELETE", P),
    Operation("member:list", "GET", P + "/members"),
    Operation("member:read", "GET", P + "/members/999999"),
    Operation("member:create", "POST", P + "/members", {"role_id": 3, "member_user": {"username": "nobody"}}),
    Operation("member:update", "PUT", P + "/members/999999", {"role_id": 3}),
    Operation("member:delete", "DELETE", P + "/members/999999"),
    Operation("metadata:read", "GET", P + "/metadatas/"),
    Operation("metadata:create", "POST", P + "/metadatas/", {"severity": "high"}),
    Operation("metadata:update", "PUT", P + "/metadatas/severity", {"severity": "low"}),
    Operation("metadata:delete", "DELETE", P + "/metadatas/severity"),
    Operation("log:list", "GET", P + "/logs"),
    Operation("log:list", "GET", P + "/auditlog-exts"),
    Operation("label:list", "GET", A + "/labels?scope=p&project_id={project_id}"),
    Operation("label:read", "GET", A + "/labels/{label}"),
    Operation("label:update", "PUT", A + "/labels/{label}", {"name": "{label_name}", "color": "#ffffff"}),
    Operation("repository:list", "GET", P + "/repositories"),
    Operation("repository:read", "GET", R),
    Operation("repository:update", "PUT", R, {"description": "x"}),
    Operation("repository:delete", "DELETE", P + "/repositories/none"),
    Operation("artifact:list", "GET", R + "/artifacts"),
    Operation("artifact:read", "GET", R + "/artifacts/v1"),
    Operation("artifact:delete", "DELETE", R + "/artifacts/none"),
    Operation("tag:list", "GET", R + "/artifacts/v1/tags"),
    Operation("tag:create", "POST", R + "/artifacts/none/tags", {"name": "x"}),
    Operation("tag:delete", "DELETE", R + "/artifacts/v1/tags/none"),
    Operation("accessory:list", "GET", R + "/artifacts/v1/accessories"),
    Operation("artifact-addition:read", "GET", R + "/artifacts/v1/additions/build_history"),
    Operation("artifact-label:create", "POST", R + "/artifacts/v1/labels", {"id": 999999}),
    Operation("artifact-label:delete", "DELETE", R + "/artifacts/v1/labels/999999"),
    Operation("robot:read", "GET", A + "/robots/{robot}"),
    Operation("robot:list", "GET", A + "/robots?q=Level%3Dproject%2CProjectID%3D{project_id}"),
    Operation("repository:pull", "GET", "/v2/{project}/app/manifests/v1"),
    Operation("repository:pull", "GET", "/v2/{project}/app/tags/list"),
    Operation("repository:push", "POST", "/v2/{project}/app/blobs/uploads/"),
    Operation("artifact:delete", "DELETE", "/v2/{project}/app/manifests/none"),
]


@dataclass(frozen=True, slots=True)
class House:
    """A private project with an image, a label, a robot, and a member of each role."""

    admin: Api
    project: str
    facts: dict[str, str]
    members: dict[str, Api]

    def status(self, caller: Api, operation: Operation) -> int:
        """Return what the caller gets."""
        body = operation.body
        if isinstance(body, dict):
            body = {
                key: value.format(**self.facts) if isinstance(value, str) else value
                for key, value in body.items()
            }
        return caller.request(operation.method, operation.path.format(**self.facts), body).status


@pytest.fixture(scope="module")
def house(homeport_server: HomeportServer) -> House:
    """Make the project once."""
    admin = Api(homeport_server.url, homeport_server.user, homeport_server.password)
    project = unique("matrix")
    assert admin.post("/projects", {"project_name": project}).status == 201
    push(admin, f"{project}/app", make_image(), "v1")
    project_id = admin.get(f"/projects/{project}").json["project_id"]
    label_name = unique("label")
    label = admin.post("/labels", {"name": label_name, "scope": "p", "project_id": project_id}).created_id
    robot = make_robot(admin, project, ["repository:pull"])[0]
    members = {}
    for role, role_id in ROLES.items():
        user = make_user(admin)
        body = {"role_id": role_id, "member_user": {"user_id": user.id}}
        assert admin.post(f"/projects/{project}/members", body).status == 201
        members[role] = user.api
    facts = {
        "project": project,
        "project_id": str(project_id),
        "label": str(label),
        "label_name": label_name,
        "robot": str(robot),
    }
    return House(admin, project, facts, members)


def is_denied(operation: Operation, status: int) -> bool:
    """Tell whether the answer refuses; a label that one may not see is as good as not there."""
    return status in DENIED or (status == 404 and "{label}" in operation.path)


def make_robot(admin: Api, project: str, permissions: list[str]) -> tuple[int, Api]:
    """Make a robot of the project and return its id and the caller that it is."""
    access = [dict(zip(("resource", "action"), each.split(":"), strict=True)) for each in permissions]
    body = {
        "name": unique("robot"),
        "level": "project",
        "duration": -1,
        "disable": False,
        "permissions": [{"kind": "project", "namespace": project, "access": access}],
    }
    made = admin.post("/robots", body)
    assert made.status == 201, made.body
    return made.json["id"], admin.as_user(made.json["name"], made.json["secret"])


@pytest.mark.parametrize("role", ROLES)
def test_role_may_do_what_harbor_lets_it_and_nothing_else(house: House, role: str) -> None:
    granted = set(FACTS["project_roles"][role])
    wrong = []
    for operation in OPERATIONS:
        status = house.status(house.members[role], operation)
        assert status < 500, (operation, status)
        if is_denied(operation, status) == (operation.permission in granted):
            wrong.append((operation.permission, operation.method, operation.path, status))

    assert wrong == []


def test_account_without_a_role_may_do_nothing(house: House) -> None:
    outsider = make_user(house.admin).api
    statuses = [(operation, house.status(outsider, operation)) for operation in OPERATIONS]

    assert [found for found in statuses if not is_denied(*found)] == []


def test_stranger_may_do_nothing_in_a_private_project(house: House) -> None:
    stranger = house.admin.as_stranger()
    statuses = [(operation, house.status(stranger, operation)) for operation in OPERATIONS]

    assert [found for found in statuses if found[1] != 401 and not is_denied(*found)] == []


def test_administrator_may_do_everything(house: House) -> None:
    statuses = [(operation, house.status(house.admin, operation)) for operation in OPERATIONS]

    assert [found for found in statuses if is_denied(*found)] == []


def robot_permissions() -> list[str]:
    """Return every permission that a robot of a project may be given."""
    return [text for text in FACTS["robot_grantable"]["project"] if not text.startswith("log:")] + [
        "log:list"
    ]


@pytest.mark.parametrize("permission", robot_permissions())
def test_robot_may_do_what_its_one_permission_says_and_nothing_else(house: House, permission: str) -> None:
    _, robot = make_robot(house.admin, house.project, [permission])
    means = permission.replace("project:", ".:") if permission.startswith("project:") else permission
    wrong = []
    for operation in OPERATIONS:
        status = house.status(robot, operation)
        assert status < 500, (operation, status)
        if is_denied(operation, status) == (operation.permission == means):
            wrong.append((operation.permission, operation.method, operation.path, status))

    assert wrong == []


def test_public_project_gives_everybody_what_harbor_gives(house: House) -> None:
    project = unique("public")
    house.admin.post("/projects", {"project_name": project, "metadata": {"public": "true"}})
    push(house.admin, f"{project}/app", make_image(), "v1")
    project_id = house.admin.get(f"/projects/{project}").json["project_id"]
    label = house.admin.post("/labels", {"name": unique("l"), "scope": "p", "project_id": project_id})
    facts = {**house.facts, "project": project, "project_id": str(project_id), "label": str(label.created_id)}
    public = House(house.admin, project, facts, {})
    account = make_user(house.admin).api
    wrong = []
    for operation in OPERATIONS:
        status = public.status(account, operation)
        if is_denied(operation, status) == (operation.permission in ANYBODY):
            wrong.append((operation.permission, operation.method, operation.path, status))

    assert wrong == []
