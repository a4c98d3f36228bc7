"""Labels over HTTP, global ones and those of projects."""

import pytest
from tests.api.client import Api
from tests.api.projects.house import ADMIN, GUEST, LIMITED_GUEST, MAINTAINER, make_project
from tests.api.users.accounts import make_user, unique


def test_global_label_is_made_shown_changed_and_deleted(admin: Api, stranger: Api) -> None:
    name = unique("label")
    body = {"name": name, "description": "d", "color": "#00FF00", "scope": "g"}

    label_id = admin.post("/labels", body).created_id

    user = make_user(admin).api
    shown = user.get(f"/labels/{label_id}").json
    assert {key: shown[key] for key in body} == body
    assert shown["project_id"] == 0
    assert admin.post("/labels", body).status == 409
    assert [each["id"] for each in user.get(f"/labels?scope=g&name={name}").json] == [label_id]
    assert admin.put(f"/labels/{label_id}", {**body, "color": "#FF0000"}).status == 200
    assert user.get(f"/labels/{label_id}").json["color"] == "#FF0000"
    for api, status in ((user, 403), (stranger, 401)):
        assert api.post("/labels", {**body, "name": unique()}).status == status
        assert api.put(f"/labels/{label_id}", body).status == status
        assert api.delete(f"/labels/{label_id}").status == status
    assert stranger.get("/labels?scope=g").status == stranger.get(f"/labels/{label_id}").status == 401
    assert admin.delete(f"/labels/{label_id}").status == 200
    assert admin.get(f"/labels/{label_id}").status == 404


def test_label_of_a_project_is_for_its_members(admin: Api, stranger: Api) -> None:
    project = make_project(admin)
    maintainer, guest = project.make_member(MAINTAINER).api, project.make_member(GUEST).api
    limited = project.make_member(LIMITED_GUEST).api
    outsider = make_user(admin).api
    body = {"name": unique("label"), "scope": "p", "project_id": project.id}

    label_id = maintainer.post("/labels", body).created_id

    assert guest.get(f"/labels/{label_id}").json["project_id"] == project.id
    listed = guest.get(f"/labels?scope=p&project_id={project.id}")
    assert [each["id"] for each in listed.json] == [label_id]
    assert listed.headers["x-total-count"] == "1"
    assert guest.put(f"/labels/{label_id}", body).status == 403
    assert guest.post("/labels", body).status == 403
    for api, absent, forbidden in ((outsider, 404, 403), (limited, 404, 403), (stranger, 401, 401)):
        assert api.get(f"/labels/{label_id}").status == absent
        assert api.get(f"/labels/{10**9}").status == absent
        assert api.put(f"/labels/{label_id}", body).status == absent
        assert api.delete(f"/labels/{label_id}").status == absent
        assert api.get(f"/labels?scope=p&project_id={project.id}").status == forbidden
        assert api.get(f"/labels?scope=p&project_id={10**9}").status == forbidden
        assert api.post("/labels", body).status == forbidden
    assert maintainer.delete(f"/labels/{label_id}").status == 200


def test_names_of_labels_are_taken_once_per_project(admin: Api) -> None:
    name = unique("label")
    one, two = make_project(admin), make_project(admin)
    scopes: list[dict[str, object]] = [{"scope": "p", "project_id": each.id} for each in (one, two)]
    scopes.append({"scope": "g"})
    for scope in scopes:
        assert admin.post("/labels", {"name": name, **scope}).status == 201
        assert admin.post("/labels", {"name": name, **scope}).status == 409
    other = admin.post("/labels", {"name": unique(), "scope": "g"}).created_id
    assert admin.put(f"/labels/{other}", {"name": name}).status == 409


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "x" * 129},
        {"name": "a\nb"},
        {"color": "red; x"},
        {"scope": ""},
        {"scope": "z"},
        {"description": "x" * 5000},
        {"description": "\u0000"},
    ],
)
def test_impossible_label_is_refused(admin: Api, wrong: dict[str, str]) -> None:
    body = {"name": unique("label"), "scope": "g", **wrong}

    assert admin.post("/labels", body).status == 400


def test_labels_go_with_their_project(admin: Api) -> None:
    project = make_project(admin)
    administrator = project.make_member(ADMIN).api
    body = {"name": unique("label"), "scope": "p", "project_id": project.id}
    label_id = administrator.post("/labels", body).created_id

    assert administrator.delete(project.path).status == 200
    assert admin.get(f"/labels/{label_id}").status == 404
    assert admin.get(f"/labels?scope=p&project_id={project.id}").status == 404
