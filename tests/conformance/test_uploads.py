"""Section 3 of the protocol: uploads in every form, resumed, cancelled, refused."""

import pytest
from tests.conformance.content import (
    ABSENT,
    BLOB,
    BLOB_512,
    EMPTY,
    EMPTY_512,
    EMPTY_JSON,
    digest_of,
    random_bytes,
)
from tests.conformance.table import (
    UPLOADS,
    Case,
    Exam,
    Step,
    blobs,
    case,
    delete,
    escaped,
    get,
    head,
    patch,
    post,
    put,
)
from tests.conformance.upload_steps import (
    FIRST,
    SECOND,
    SHA512,
    START,
    THIRD,
    chunk,
    done,
    finish,
    kept,
    session,
    there,
)
from tests.conformance.wire import Chunked

FORMS = [
    case(
        "POST then PUT with the whole",
        START,
        finish(BLOB.digest, body=BLOB.content),
        there(BLOB.content, BLOB.digest),
    ),
    case(
        "POST, PATCH, PUT without a body",
        START,
        patch("$location", 202, BLOB.content, want=session(2047)),
        finish(BLOB.digest),
        there(BLOB.content, BLOB.digest),
    ),
    case(
        "POST, PATCH, PUT with the last chunk",
        START,
        patch("$location", 202, FIRST + SECOND, want=session(1399)),
        finish(BLOB.digest, body=THIRD, send=(("Content-Range", "1400-2047"),)),
        there(BLOB.content, BLOB.digest),
    ),
    case(
        "chunks with ranges",
        START,
        chunk(FIRST, 0),
        chunk(SECOND, 700),
        chunk(THIRD, 1400),
        finish(BLOB.digest),
        there(BLOB.content, BLOB.digest),
    ),
    case(
        "chunks without ranges are appended",
        START,
        patch("$location", 202, FIRST, want=session(699)),
        patch("$location", 202, SECOND, want=session(1399)),
        finish(BLOB.digest, body=THIRD),
        there(BLOB.content, BLOB.digest),
    ),
    case(
        "the tolerated form of Content-Range",
        START,
        chunk(FIRST, 0, send=(("Content-Range", "bytes 0-699/*"),)),
        chunk(SECOND + THIRD, 700, send=(("Content-Range", "bytes 700-2047/2048"),)),
        finish(BLOB.digest),
        there(BLOB.content, BLOB.digest),
    ),
    case(
        "PATCH with chunked encoding and no Content-Type, as docker sends it",
        START,
        patch("$location", 202, Chunked((FIRST, SECOND, THIRD)), want=session(2047)),
        finish(BLOB.digest),
        there(BLOB.content, BLOB.digest),
    ),
    case(
        "PUT with chunked encoding",
        START,
        put("${join}digest=" + BLOB.digest, 201, Chunked((FIRST, SECOND + THIRD)), want=done(BLOB.digest)),
        there(BLOB.content, BLOB.digest),
    ),
    case(
        "POST with JSON type and no body, as crane sends it",
        post(UPLOADS, 202, send=(("Content-Type", "application/json"),), want=session(0)),
        finish(BLOB.digest, body=BLOB.content),
        there(BLOB.content, BLOB.digest),
    ),
    case(
        "any content type is taken",
        START,
        patch("$location", 202, FIRST, send=(("Content-Type", "text/plain; charset=utf-8"),)),
        finish(BLOB.digest, body=SECOND + THIRD, send=(("Content-Type", "application/json"),)),
        there(BLOB.content, BLOB.digest),
    ),
    case(
        "single POST",
        post(f"{UPLOADS}?digest={BLOB.digest}", 201, body=BLOB.content, want=done(BLOB.digest)),
        there(BLOB.content, BLOB.digest),
    ),
    case(
        "single POST with chunked encoding",
        post(
            f"{UPLOADS}?digest={BLOB.digest}",
            201,
            body=Chunked((FIRST, SECOND, THIRD)),
            want=done(BLOB.digest),
        ),
        there(BLOB.content, BLOB.digest),
    ),
    case(
        "single POST, digest escaped",
        post(f"{UPLOADS}?digest={escaped(BLOB.digest)}", 201, body=BLOB.content, want=done(BLOB.digest)),
    ),
    case(
        "single POST of the empty blob",
        post(f"{UPLOADS}?digest={EMPTY.digest}", 201, want=done(EMPTY.digest)),
        there(b"", EMPTY.digest),
    ),
    case(
        "single POST by sha512",
        post(f"{UPLOADS}?digest={BLOB_512.digest}", 201, body=BLOB_512.content, want=done(BLOB_512.digest)),
        there(BLOB_512.content, BLOB_512.digest),
    ),
    case("the empty blob", START, finish(EMPTY.digest), there(b"", EMPTY.digest)),
    case("the empty sha512 blob", START, finish(EMPTY_512.digest), there(b"", EMPTY_512.digest)),
    case(
        "the empty blob through an empty PATCH",
        START,
        patch("$location", 202, b"", want=session(0)),
        finish(EMPTY.digest),
        there(b"", EMPTY.digest),
    ),
    case(
        "1024 zeros, docker's empty tar",
        START,
        finish(digest_of(bytes(1024)), body=bytes(1024)),
        there(bytes(1024), digest_of(bytes(1024))),
    ),
    case(
        "one byte reads 0-0",
        START,
        patch("$location", 202, b"x", want=session(0)),
        finish(digest_of(b"x")),
        there(b"x", digest_of(b"x")),
    ),
    case(
        "sha512 known only at the end",
        START,
        patch("$location", 202, FIRST, want=session(699)),
        patch("$location", 202, SECOND, want=session(1399)),
        finish(SHA512, body=THIRD),
        there(BLOB.content, SHA512),
        head(blobs(SHA512), want={"Content-Length": "2048", "Docker-Content-Digest": SHA512}),
    ),
    case(
        "sha512 with the hint",
        post(f"{UPLOADS}?digest-algorithm=sha512", 202, want=session(0)),
        patch("$location", 202, BLOB.content, want=session(2047)),
        finish(SHA512),
        there(BLOB.content, SHA512),
    ),
    case(
        "the hint binds nobody",
        post(f"{UPLOADS}?digest-algorithm=sha512", 202, want=session(0)),
        patch("$location", 202, BLOB.content, want=session(2047)),
        finish(BLOB.digest),
        there(BLOB.content, BLOB.digest),
    ),
    case(
        "an unknown algorithm is refused from the start",
        post(f"{UPLOADS}?digest-algorithm=md5", 400, codes=("DIGEST_INVALID",)),
    ),
    case(
        "pushing what is there already",
        START,
        finish(BLOB.digest, body=BLOB.content),
        START,
        finish(BLOB.digest, body=BLOB.content),
        there(BLOB.content, BLOB.digest),
        seed=(BLOB,),
    ),
    case(
        "a parameter before the digest is kept",
        START,
        put("${join}a=b&digest=" + BLOB.digest, 201, BLOB.content, want=done(BLOB.digest)),
    ),
]

STATUS = [
    case("status of an empty upload", START, get("$location", 204, want=kept(0), content=b"")),
    case(
        "status after a chunk",
        START,
        patch("$location", 202, FIRST),
        get("$location", 204, want=kept(699)),
        get("${join}digest=" + BLOB.digest, 204, want=kept(699)),
    ),
    case(
        "an old location tells the present state",
        START,
        patch("$location", 202, FIRST),
        get("$first", 204, want=kept(699)),
        patch("$first", 202, SECOND, want=session(1399)),
        get("$first", 204, want=kept(1399)),
        put("$first", 400, THIRD, codes=("DIGEST_INVALID",)),
    ),
    case(
        "an unknown upload",
        get(f"{UPLOADS}00000000-0000-0000-0000-000000000000", 404, codes=("BLOB_UPLOAD_UNKNOWN",)),
        seed=(BLOB,),
    ),
    case("an upload that is no id", get(f"{UPLOADS}x", 404, codes=("BLOB_UPLOAD_UNKNOWN",)), seed=(BLOB,)),
    case(
        "a finished upload is unknown",
        START,
        finish(BLOB.digest, body=BLOB.content),
        get("$first", 404, codes=("BLOB_UPLOAD_UNKNOWN",)),
        patch("$first", 404, b"x", codes=("BLOB_UPLOAD_UNKNOWN",)),
        delete("$first", 404, codes=("BLOB_UPLOAD_UNKNOWN",)),
    ),
    case(
        "unknown upload: PATCH, PUT, DELETE",
        patch(f"{UPLOADS}00000000-0000-0000-0000-000000000000", 404, b"x", codes=("BLOB_UPLOAD_UNKNOWN",)),
        put(
            f"{UPLOADS}00000000-0000-0000-0000-000000000000?digest={BLOB.digest}",
            404,
            BLOB.content,
            codes=("BLOB_UPLOAD_UNKNOWN",),
        ),
        delete(f"{UPLOADS}00000000-0000-0000-0000-000000000000", 404, codes=("BLOB_UPLOAD_UNKNOWN",)),
        get(blobs(BLOB.digest), 404),
    ),
]

CANCEL = [
    case(
        "a cancelled upload is gone",
        START,
        patch("$location", 202, FIRST),
        delete("$location", 204, content=b""),
        get("$location", 404, codes=("BLOB_UPLOAD_UNKNOWN",)),
        delete("$location", 404, codes=("BLOB_UPLOAD_UNKNOWN",)),
        put("${join}digest=" + digest_of(FIRST), 404, codes=("BLOB_UPLOAD_UNKNOWN",)),
        head(blobs(digest_of(FIRST)), 404),
    ),
    case("crane's permission check: POST then DELETE", START, delete("$location", 204)),
]

OUT_OF_ORDER = [
    case(
        "a gap is refused and the upload goes on",
        START,
        chunk(FIRST, 0),
        chunk(THIRD, 1400, 416, want=kept(699)),
        get("$location", 204, want=kept(699)),
        chunk(SECOND, 700),
        chunk(THIRD, 1400),
        finish(BLOB.digest),
        there(BLOB.content, BLOB.digest),
    ),
    case(
        "a first chunk that starts late is refused",
        START,
        chunk(SECOND, 700, 416, want=kept(0)),
        get("$location", 204, want=kept(0)),
        chunk(BLOB.content, 0),
        finish(BLOB.digest),
    ),
    case(
        "a repeated chunk is refused",
        START,
        chunk(FIRST, 0),
        chunk(FIRST, 0, 416, want=kept(699)),
        patch("$first", 416, FIRST, send=(("Content-Range", "0-699"),), want=kept(699)),
        chunk(SECOND + THIRD, 700),
        finish(BLOB.digest),
        there(BLOB.content, BLOB.digest),
    ),
    case(
        "a last chunk with a gap is refused and the upload goes on",
        START,
        chunk(FIRST, 0),
        finish(BLOB.digest, 416, THIRD, send=(("Content-Range", "1400-2047"),), want=kept(699)),
        get("$location", 204, want=kept(699)),
        chunk(SECOND, 700),
        finish(BLOB.digest, body=THIRD, send=(("Content-Range", "1400-2047"),)),
        there(BLOB.content, BLOB.digest),
    ),
    *(
        case(
            f"Content-Range {value!r} is malformed",
            START,
            patch("$location", 416, FIRST, send=(("Content-Range", value),), want=kept(0)),
            get("$location", 204, want=kept(0)),
        )
        for value in ["x", "0-", "-699", "699-0", "a-b", "0-699-", "bytes */700", "items 0-699/*", "0 - 699"]
    ),
    case(
        "a length that is not the range's is refused",
        START,
        patch("$location", 400, FIRST, send=(("Content-Range", "0-9"),), codes=("SIZE_INVALID",)),
        get("$location", 204, want=kept(0)),
        patch("$location", 400, FIRST, send=(("Content-Range", "0-9999"),), codes=("SIZE_INVALID",)),
        finish(BLOB.digest, body=BLOB.content),
        there(BLOB.content, BLOB.digest),
    ),
    case(
        "an empty chunk has no range",
        START,
        patch("$location", 400, b"", send=(("Content-Range", "0-0"),), codes=("SIZE_INVALID",)),
        get("$location", 204, want=kept(0)),
    ),
]

MISMATCH = [
    *(
        case(
            f"ended with digest {digest[:24]!r}",
            START,
            patch("$location", 202, BLOB.content),
            put("${join}digest=" + digest, 400, codes=("DIGEST_INVALID",)),
            head(blobs(BLOB.digest), 404),
        )
        for digest in [
            "",
            "x",
            "latest",
            "sha256:baddigeststring",
            "sha257:" + "a" * 64,
            "md5:" + "a" * 32,
            "sha256:" + "A" * 64,
        ]
    ),
    case(
        "ended without a digest",
        START,
        patch("$location", 202, BLOB.content),
        put("$location", 400, codes=("DIGEST_INVALID",)),
        head(blobs(BLOB.digest), 404),
    ),
    case(
        "ended with another digest: nothing is readable",
        START,
        finish(ABSENT, 400, BLOB.content, codes=("DIGEST_INVALID",)),
        head(blobs(ABSENT), 404),
        head(blobs(BLOB.digest), 404),
    ),
    case(
        "another digest after PATCH",
        START,
        patch("$location", 202, BLOB.content),
        finish(ABSENT, 400, codes=("DIGEST_INVALID",)),
        head(blobs(ABSENT), 404),
        head(blobs(BLOB.digest), 404),
    ),
    case(
        "another sha512 digest",
        START,
        finish(BLOB_512.digest, 400, BLOB.content, codes=("DIGEST_INVALID",)),
        head(blobs(BLOB_512.digest), 404),
    ),
    case(
        "an empty body is not the blob",
        START,
        finish(BLOB.digest, 400, codes=("DIGEST_INVALID",)),
        head(blobs(BLOB.digest), 404),
    ),
    case(
        "single POST with another digest",
        post(f"{UPLOADS}?digest={ABSENT}", 400, body=BLOB.content, codes=("DIGEST_INVALID",)),
        head(blobs(ABSENT), 404),
        head(blobs(BLOB.digest), 404),
    ),
    *(
        case(
            f"single POST with digest {digest[:24]!r}",
            post(f"{UPLOADS}?digest={digest}", 400, body=BLOB.content, codes=("DIGEST_INVALID",)),
            head(blobs(BLOB.digest), 404),
        )
        for digest in ["x", "sha256:baddigeststring", "sha257:" + "a" * 64]
    ),
    case(
        "another repository's upload",
        START,
        Step("PATCH", "/v2/$other/blobs/uploads/$id", 404, body=FIRST, codes=("BLOB_UPLOAD_UNKNOWN",)),
        get("/v2/$other/blobs/uploads/$id", 404, codes=("BLOB_UPLOAD_UNKNOWN",)),
        put(f"/v2/$other/blobs/uploads/$id?digest={EMPTY.digest}", 404, codes=("BLOB_UPLOAD_UNKNOWN",)),
        delete("/v2/$other/blobs/uploads/$id", 404, codes=("BLOB_UPLOAD_UNKNOWN",)),
        get("$location", 204),
        other=(EMPTY_JSON,),
    ),
]


@pytest.mark.parametrize(
    "row", [*FORMS, *STATUS, *CANCEL, *OUT_OF_ORDER, *MISMATCH], ids=lambda row: row.about
)
def test_upload_row(exam: Exam, row: Case) -> None:
    exam.run(row)


def test_upload_of_several_megabytes_in_many_chunks(exam: Exam) -> None:
    content = random_bytes(6_000_000, 5)
    name = exam.new_repository()
    ask = exam.registry.ask_as_admin
    location = ask("POST", f"/v2/{name}/blobs/uploads/").header("Location") or ""
    step = 1_000_001
    for start in range(0, len(content), step):
        piece = content[start : start + step]
        send = (("Content-Range", f"{start}-{start + len(piece) - 1}"),)
        answer = ask("PATCH", location, send, piece)
        assert answer.status == 202
        location = answer.header("Location") or ""
    joined = location + ("&" if "?" in location else "?")
    assert ask("PUT", f"{joined}digest={digest_of(content)}").status == 201
    assert ask("GET", f"/v2/{name}/blobs/{digest_of(content)}").body == content
