import json

from tests.api.client import Api
from tests.api.robots.conftest import RecordsOf
from tests.api.robots.robots import body, entry, make_robot, token_of

PULL, PUSH = "repository:pull", "repository:push"


def test_everything_that_may_be_granted_is_told_granted_and_shown(admin: Api, project: str) -> None:
    permissions = admin.get("/permissions").json
    in_system = [f"{each['resource']}:{each['action']}" for each in permissions["system"]]
    in_project = [f"{each['resource']}:{each['action']}" for each in permissions["project"]]
    wanted = [entry("/", *in_system), entry(project, *in_project), entry("*", *in_project)]

    shown = admin.get(make_robot(admin, *wanted).path).json

    assert {(each["kind"], each["namespace"]): len(each["access"]) for each in shown["permissions"]} == {
        ("system", "/"): len(in_system),
        ("project", project): len(in_project),
        ("project", "*"): len(in_project),
    }
    assert shown["permissions"][0]["access"][0]["effect"] == "allow"


def test_every_action_of_a_resource_is_granted_by_a_star(admin: Api, project: str) -> None:
    robot = make_robot(admin, entry(project, "label:*"), level="project")
    access = admin.get(robot.path).json["permissions"][0]["access"]
    assert {each["action"] for each in access} == {"create", "read", "update", "delete", "list"}


def test_permissions_are_for_those_who_make_robots(admin: Api, project: str) -> None:
    assert make_robot(admin, entry(project, PULL), level="project").api.get("/permissions").status == 403
    maker = make_robot(admin, entry(project, "robot:create"), level="project").api.get("/permissions")
    assert (maker.status, list(maker.json)) == (200, ["project"])


def test_robot_acts_in_its_project_alone(admin: Api, project: str) -> None:
    robot = make_robot(admin, entry(project, PULL, PUSH), level="project").api
    assert robot.request("GET", f"/v2/{project}/image/tags/list").status == 200
    assert robot.request("POST", f"/v2/{project}/image/blobs/uploads/").status == 202
    assert robot.request("POST", "/v2/library/image/blobs/uploads/").status == 403
    assert robot.request("POST", "/v2/not-there-yet/image/blobs/uploads/").status == 403
    assert robot.request("DELETE", f"/v2/{project}/image/manifests/latest").status == 403


def test_robot_of_every_project_leaves_out_what_is_denied(admin: Api, project: str) -> None:
    robot = make_robot(admin, entry("*", PULL, PUSH), entry(project, PUSH, effect="deny")).api
    assert robot.request("POST", "/v2/library/image/blobs/uploads/").status == 202
    assert robot.request("POST", f"/v2/{project}/image/blobs/uploads/").status == 403
    assert robot.request("GET", f"/v2/{project}/image/tags/list").status == 200


def test_robot_makes_robots_that_may_do_what_it_may(admin: Api, project: str) -> None:
    maker = make_robot(admin, entry(project, "robot:create", "robot:read", PULL), level="project").api
    made = make_robot(maker, entry(project, PULL), level="project")
    shown = maker.get(made.path).json
    assert shown["creator_type"] == "robot"
    for wanted in (
        body(entry(project, PULL, PUSH), level="project"),
        body(entry("library", PULL), level="project"),
        body(entry("no-such-project", PULL), level="project"),
        body(entry(project, PULL)),
        body(entry("*", PULL)),
        body(entry("/", "catalog:read")),
    ):
        answer = maker.post("/robots", wanted)
        assert (answer.status, answer.code) == (403, "FORBIDDEN")


def test_robot_of_the_system_makes_robots_that_may_do_what_it_may(admin: Api, project: str) -> None:
    maker = make_robot(admin, entry("/", "robot:create", "catalog:read"), entry(project, PULL)).api
    make_robot(maker, entry("/", "catalog:read"))
    make_robot(maker, entry(project, PULL))
    answers = [
        maker.post("/robots", body(wanted))
        for wanted in (
            entry("/", "user:create"),
            entry(project, PUSH),
            entry("*", PULL),
            entry("library", PULL),
            entry("no-such-project", PULL),
        )
    ]
    assert [answer.status for answer in answers] == [403] * 5
    assert answers[3].body == answers[4].body


def test_who_may_not_grant_what_a_robot_has_cannot_take_it_over(admin: Api, project: str) -> None:
    strong = make_robot(admin, entry(project, PULL, PUSH), level="project")
    maker = make_robot(admin, entry(project, "robot:create", "robot:delete"), level="project").api
    assert maker.patch(strong.path, {}).status == 403
    trust = {"issuer": "https://issuer.example", "audience": "x", "claims": {"sub": "me"}}
    assert maker.post(f"{strong.path}/trusts", trust).status == 403
    assert maker.delete(strong.path).status == 200


def test_changes_are_in_the_audit(admin: Api, project: str, records_of: RecordsOf) -> None:
    robot = make_robot(admin, entry(project, PULL), level="project")
    admin.put(robot.path, {**admin.get(robot.path).json, "description": "other"})
    admin.patch(robot.path, {})
    admin.delete(robot.path)
    records = records_of(robot.name)
    assert [record["operation"] for record in records] == [
        "create_robot",
        "update_robot",
        "refresh_robot_secret",
        "delete_robot",
    ]
    assert {record["project"] for record in records} == {project}
    before, after = (json.loads(records[1][column]) for column in ("before", "after"))
    assert (before["description"], after["description"]) == ("", "other")
    assert robot.secret not in json.dumps(records)


def test_catalog_leaves_out_the_project_that_is_denied(admin: Api, project: str) -> None:
    listing = "repository:list"
    status, token = token_of(make_robot(admin, entry("*", listing)).api, "registry:catalog:*")
    assert status == 200
    denied = make_robot(admin, entry("*", listing), entry(project, listing, effect="deny")).api
    names = []
    for bearer in (token, token_of(denied, "registry:catalog:*")[1]):
        caller = admin.as_stranger().with_headers(authorization=f"Bearer {bearer}")
        names.append(f"{project}/image" in caller.request("GET", "/v2/_catalog?n=1000").json["repositories"])
    assert names == [True, False]
