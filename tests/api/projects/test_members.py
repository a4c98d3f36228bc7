"""Members over HTTP: users and groups, their roles, and who cannot give what to whom."""

import pytest
from tests.api.client import Api
from tests.api.projects.house import (
    ADMIN,
    DEVELOPER,
    GUEST,
    LIMITED_GUEST,
    MAINTAINER,
    fresh,
    make_project,
    pull_status,
    push_blob,
    push_image,
)
from tests.api.users.accounts import make_user, unique


def permissions(*texts: str) -> list[dict[str, str]]:
    """Return a role's permissions as bodies have them."""
    return [dict(zip(("resource", "action"), text.split(":"), strict=True)) for text in texts]


def make_role(admin: Api, *texts: str) -> int:
    """Make a custom role."""
    return admin.post("/roles", {"name": unique("role"), "permissions": permissions(*texts)}).created_id


def test_member_is_added_shown_changed_and_removed(admin: Api) -> None:
    project = make_project(admin)
    user = make_user(admin)
    body = {"role_id": GUEST, "member_user": {"username": user.name}}

    answer = admin.post(f"{project.path}/members", body)

    member_id = answer.created_id
    assert answer.headers["location"] == f"/api/v2.0{project.path}/members/{member_id}"
    path = f"{project.path}/members/{member_id}"
    assert admin.get(path).json == {
        "id": member_id,
        "project_id": project.id,
        "entity_name": user.name,
        "role_name": "guest",
        "role_id": GUEST,
        "entity_id": user.id,
        "entity_type": "u",
        "repository_pattern": "",
    }
    assert admin.put(path, {"role_id": MAINTAINER}).status == 200
    assert admin.get(path).json["role_name"] == "maintainer"
    listed = admin.get(f"{project.path}/members?entityname={user.name}")
    assert [each["id"] for each in listed.json] == [member_id]
    assert listed.headers["x-total-count"] == "1"
    assert admin.post(f"{project.path}/members", body).status == 409
    assert admin.delete(path).status == 200
    assert admin.get(path).status == 404
    assert admin.delete(path).status == 404


def test_group_is_added_and_made_when_it_is_new(admin: Api) -> None:
    project = make_project(admin)
    path = f"{project.path}/members"
    group = {"group_name": unique("group"), "group_type": 3}

    member_id = admin.post(path, {"role_id": DEVELOPER, "member_group": group}).created_id

    shown = admin.get(f"{path}/{member_id}").json
    assert (shown["entity_name"], shown["entity_type"]) == (group["group_name"], "g")
    other = make_project(admin)
    same = {"role_id": GUEST, "member_group": {"id": shown["entity_id"]}}
    assert admin.post(f"{other.path}/members", same).status == 201
    dn = f"cn={unique('ldap')},ou=groups,dc=example,dc=org"
    ldap = {"role_id": GUEST, "member_group": {"ldap_group_dn": dn, "group_type": 1}}
    assert admin.post(path, ldap).status == 201
    assert admin.post(path, ldap).status == 409
    for wrong in (
        {"group_name": "x", "group_type": 9},
        {"group_type": 1},
        {},
        {"group_name": "", "group_type": 3},
    ):
        assert admin.post(path, {"role_id": GUEST, "member_group": wrong}).status == 400, wrong
    assert admin.post(path, {"role_id": GUEST, "member_group": {"id": 10**15}}).status == 404


@pytest.mark.parametrize("role_id", [0, -1, 6_000_000, 2**40, 2**70])
def test_unknown_role_is_refused(admin: Api, role_id: int) -> None:
    project = make_project(admin)
    user = make_user(admin)
    member_id = project.add_member(user, GUEST)

    body = {"role_id": role_id, "member_user": {"user_id": make_user(admin).id}}
    assert admin.post(f"{project.path}/members", body).status == 400
    assert admin.put(f"{project.path}/members/{member_id}", {"role_id": role_id}).status == 400
    assert admin.get(f"{project.path}/members/{member_id}").json["role_id"] == GUEST


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"role_id": 1}, 400),
        ({"role_id": 1, "member_user": {}}, 400),
        ({"role_id": 1, "member_user": {"username": "nobody-of-that-name"}}, 404),
        ({"role_id": 1, "member_user": {"user_id": 10**15}}, 404),
        ({"role_id": 1, "member_user": {"user_id": 2**80}}, 404),
        ({"role_id": 1, "member_user": {"user_id": -1}}, 404),
        ({"role_id": "1' or 1=1", "member_user": {"user_id": 1}}, 422),
        ({"role_id": 1, "member_user": {"user_id": 1, "username": "other"}}, 400),
    ],
)
def test_impossible_member_is_refused(admin: Api, body: dict[str, object], status: int) -> None:
    assert admin.post(f"{make_project(admin).path}/members", body).status == status


def test_nobody_raises_its_own_role(admin: Api) -> None:
    project = make_project(admin)
    for role in (MAINTAINER, DEVELOPER, GUEST, LIMITED_GUEST):
        user = make_user(admin)
        member_id = project.add_member(user, role)
        path = f"{project.path}/members/{member_id}"
        assert user.api.put(path, {"role_id": ADMIN}).status == 403
        assert user.api.delete(path).status == 403
        second = {"role_id": ADMIN, "member_user": {"user_id": user.id}, "repository_pattern": "x"}
        assert user.api.post(f"{project.path}/members", second).status == 403
        assert admin.get(path).json["role_id"] == role


def test_member_of_another_project_is_out_of_reach(admin: Api) -> None:
    mine, other = make_project(admin), make_project(admin)
    administrator = mine.make_member(ADMIN).api
    victim = other.add_member(make_user(admin), DEVELOPER)

    for path in (f"{mine.path}/members/{victim}", f"/projects/{mine.id}/members/{victim}"):
        assert administrator.get(path).status == 404
        assert administrator.put(path, {"role_id": ADMIN}).status == 404
        assert administrator.delete(path).status == 404
    assert administrator.put(f"{other.path}/members/{victim}", {"role_id": ADMIN}).status == 403
    assert admin.get(f"{other.path}/members/{victim}").json["role_id"] == DEVELOPER
    assert administrator.get(f"{mine.path}/members/{2**70}").status == 404


def test_custom_role_that_manages_members_hands_out_no_more_than_it_has(admin: Api) -> None:
    project = make_project(admin)
    role = make_role(admin, "member:create", "member:update", "member:delete", "member:list", ".:read")
    user = make_user(admin)
    own = project.add_member(user, role)
    victim = project.add_member(make_user(admin), ADMIN)
    path = f"{project.path}/members"
    friend = {"user_id": make_user(admin).id}

    assert user.api.put(f"{path}/{own}", {"role_id": ADMIN}).status == 403
    assert user.api.put(f"{path}/{own}", {"role_id": LIMITED_GUEST}).status == 403
    assert user.api.post(path, {"role_id": GUEST, "member_user": friend}).status == 403
    assert user.api.put(f"{path}/{victim}", {"role_id": role}).status == 403
    assert user.api.delete(f"{path}/{victim}").status == 403
    assert user.api.post(path, {"role_id": role, "member_user": friend}).status == 201


def test_last_administrator_stays_unless_a_system_administrator_says_so(admin: Api) -> None:
    user = make_user(admin)
    name = unique("project")
    assert user.api.post("/projects", {"project_name": name}).status == 201
    path = f"/projects/{name}/members"
    own = user.api.get(path).json[0]["id"]

    assert user.api.put(f"{path}/{own}", {"role_id": GUEST}).status == 400
    assert user.api.put(f"{path}/{own}", {"role_id": ADMIN, "repository_pattern": "a/*"}).status == 400
    assert user.api.delete(f"{path}/{own}").status == 400
    other = {"role_id": ADMIN, "member_user": {"user_id": make_user(admin).id}}
    assert user.api.post(path, other).status == 201
    assert user.api.delete(f"{path}/{own}").status == 200
    assert user.api.get(path).status == 403
    last = admin.get(path).json[0]["id"]
    assert admin.delete(f"{path}/{last}").status == 200


def test_role_counts_at_the_next_request_of_every_worker(admin: Api) -> None:
    project = make_project(admin)
    repository = f"{project.name}/app"
    push_image(admin, repository, fresh(), fresh())
    user = make_user(admin)
    member_id = project.add_member(user, DEVELOPER)
    path = f"{project.path}/members/{member_id}"
    for role, may_push in ((GUEST, False), (DEVELOPER, True), (LIMITED_GUEST, False), (MAINTAINER, True)):
        assert admin.put(path, {"role_id": role}).status == 200
        # connections go to either worker
        for _ in range(4):
            assert push_blob(user.api, repository, b"the same").status == (201 if may_push else 403)
            assert pull_status(user.api, repository) == 200
    assert admin.delete(path).status == 200
    for _ in range(4):
        assert pull_status(user.api, repository) == 403
        assert push_blob(user.api, repository, b"the same").status == 403


def test_pattern_grants_only_the_repositories_that_match(admin: Api) -> None:
    project = make_project(admin)
    for name in ("base/nginx", "secret/app"):
        push_image(admin, f"{project.name}/{name}", fresh(), fresh())
    user = make_user(admin)
    member_id = project.add_member(user, DEVELOPER, "base/*")

    assert pull_status(user.api, f"{project.name}/base/nginx") == 200
    assert push_blob(user.api, f"{project.name}/base/new", fresh()).status == 201
    assert pull_status(user.api, f"{project.name}/secret/app") == 403
    assert push_blob(user.api, f"{project.name}/base/deep/er", fresh()).status == 403
    assert user.api.get(project.path).status == 200
    assert user.api.get(f"{project.path}/members").status == 403
    found = user.api.get(f"/search?q={project.name}").json
    assert [each["name"] for each in found["project"]] == [project.name]
    assert {each["repository_name"] for each in found["repository"]} == {
        f"{project.name}/base/nginx",
        f"{project.name}/base/new",
    }
    path = f"{project.path}/members/{member_id}"
    assert admin.put(path, {"role_id": DEVELOPER, "repository_pattern": "secret/**"}).status == 200
    assert pull_status(user.api, f"{project.name}/base/nginx") == 403
    assert pull_status(user.api, f"{project.name}/secret/app") == 200
    second = {"role_id": GUEST, "member_user": {"user_id": user.id}, "repository_pattern": "base/**"}
    assert admin.post(f"{project.path}/members", second).status == 201
    assert pull_status(user.api, f"{project.name}/base/nginx") == 200
    twice = {"role_id": GUEST, "repository_pattern": "base/**"}
    assert admin.put(path, twice).status == 409


@pytest.mark.parametrize(
    "pattern",
    ["A/*", "a b", "%", "../x\n", "ü", "{a", "a}", "{a,{b}}", "***", "*a*a*a*a", "x" * 256, "{a,b}" * 4],
)
def test_impossible_pattern_is_refused(admin: Api, pattern: str) -> None:
    project = make_project(admin)
    body = {
        "role_id": GUEST,
        "member_user": {"user_id": make_user(admin).id},
        "repository_pattern": pattern,
    }

    assert admin.post(f"{project.path}/members", body).status == 400
