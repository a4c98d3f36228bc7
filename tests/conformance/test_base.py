"""Sections 0 and 1 of the protocol: the ping, challenges, routing, methods and the shape of errors."""

import re
from collections.abc import Iterator

import pytest
from tests.conformance.conftest import registry_of
from tests.conformance.content import ABSENT, BLOB, IMAGE, IMAGE_SEED, OCI_MANIFEST, PARTS
from tests.conformance.table import (
    NOBODY,
    UPLOADS,
    Case,
    Exam,
    Step,
    blobs,
    case,
    check_every_answer,
    delete,
    get,
    head,
    manifests,
    patch,
    post,
    put,
)
from tests.conformance.wire import Headers, Registry
from tests.servers import HomeportServer

JSON = "application/json"
CHALLENGE = re.compile(r'Bearer realm="http://[^"]+/service/token",service="[^"]+"')


def challenged(method: str, target: str, actions: str) -> Step:
    """Return a step without credentials that is challenged for actions on the case's repository."""
    scoped = re.compile(
        r'Bearer realm="http://[^"]+/service/token",service="[^"]+",'
        rf'scope="repository:[a-z0-9/-]+:{actions}"'
    )
    codes = () if method == "HEAD" else ("UNAUTHORIZED",)
    return Step(method, target, 401, caller=NOBODY, want={"WWW-Authenticate": scoped}, codes=codes)


PING = [
    case(
        "ping without credentials is challenged, for no scope",
        get("/v2/", 401, caller=NOBODY, want={"WWW-Authenticate": CHALLENGE}, codes=("UNAUTHORIZED",)),
    ),
    case(
        "HEAD ping without credentials is challenged",
        head("/v2/", 401, caller=NOBODY, want={"WWW-Authenticate": CHALLENGE}),
    ),
    case(
        "ping with credentials",
        get(
            "/v2/",
            content=b"{}",
            want={"Content-Type": JSON, "Content-Length": "2", "WWW-Authenticate": None},
        ),
    ),
    case("HEAD ping with credentials", head("/v2/", want={"Content-Type": JSON, "Content-Length": "2"})),
    case("ping with a query", get("/v2/?ns=docker.io", content=b"{}")),
    case(
        "extensions are none",
        get("/v2/_oci/ext/discover", json={"extensions": []}, want={"Content-Type": JSON}),
        head("/v2/_oci/ext/discover", want={"Content-Type": JSON}),
    ),
]

CHALLENGES = [
    case("blob GET is challenged for pull", challenged("GET", blobs(ABSENT), "pull")),
    case("blob HEAD is challenged for pull", challenged("HEAD", blobs(ABSENT), "pull")),
    case("blob DELETE is challenged for delete", challenged("DELETE", blobs(ABSENT), "delete")),
    case("upload POST is challenged for pull and push", challenged("POST", UPLOADS, "pull,push")),
    case("upload PATCH is challenged for pull and push", challenged("PATCH", f"{UPLOADS}x", "pull,push")),
    case("upload PUT is challenged for pull and push", challenged("PUT", f"{UPLOADS}x", "pull,push")),
    case("upload DELETE is challenged for pull and push", challenged("DELETE", f"{UPLOADS}x", "pull,push")),
    case("upload GET is challenged", challenged("GET", f"{UPLOADS}x", "pull(,push)?")),
    case("manifest GET is challenged for pull", challenged("GET", manifests("latest"), "pull")),
    case("manifest HEAD is challenged for pull", challenged("HEAD", manifests("latest"), "pull")),
    case("manifest PUT is challenged for pull and push", challenged("PUT", manifests("latest"), "pull,push")),
    case("manifest DELETE is challenged for delete", challenged("DELETE", manifests("latest"), "delete")),
    case("tags are challenged for pull", challenged("GET", "/v2/$repo/tags/list", "pull")),
    case("referrers are challenged for pull", challenged("GET", f"/v2/$repo/referrers/{ABSENT}", "pull")),
]

READ_ONLY = frozenset({"GET", "HEAD"})
METHODS = [
    case("ping is not posted to", post("/v2/", 405, want={"Allow": READ_ONLY}, codes=("UNSUPPORTED",))),
    case(
        "a blob is not put",
        put(blobs(ABSENT), 405, want={"Allow": READ_ONLY | {"DELETE"}}, codes=("UNSUPPORTED",)),
    ),
    case("a blob is not posted to", post(blobs(ABSENT), 405, codes=("UNSUPPORTED",))),
    case("a blob is not patched", patch(blobs(ABSENT), 405, b"x", codes=("UNSUPPORTED",))),
    case(
        "a manifest is not posted to",
        post(manifests("latest"), 405, want={"Allow": READ_ONLY | {"DELETE", "PUT"}}, codes=("UNSUPPORTED",)),
    ),
    case("a manifest is not patched", patch(manifests("latest"), 405, b"x", codes=("UNSUPPORTED",))),
    case("uploads are not listed", get(UPLOADS, 405, want={"Allow": "POST"}, codes=("UNSUPPORTED",))),
    case("uploads are not deleted together", delete(UPLOADS, 405, codes=("UNSUPPORTED",))),
    case(
        "an upload is not posted to",
        post(
            f"{UPLOADS}0123",
            405,
            want={"Allow": READ_ONLY | {"DELETE", "PATCH", "PUT"}},
            codes=("UNSUPPORTED",),
        ),
    ),
    case("tags are not posted", post("/v2/$repo/tags/list", 405, want={"Allow": READ_ONLY})),
    case("tags are not deleted together", delete("/v2/$repo/tags/list", 405, codes=("UNSUPPORTED",))),
    case("the catalog is not deleted", delete("/v2/_catalog", 405, want={"Allow": READ_ONLY})),
    case("referrers are not put", put(f"/v2/$repo/referrers/{ABSENT}", 405, want={"Allow": READ_ONLY})),
    case("an unknown method is refused", Step("BREW", blobs(ABSENT), 405, codes=("UNSUPPORTED",))),
    case("TRACE is refused", Step("TRACE", "/v2/", 405)),
]

NO_ROUTE = [
    "/v2/_unknown",
    "/v2/_oci/ext/unknown",
    "/v2/a/b",
    "/v2/a/b/",
    "/v2/a/b/c/d",
    "/v2/a/b/tags",
    "/v2/a/b/tags/",
    "/v2/a/b/tags/lists",
    "/v2/a/b/manifests",
    "/v2/a/b/manifests/",
    "/v2/a/b/blobs",
    "/v2/a/b/blobs/",
    "/v2/a/b/referrers",
    "/v2/a/b/referrers/",
]
NO_ROUTES = [case(f"GET {path} leads nowhere", get(path, 404)) for path in NO_ROUTE]

ONE_COMPONENT = [
    case("one component: manifest GET", get("/v2/nginx/manifests/latest", 404, codes=("NAME_UNKNOWN",))),
    case("one component: manifest HEAD", head("/v2/nginx/manifests/latest", 404)),
    case("one component: blob GET", get(f"/v2/nginx/blobs/{ABSENT}", 404, codes=("NAME_UNKNOWN",))),
    case("one component: tags", get("/v2/nginx/tags/list", 404, codes=("NAME_UNKNOWN",))),
    case("one component: upload", post("/v2/nginx/blobs/uploads/", 400, codes=("NAME_INVALID",))),
    case(
        "one component: manifest PUT",
        put(
            "/v2/nginx/manifests/latest",
            400,
            IMAGE.content,
            send=(("Content-Type", OCI_MANIFEST),),
            codes=("NAME_INVALID",),
        ),
    ),
    case(
        "one component: manifest DELETE", delete("/v2/nginx/manifests/latest", 404, codes=("NAME_UNKNOWN",))
    ),
]


@pytest.mark.parametrize(
    "row", [*PING, *CHALLENGES, *METHODS, *NO_ROUTES, *ONE_COMPONENT], ids=lambda row: row.about
)
def test_base_row(exam: Exam, row: Case) -> None:
    exam.run(row)


def test_ping_without_slash_leads_to_the_ping(registry: Registry) -> None:
    answer = registry.ask_as_admin("GET", "/v2")
    check_every_answer("GET", answer, str(answer))
    if answer.status == 301:
        assert answer.header("Location") == "/v2/"
    else:
        assert (answer.status, answer.body) == (200, b"{}")


def test_challenge_realm_is_the_host_that_was_asked(registry: Registry) -> None:
    answer = registry.ask("GET", "/v2/", (("Host", "registry.example.com:8443"),))
    challenge = answer.header("WWW-Authenticate")
    assert challenge is not None
    assert 'realm="http://registry.example.com:8443/service/token"' in challenge


def test_forwarded_headers_of_strangers_are_not_believed(registry: Registry) -> None:
    forged = (
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example.com"),
        ("Forwarded", "host=evil.example.com;proto=https"),
    )
    answer = registry.ask("GET", "/v2/", forged)
    assert "evil" not in str(answer.headers)
    assert 'realm="http://' in (answer.header("WWW-Authenticate") or "")


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Return a registry that trusts the proxy it is asked through."""
    environment = {"HOMEPORT_TRUSTED_PROXIES": "127.0.0.0/8"}
    server = HomeportServer(tmp_path_factory.mktemp("proxied"), environment=environment, workers=1)
    try:
        yield registry_of(server.start())
    finally:
        server.stop()


FORWARDED = [
    ((("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "r.example.com")), "https://r.example.com"),
    ((("X-Forwarded-Proto", "https"), ("Host", "r.example.com:444")), "https://r.example.com:444"),
    ((("Forwarded", "for=192.0.2.1;host=r.example.com;proto=https"),), "https://r.example.com"),
]


@pytest.mark.parametrize(("headers", "base"), FORWARDED, ids=[str(headers) for headers, _ in FORWARDED])
def test_forwarded_headers_of_a_trusted_proxy_are_believed(
    proxied: Registry, headers: Headers, base: str
) -> None:
    challenge = proxied.ask("GET", "/v2/", headers).header("WWW-Authenticate")
    assert challenge is not None
    assert f'realm="{base}/service/token"' in challenge
    location = proxied.ask_as_admin("POST", "/v2/proxied/x/blobs/uploads/", headers).header("Location")
    assert location is not None
    assert location.startswith("/v2/proxied/x/blobs/uploads/")


LONGEST = "conformance/" + "a" * (255 - len("conformance/"))


def test_repository_name_of_255_characters_works(exam: Exam) -> None:
    for item in (*PARTS, IMAGE.tagged("t" * 128)):
        exam.push(LONGEST, item)
    target = f"/v2/{LONGEST}/manifests/{'t' * 128}"
    assert exam.registry.ask_as_admin("GET", target).body == IMAGE.content


def test_repository_name_of_256_characters_is_refused(exam: Exam) -> None:
    for method, target in (("GET", "manifests/latest"), ("POST", "blobs/uploads/"), ("GET", "tags/list")):
        answer = exam.registry.ask_as_admin(method, f"/v2/{LONGEST}a/{target}")
        assert answer.status == 400
        assert answer.codes() == ["NAME_INVALID"]


ODD_NAMES = [
    "conformance/blobs",
    "conformance/manifests",
    "conformance/tags",
    "conformance/uploads",
    "conformance/referrers",
    "conformance/tags/list",
    "conformance/blobs/uploads",
    "conformance/manifests/blobs/uploads/tags/list",
    "conformance/a/manifests/latest",
    "conformance/a/blobs/uploads/b",
    "blobs/uploads",
    "manifests/tags",
    "v2/v2",
    "conformance/a.b-c__d_e---f/0",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_repository_named_like_a_route_works(exam: Exam, name: str) -> None:
    for item in (*PARTS, IMAGE.tagged("list"), BLOB):
        exam.push(name, item)
    ask = exam.registry.ask_as_admin
    started = ask("POST", f"/v2/{name}/blobs/uploads/")
    location = started.header("Location") or ""
    assert location.startswith(f"/v2/{name}/blobs/uploads/")
    assert "/" not in location.removeprefix(f"/v2/{name}/blobs/uploads/").partition("?")[0]
    assert ask("GET", location).status == 204
    assert ask("DELETE", location).status == 204
    assert ask("GET", f"/v2/{name}/manifests/list").body == IMAGE.content
    assert ask("GET", f"/v2/{name}/blobs/{BLOB.digest}").body == BLOB.content
    assert ask("GET", f"/v2/{name}/tags/list").json() == {"name": name, "tags": ["list"]}
    assert ask("GET", f"/v2/{name}/referrers/{IMAGE.digest}").json()["manifests"] == []


@pytest.mark.parametrize(
    "tag", ["list", "tags", "blobs", "uploads", "manifests", "latest", "_", "A.b-C_d", "t" * 128]
)
def test_tag_named_like_a_route_works(exam: Exam, tag: str) -> None:
    name = exam.new_repository((*PARTS, IMAGE.tagged(tag)))
    assert exam.registry.ask_as_admin("GET", f"/v2/{name}/manifests/{tag}").body == IMAGE.content


def test_error_body_has_the_shape_of_the_specification(exam: Exam) -> None:
    name = exam.shared_repository(IMAGE_SEED)
    answer = exam.registry.ask_as_admin("GET", f"/v2/{name}/manifests/absent")
    [entry] = answer.json()["errors"]
    assert entry["code"] == "MANIFEST_UNKNOWN"
    assert entry["message"]
    assert "detail" in entry


def test_one_component_name_is_explained(registry: Registry) -> None:
    answer = registry.ask_as_admin("POST", "/v2/nginx/blobs/uploads/")
    assert "PROJECT/" in answer.body.decode()
