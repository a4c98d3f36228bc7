"""Section 4 of the protocol: what is no manifest, or misses content, is refused and leaves nothing."""

from typing import Any

import pytest
from tests.conformance.content import (
    ABSENT,
    BLOB,
    CONFIG,
    DOCKER_IMAGE,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    IMAGE,
    IMAGE_ARM,
    IMAGE_SEED,
    INDEX,
    INDEX_SEED,
    LAYER,
    LAYER_2,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    PARTS,
    SCHEMA1,
    SCHEMA1_SIGNED,
    Blob,
    encode,
    image,
    random_bytes,
)
from tests.conformance.manifest_steps import (
    CONFIG_DESCRIPTOR,
    LAYER_DESCRIPTOR,
    bare,
    found,
    push_missing,
    pushed,
    refuse,
    typed,
)
from tests.conformance.table import (
    Case,
    Exam,
    case,
    delete,
    get,
    head,
    manifests,
    put,
)

BOTH = {"config": CONFIG_DESCRIPTOR, "layers": [LAYER_DESCRIPTOR]}
CONTENT_TYPES = [
    *(
        case(
            f"Content-Type {media_type!r} is stored without parameters",
            put(manifests("v1"), 201, IMAGE.content, send=typed(media_type), want=pushed(IMAGE)),
            *found(IMAGE, "v1"),
            seed=PARTS,
        )
        for media_type in [
            f"{OCI_MANIFEST}; charset=utf-8",
            f"{OCI_MANIFEST};a=b;c=d",
            f"  {OCI_MANIFEST}  ",
        ]
    ),
    case(
        "without Content-Type the body's type counts",
        put(manifests("v1"), 201, IMAGE.content, want=pushed(IMAGE)),
        *found(IMAGE, "v1"),
        seed=PARTS,
    ),
    case("without any type", refuse(bare(IMAGE).content, None), seed=PARTS),
    *(
        case(f"Content-Type {media_type} is refused", refuse(IMAGE.content, media_type), seed=PARTS)
        for media_type in [
            "application/json",
            "text/plain",
            "application/octet-stream",
            "*/*",
            OCI_INDEX,
            DOCKER_MANIFEST,
            DOCKER_LIST,
        ]
    ),
    case("an index as an image", refuse(INDEX.content, OCI_MANIFEST), seed=INDEX_SEED),
    case("a Docker image as OCI", refuse(DOCKER_IMAGE.content, OCI_MANIFEST), seed=PARTS),
    *(
        case(
            f"schema 1 is refused: {media_type.rpartition('.')[2]}",
            refuse(b'{"schemaVersion":1,"name":"a/b","tag":"x","fsLayers":[],"history":[]}', media_type),
        )
        for media_type in [SCHEMA1, SCHEMA1_SIGNED]
    ),
    case(
        "schema 1 under a type of schema 2",
        refuse(b'{"schemaVersion":1,"name":"a/b","tag":"x","fsLayers":[],"history":[]}', DOCKER_MANIFEST),
    ),
]


def changed(**members: Any) -> bytes:
    """Return an image manifest with these members; None removes one."""
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, **BOTH, **members}
    return encode({name: value for name, value in document.items() if value is not None})


BAD_BODIES = [
    ("nothing", b""),
    ("no JSON", b"hello"),
    ("half of it", IMAGE.content[:50]),
    ("two documents", IMAGE.content * 2),
    ("a list", b"[]"),
    ("a text", b'"a"'),
    ("null", b"null"),
    ("an empty object", b"{}"),
    ("NaN", b'{"schemaVersion":NaN}'),
    ("not UTF-8", b'{"schemaVersion":2,"a":"\xff"}'),
    ("UTF-16", IMAGE.content.decode().encode("utf-16")),
    ("gzip bytes", b"\x1f\x8b\x08\x00" + random_bytes(60)),
    ("nested too deep", b"[" * 100_000 + b"]" * 100_000),
    ("nested too deep in a member", b'{"schemaVersion":2,"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
    ("no schemaVersion", changed(schemaVersion=None)),
    ("schemaVersion 1", changed(schemaVersion=1)),
    ("schemaVersion 3", changed(schemaVersion=3)),
    ("schemaVersion as a text", changed(schemaVersion="2")),
    ("another mediaType", changed(mediaType=OCI_INDEX)),
    ("mediaType as a number", changed(mediaType=7)),
    ("no config", changed(config=None)),
    ("config as a list", changed(config=[])),
    ("no layers", changed(layers=None)),
    ("layers as an object", changed(layers={})),
    ("a layer as a text", changed(layers=["x"])),
    ("a layer without digest", changed(layers=[{"mediaType": OCI_LAYER, "size": 1}])),
    ("a layer without size", changed(layers=[{"mediaType": OCI_LAYER, "digest": LAYER.digest}])),
    ("a layer with a bad digest", changed(layers=[LAYER_DESCRIPTOR | {"digest": "sha256:x"}])),
    ("a layer with an unknown algorithm", changed(layers=[LAYER_DESCRIPTOR | {"digest": "md5:" + "a" * 32}])),
    ("a layer with a negative size", changed(layers=[LAYER_DESCRIPTOR | {"size": -1}])),
    ("a layer with an endless size", changed(layers=[LAYER_DESCRIPTOR | {"size": 10**30}])),
    ("a bad subject", changed(subject={"digest": "x"})),
    ("a NUL in the artifact type", changed(artifactType="a\0b")),
    ("a NUL in the config's type", changed(config=CONFIG.descriptor("a\0b"))),
    ("annotations as a list", changed(annotations=[])),
    ("an annotation as a number", changed(annotations={"a": 1})),
    ("an image with manifests", changed(manifests=[])),
]
INVALID = [
    case(f"refused: {about}", refuse(body), get(manifests("latest"), 404), seed=PARTS)
    for about, body in BAD_BODIES
]
INVALID_INDEXES = [
    case(f"refused index: {about}", refuse(encode(document), OCI_INDEX), seed=IMAGE_SEED)
    for about, document in [
        ("no manifests", {"schemaVersion": 2}),
        ("manifests as an object", {"schemaVersion": 2, "manifests": {}}),
        (
            "a child without digest",
            {"schemaVersion": 2, "manifests": [{"mediaType": OCI_MANIFEST, "size": 1}]},
        ),
        ("layers", {"schemaVersion": 2, "manifests": [], "layers": []}),
    ]
]

DIGESTS = [
    case(
        "body and digest differ",
        put(manifests(ABSENT), 400, IMAGE.content, send=typed(OCI_MANIFEST), codes=("DIGEST_INVALID",)),
        get(manifests(ABSENT), 404, codes=("MANIFEST_UNKNOWN",)),
        get(manifests(IMAGE.digest), 404, codes=("MANIFEST_UNKNOWN",)),
        seed=PARTS,
    ),
    *(
        case(
            f"reference {reference[:30]!r} of {len(reference)} characters is no digest",
            put(
                manifests(reference), 400, IMAGE.content, send=typed(OCI_MANIFEST), codes=("DIGEST_INVALID",)
            ),
            get(manifests(reference), 400, codes=("DIGEST_INVALID",)),
            head(manifests(reference), 400),
            delete(manifests(reference), 400, codes=("DIGEST_INVALID",)),
            seed=PARTS,
        )
        for reference in [
            "sha256:totallywrong",
            "sha256:baddigeststring",
            "sha256:" + "a" * 63,
            "sha256:" + "A" * 64,
            "sha257:" + "a" * 64,
            "md5:" + "a" * 32,
            ":",
            "latest:",
            "a:b",
        ]
    ),
    *(
        case(
            f"reference {reference[:30]!r} of {len(reference)} characters is no tag",
            put(manifests(reference), 400, IMAGE.content, send=typed(OCI_MANIFEST), codes=("TAG_INVALID",)),
            get(manifests(reference), 404, codes=("MANIFEST_UNKNOWN",)),
            head(manifests(reference), 404),
            delete(manifests(reference), 404, codes=("MANIFEST_UNKNOWN",)),
            seed=PARTS,
        )
        for reference in [
            ".INVALID_MANIFEST_NAME",
            "-a",
            "a" * 129,
            "a+b",
            "a%20b",
            "%2e",
            "a%0Ab",
            "%E4%B8%AD",
            "a~b",
        ]
    ),
]


MISSING = [
    case(
        "config and layers are missing", push_missing(IMAGE, *(part.digest for part in PARTS)), seed=(BLOB,)
    ),
    case("in a new repository too", push_missing(IMAGE, *(part.digest for part in PARTS))),
    case("one layer is missing", push_missing(IMAGE, LAYER_2.digest), seed=(CONFIG, LAYER)),
    case("the config is missing", push_missing(IMAGE, CONFIG.digest), seed=(LAYER, LAYER_2)),
    case(
        "a missing layer that is named twice counts once",
        push_missing(image(CONFIG_DESCRIPTOR, [BLOB.descriptor(OCI_LAYER)] * 2), BLOB.digest),
        seed=PARTS,
    ),
    case(
        "another repository's blobs do not count",
        push_missing(IMAGE, *(part.digest for part in PARTS)),
        other=IMAGE_SEED,
    ),
    case("children are missing", push_missing(INDEX, IMAGE.digest, IMAGE_ARM.digest), seed=PARTS),
    case("one child is missing", push_missing(INDEX, IMAGE_ARM.digest), seed=IMAGE_SEED),
    case(
        "a child of another repository is missing",
        push_missing(INDEX, IMAGE.digest, IMAGE_ARM.digest),
        other=INDEX_SEED,
    ),
    case(
        "missing content leaves no trace",
        push_missing(IMAGE, LAYER_2.digest),
        get(manifests("latest"), 404),
        get(manifests(IMAGE.digest), 404),
        seed=(CONFIG, LAYER),
    ),
]


@pytest.mark.parametrize(
    "row", [*CONTENT_TYPES, *INVALID, *INVALID_INDEXES, *DIGESTS, *MISSING], ids=lambda row: row.about
)
def test_manifest_refusal_row(exam: Exam, row: Case) -> None:
    exam.run(row)


def test_missing_content_is_named_one_by_one(exam: Exam) -> None:
    name = exam.new_repository((CONFIG,))
    answer = exam.registry.ask_as_admin(
        "PUT", f"/v2/{name}/manifests/latest", typed(OCI_MANIFEST), IMAGE.content
    )
    details = [entry["detail"] for entry in answer.json()["errors"]]
    assert sorted(str(detail) for detail in details) == sorted([LAYER.digest, LAYER_2.digest])


def test_manifest_in_many_layers_is_taken(exam: Exam) -> None:
    layers = [Blob(f"layer {number}".encode()) for number in range(200)]
    manifest = image(CONFIG_DESCRIPTOR, [layer.descriptor(OCI_LAYER) for layer in layers])
    name = exam.new_repository((CONFIG, *layers[:20]))
    answer = exam.registry.ask_as_admin(
        "PUT", f"/v2/{name}/manifests/latest", typed(OCI_MANIFEST), manifest.content
    )
    assert answer.status == 400
    assert len(answer.codes()) == 180
