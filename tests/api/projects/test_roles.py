"""Custom roles over HTTP."""

import pytest
from tests.api.client import Api
from tests.api.projects.house import ADMIN, fresh, make_project, pull_status, push_blob, push_image
from tests.api.projects.test_members import make_role, permissions
from tests.api.users.accounts import make_user, unique


def test_custom_role_is_made_listed_changed_and_deleted(admin: Api) -> None:
    name = unique("role")
    body = {"name": name, "description": "reads", "permissions": permissions("repository:pull", ".:read")}

    role_id = admin.post("/roles", body).created_id

    assert role_id > 5
    shown = admin.get(f"/roles/{role_id}").json
    assert shown["name"] == name
    assert shown["builtin"] is False
    assert shown["permissions"] == permissions(".:read", "repository:pull")
    listed = {each["id"]: each for each in make_user(admin).api.get("/roles").json}
    assert listed[1]["name"] == "projectAdmin"
    assert listed[role_id]["name"] == name
    assert admin.post("/roles", body).status == 409
    changed = {"name": name, "permissions": permissions("repository:pull")}
    assert admin.put(f"/roles/{role_id}", changed).status == 200
    assert admin.get(f"/roles/{role_id}").json["permissions"] == permissions("repository:pull")
    assert admin.delete(f"/roles/{role_id}").status == 200
    assert admin.get(f"/roles/{role_id}").status == 404


@pytest.mark.parametrize(
    "texts",
    [(), ("user:create",), ("repository:fly",), ("configuration:update", "audit-log:list"), ("*:*",)],
)
def test_role_of_impossible_permissions_is_refused(admin: Api, texts: tuple[str, ...]) -> None:
    body = {"name": unique("role"), "permissions": permissions(*texts)}

    assert admin.post("/roles", body).status == 400


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 256])
def test_role_of_an_impossible_name_is_refused(admin: Api, name: str) -> None:
    body = {"name": name, "permissions": permissions("repository:pull")}

    assert admin.post("/roles", body).status in {400, 422}


def test_roles_of_harbor_stay_as_they_are(admin: Api) -> None:
    body = {"name": unique("role"), "permissions": permissions("repository:pull")}

    assert admin.put("/roles/1", body).status == 412
    assert admin.delete("/roles/5").status == 412
    assert admin.post("/roles", {**body, "name": "projectAdmin"}).status == 409
    assert admin.put("/roles/0", body).status == 404
    assert admin.delete(f"/roles/{2**70}").status == 404


def test_only_system_administrators_define_roles(admin: Api, stranger: Api) -> None:
    project = make_project(admin)
    user = project.make_member(ADMIN).api
    role_id = make_role(admin, "repository:pull")
    body = {"name": unique("role"), "permissions": permissions("repository:push")}
    for api, status in ((user, 403), (stranger, 401)):
        assert api.post("/roles", body).status == status
        assert api.put(f"/roles/{role_id}", body).status == status
        assert api.delete(f"/roles/{role_id}").status == status
    assert stranger.get("/roles").status == 401


def test_custom_role_grants_its_permissions_and_changes_at_once(admin: Api) -> None:
    project = make_project(admin)
    repository = f"{project.name}/app"
    push_image(admin, repository, fresh(), fresh())
    role_id = make_role(admin, "repository:pull")
    user = project.make_member(role_id).api

    assert pull_status(user, repository) == 200
    assert push_blob(user, repository, b"x").status == 403
    assert user.get(project.path).status == 403
    wider = {"name": unique("role"), "permissions": permissions("repository:pull", "repository:push")}
    assert admin.put(f"/roles/{role_id}", wider).status == 200
    for _ in range(4):
        assert push_blob(user, repository, b"x").status == 201
    assert admin.delete(f"/roles/{role_id}").status == 412
    assert admin.get(f"{project.path}/members").json[1]["role_name"] == wider["name"]
