"""Section 7 of the protocol: what a token opens and what it does not."""

import re

import pytest
from tests.conformance.conftest import OTHER_PASSWORD, OTHER_USER
from tests.conformance.content import ABSENT, BLOB, IMAGE, IMAGE_SEED, LAYER, OCI_MANIFEST
from tests.conformance.table import Exam, check_every_answer
from tests.conformance.tokens import TokenClient, bearer
from tests.conformance.wire import Answer, Headers, basic

TYPED: Headers = (("Content-Type", OCI_MANIFEST),)

REQUESTS = [
    ("GET", "/v2/{}/manifests/latest", "pull", 200),
    ("HEAD", "/v2/{}/manifests/latest", "pull", 200),
    ("GET", "/v2/{}/blobs/" + LAYER.digest, "pull", 200),
    ("HEAD", "/v2/{}/blobs/" + LAYER.digest, "pull", 200),
    ("GET", "/v2/{}/tags/list", "pull", 200),
    ("GET", "/v2/{}/referrers/" + IMAGE.digest, "pull", 200),
    ("POST", "/v2/{}/blobs/uploads/", "pull,push", 202),
    ("PUT", "/v2/{}/manifests/again", "pull,push", 201),
    ("DELETE", "/v2/{}/manifests/latest", "delete", 202),
    ("DELETE", "/v2/{}/blobs/" + BLOB.digest, "delete", 202),
]
IDS = [f"{method} {target[6:24]}" for method, target, _, _ in REQUESTS]


@pytest.fixture(scope="session")
def tokens(exam: Exam) -> TokenClient:
    """Return a client of the shared registry's token service."""
    return TokenClient(exam.registry)


def ask(exam: Exam, name: str, request: tuple[str, str, str, int], send: Headers) -> Answer:
    method, target, _, _ = request
    body = IMAGE.content if method == "PUT" else b""
    answer = exam.registry.ask(method, target.format(name), (*send, *(TYPED if body else ())), body)
    check_every_answer(method, answer, str(answer))
    return answer


@pytest.mark.parametrize("request_row", REQUESTS, ids=IDS)
def test_token_of_the_right_scope_opens(
    exam: Exam, tokens: TokenClient, request_row: tuple[str, str, str, int]
) -> None:
    name = exam.new_repository((*IMAGE_SEED, BLOB))
    token = tokens.token(f"repository:{name}:{request_row[2]}")
    assert ask(exam, name, request_row, bearer(token)).status == request_row[3]


@pytest.mark.parametrize("request_row", REQUESTS, ids=IDS)
def test_token_of_too_little_scope_is_told_what_it_needs(
    exam: Exam, tokens: TokenClient, request_row: tuple[str, str, str, int]
) -> None:
    name = exam.new_repository((*IMAGE_SEED, BLOB))
    lacking = {"pull": "push,delete", "pull,push": "pull,delete", "delete": "pull,push"}[request_row[2]]
    for scopes in ([f"repository:{name}:{lacking}"], [f"repository:{name}/x:*"], []):
        answer = ask(exam, name, request_row, bearer(tokens.token(*scopes)))
        assert answer.status == 401
        assert re.fullmatch(
            rf'Bearer realm="[^"]+",service="[^"]+",scope="repository:{name}:{request_row[2]}",'
            r'error="insufficient_scope"',
            answer.header("WWW-Authenticate") or "",
        )


@pytest.mark.parametrize("request_row", REQUESTS, ids=IDS)
def test_known_user_who_may_not_is_denied(
    exam: Exam, other_user: None, request_row: tuple[str, str, str, int]
) -> None:
    del other_user
    name = exam.new_repository((*IMAGE_SEED, BLOB))
    answer = ask(exam, name, request_row, (("Authorization", basic(OTHER_USER, OTHER_PASSWORD)),))
    assert answer.status == 403
    if request_row[0] != "HEAD":
        assert answer.codes() == ["DENIED"]


@pytest.mark.parametrize("request_row", REQUESTS, ids=IDS)
def test_known_user_may_pull_from_public_projects(
    exam: Exam, other_user: None, tokens: TokenClient, request_row: tuple[str, str, str, int]
) -> None:
    del other_user
    name = exam.new_repository((*IMAGE_SEED, BLOB), "library")
    token = tokens.token_of(OTHER_USER, OTHER_PASSWORD, f"repository:{name}:*")
    for send in (bearer(token), (("Authorization", basic(OTHER_USER, OTHER_PASSWORD)),)):
        expected = request_row[3] if request_row[2] == "pull" else 403
        assert ask(exam, name, request_row, send).status == expected


@pytest.mark.parametrize("request_row", REQUESTS, ids=IDS)
@pytest.mark.parametrize("prefix", ["library", "conformance"])
def test_anonymous_token_pulls_from_public_projects_only(
    exam: Exam, tokens: TokenClient, prefix: str, request_row: tuple[str, str, str, int]
) -> None:
    name = exam.new_repository((*IMAGE_SEED, BLOB), prefix)
    token = tokens.anonymous_token(f"repository:{name}:*")
    answer = ask(exam, name, request_row, bearer(token))
    if prefix == "library" and request_row[2] == "pull":
        assert answer.status == request_row[3]
    else:
        assert answer.status == 401
        assert f'scope="repository:{name}:{request_row[2]}"' in (answer.header("WWW-Authenticate") or "")


def test_private_repository_looks_like_an_absent_one(exam: Exam, tokens: TokenClient) -> None:
    name = exam.new_repository(IMAGE_SEED)
    answers = []
    for repository in (name, "absent/absent"):
        token = tokens.anonymous_token(f"repository:{repository}:pull")
        for target in ("manifests/latest", f"blobs/{LAYER.digest}", "tags/list", f"referrers/{IMAGE.digest}"):
            answer = exam.registry.ask("GET", f"/v2/{repository}/{target}", bearer(token))
            answers.append((target, answer.status, answer.body.replace(repository.encode(), b"NAME")))
    half = len(answers) // 2
    assert answers[:half] == answers[half:]


def test_scopeless_token_opens_the_ping(exam: Exam, tokens: TokenClient) -> None:
    for token in (tokens.token(), tokens.anonymous_token()):
        answer = exam.registry.ask("GET", "/v2/", bearer(token))
        assert (answer.status, answer.body) == (200, b"{}")


def test_empty_basic_credentials_are_nobody(exam: Exam) -> None:
    answer = exam.registry.ask("GET", "/v2/", (("Authorization", "Basic Og=="),))
    assert answer.status == 401


def test_upload_is_cancelled_with_the_right_to_push(exam: Exam, tokens: TokenClient) -> None:
    name = exam.new_repository()
    send = bearer(tokens.token(f"repository:{name}:pull,push"))
    location = exam.registry.ask("POST", f"/v2/{name}/blobs/uploads/", send).header("Location") or ""
    assert exam.registry.ask("DELETE", location, send).status == 204


def test_catalog_token_opens_the_catalog_alone(exam: Exam, tokens: TokenClient) -> None:
    name = exam.new_repository(IMAGE_SEED)
    send = bearer(tokens.token("registry:catalog:*"))
    assert exam.registry.ask("GET", "/v2/_catalog", send).status == 200
    assert exam.registry.ask("GET", f"/v2/{name}/tags/list", send).status == 401
    other = bearer(tokens.token(f"repository:{name}:*"))
    answer = exam.registry.ask("GET", "/v2/_catalog", other)
    assert answer.status == 401
    assert 'error="insufficient_scope"' in (answer.header("WWW-Authenticate") or "")


def test_catalog_of_a_user_shows_public_projects_only(
    exam: Exam, other_user: None, tokens: TokenClient
) -> None:
    del other_user
    public = exam.new_repository(IMAGE_SEED, "library")
    private = exam.new_repository(IMAGE_SEED)
    token = tokens.token_of(OTHER_USER, OTHER_PASSWORD, "registry:catalog:*")
    found: list[str] = []
    target: str | None = "/v2/_catalog?n=1000"
    while target:
        answer = exam.registry.ask("GET", target, bearer(token))
        found += answer.json()["repositories"]
        link = answer.header("Link")
        target = link[1 : link.index(">")] if link else None
    assert public in found
    assert private not in found
    assert not any(name.startswith("conformance/") for name in found)


@pytest.mark.parametrize("source_project", ["conformance", "library"])
def test_mount_needs_the_right_to_pull_from_the_source(
    exam: Exam, tokens: TokenClient, source_project: str
) -> None:
    source = exam.new_repository((BLOB,), source_project)
    name = exam.new_repository()
    target = f"/v2/{name}/blobs/uploads/?mount={BLOB.digest}&from={source}"
    limited = tokens.token(f"repository:{name}:pull,push")
    answer = exam.registry.ask("POST", target, bearer(limited))
    assert answer.status == 202
    assert exam.registry.ask_as_admin("HEAD", f"/v2/{name}/blobs/{BLOB.digest}").status == 404
    wide = tokens.token(f"repository:{name}:pull,push", f"repository:{source}:pull")
    assert exam.registry.ask("POST", target, bearer(wide)).status == 201


def test_mount_from_anywhere_searches_only_what_the_token_opens(exam: Exam, tokens: TokenClient) -> None:
    exam.new_repository((BLOB,))
    name = exam.new_repository()
    token = tokens.token(f"repository:{name}:pull,push")
    answer = exam.registry.ask("POST", f"/v2/{name}/blobs/uploads/?mount={BLOB.digest}", bearer(token))
    assert answer.status == 202
    assert exam.registry.ask_as_admin("HEAD", f"/v2/{name}/blobs/{BLOB.digest}").status == 404


def test_first_push_makes_a_private_project(exam: Exam, tokens: TokenClient) -> None:
    name = exam.new_repository(IMAGE_SEED, f"made-{exam.new_repository().rpartition('/')[2]}")
    token = tokens.anonymous_token(f"repository:{name}:pull")
    assert exam.registry.ask("GET", f"/v2/{name}/manifests/latest", bearer(token)).status == 401
    assert exam.registry.ask_as_admin("GET", f"/v2/{name}/manifests/latest").status == 200


def test_bad_digest_of_a_private_repository_is_challenged_first(exam: Exam) -> None:
    assert exam.registry.ask("GET", "/v2/conformance/x/blobs/sha256:bad").status == 401
    assert exam.registry.ask("GET", f"/v2/conformance/x/manifests/{ABSENT}").status == 401
