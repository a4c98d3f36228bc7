"""Projects over HTTP: made, listed, shown, changed, deleted, and what strangers learn of them."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.api.client import Api
from tests.api.projects.house import (
    ADMIN,
    DEVELOPER,
    GUEST,
    LIMITED_GUEST,
    fresh,
    image_of,
    make_project,
    pull_status,
    push_blob,
    push_image,
    push_manifest,
)
from tests.api.users.accounts import make_user, unique
from tests.servers import HomeportServer

from homeport.app import read_audit
from homeport.config import load_settings
from homeport.db.audit import AuditFilter


def names_of(api: Api, query: str = "") -> list[str]:
    """Return the names that a list of projects shows."""
    answer = api.get(f"/projects?page_size=100{query}")
    assert answer.status == 200, answer.body
    return [project["name"] for project in answer.json]


def test_project_is_made_with_its_maker_as_administrator(admin: Api) -> None:
    user = make_user(admin)
    name = unique("project")

    answer = user.api.post("/projects", {"project_name": name, "metadata": {"public": "true"}})

    assert answer.status == 201
    assert answer.body == b""
    project_id = answer.created_id
    assert answer.headers["location"] == f"/api/v2.0/projects/{project_id}"
    shown = user.api.get(f"/projects/{project_id}").json
    assert shown["name"] == name
    assert shown["owner_name"] == user.name
    assert shown["owner_id"] == user.id
    assert shown["current_user_role_id"] == ADMIN
    assert shown["current_user_role_ids"] == [ADMIN]
    assert shown["metadata"] == {"public": "true"}
    assert shown["repo_count"] == 0
    assert shown["cve_allowlist"]["items"] == []
    assert push_blob(user.api, f"{name}/app", fresh()).status == 201


def test_location_names_the_project_when_asked_to(admin: Api) -> None:
    name = unique("project")

    answer = (
        admin.with_headers(x_resource_name_in_location="true")
        .as_user(admin.user, admin.password)
        .request(
            "POST", "/api/v2.0/projects", {"project_name": name}, {"X-Resource-Name-In-Location": "true"}
        )
    )

    assert answer.headers["location"] == f"/api/v2.0/projects/{name}"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "a/b",
        "a%2fb",
        "Upper",
        "ünicode",
        "a b",
        "-a",
        "a-",
        "a..b",
        "a__b",
        "a\n",
        "\u0000",
        "a" * 256,
        "\uff11",
        "'; drop table project; --",
    ],
)
def test_project_of_an_impossible_name_is_refused(admin: Api, name: str) -> None:
    assert admin.post("/projects", {"project_name": name}).status in {400, 422}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"metadata": {"public": "maybe"}},
        {"metadata": {"severity": "awful"}},
        {"storage_limit": 0},
        {"storage_limit": -2},
        {"storage_limit": 2**60},
        {"storage_limit": 2**70},
        {"cve_allowlist": {"items": [{"cve_id": "CVE-1"}, {"cve_id": "CVE-1"}]}},
        {"cve_allowlist": {"items": [{"cve_id": "not an id"}]}},
        {"cve_allowlist": {"items": [], "expires_at": -1}},
        {"metadata": [1]},
    ],
)
def test_project_of_impossible_properties_is_refused(admin: Api, body: dict[str, object]) -> None:
    wanted = {"project_name": unique("project"), **body} if body else body

    assert admin.post("/projects", wanted).status in {400, 422}


def test_project_of_a_taken_name_is_a_conflict(admin: Api) -> None:
    project = make_project(admin)

    answer = admin.post("/projects", {"project_name": project.name})

    assert (answer.status, answer.code) == (409, "CONFLICT")


def test_proxy_cache_project_is_not_built_yet(admin: Api) -> None:
    answer = admin.post("/projects", {"project_name": unique("project"), "registry_id": 1})

    assert answer.status == 501


def test_strangers_make_no_projects(stranger: Api) -> None:
    assert stranger.post("/projects", {"project_name": unique("project")}).status == 401


def test_storage_limit_of_ones_own_choice_needs_the_right_to_quotas(admin: Api) -> None:
    user = make_user(admin)
    name = unique("project")

    assert user.api.post("/projects", {"project_name": name, "storage_limit": 10**12}).status == 403
    assert user.api.post("/projects", {"project_name": name, "storage_limit": -1}).status == 201
    assert user.api.put(f"/projects/{name}", {"storage_limit": 10**12}).status == 403
    assert admin.put(f"/projects/{name}", {"storage_limit": 10**12}).status == 200
    assert user.api.get(f"/projects/{name}/summary").json["quota"]["hard"] == {"storage": 10**12}


def test_private_project_looks_like_none_to_others(admin: Api, stranger: Api) -> None:
    project = make_project(admin)
    other = make_user(admin).api
    absent = unique("project")
    for path in ("", "/summary", "/_deletable", "/members", "/metadatas/", "/metadatas/public", "/members/1"):
        for api in (other, stranger):
            of_private = api.get(f"/projects/{project.name}{path}")
            of_none = api.get(f"/projects/{absent}{path}")
            by_id = api.get(f"/projects/{project.id}{path}")

            assert of_private.status == of_none.status == by_id.status == (401 if api is stranger else 403)
            assert of_private.body == of_none.body == by_id.body


def test_private_project_is_not_listed_to_others(admin: Api, stranger: Api) -> None:
    private, public = make_project(admin), make_project(admin, public=True)
    member = private.make_member(LIMITED_GUEST).api
    other = make_user(admin).api

    for api in (stranger, other):
        assert private.name not in names_of(api, f"&name={private.name}")
        assert public.name in names_of(api, f"&name={public.name}")
        path = f"/api/v2.0/projects?project_name={private.name}"
        assert api.request("HEAD", path).status == 404
        found = api.get(f"/search?q={private.name}").json
        assert found == {"project": [], "repository": []}
    assert private.name in names_of(member, f"&name={private.name}")
    assert member.request("HEAD", f"/api/v2.0/projects?project_name={private.name}").status == 200
    assert admin.request("HEAD", f"/api/v2.0/projects?project_name={private.name}").status == 200


def test_projects_are_filtered_sorted_and_paged(admin: Api) -> None:
    mark = unique("mark")
    for each in ("a", "b", "c"):
        body = {"project_name": f"{mark}-{each}", "metadata": {"public": str(each == "b").lower()}}
        assert admin.post("/projects", body).status == 201

    assert names_of(admin, f"&name={mark}&sort=-name") == [f"{mark}-c", f"{mark}-b", f"{mark}-a"]
    assert names_of(admin, f"&name={mark}&public=true") == [f"{mark}-b"]
    assert names_of(admin, f"&q=name%3D{mark}-a") == [f"{mark}-a"]
    assert names_of(admin, f"&q=name%3D~{mark},public%3Dfalse&sort=name") == [f"{mark}-a", f"{mark}-c"]
    assert names_of(admin, f"&name={mark}&owner={unique()}") == []
    page = admin.get(f"/projects?name={mark}&page=2&page_size=1&sort=name&with_detail=false")
    assert [each["name"] for each in page.json] == [f"{mark}-b"]
    assert "cve_allowlist" not in page.json[0]
    assert page.headers["x-total-count"] == "3"
    assert 'rel="next"' in page.headers["link"]
    assert 'rel="prev"' in page.headers["link"]
    for query in ("?page=0", "?page_size=101", "?q=unknown%3D1", "?sort=password", "?q=%00"):
        assert admin.get(f"/projects{query}").status == 400, query
    assert admin.get("/projects?name=%25").json == []


def test_number_is_an_id_unless_the_request_says_name(admin: Api) -> None:
    name = str(10**9 + make_project(admin).id)
    answer = admin.post("/projects", {"project_name": name})
    assert answer.status == 201

    assert admin.get(f"/projects/{name}").status == 404
    by_name = admin.request("GET", f"/api/v2.0/projects/{name}", None, {"X-Is-Resource-Name": "true"})
    assert by_name.json["name"] == name
    assert admin.get(f"/projects/{answer.created_id}").json["name"] == name
    assert admin.get(f"/projects/{10**40}").status == 404


def test_project_is_changed_as_asked_and_no_more(admin: Api) -> None:
    project = make_project(admin)
    allowlist = {"items": [{"cve_id": "CVE-2019-10164"}], "expires_at": 2_000_000_000}
    change = {"metadata": {"auto_scan": "TRUE", "severity": "High"}, "cve_allowlist": allowlist}

    assert admin.put(project.path, change).status == 200

    shown = admin.get(project.path).json
    assert shown["metadata"] == {"public": "false", "auto_scan": "true", "severity": "high"}
    assert shown["cve_allowlist"]["items"] == allowlist["items"]
    assert shown["cve_allowlist"]["expires_at"] == 2_000_000_000
    assert admin.put(project.path, {"metadata": {"auto_scan": "false"}}).status == 200
    again = admin.get(project.path).json
    assert again["metadata"] == {"public": "false", "auto_scan": "false", "severity": "high"}
    assert again["cve_allowlist"]["items"] == allowlist["items"]
    assert admin.put(project.path, {"project_name": unique()}).status == 400
    assert admin.put(project.path, {"registry_id": 7}).status == 400


def test_only_project_administrators_change_a_project(admin: Api) -> None:
    project = make_project(admin)
    for role in (DEVELOPER, GUEST, LIMITED_GUEST, 4):
        member = project.make_member(role).api
        assert member.put(project.path, {"metadata": {"public": "true"}}).status == 403
        assert member.delete(project.path).status == 403
        assert member.post(f"{project.path}/metadatas/", {"auto_scan": "true"}).status == 403
        assert member.get(project.path).status == 200
    administrator = project.make_member(ADMIN).api
    assert administrator.put(project.path, {"metadata": {"public": "true"}}).status == 200


def test_visibility_counts_at_the_next_request_of_every_worker(admin: Api, stranger: Api) -> None:
    project = make_project(admin, public=True)
    push_image(admin, f"{project.name}/app", fresh(), fresh())
    other = make_user(admin).api
    for public in (False, True, False):
        value = {"public": str(public).lower()}
        assert admin.put(f"{project.path}/metadatas/public", value).status == 200
        # connections go to either worker
        for _ in range(6):
            assert pull_status(other, f"{project.name}/app") == (200 if public else 403)
            assert other.get(project.path).status == (200 if public else 403)
            assert stranger.get(project.path).status == (200 if public else 401)


def test_metadata_is_kept_one_value_at_a_time(admin: Api) -> None:
    path = f"{make_project(admin).path}/metadatas"

    assert admin.get(f"{path}/auto_scan").status == 404
    assert admin.post(f"{path}/", {"auto_scan": "True"}).status == 200
    assert admin.get(f"{path}/auto_scan").json == {"auto_scan": "true"}
    assert admin.post(f"{path}/", {"auto_scan": "true"}).status == 409
    assert admin.put(f"{path}/auto_scan", {"auto_scan": "false"}).status == 200
    assert admin.get(f"{path}/").json == admin.get(path).json == {"public": "false", "auto_scan": "false"}
    assert admin.put(f"{path}/auto_scan", {"severity": "low"}).status == 400
    assert admin.put(f"{path}/severity", {"severity": "low"}).status == 404
    assert admin.post(f"{path}/", {}).status == 400
    assert admin.post(f"{path}/", {"severity": "low", "prevent_vul": "true"}).status == 400
    assert admin.post(f"{path}/", {"invented": "true"}).status == 400
    assert admin.post(f"{path}/", {"retention_id": "1"}).status == 400
    assert admin.post(f"{path}/", {"proxy_speed_kb": "1e5"}).status == 400
    assert admin.post(f"{path}/", {"auto_scan": True}).status == 422
    assert admin.delete(f"{path}/auto_scan").status == 200
    assert admin.delete(f"{path}/auto_scan").status == 404


def test_project_with_repositories_is_not_deleted(admin: Api) -> None:
    project = make_project(admin)
    repository = f"{project.name}/app"
    push_image(admin, repository, fresh(), fresh())

    assert admin.get(f"{project.path}/_deletable").json["deletable"] is False
    answer = admin.delete(project.path)

    assert (answer.status, answer.code) == (412, "PRECONDITION")
    assert pull_status(admin, repository) == 200
    assert admin.delete(f"{project.path}/repositories/app").status == 200
    assert admin.get(f"{project.path}/_deletable").json == {"deletable": True}
    assert admin.delete(project.path).status == 200
    assert admin.get(project.path).status == 404


def test_deleted_project_takes_its_rights_along(admin: Api) -> None:
    project = make_project(admin)
    member = project.make_member(DEVELOPER).api
    assert admin.delete(project.path).status == 200

    for _ in range(4):
        assert member.get(project.path).status == 403
        assert push_blob(member, f"{project.name}/app", fresh()).status == 403
    assert admin.post("/projects", {"project_name": project.name}).status == 201
    for _ in range(4):
        assert member.get(project.path).status == 403
        assert push_blob(member, f"{project.name}/app", fresh()).status == 403


def test_push_that_was_begun_in_a_deleted_project_is_refused(admin: Api) -> None:
    project = make_project(admin)
    member = project.make_member(DEVELOPER).api
    path = f"/v2/{project.name}/app/blobs/uploads/"
    location = member.request("POST", path).headers["location"]
    assert admin.delete(project.path).status == 200

    digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert member.request("PUT", f"{location}?digest={digest}", b"").status == 403
    assert push_manifest(member, f"{project.name}/app", image_of(b"{}")).status == 403
    assert admin.get(project.path).status == 404


def test_summary_counts_members_for_those_who_may_list_them(admin: Api) -> None:
    project = make_project(admin)
    project.make_member(DEVELOPER)
    guest, limited = project.make_member(GUEST).api, project.make_member(LIMITED_GUEST).api

    full = guest.get(f"{project.path}/summary").json
    assert full["project_admin_count"] == 1
    assert full["developer_count"] == full["guest_count"] == full["limited_guest_count"] == 1
    assert full["maintainer_count"] == 0
    assert full["quota"] == {"hard": {"storage": -1}, "used": {"storage": 0}}
    assert "developer_count" not in limited.get(f"{project.path}/summary").json


def test_changes_are_recorded_with_before_and_after(admin: Api, homeport_server: HomeportServer) -> None:
    project = make_project(admin)
    admin.put(project.path, {"metadata": {"public": "true"}})
    member = project.make_member(DEVELOPER)
    admin.delete(project.path)

    found = asyncio.run(
        read_audit(load_settings(data=homeport_server.data), AuditFilter(project=project.name), 50)
    )
    records = {record.operation: record for _, record in found}
    assert set(records) == {"create_project", "update_project", "create_member", "delete_project"}
    assert {record.principal for record in records.values()} == {"admin"}
    update = records["update_project"]
    assert json.loads(update.before or "")["metadata"] == {"public": "false"}
    assert json.loads(update.after or "")["metadata"] == {"public": "true"}
    assert records["create_project"].before is None
    assert records["delete_project"].after is None
    assert records["create_member"].reference == member.name


@pytest.mark.parametrize(
    "path",
    [
        "/projects/%00",
        "/projects/a%00b/members",
        "/projects?name=%00",
        "/projects?owner=a%00",
        "/projects?page=99999999999999999999999",
        "/projects?page_size=99999999999999999999999",
        "/projects?q=project_id%3D99999999999999999999999",
        "/projects?q=creation_time%3D[99999999999999999~]",
        "/projects/library/members?entityname=%00",
        "/projects/library/members/99999999999999999999999",
        "/projects/library/metadatas/%00",
        "/search?q=%00",
        "/labels?scope=g&name=%00",
        "/labels?scope=p&project_id=99999999999999999999999",
        "/labels/99999999999999999999999",
        "/quotas/99999999999999999999999",
        "/quotas?reference_id=9999999999999999999",
        "/roles/99999999999999999999999",
        f"/projects/{'9' * 5000}",
        "/projects/00000000000000000000000001",
    ],
)
def test_odd_requests_are_refused_clearly(admin: Api, path: str) -> None:
    answer = admin.get(path)

    assert answer.status in {200, 400, 404, 422}, answer.body
    assert answer.status != 200 or answer.json == [], answer.body


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/projects/library/members", {"role_id": 1, "member_user": {"username": "a\0"}}),
        ("/projects/library/members", {"role_id": 1, "member_user": {"username": "\ud800"}}),
        ("/projects/library/members", {"role_id": 1, "member_group": {"group_name": "\0", "group_type": 3}}),
        ("/projects/library/metadatas/", {"\0": "x"}),
        ("/projects/library/metadatas/", {"\ud800": "\ud800"}),
        ("/projects", {"project_name": "\ud800"}),
        ("/labels", {"name": "x", "scope": "g", "description": "\ud800"}),
        ("/roles", {"name": "x", "description": "\0", "permissions": []}),
        ("/projects", []),
        ("/projects", None),
    ],
)
def test_odd_bodies_are_refused_clearly(admin: Api, path: str, body: object) -> None:
    assert admin.post(path, body).status in {400, 422}


def test_only_administrators_make_projects_when_the_settings_say_so(admin: Api) -> None:
    user = make_user(admin).api
    body = {"project_name": unique("project")}
    setting = "project_creation_restriction"
    assert admin.put("/configurations", {setting: "adminonly"}).status == 200
    try:
        for _ in range(4):
            assert user.post("/projects", body).status == 403
        assert admin.post("/projects", {"project_name": unique("project")}).status == 201
    finally:
        assert admin.put("/configurations", {setting: "everyone"}).status == 200
    assert user.post("/projects", body).status == 201


def test_auditor_reads_every_project_and_changes_none(admin: Api) -> None:
    project = make_project(admin)
    push_image(admin, f"{project.name}/app", fresh(), fresh())
    auditor = make_user(admin)
    assert auditor.api.get(project.path).status == 403
    assert admin.put(f"/users/{auditor.id}/auditor", {"auditor_flag": True}).status == 200

    for path in ("", "/summary", "/members", "/metadatas/"):
        assert auditor.api.get(f"{project.path}{path}").status == 200, path
    assert project.name in names_of(auditor.api, f"&name={project.name}")
    assert auditor.api.get("/quotas").status == 200
    assert pull_status(auditor.api, f"{project.name}/app") == 403
    assert push_blob(auditor.api, f"{project.name}/app", fresh()).status == 403
    assert auditor.api.put(project.path, {"metadata": {"public": "true"}}).status == 403
    assert auditor.api.delete(project.path).status == 403
    assert auditor.api.post("/projects", {"project_name": unique("project")}).status == 201


def test_project_is_deleted_while_it_is_pushed_into_or_keeps_the_push(admin: Api) -> None:
    for _ in range(6):
        project = make_project(admin)
        member = project.make_member(DEVELOPER).api
        contents = [fresh(100) for _ in range(4)]

        def push(repository: str, api: Api = member, blobs: list[bytes] = contents) -> list[int]:
            statuses = [push_blob(api, repository, blob).status for blob in blobs]
            return [*statuses, push_manifest(api, repository, image_of(*blobs)).status]

        with ThreadPoolExecutor(3) as pool:
            pushes = [pool.submit(push, f"{project.name}/app-{number}") for number in range(2)]
            deleted = pool.submit(admin.delete, project.path).result().status
        statuses = {status for pushed in pushes for status in pushed.result()}
        if deleted == 200:
            assert statuses <= {201, 403, 404}
            assert admin.get(project.path).status == 404
        else:
            assert (deleted, statuses) == (412, {201})
            assert admin.get(project.path).json["repo_count"] == 2
