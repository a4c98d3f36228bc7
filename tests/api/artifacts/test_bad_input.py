"""Malformed requests about repositories and artifacts: each gets an error of its own, never a 500."""

import pytest
from tests.api.artifacts.content import artifact_path, make_image, path_of, push
from tests.api.client import Api

REPOSITORY = "library/bad-input"
_PUSHED: set[str] = set()


@pytest.fixture
def path(admin: Api) -> str:
    """Return the path of an artifact that is there."""
    if admin.url not in _PUSHED:
        push(admin, REPOSITORY, make_image(), "v1")
        _PUSHED.add(admin.url)
    return artifact_path(REPOSITORY, "v1")


@pytest.mark.parametrize(
    "query",
    [
        "page=99999999999999999999999",
        "page=9223372036854775807",
        "page_size=99999999999999999999",
        "q=id=99999999999999999999",
        "q=id=-99999999999999999999",
        "q=size=[99999999999999999999~]",
        "q=labels=99999999999999999999",
        "q=labels=(1%2099999999999999999999)",
        "q=labels=()",
        "q=push_time=[99999999999999999999~]",
        "q=push_time=never",
        "q=tags=(a%20b)",
        "q=tags",
        "q=%00=1",
        "q=tags=%00",
        "q=type=~%00",
        "sort=-",
        "with_tag=perhaps",
    ],
)
def test_bad_list_is_refused(admin: Api, path: str, query: str) -> None:
    lists = [path_of(REPOSITORY, "artifacts"), "/projects/library/artifacts"]
    if query != "with_tag=perhaps":
        lists += [f"{path}/tags", f"{path}/accessories"]

    statuses = [admin.get(f"{listed}?{query}").status for listed in lists]

    assert set(statuses) <= {400, 422}, statuses


@pytest.mark.parametrize(
    "reference", ["%00", "a%00b", "sha256:", "md5:abc", ":", "sha256:" + "z" * 64, "x" * 600, "%C3%A9"]
)
def test_bad_reference_is_refused(admin: Api, reference: str) -> None:
    for rest in ("", "/tags", "/accessories", "/additions/build_history"):
        answer = admin.get(path_of(REPOSITORY, "artifacts") + f"/{reference}{rest}")
        assert answer.status in {400, 404, 422}, (rest, answer.body)
    assert admin.delete(path_of(REPOSITORY, "artifacts") + f"/{reference}").status in {400, 404, 422}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"name": 1}', b'{"id": "x"}', b'{"id": 0}'])
def test_bad_body_is_refused(admin: Api, path: str, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    for rest in ("tags", "labels"):
        answer = admin.request("POST", f"/api/v2.0{path}/{rest}", body, headers)
        assert answer.status in {400, 422}, answer.body


@pytest.mark.parametrize("name", ["%00", "..", "a%252F..%252Fb", "A", "a" * 300, "a%252F"])
def test_bad_repository_name_is_refused(admin: Api, name: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        body = {"description": "x"} if method == "PUT" else None
        answer = admin.request(method, f"/api/v2.0/projects/library/repositories/{name}", body)
        assert answer.status in {400, 404}, answer.body


def test_description_with_nul_is_refused(admin: Api, path: str) -> None:
    del path
    assert admin.put(path_of(REPOSITORY), {"description": "a\0b"}).status in {400, 422}
