"""Section 5 of the protocol: tag lists and the catalog, a page at a time."""

import re
from collections.abc import Iterator

import pytest
from tests.conformance.conftest import registry_of
from tests.conformance.content import BLOB, IMAGE, IMAGE_SEED, PARTS, index
from tests.conformance.table import NOBODY, Case, Exam, Seed, Step, Wanted, case, escaped, get, head
from tests.conformance.wire import Registry
from tests.servers import HomeportServer

NAMES = ("10", "9", "C", "_x", "a", "a.b", "a_b", "b", "latest", "v1.0.0")
ORDERED = tuple(sorted(NAMES))
TAGGED: Seed = (
    *PARTS,
    *(IMAGE.tagged(name) for name in ("b", "latest", "10", "a", "C", "9", "v1.0.0", "a_b", "a.b", "_x")),
)
LIST = "/v2/$repo/tags/list"


def page(query: str, tags: tuple[str, ...], more: str | None) -> Step:
    """Return a GET of tags; `more` is the query of the next page, None on the last."""
    link: Wanted = None if more is None else f'</v2/$repo/tags/list?{more}>; rel="next"'
    want: dict[str, Wanted] = {"Link": link, "Content-Type": "application/json"}
    return Step("GET", f"{LIST}{query}", 200, tags=tags, want=want)


def wrong(query: str) -> Step:
    """Return a GET of tags that is refused."""
    return get(f"{LIST}?n={query}", 400, codes=("PAGINATION_NUMBER_INVALID",))


TAGS = [
    case("all tags, in byte order", page("", ORDERED, None), seed=TAGGED),
    case("HEAD of the tags", head(LIST, want={"Content-Type": "application/json"}), seed=TAGGED),
    case(
        "page after page",
        page("?n=4", ORDERED[:4], f"n=4&last={ORDERED[3]}"),
        page(f"?n=4&last={ORDERED[3]}", ORDERED[4:8], f"n=4&last={ORDERED[7]}"),
        page(f"?n=4&last={ORDERED[7]}", ORDERED[8:], None),
        seed=TAGGED,
    ),
    case("pages of one", page("?n=1", ORDERED[:1], f"n=1&last={ORDERED[0]}"), seed=TAGGED),
    case("exactly all", page("?n=10", ORDERED, None), seed=TAGGED),
    case("one less than all", page("?n=9", ORDERED[:9], f"n=9&last={ORDERED[8]}"), seed=TAGGED),
    case("more than all", page("?n=11", ORDERED, None), page("?n=1000", ORDERED, None), seed=TAGGED),
    case(
        "more than the cap",
        page("?n=100000", ORDERED, None),
        page(f"?n={10**17}", ORDERED, None),
        seed=TAGGED,
    ),
    case("none", page("?n=0", (), None), page("?n=0&last=a", (), None), seed=TAGGED),
    case("last alone", page("?last=a", tuple(tag for tag in ORDERED if tag > "a"), None), seed=TAGGED),
    case(
        "last need not exist",
        page("?last=aa", tuple(tag for tag in ORDERED if tag > "aa"), None),
        page("?n=1&last=B", ("C",), "n=1&last=C"),
        seed=TAGGED,
    ),
    case(
        "last beyond the end is a list, not null",
        page("?last=zzz", (), None),
        page("?n=5&last=zzz", (), None),
        seed=TAGGED,
    ),
    case("last is the last", page(f"?last={ORDERED[-1]}", (), None), seed=TAGGED),
    case(
        "empty parameters are absent ones",
        page("?n=&last=", ORDERED, None),
        page("?n=", ORDERED, None),
        page("?last=", ORDERED, None),
        seed=TAGGED,
    ),
    case("last escaped", page("?last=%61", tuple(tag for tag in ORDERED if tag > "a"), None), seed=TAGGED),
    case(
        "last is any text",
        page(f"?last={escaped('a b/c?d&e=ä')}", tuple(tag for tag in ORDERED if tag > "a b"), None),
        page("?last=%ff", (), None),
        seed=TAGGED,
    ),
    case("a NUL is no text", get(f"{LIST}?last=%00", 400, codes=("UNSUPPORTED",)), seed=TAGGED),
    case("too many parameters", get(f"{LIST}?{'a=b&' * 201}", 400, codes=("UNSUPPORTED",)), seed=TAGGED),
    case("unknown parameters", page("?x=y&ns=docker.io", ORDERED, None), seed=TAGGED),
    *(
        case(f"n={query}", wrong(query), seed=TAGGED)
        for query in ["-1", "x", "1x", "1.5", "0x10", "%201", "1e3", "+1", "9" * 19, "%D9%A1", "-", "1,2"]
    ),
    case("an unknown repository", get(LIST, 404, codes=("NAME_UNKNOWN",)), head(LIST, 404)),
    case("a repository without tags", get(LIST, json={"name": "$repo", "tags": []}), seed=(*PARTS, IMAGE)),
    case(
        "the name is the repository's", get(LIST, json={"name": "$repo", "tags": ["latest"]}), seed=IMAGE_SEED
    ),
]


@pytest.mark.parametrize("row", TAGS, ids=lambda row: row.about)
def test_tags_row(exam: Exam, row: Case) -> None:
    exam.run(row)


def test_tags_beyond_the_cap_come_with_a_link(exam: Exam) -> None:
    tags = sorted(f"t{number}" for number in range(1010))
    name = exam.new_repository(PARTS)
    for start in range(0, len(tags), 32):
        query = "&".join(f"tag={tag}" for tag in tags[start : start + 32])
        target = f"/v2/{name}/manifests/{IMAGE.digest}?{query}"
        send = (("Content-Type", IMAGE.media_type),)
        assert exam.registry.ask_as_admin("PUT", target, send, IMAGE.content).status == 201
    for query in ("", "?n=1001", "?n=5000"):
        answer = exam.registry.ask_as_admin("GET", f"/v2/{name}/tags/list{query}")
        assert answer.json()["tags"] == tags[:1000]
        assert answer.header("Link") == f'</v2/{name}/tags/list?n=1000&last={tags[999]}>; rel="next"'
    assert follow(exam.registry, f"/v2/{name}/tags/list?n=300", "tags") == tags


def follow(registry: Registry, target: str, member: str) -> list[str]:
    """Return the whole list, page after page as the links lead."""
    found: list[str] = []
    for _ in range(200):
        answer = registry.ask_as_admin("GET", target)
        assert answer.status == 200
        found += answer.json()[member]
        link = answer.header("Link")
        if link is None:
            return found
        match = re.fullmatch(r'<(/v2/[^>]+)>; rel="next"', link)
        assert match, link
        target = match[1]
    raise AssertionError("the list has no end")


CATALOG = pytest.mark.xdist_group("catalog")
REPOSITORIES = sorted(
    [
        "library/a",
        "library/b",
        "private/z",
        "private/a/b/c",
        "private/a-b",
        "other/x",
        *(f"many/r{n}" for n in range(120)),
    ]
)


@pytest.fixture(scope="module")
def catalog_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Return a registry that holds REPOSITORIES, and one without a manifest that no list shows."""
    server = HomeportServer(tmp_path_factory.mktemp("catalog"), workers=1)
    try:
        registry = registry_of(server.start())
        assert catalog(registry) == ([], None)
        exam = Exam(registry)
        for name in REPOSITORIES:
            exam.push(name, index([]).tagged("latest"))
        exam.push("private/blobs-only", BLOB)
        yield registry
    finally:
        server.stop()


def catalog(registry: Registry, query: str = "") -> tuple[list[str], str | None]:
    """Return the repositories of a page and its link."""
    answer = registry.ask_as_admin("GET", f"/v2/_catalog{query}")
    assert answer.status == 200
    assert answer.header("Content-Type") == "application/json"
    assert set(answer.json()) == {"repositories"}
    return answer.json()["repositories"], answer.header("Link")


def next_page(n: int, last: str) -> str:
    return f'</v2/_catalog?n={n}&last={escaped(last)}>; rel="next"'


@CATALOG
def test_catalog_default_page_has_100(catalog_registry: Registry) -> None:
    assert catalog(catalog_registry) == (REPOSITORIES[:100], next_page(100, REPOSITORIES[99]))


@CATALOG
@pytest.mark.parametrize(
    ("query", "expected", "more"),
    [
        ("?n=5", REPOSITORIES[:5], next_page(5, REPOSITORIES[4])),
        (f"?n=5&last={escaped(REPOSITORIES[4])}", REPOSITORIES[5:10], next_page(5, REPOSITORIES[9])),
        (f"?n=5&last={REPOSITORIES[4]}", REPOSITORIES[5:10], next_page(5, REPOSITORIES[9])),
        ("?n=1000", REPOSITORIES, None),
        ("?n=1001", REPOSITORIES, None),
        ("?n=1000000", REPOSITORIES, None),
        (f"?n={len(REPOSITORIES)}", REPOSITORIES, None),
        (
            f"?n={len(REPOSITORIES) - 1}",
            REPOSITORIES[:-1],
            next_page(len(REPOSITORIES) - 1, REPOSITORIES[-2]),
        ),
        ("?n=0", [], None),
        ("?n=&last=", REPOSITORIES[:100], next_page(100, REPOSITORIES[99])),
        ("?last=other", [name for name in REPOSITORIES if name > "other"], None),
        ("?last=zzz", [], None),
        ("?last=private/", [name for name in REPOSITORIES if name > "private/"], None),
    ],
)
def test_catalog_page(catalog_registry: Registry, query: str, expected: list[str], more: str | None) -> None:
    assert catalog(catalog_registry, query) == (expected, more)


@CATALOG
def test_catalog_links_lead_to_the_end(catalog_registry: Registry) -> None:
    assert follow(catalog_registry, "/v2/_catalog?n=7", "repositories") == REPOSITORIES


@pytest.mark.parametrize("number", ["-1", "x", "1.5", "%20", "9" * 30])
def test_catalog_page_size_must_be_a_number(exam: Exam, number: str) -> None:
    row = case("n", get(f"/v2/_catalog?n={number}", 400, codes=("PAGINATION_NUMBER_INVALID",)))
    exam.run(row)


def test_catalog_without_credentials_is_challenged(exam: Exam) -> None:
    scoped = re.compile(r'Bearer realm="[^"]+",service="[^"]+",scope="registry:catalog:\*"')
    exam.run(case("catalog", get("/v2/_catalog", 401, caller=NOBODY, want={"WWW-Authenticate": scoped})))


def test_tags_of_one_repository_only(exam: Exam) -> None:
    """Names that share a prefix do not share tags."""
    base = exam.new_repository((*PARTS, IMAGE.tagged("a")))
    for item in (*PARTS, IMAGE.tagged("b")):
        exam.push(f"{base}/sub", item)
    for item in (*PARTS, IMAGE.tagged("c")):
        exam.push(f"{base}-x", item)
    for name, tags in ((base, ["a"]), (f"{base}/sub", ["b"]), (f"{base}-x", ["c"])):
        assert exam.registry.ask_as_admin("GET", f"/v2/{name}/tags/list").json()["tags"] == tags
