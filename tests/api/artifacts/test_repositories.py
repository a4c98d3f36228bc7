"""Repositories over HTTP: lists, descriptions, deletion, and what members of other projects see of them."""

import pytest
from tests.api.artifacts.content import House, artifact_path, make_image, path_of, pull, push, unique
from tests.api.client import Api
from tests.api.users.accounts import make_user

DEVELOPER, GUEST, MAINTAINER, LIMITED_GUEST = 2, 3, 4, 5


def names_in(api: Api, path: str) -> list[str]:
    answer = api.get(path)
    assert answer.status == 200, answer.body
    assert answer.headers["x-total-count"] == str(len(answer.json))
    return [repository["name"] for repository in answer.json]


def test_repository_is_shown_with_its_counts(admin: Api, house: House, repository: str) -> None:
    for tag in ("v1", "v2"):
        push(admin, repository, make_image(), tag)

    shown = admin.get(path_of(repository)).json

    assert shown["name"] == repository
    assert shown["project_id"] == house.project_id(repository.partition("/")[0])
    assert (shown["artifact_count"], shown["pull_count"]) == (2, 0)
    assert "description" not in shown
    assert shown["creation_time"].endswith("Z")


def test_description_is_changed(admin: Api, repository: str) -> None:
    push(admin, repository, make_image(), "v1")

    assert admin.put(path_of(repository), {"description": "what it is for"}).status == 200

    assert admin.get(path_of(repository)).json["description"] == "what it is for"
    assert admin.put(path_of(repository), {"description": "x" * 70_000}).status == 422
    assert admin.put(path_of(repository + "2"), {"description": "x"}).status == 404


def test_deleting_a_repository_takes_everything_in_it(admin: Api, house: House, repository: str) -> None:
    image = make_image()
    push(admin, repository, image, "v1", "v2")

    assert admin.delete(path_of(repository)).status == 200

    assert admin.delete(path_of(repository)).status == 404
    assert admin.get(path_of(repository)).status == 404
    assert [pull(admin, repository, name).status for name in ("v1", image.digest)] == [404, 404]
    assert admin.request("GET", f"/v2/{repository}/blobs/{image.digest}").status == 404
    assert "delete_repository" in [record["operation"] for record in house.audit_records(repository)]
    push(admin, repository, image, "v1")
    assert pull(admin, repository, "v1").status == 200


def test_lists_are_filtered_sorted_and_paged(admin: Api) -> None:
    project_name = unique("project")
    for name in ("b", "a", "deep/c"):
        push(admin, f"{project_name}/{name}", make_image(), "v1")
    path = f"/projects/{project_name}/repositories"

    assert names_in(admin, path) == [f"{project_name}/{name}" for name in ("deep/c", "a", "b")]
    assert names_in(admin, f"{path}?sort=name") == [f"{project_name}/{name}" for name in ("a", "b", "deep/c")]
    assert names_in(admin, f"{path}?q=name=~deep") == [f"{project_name}/deep/c"]
    assert names_in(admin, f"/repositories?q=name=~{project_name}&sort=-name") == [
        f"{project_name}/{name}" for name in ("deep/c", "b", "a")
    ]
    page = admin.get(f"{path}?page_size=1&page=2&sort=name")
    assert [entry["name"] for entry in page.json] == [f"{project_name}/b"]
    assert page.headers["x-total-count"] == "3"
    assert 'rel="prev"' in page.headers["link"]


def test_wrong_requests_are_refused(admin: Api) -> None:
    assert admin.get("/projects/no-such-project/repositories").status == 404
    assert admin.get("/projects/Bad_Name!/repositories").status == 400
    assert admin.get("/projects/library/repositories/a%252F%252Fb").status == 400
    assert admin.get("/projects/library/repositories/a%2500b").status == 400
    assert admin.get("/repositories?q=nothing=1").status == 400
    assert admin.get("/repositories?page_size=101").status == 400


def test_members_see_their_projects_and_strangers_the_public_ones(
    admin: Api, stranger: Api, house: House
) -> None:
    mark = unique("seen")
    push(admin, f"library/{mark}", make_image(), "v1")
    for name in ("mine", "other"):
        push(admin, f"{mark}-{name}/app", make_image(), "v1")
    user = make_user(admin)
    path = f"/repositories?q=name=~{mark}&sort=name"

    before = names_in(user.api, path)
    house.add_member(user.id, f"{mark}-mine", LIMITED_GUEST)

    assert before == [f"library/{mark}"]
    assert names_in(user.api, path) == [f"library/{mark}", f"{mark}-mine/app"]
    assert names_in(stranger, path) == [f"library/{mark}"]
    assert names_in(stranger, f"/projects/library/repositories?q=name=~{mark}") == [f"library/{mark}"]
    assert user.api.get(f"/projects/{mark}-other/repositories").status == 403
    assert stranger.get(f"/projects/{mark}-other/repositories").status == 401
    assert user.api.get("/projects/no-such-project/repositories").status == 403


def test_pattern_limits_what_lists_and_single_requests_show(admin: Api, house: House) -> None:
    project_name = unique("project")
    for name in ("base-a", "base-b/deep", "app"):
        push(admin, f"{project_name}/{name}", make_image(), "v1")
    user = make_user(admin)
    house.add_member(user.id, project_name, DEVELOPER, "base-*")
    base = f"{project_name}/base-a"

    assert names_in(user.api, f"/projects/{project_name}/repositories") == [base]
    assert names_in(user.api, f"/repositories?q=name=~{project_name}") == [base]
    found = user.api.get(f"/projects/{project_name}/artifacts")
    assert [item["repository_name"] for item in found.json] == [base]
    assert found.headers["x-total-count"] == "1"
    assert user.api.get(artifact_path(base, "v1")).status == 200
    others = [f"{project_name}/{name}" for name in ("base-b/deep", "app", "no-such-repository")]
    answers = [user.api.get(artifact_path(name, "v1")) for name in others]
    assert [answer.status for answer in answers] == [403] * 3
    assert len({answer.body for answer in answers}) == 1


@pytest.mark.parametrize(
    ("role_id", "statuses"),
    [
        (GUEST, (200, 403, 403, 403, 403, 403)),
        (DEVELOPER, (200, 200, 201, 403, 403, 403)),
        (MAINTAINER, (200, 200, 201, 200, 200, 200)),
        (LIMITED_GUEST, (200, 403, 403, 403, 403, 403)),
    ],
)
def test_roles_may_what_the_permission_table_says(
    admin: Api, house: House, repository: str, role_id: int, statuses: tuple[int, ...]
) -> None:
    image = make_image()
    push(admin, repository, image, "v1")
    user = make_user(admin)
    house.add_member(user.id, repository.partition("/")[0], role_id)
    tags = artifact_path(repository, image.digest, "tags")

    answers = (
        user.api.get(artifact_path(repository, "v1")),
        user.api.put(path_of(repository), {"description": "new"}),
        user.api.post(tags, {"name": "v2"}),
        user.api.delete(f"{tags}/v1"),
        user.api.delete(artifact_path(repository, image.digest)),
        user.api.delete(path_of(repository)),
    )

    assert tuple(answer.status for answer in answers) == statuses
