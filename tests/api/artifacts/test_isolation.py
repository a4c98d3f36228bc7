"""What is not a caller's own looks the same as what does not exist, in every operation on repositories."""

import pytest
from tests.api.artifacts.content import House, artifact_path, make_image, path_of, push, unique
from tests.api.client import Api
from tests.api.users.accounts import TestUser, make_user

MAINTAINER = 4


@pytest.fixture
def outsider(admin: Api, house: House) -> TestUser:
    """Return a maintainer of another project."""
    own = unique("own")
    push(admin, f"{own}/app", make_image(), "v1")
    user = make_user(admin)
    house.add_member(user.id, own, MAINTAINER)
    return user


def operations(repository: str, digest: str) -> list[tuple[str, str, object]]:
    artifact = artifact_path(repository, "v1")
    project_name = repository.partition("/")[0]
    return [
        ("GET", f"/projects/{project_name}/repositories", None),
        ("GET", f"/projects/{project_name}/artifacts", None),
        ("GET", path_of(repository), None),
        ("PUT", path_of(repository), {"description": "x"}),
        ("GET", path_of(repository, "artifacts"), None),
        ("GET", path_of(repository, f"artifacts?q=digest={digest}"), None),
        ("POST", path_of(repository, "artifacts?from=library/x:v1"), None),
        ("GET", artifact, None),
        ("GET", artifact_path(repository, digest), None),
        ("GET", f"{artifact}/tags", None),
        ("POST", f"{artifact}/tags", {"name": "v2"}),
        ("DELETE", f"{artifact}/tags/v1", None),
        ("GET", f"{artifact}/accessories", None),
        ("GET", f"{artifact}/additions/build_history", None),
        ("GET", f"{artifact}/additions/vulnerabilities", None),
        ("POST", f"{artifact}/labels", {"id": 1}),
        ("DELETE", f"{artifact}/labels/1", None),
        ("DELETE", artifact, None),
        ("DELETE", path_of(repository), None),
    ]


def test_foreign_and_missing_repositories_cannot_be_told_apart(
    admin: Api, outsider: TestUser, repository: str
) -> None:
    image = make_image()
    push(admin, repository, image, "v1")
    missing = f"{unique('none')}/team/app"

    for callers, status in ((outsider.api, 403), (admin.as_stranger(), 401)):
        for (method, there, body), (_, nowhere, _) in zip(
            operations(repository, image.digest), operations(missing, image.digest), strict=True
        ):
            answers = [callers.request(method, f"/api/v2.0{path}", body) for path in (there, nowhere)]
            assert [answer.status for answer in answers] == [status, status], (method, there)
            assert answers[0].body == answers[1].body

    assert admin.get(artifact_path(repository, "v1")).json["digest"] == image.digest


def test_lists_across_projects_hide_foreign_repositories(
    admin: Api, outsider: TestUser, repository: str
) -> None:
    push(admin, repository, make_image(), "v1")

    for query in (f"q=name={repository}", f"q=name=~{repository[8:20]}", "q=name={" + repository + "}"):
        found = outsider.api.get(f"/repositories?{query}")
        assert (found.status, found.json, found.headers["x-total-count"]) == (200, [], "0")


def test_revoked_membership_is_refused_on_the_next_request(admin: Api, house: House, repository: str) -> None:
    push(admin, repository, make_image(), "v1")
    user = make_user(admin)
    path = artifact_path(repository, "v1")
    house.add_member(user.id, repository.partition("/")[0], MAINTAINER)
    assert [user.api.get(path).status for _ in range(4)] == [200] * 4

    house.remove_member(user.id)

    assert [user.api.get(path).status for _ in range(4)] == [403] * 4
