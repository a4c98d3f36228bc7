"""Section 2 of the protocol: blobs, whole and in parts, conditional requests, deletion."""

import re
from collections.abc import Iterable

import pytest
from tests.conformance.content import (
    ABSENT,
    ABSENT_512,
    BLOB,
    BLOB_512,
    CONFIG,
    EMPTY,
    EMPTY_512,
    EMPTY_JSON,
    EMPTY_JSON_512,
    IMAGE,
    IMAGE_SEED,
    Blob,
)
from tests.conformance.table import (
    UPLOADS,
    Case,
    Exam,
    Wanted,
    blobs,
    case,
    delete,
    get,
    head,
    manifests,
    post,
    put,
)

TARGET = blobs(BLOB.digest)
SIZE = len(BLOB.content)


def whole(blob: Blob) -> dict[str, Wanted]:
    """Return the headers of an answer with the whole blob."""
    return {
        "Content-Length": str(len(blob.content)),
        "Content-Type": "application/octet-stream",
        "Docker-Content-Digest": blob.digest,
        "ETag": f'"{blob.digest}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": re.compile(r".*\bmax-age=31536000\b.*"),
        "Content-Range": None,
        "Location": None,
        "Transfer-Encoding": None,
    }


def ranged(header: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Return a Range header and others."""
    return (("Range", header), *more)


READS = [
    *(
        case(
            f"{about} is read whole",
            get(blobs(blob.digest), content=blob.content, want=whole(blob)),
            head(blobs(blob.digest), want=whole(blob)),
            seed=(blob,),
        )
        for about, blob in [
            ("a blob", BLOB),
            ("a sha512 blob", BLOB_512),
            ("the empty blob", EMPTY),
            ("the empty sha512 blob", EMPTY_512),
            ("the empty JSON blob", EMPTY_JSON),
            ("the empty JSON sha512 blob", EMPTY_JSON_512),
        ]
    ),
    case(
        "an absent blob",
        get(blobs(ABSENT), 404, codes=("BLOB_UNKNOWN",)),
        head(blobs(ABSENT), 404),
        get(blobs(ABSENT_512), 404, codes=("BLOB_UNKNOWN",)),
        head(blobs(ABSENT_512), 404),
        seed=(BLOB,),
    ),
    case(
        "another repository's blob is unknown here",
        get(TARGET, 404, codes=("BLOB_UNKNOWN",)),
        head(TARGET, 404),
        get(f"/v2/$other/blobs/{BLOB.digest}"),
        seed=(EMPTY,),
        other=(BLOB,),
    ),
    case("a blob of an unknown repository", get(TARGET, 404), head(TARGET, 404)),
    case(
        "no encoding, whatever the client accepts",
        get(
            TARGET,
            content=BLOB.content,
            send=(("Accept-Encoding", "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5"),),
            want=whole(BLOB),
        ),
        seed=(BLOB,),
    ),
    case(
        "no encoding, although only gzip is accepted",
        get(
            TARGET, content=BLOB.content, send=(("Accept-Encoding", "gzip, identity;q=0"),), want=whole(BLOB)
        ),
        seed=(BLOB,),
    ),
    case(
        "the Accept header does not matter",
        get(TARGET, content=BLOB.content, send=(("Accept", "text/html"),), want=whole(BLOB)),
        seed=(BLOB,),
    ),
    case(
        "the namespace parameter of mirrors is ignored",
        get(f"{TARGET}?ns=docker.io", content=BLOB.content, want=whole(BLOB)),
        head(f"{TARGET}?ns=registry.k8s.io", want=whole(BLOB)),
        seed=(BLOB,),
    ),
    case(
        "a manifest is also a blob",
        get(blobs(IMAGE.digest), content=IMAGE.content),
        head(blobs(IMAGE.digest), want={"Content-Length": str(len(IMAGE.content))}),
        seed=IMAGE_SEED,
    ),
    case(
        "skopeo sends the version header with its requests",
        head(TARGET, send=(("Docker-Distribution-API-Version", "registry/2.0"),), want=whole(BLOB)),
        seed=(BLOB,),
    ),
]

PARTS = [
    ("bytes=500-1499", 500, 1500),
    ("bytes=500-", 500, SIZE),
    ("bytes=-500", SIZE - 500, SIZE),
    ("bytes=2000-5000", 2000, SIZE),
    ("bytes=0-", 0, SIZE),
    ("bytes=0-0", 0, 1),
    ("bytes=0-2047", 0, SIZE),
    ("bytes=2047-2047", 2047, SIZE),
    ("bytes=2047-", 2047, SIZE),
    ("bytes=-1", SIZE - 1, SIZE),
    ("bytes=-2048", 0, SIZE),
    ("bytes=-9999", 0, SIZE),
    ("bytes=0-999999999999999999", 0, SIZE),
    ("Bytes=500-1499", 500, 1500),
    ("bytes=500-1499,9000-", 500, 1500),
]
RANGES = [
    case(
        f"{header} gives a part",
        get(
            TARGET,
            206,
            send=ranged(header),
            content=BLOB.content[start:end],
            want={
                "Content-Range": f"bytes {start}-{end - 1}/{SIZE}",
                "Content-Length": str(end - start),
                "Content-Type": "application/octet-stream",
                "Docker-Content-Digest": BLOB.digest,
                "ETag": f'"{BLOB.digest}"',
                "Accept-Ranges": "bytes",
            },
        ),
        seed=(BLOB,),
    )
    for header, start, end in PARTS
]

REFUSED = [
    "bytes=500-0",
    "bytes=5000-10000",
    "bytes=2048-",
    "bytes=2048-2049",
    "bytes=-0",
    "bytes=",
    "bytes=-",
    "bytes=--",
    "bytes=,",
    "bytes=5",
    "bytes=a-b",
    "bytes=0-b",
    "bytes=a-5",
    "bytes=0x0-0xf",
    "bytes=0--5",
    "bytes=-5-",
    "bytes=1-2-3",
    "bytes=0.0-5.0",
    "bytes==0-5",
    "bytes=+0-5",
    "bytes=9000-,9001-9002",
    "bytes=0-99999999999999999999999999",
    "bytes=0-5,x",
]
UNSATISFIABLE = [
    case(
        f"{header} cannot be satisfied",
        get(
            TARGET,
            416,
            send=ranged(header),
            want={"Content-Range": f"bytes */{SIZE}"},
            codes=("RANGE_INVALID",),
        ),
        seed=(BLOB,),
    )
    for header in REFUSED
]
NOTHING_TO_SPLIT = [
    case(
        f"{header} of the empty blob cannot be satisfied",
        get(blobs(EMPTY.digest), 416, send=ranged(header), want={"Content-Range": "bytes */0"}),
        seed=(EMPTY,),
    )
    for header in ["bytes=0-", "bytes=0-0", "bytes=-1"]
]

IGNORED = [
    "items=0-5",
    "0-5",
    "bytes 0-5",
    "bytes",
    "seconds=1-2",
    "bytes=0-2047,0-0",
    "bytes=" + ",".join(f"{start}-{start}" for start in range(65)),
]
IGNORED_RANGES = [
    case(
        f"{header[:40]} is ignored",
        get(TARGET, send=ranged(header), content=BLOB.content, want=whole(BLOB)),
        seed=(BLOB,),
    )
    for header in IGNORED
] + [
    case(
        "HEAD ignores ranges",
        head(TARGET, send=ranged("bytes=0-5"), want=whole(BLOB)),
        head(TARGET, send=ranged("bytes=9000-"), want=whole(BLOB)),
        seed=(BLOB,),
    )
]

QUOTED = f'"{BLOB.digest}"'
NOT_MODIFIED: dict[str, Wanted] = {"ETag": QUOTED, "Content-Range": None}
MATCHING = [
    QUOTED,
    BLOB.digest,
    "*",
    f"W/{QUOTED}",
    f'"{ABSENT}", {QUOTED}',
    f'{QUOTED},"x"',
    f'"x" , W/{QUOTED}',
]
DIFFERENT = [f'"{ABSENT}"', '"x"', "x", '""', "W/", f'"{BLOB.digest[:-1]}"', BLOB.digest[:20]]
CONDITIONS = [
    *(
        case(
            f"If-None-Match: {value[:40]} is not modified",
            get(TARGET, 304, send=(("If-None-Match", value),), content=b"", want=NOT_MODIFIED),
            head(TARGET, 304, send=(("If-None-Match", value),), want=NOT_MODIFIED),
            seed=(BLOB,),
        )
        for value in MATCHING
    ),
    *(
        case(
            f"If-None-Match: {value[:40]} gives the blob",
            get(TARGET, send=(("If-None-Match", value),), content=BLOB.content, want=whole(BLOB)),
            seed=(BLOB,),
        )
        for value in DIFFERENT
    ),
    case(
        "If-None-Match in two lines",
        get(TARGET, 304, send=(("If-None-Match", '"x"'), ("If-None-Match", QUOTED))),
        seed=(BLOB,),
    ),
    case(
        "If-None-Match comes before Range",
        get(TARGET, 304, send=ranged("bytes=0-5", ("If-None-Match", QUOTED))),
        get(TARGET, 206, send=ranged("bytes=0-5", ("If-None-Match", '"x"')), content=BLOB.content[:6]),
        seed=(BLOB,),
    ),
    case(
        "If-None-Match: * of an absent blob",
        get(blobs(ABSENT), 404, send=(("If-None-Match", "*"),)),
        seed=(BLOB,),
    ),
    case(
        "If-Range with the strong tag gives the part",
        get(TARGET, 206, send=ranged("bytes=0-5", ("If-Range", QUOTED)), content=BLOB.content[:6]),
        seed=(BLOB,),
    ),
    *(
        case(
            f"If-Range: {value[:40]} gives the whole",
            get(
                TARGET, send=ranged("bytes=0-5", ("If-Range", value)), content=BLOB.content, want=whole(BLOB)
            ),
            get(TARGET, send=ranged("bytes=9000-", ("If-Range", value)), content=BLOB.content),
            seed=(BLOB,),
        )
        for value in [f"W/{QUOTED}", f'"{ABSENT}"', '"x"', "Wed, 21 Oct 2015 07:28:00 GMT", "*"]
    ),
]

BAD_DIGESTS = [
    "sha256:totallywrong",
    "sha256:baddigeststring",
    "sha256:",
    "sha256:" + "a" * 63,
    "sha256:" + "a" * 65,
    "sha256:" + "A" * 64,
    "sha256:" + "g" * 64,
    "sha257:" + "a" * 64,
    "sha512:" + "a" * 64,
    "md5:" + "a" * 32,
    "SHA256:" + "a" * 64,
    "latest",
    "a" * 64,
    "sha256:" + "a" * 64 + ":b",
    "sha256%3A" + "a" * 63,
    ":" + "a" * 64,
]
MALFORMED = [
    case(
        f"blob {digest[:30]} of {len(digest)} characters is no digest",
        get(blobs(digest), 400, codes=("DIGEST_INVALID",)),
        head(blobs(digest), 400),
        delete(blobs(digest), 400, codes=("DIGEST_INVALID",)),
        seed=(BLOB,),
    )
    for digest in BAD_DIGESTS
]

UNREFERENCED: dict[str, Wanted] = {"Content-Length": "0", "Content-Type": None}
DELETIONS = [
    case(
        "a deleted blob is gone at once, and may come again",
        delete(TARGET, want={"Content-Length": "0"}, content=b""),
        head(TARGET, 404),
        get(TARGET, 404, codes=("BLOB_UNKNOWN",)),
        delete(TARGET, 404, codes=("BLOB_UNKNOWN",)),
        post(f"{UPLOADS}?digest={BLOB.digest}", 201, body=BLOB.content),
        get(TARGET, content=BLOB.content),
        seed=(BLOB,),
    ),
    case(
        "a sha512 blob is deleted",
        delete(blobs(BLOB_512.digest)),
        head(blobs(BLOB_512.digest), 404),
        seed=(BLOB_512,),
    ),
    case(
        "other repositories keep their copy",
        delete(TARGET),
        get(f"/v2/$other/blobs/{BLOB.digest}", content=BLOB.content),
        seed=(BLOB,),
        other=(BLOB,),
    ),
    case(
        "another repository's blob cannot be deleted",
        delete(TARGET, 404, codes=("BLOB_UNKNOWN",)),
        get(f"/v2/$other/blobs/{BLOB.digest}", content=BLOB.content),
        seed=(EMPTY,),
        other=(BLOB,),
    ),
    case("a blob of an unknown repository cannot be deleted", delete(TARGET, 404)),
    case(
        "a blob stays while a manifest needs it",
        delete(blobs(CONFIG.digest), 405, codes=("UNSUPPORTED",)),
        get(blobs(CONFIG.digest), content=CONFIG.content),
        delete(manifests(IMAGE.digest)),
        delete(blobs(CONFIG.digest)),
        head(blobs(CONFIG.digest), 404),
        seed=IMAGE_SEED,
    ),
    case(
        "a blob referenced elsewhere only may go",
        delete(blobs(CONFIG.digest)),
        get(f"/v2/$other/blobs/{CONFIG.digest}"),
        seed=(CONFIG,),
        other=IMAGE_SEED,
    ),
    case(
        "a manifest pushed after the deletion misses the blob",
        delete(manifests(IMAGE.digest)),
        delete(blobs(CONFIG.digest)),
        put(
            manifests("latest"),
            400,
            IMAGE.content,
            send=(("Content-Type", IMAGE.media_type),),
            codes=("MANIFEST_BLOB_UNKNOWN",),
        ),
        seed=IMAGE_SEED,
    ),
]


@pytest.mark.parametrize(
    "row",
    [
        *READS,
        *RANGES,
        *UNSATISFIABLE,
        *NOTHING_TO_SPLIT,
        *IGNORED_RANGES,
        *CONDITIONS,
        *MALFORMED,
        *DELETIONS,
    ],
    ids=lambda row: row.about,
)
def test_blob_row(exam: Exam, row: Case) -> None:
    exam.run(row)


def split_multipart(body: bytes, content_type: str) -> list[tuple[str, bytes]]:
    """Return Content-Range and content of each part of a multipart/byteranges body."""
    match = re.fullmatch(r'multipart/byteranges; ?boundary="?([^"]+)"?', content_type)
    assert match, content_type
    boundary = b"--" + match[1].encode()
    assert boundary not in BLOB.content
    start, *sections, end = (b"\r\n" + body).split(b"\r\n" + boundary)
    assert start.strip() == b""
    assert end.strip() == b"--"
    parts = []
    for section in sections:
        fields, _, content = section.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in fields.decode().split("\r\n"))
        found = {name.lower(): value for name, value in headers.items()}
        assert found["content-type"] == "application/octet-stream"
        parts.append((found["content-range"], content))
    return parts


def ask_parts(exam: Exam, ranges: Iterable[str]) -> list[tuple[str, bytes]]:
    name = exam.shared_repository((BLOB,))
    send = (("Range", "bytes=" + ",".join(ranges)),)
    answer = exam.registry.ask_as_admin("GET", f"/v2/{name}/blobs/{BLOB.digest}", send)
    assert answer.status == 206
    assert answer.header("Content-Range") is None
    assert answer.header("Content-Length") == str(len(answer.body))
    assert answer.header("Docker-Content-Digest") == BLOB.digest
    return split_multipart(answer.body, answer.header("Content-Type") or "")


@pytest.mark.parametrize(
    "ranges",
    [
        [(0, 1), (10, 20)],
        [(10, 20), (0, 1)],
        [(0, 0), (2047, 2047)],
        [(0, 99), (50, 149)],
        [(0, 1023), (1024, 2047)],
        [(start * 32, start * 32 + 9) for start in range(64)],
    ],
    ids=str,
)
def test_blob_several_ranges_come_as_parts(exam: Exam, ranges: list[tuple[int, int]]) -> None:
    found = ask_parts(exam, [f"{first}-{last}" for first, last in ranges])
    assert found == [
        (f"bytes {first}-{last}/{SIZE}", BLOB.content[first : last + 1]) for first, last in ranges
    ]


def test_blob_open_and_suffix_ranges_come_as_parts(exam: Exam) -> None:
    found = ask_parts(exam, [" 0-1", " 2040- ", "-3", "9000-"])
    assert found == [
        (f"bytes 0-1/{SIZE}", BLOB.content[:2]),
        (f"bytes 2040-2047/{SIZE}", BLOB.content[2040:]),
        (f"bytes 2045-2047/{SIZE}", BLOB.content[2045:]),
    ]


def test_blob_ranges_put_together_are_the_blob(exam: Exam) -> None:
    name = exam.shared_repository((BLOB,))
    target = f"/v2/{name}/blobs/{BLOB.digest}"
    with exam.registry.connect() as wire:
        got = [
            wire.ask("GET", target, (*exam.registry.admin, ("Range", f"bytes={start}-{start + 99}"))).body
            for start in range(0, SIZE, 100)
        ]
    assert b"".join(got) == BLOB.content
