"""Bad input found by searching: chunk orders, ranges, manifests, tags and digests, against small models."""

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.aftermath import unharmed
from tests.conformance.conftest import VICTIM, registry_of
from tests.conformance.content import (
    BLOB,
    CONFIG,
    IMAGE,
    LAYER,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    PARTS,
    digest_of,
    random_bytes,
)
from tests.conformance.table import Exam, check_every_answer, escaped
from tests.conformance.test_blobs import split_multipart
from tests.conformance.wire import Chunked, Headers, Registry
from tests.servers import HomeportServer

QUICK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
TYPED: Headers = (("Content-Type", OCI_MANIFEST),)
SIZE = len(BLOB.content)
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


@pytest.fixture(scope="module")
def playground(exam: Exam) -> str:
    """Return a repository with all parts of an image, for this module alone."""
    return exam.new_repository((*PARTS, BLOB))


chunks = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20)), max_size=12)


@QUICK
@given(chunks, st.sampled_from(["cancel", "wrong digest"]))
def test_chunks_in_any_order_make_only_what_was_in_order(
    hostile: Registry, orders: list[tuple[int, int]], ending: str
) -> None:
    """The model: a chunk is taken when it starts where the upload ends, and changes nothing otherwise."""
    content = random_bytes(100, 5)
    taken = b""
    with hostile.connect() as wire:
        location = wire.ask("POST", f"/v2/{VICTIM}/blobs/uploads/", hostile.admin).header("Location") or ""
        for start, length in orders:
            piece = content[start : start + length]
            send = (*hostile.admin, ("Content-Range", f"{start}-{start + len(piece) - 1}"))
            answer = wire.ask("PATCH", location, send, piece)
            assert answer.status == (202 if start == len(taken) else 416)
            if answer.status == 202:
                taken += piece
            assert answer.header("Range") == f"0-{max(len(taken) - 1, 0)}"
            status = wire.ask("GET", location, hostile.admin)
            assert (status.status, status.header("Range")) == (204, f"0-{max(len(taken) - 1, 0)}")
        wrong = digest_of(taken + b"x")
        if ending == "cancel":
            assert wire.ask("DELETE", location, hostile.admin).status == 204
        else:
            assert wire.ask("PUT", f"{location}?digest={wrong}", hostile.admin).status == 400
        assert wire.ask("HEAD", f"/v2/{VICTIM}/blobs/{wrong}", hostile.admin).status == 404


@QUICK
@given(st.lists(st.integers(0, 3000), max_size=6), st.sampled_from(["sha256", "sha512"]))
def test_any_pieces_in_order_make_the_blob(exam: Exam, sizes: list[int], algorithm: str) -> None:
    content = random_bytes(sum(sizes), len(sizes))
    digest = digest_of(content, algorithm)
    admin = exam.registry.admin
    target = "/v2/conformance/pieces/blobs"
    with exam.registry.connect() as wire:
        location = wire.ask("POST", f"{target}/uploads/", admin).header("Location") or ""
        start = 0
        for size in sizes:
            answer = wire.ask("PATCH", location, admin, content[start : start + size])
            assert answer.status == 202
            location = answer.header("Location") or ""
            start += size
        joined = location + ("&" if "?" in location else "?")
        assert wire.ask("PUT", f"{joined}digest={digest}", admin).status == 201
        assert wire.ask("GET", f"{target}/{digest}", admin).body == content


@QUICK
@given(st.integers(0, 60), st.integers(0, 60), st.booleans())
def test_any_length_beside_its_range_is_taken_only_when_equal(
    hostile: Registry,
    last: int,
    length: int,
    is_chunked: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    body = Chunked((b"x" * length,)) if is_chunked else b"x" * length
    with hostile.connect() as wire:
        location = wire.ask("POST", f"/v2/{VICTIM}/blobs/uploads/", hostile.admin).header("Location") or ""
        answer = wire.ask("PATCH", location, (*hostile.admin, ("Content-Range", f"0-{last}")), body)
        assert answer.status == (202 if length == last + 1 else 400)
        assert wire.ask("DELETE", location, hostile.admin).status == 204


@QUICK
@given(st.integers(0, 3000), st.sampled_from([(b"[", b"]"), (b'{"a":', b"}")]))
def test_any_depth_of_a_manifest_is_taken_or_refused(
    exam: Exam, playground: str, depth: int, brackets: tuple[bytes, bytes]
) -> None:
    deep = brackets[0] * depth + b"1" + brackets[1] * depth
    body = IMAGE.content.rstrip().removesuffix(b"}") + b', "x": ' + deep + b"}"
    answer = exam.registry.ask_as_admin("PUT", f"/v2/{playground}/manifests/deep", TYPED, body)
    assert answer.status in ({201} if depth < 500 else {201, 400}), (depth, answer)


positions = st.integers(0, 3000).map(str) | st.just("")
specs = st.builds(lambda first, last: f"{first}-{last}", positions, positions) | st.text(
    "0123456789-, ax", max_size=8
)


@QUICK
@given(st.lists(specs, min_size=1, max_size=5))
def test_any_range_gives_right_bytes_or_none(hostile: Registry, wanted: list[str]) -> None:
    header = "bytes=" + ",".join(wanted)
    answer = hostile.ask_as_admin("GET", f"/v2/{VICTIM}/blobs/{BLOB.digest}", (("Range", header),))
    check_every_answer("GET", answer, header)
    match answer.status:
        case 200:
            assert answer.body == BLOB.content
        case 416:
            assert answer.header("Content-Range") == f"bytes */{SIZE}"
        case 206:
            single = answer.header("Content-Range")
            parts = (
                [(single, answer.body)]
                if single is not None
                else split_multipart(answer.body, answer.header("Content-Type") or "")
            )
            for where, body in parts:
                match = re.fullmatch(r"bytes ([0-9]+)-([0-9]+)/2048", where)
                assert match
                assert body == BLOB.content[int(match[1]) : int(match[2]) + 1]
                assert body
        case _:
            raise AssertionError(answer)


@QUICK
@given(st.text(max_size=130))
def test_any_text_for_a_tag_is_taken_or_refused(exam: Exam, playground: str, tag: str) -> None:
    encoded = escaped(tag.encode("utf-8", "replace").decode())
    if "/" in tag or not tag:
        return
    answer = exam.registry.ask_as_admin("PUT", f"/v2/{playground}/manifests/{encoded}", TYPED, IMAGE.content)
    assert answer.status == (201 if TAG.fullmatch(tag) else 400), answer


@QUICK
@given(st.text(max_size=130))
def test_any_text_for_a_digest_parameter_is_refused(hostile: Registry, digest: str) -> None:
    encoded = escaped(digest.encode("utf-8", "replace").decode())
    uploads = f"/v2/{VICTIM}/blobs/uploads/"
    with hostile.connect() as wire:
        location = wire.ask("POST", uploads, hostile.admin).header("Location") or ""
        assert wire.ask("PUT", f"{location}?digest={encoded}", hostile.admin, b"x").status == 400
        cancelled = wire.ask("DELETE", location, hostile.admin).status
        assert cancelled in {204, 404}
        if digest:
            assert wire.ask("POST", f"{uploads}?digest={encoded}", hostile.admin, b"x").status == 400
        mounted = wire.ask("POST", f"{uploads}?mount={encoded}&from={encoded}", hostile.admin)
        assert mounted.status == (400 if "\0" in digest else 202)
        if mounted.status == 202:
            assert wire.ask("DELETE", mounted.header("Location") or "", hostile.admin).status == 204


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=10)
    | st.sampled_from([CONFIG.digest, LAYER.digest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, "\0"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["mediaType", "digest", "size", "urls", "annotations", "platform", "a"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)
members = st.sampled_from(
    [
        "schemaVersion",
        "mediaType",
        "config",
        "layers",
        "manifests",
        "subject",
        "annotations",
        "artifactType",
        "x",
    ]
)
VALID_IMAGE: dict[str, Any] = json.loads(IMAGE.content)
VALID_INDEX: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([(VALID_IMAGE, OCI_MANIFEST), (VALID_INDEX, OCI_INDEX)]),
    st.dictionaries(members, json_values, max_size=3),
)
def test_any_manifest_is_taken_or_refused(
    exam: Exam, playground: str, valid: tuple[dict[str, Any], str], changes: dict[str, Any]
) -> None:
    """What is taken reads back exactly, also in the list of its subject's referrers."""
    document, media_type = valid
    body = json.dumps({**document, **changes}).encode()
    digest = digest_of(body)
    ask = exam.registry.ask_as_admin
    answer = ask("PUT", f"/v2/{playground}/manifests/{digest}", (("Content-Type", media_type),), body)
    check_every_answer("PUT", answer, str(answer))
    assert answer.status in {201, 400}, (body, answer)
    read = ask("GET", f"/v2/{playground}/manifests/{digest}")
    assert read.status == (200 if answer.status == 201 else 404)
    if answer.status == 201:
        assert read.body == body
        subject = answer.header("OCI-Subject")
        if subject is not None:
            listed = ask("GET", f"/v2/{playground}/referrers/{subject}").json()["manifests"]
            assert digest in {descriptor["digest"] for descriptor in listed}


@QUICK
@given(st.binary(max_size=200))
def test_any_bytes_for_a_manifest_are_refused(hostile: Registry, body: bytes) -> None:
    answer = hostile.ask_as_admin("PUT", f"/v2/{VICTIM}/manifests/any", TYPED, body)
    assert answer.status == 400
    assert answer.codes() == ["MANIFEST_INVALID"]


@QUICK
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_list_parameters_are_answered_or_refused(hostile: Registry, number: str, last: str) -> None:
    query = f"n={escaped(number.encode('utf-8', 'replace').decode())}"
    query += f"&last={escaped(last.encode('utf-8', 'replace').decode())}"
    for target in (f"/v2/{VICTIM}/tags/list", "/v2/_catalog"):
        answer = hostile.ask_as_admin("GET", f"{target}?{query}")
        assert answer.status in {200, 400}, (query, answer)
    answer = hostile.ask_as_admin(
        "GET", f"/v2/{VICTIM}/referrers/{IMAGE.digest}?{query}&artifactType={query}"
    )
    assert answer.status == (400 if "\0" in number + last else 200)


@pytest.mark.parametrize("query", ["a=b&" * 300, "&" * 5000, "x" * 30_000, "tag=a&" * 100, "%ff=%ff&%00=%00"])
def test_odd_query_is_no_server_error(hostile: Registry, query: str) -> None:
    for method, target in (
        ("GET", f"/v2/{VICTIM}/tags/list"),
        ("GET", f"/v2/{VICTIM}/manifests/latest"),
        ("GET", f"/v2/{VICTIM}/referrers/{IMAGE.digest}"),
        ("PUT", f"/v2/{VICTIM}/manifests/.bad"),
        ("DELETE", f"/v2/{VICTIM}/manifests/absent"),
    ):
        answer = hostile.ask_as_admin(method, f"{target}?{query}", TYPED)
        assert answer.status < 500, (method, target, answer)


def test_thousands_of_bad_requests_cost_no_memory(hostile_server: HomeportServer) -> None:
    registry = registry_of(hostile_server)
    bad: list[tuple[str, str, Headers, bytes]] = [
        ("GET", f"/v2/{VICTIM}/manifests/absent", registry.admin, b""),
        ("GET", f"/v2/{VICTIM}/blobs/sha256:bad", registry.admin, b""),
        ("PUT", f"/v2/{VICTIM}/manifests/bad", (*registry.admin, *TYPED), b"[" * 50_000),
        ("PATCH", f"/v2/{VICTIM}/blobs/uploads/none", registry.admin, b"x" * 50_000),
        ("GET", "/v2/", (("Authorization", "Bearer " + "a" * 5000),), b""),
        ("GET", "/v2/nothing", registry.admin, b""),
    ]
    with unharmed(hostile_server), registry.connect() as wire:
        for number in range(3000):
            method, target, send, body = bad[number % len(bad)]
            assert 400 <= wire.ask(method, target, send, body).status < 500
