"""The audit records over Harbor's API: both generations of lists, events, filters, exports, and who may."""

import csv
import io
import json
import re
import time
from urllib.parse import quote

import pytest
from harborapi import HarborAsyncClient
from tests.api.client import Api, ApiAnswer
from tests.api.projects.house import (
    ADMIN,
    DEVELOPER,
    MAINTAINER,
    Project,
    delete_manifest,
    make_project,
    pull_status,
    push_image,
)
from tests.api.users.accounts import TestUser, make_user
from tests.servers import HomeportServer

LEGACY = {"id", "username", "resource", "resource_type", "operation", "op_time"}
HOSTILE_AGENT = '=HYPERLINK("http://evil")\x9b31m'


@pytest.fixture(scope="module")
def api(homeport_server: HomeportServer) -> Api:
    return Api(homeport_server.url, homeport_server.user, homeport_server.password)


@pytest.fixture(scope="module")
def project(api: Api) -> Project:
    """Return a project with an image that was pushed, pulled and deleted."""
    made = make_project(api)
    body = push_image(api, f"{made.name}/app", b"config", b"layer")
    assert pull_status(api, f"{made.name}/app") == 200
    assert delete_manifest(api, f"{made.name}/app", body).status == 202
    return made


@pytest.fixture(scope="module")
def other(api: Api) -> Project:
    """Return a project that has nothing to do with the first one."""
    made = make_project(api)
    push_image(api, f"{made.name}/secret", b"config", b"layer")
    return made


def listed(answer: ApiAnswer) -> list[tuple[str, str]]:
    assert answer.status == 200, answer.body
    return [(row["operation"], row["resource_type"]) for row in answer.json]


def wait_for_pull(api: Api, project: Project) -> None:
    for _ in range(200):
        if api.get(f"{project.path}/auditlog-exts?q=operation=pull").json:
            return
        time.sleep(0.05)
    raise AssertionError("the pull is not recorded")


def test_project_log_has_the_older_shape(api: Api, project: Project) -> None:
    wait_for_pull(api, project)
    answer = api.get(f"{project.path}/logs?page_size=100")

    assert all(set(row) == LEGACY for row in answer.json)
    found = listed(answer)
    assert {
        ("create", "artifact"),
        ("pull", "artifact"),
        ("delete", "artifact"),
        ("create", "project"),
    } <= set(found)
    push = next(row for row in answer.json if row["operation"] == "create" and ":latest" in row["resource"])
    assert push["resource"] == f"{project.name}/app:latest"
    assert push["username"] == "admin"
    times = [row["op_time"] for row in answer.json]
    assert times == sorted(times, reverse=True)
    assert answer.headers["x-total-count"] == str(len(found))


def test_project_log_of_the_newer_shape_says_more(api: Api, project: Project) -> None:
    wait_for_pull(api, project)
    row = api.get(f"{project.path}/auditlog-exts?q=operation=pull_artifact").json[0]

    assert set(row) > LEGACY
    assert row["operation_result"] is True
    assert row["client_address"] == "127.0.0.1"
    assert row["resource"].startswith(f"{project.name}/app")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("operation=delete", {"delete"}),
        ("operation=create_artifact", {"create"}),
        ("operation={pull delete}", {"pull", "delete"}),
        ("resource_type=project", {"create"}),
        ("resource_type=artifact,username=admin", {"create", "pull", "delete"}),
        ("username=nobody", set()),
        ("resource=~APP,operation=pull", {"pull"}),
        ("op_time=[2020-01-01~2020-01-02]", set()),
        ("op_time=[2020-01-01~],operation=pull", {"pull"}),
        ("operation_result=false,resource_type=artifact", set()),
    ],
)
def test_log_is_filtered(api: Api, project: Project, query: str, expected: set[str]) -> None:
    wait_for_pull(api, project)
    answer = api.get(f"{project.path}/auditlog-exts?page_size=100&q={quote(query)}")

    assert {operation for operation, _ in listed(answer)} == expected


def test_log_is_paged_and_sorted_both_ways(api: Api, project: Project) -> None:
    wait_for_pull(api, project)
    path = f"{project.path}/auditlog-exts"
    whole = [row["id"] for row in api.get(f"{path}?page_size=100").json]
    paged: list[int] = []
    for page in range(1, len(whole) + 2):
        answer = api.get(f"{path}?page={page}&page_size=2")
        paged += [row["id"] for row in answer.json]
        assert ('rel="next"' in answer.headers.get("link", "")) == (2 * page < len(whole))
    upwards = [row["id"] for row in api.get(f"{path}?page_size=100&sort=op_time").json]

    assert paged == whole
    assert upwards == whole[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "q=nonsense=1",
        "q=op_time=yesterday",
        "q=op_time=[x~y]",
        "q=operation=[a~b]",
        "sort=username",
        "page=100000&page_size=100",
        "page=0",
    ],
)
def test_wrong_query_is_refused(api: Api, query: str) -> None:
    answer = api.get(f"/auditlog-exts?{quote(query, safe='=&')}")

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")


def test_event_types_are_listed(api: Api) -> None:
    types = [row["event_type"] for row in api.get("/auditlog-exts/events").json]

    assert {"create_artifact", "pull_artifact", "login_user", "update_configuration"} <= set(types)
    assert api.as_stranger().get("/auditlog-exts/events").status == 401


def test_project_admin_sees_the_own_projects_alone(project: Project, other: Project) -> None:
    member = project.make_member(ADMIN).api
    for path in ("/audit-logs", "/auditlog-exts"):
        rows = member.get(f"{path}?page_size=100").json
        assert rows
        assert all(other.name not in json.dumps(row) for row in rows)
        for query in (f"project={other.name}", f"repository={other.name}/secret", f"resource=~{other.name}"):
            assert member.get(f"{path}?q={quote(query)}").json == []
    for path in (f"{other.path}/logs", f"{other.path}/auditlog-exts", f"{other.path}/auditlog-exts/export"):
        assert member.get(path).status == 403
        assert member.get(path.replace(other.name, "no-such-project")).status == 403
    assert member.get("/auditlog-exts/export").status == 403


@pytest.mark.parametrize("role", [MAINTAINER, DEVELOPER])
def test_other_members_see_no_log(project: Project, role: int) -> None:
    member = project.make_member(role).api

    assert member.get(f"{project.path}/logs").status == 403
    assert member.get(f"{project.path}/auditlog-exts").status == 403
    assert member.get("/auditlog-exts").json == []


def test_strangers_see_no_log(api: Api, project: Project) -> None:
    for path in ("/audit-logs", "/auditlog-exts", f"{project.path}/logs", "/auditlog-exts/export"):
        assert api.as_stranger().get(path).status == 401


def test_records_of_an_earlier_project_of_the_name_are_not_shown(api: Api) -> None:
    first = make_project(api)
    assert api.delete(first.path).status == 200
    body = {"project_name": first.name, "metadata": {"public": "false"}}
    project = Project(api.post("/projects", body).created_id, first.name, api)

    found = listed(api.get(f"{first.path}/auditlog-exts"))
    mine = listed(project.make_member(ADMIN).api.get("/auditlog-exts?page_size=100&q=resource_type=project"))

    assert ("delete", "project") not in found
    assert ("delete", "project") not in mine


def test_missing_project_has_no_log(api: Api) -> None:
    assert api.get("/projects/no-such-project/logs").status == 404


def test_export_has_every_record_once(api: Api, project: Project) -> None:
    wait_for_pull(api, project)
    path = f"{project.path}/auditlog-exts/export?q={quote('op_time=[2020-01-01~]')}"
    answer = api.get(path)
    ids = [json.loads(line)["id"] for line in answer.body.splitlines()]
    shown = {row["id"] for row in api.get(f"{project.path}/auditlog-exts?page_size=100").json}

    assert answer.status == 200
    assert len(set(ids)) == len(ids)
    assert set(ids) <= shown
    assert len(shown - set(ids)) <= 1  # the record of the export itself
    assert api.get(f"{path}&format=xml").status == 400


def test_hostile_texts_are_harmless_in_exports(api: Api, project: Project) -> None:
    hostile = api.with_headers(user_agent=HOSTILE_AGENT)
    repository = f"{project.name}/hostile"
    push_image(hostile, repository, b"config", b"layer")
    query = quote(f"repository={repository}")
    lines = api.get(f"/auditlog-exts/export?format=jsonl&q={query}").body
    table = api.get(f"/auditlog-exts/export?format=csv&q={query}").body.decode()

    assert re.fullmatch(rb"[ -~\n]*", lines)
    assert json.loads(lines.splitlines()[0])["user_agent"] == HOSTILE_AGENT
    assert re.fullmatch(r"[ -~\r\n]*", table)
    rows = list(csv.DictReader(io.StringIO(table)))
    assert rows
    assert all(not cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


def test_auditor_reads_the_whole_log(api: Api, project: Project) -> None:
    auditor = make_user(api)
    make_auditor(api, auditor)

    assert auditor.api.get("/auditlog-exts?page_size=1").json
    assert auditor.api.get(f"{project.path}/logs").status == 200
    assert auditor.api.get("/auditlog-exts/export").status == 200


def make_auditor(api: Api, user: TestUser) -> None:
    answer = api.put(f"/users/{user.id}/auditor", {"auditor_flag": True})
    assert answer.status == 200, answer.body


@pytest.fixture
async def client(homeport_server: HomeportServer) -> HarborAsyncClient:
    return HarborAsyncClient(
        url=f"{homeport_server.url}/api/v2.0",
        username=homeport_server.user,
        secret=homeport_server.password,
    )


@pytest.mark.anyio
async def test_harborapi_reads_the_logs(client: HarborAsyncClient, project: Project) -> None:
    system = await client.get_audit_logs(page_size=5, limit=5)
    own = await client.get_project_logs(project.name, query="operation=delete")
    await client.client.aclose()

    assert len(system) == 5
    assert {log.operation for log in own} == {"delete"}
    assert all(log.resource is not None and log.resource.startswith(project.name) for log in own)
