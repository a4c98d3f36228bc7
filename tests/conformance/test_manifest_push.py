"""Section 4 of the protocol: manifests of every shape that clients send are taken and read back exactly."""

from typing import Any

import pytest
from tests.conformance.content import (
    ABSENT,
    ABSENT_512,
    BLOB,
    BLOB_512,
    CONFIG,
    DOCKER_IMAGE,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    EMPTY_JSON,
    FOREIGN_LAYER,
    IMAGE,
    IMAGE_ARM,
    IMAGE_SEED,
    INDEX,
    INDEX_SEED,
    LAYER,
    NONDISTRIBUTABLE_LAYER,
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    PARTS,
    Blob,
    Manifest,
    digest_of,
    image,
    index,
)
from tests.conformance.manifest_steps import (
    CONFIG_DESCRIPTOR,
    LAYER_DESCRIPTOR,
    NESTED,
    SHA512_IMAGE,
    bare,
    found,
    listed,
    push,
    push_missing,
    typed,
)
from tests.conformance.table import (
    Case,
    Exam,
    case,
    delete,
    get,
    manifests,
    put,
)
from tests.conformance.wire import Chunked

SPARSE = pytest.mark.xdist_group("sparse")
LIMIT = 4 * 1024 * 1024
SHA512_PARTS = image(Blob(CONFIG.content, "sha512").descriptor(OCI_CONFIG), [BLOB_512.descriptor(OCI_LAYER)])
SHAPES: list[tuple[str, Manifest]] = [
    ("OCI image", IMAGE),
    ("OCI image without mediaType", bare(IMAGE)),
    ("Docker image", DOCKER_IMAGE),
    ("no layers", image(CONFIG_DESCRIPTOR, [])),
    ("the same layer twice", image(CONFIG_DESCRIPTOR, [LAYER_DESCRIPTOR, LAYER_DESCRIPTOR])),
    (
        "any config type",
        image(CONFIG.descriptor("application/vnd.cncf.helm.config.v1+json"), [LAYER_DESCRIPTOR]),
    ),
    ("any layer type", image(CONFIG_DESCRIPTOR, [LAYER.descriptor("text/plain")])),
    ("unknown members", image(CONFIG_DESCRIPTOR, [LAYER_DESCRIPTOR], unknown={"deep": [1, {"a": None}]})),
    ("embedded content", image(EMPTY_JSON.descriptor(OCI_EMPTY, data="e30="), [LAYER_DESCRIPTOR])),
    (
        "an artifact",
        image(EMPTY_JSON.descriptor(OCI_EMPTY), [LAYER_DESCRIPTOR], artifactType="application/x"),
    ),
    ("annotations", image(CONFIG_DESCRIPTOR, [LAYER_DESCRIPTOR], annotations={"a": "\u4e2d\u6587", "": ""})),
    ("config as a layer too", image(CONFIG_DESCRIPTOR, [CONFIG.descriptor(OCI_LAYER)])),
    ("sha512 content", SHA512_PARTS),
    ("empty index", index([])),
    ("index without mediaType", bare(index([]))),
    ("index with an artifact type", index([], artifactType="application/x", annotations={"a": "b"})),
    ("empty Docker list", index([], DOCKER_LIST)),
]
SHAPE_SEED = (*PARTS, EMPTY_JSON, BLOB_512, Blob(CONFIG.content, "sha512"))
TAKEN = [
    case(
        f"{about} is taken by tag",
        push(manifest, "v1"),
        *found(manifest, "v1"),
        *found(manifest, manifest.digest),
        seed=SHAPE_SEED,
    )
    for about, manifest in SHAPES
] + [
    case(
        f"{about} is taken by digest",
        push(manifest, manifest.digest),
        *found(manifest, manifest.digest),
        seed=SHAPE_SEED,
    )
    for about, manifest in SHAPES
]

FOREIGN = [
    case(
        f"a {about} need not be there",
        push(manifest, "v1"),
        *found(manifest, "v1"),
        seed=PARTS,
    )
    for about, manifest in [
        (
            "nondistributable layer with urls",
            image(
                CONFIG_DESCRIPTOR, [BLOB.descriptor(NONDISTRIBUTABLE_LAYER, urls=["https://example.com/a"])]
            ),
        ),
        ("nondistributable layer", image(CONFIG_DESCRIPTOR, [BLOB.descriptor(NONDISTRIBUTABLE_LAYER)])),
        (
            "foreign layer of Docker",
            image(CONFIG_DESCRIPTOR, [BLOB.descriptor(FOREIGN_LAYER, urls=["https://example.com/a"])]),
        ),
        (
            "layer with urls",
            image(CONFIG_DESCRIPTOR, [BLOB.descriptor(OCI_LAYER, urls=["https://example.com/a"])]),
        ),
        (
            "foreign layer that is there",
            image(CONFIG_DESCRIPTOR, [LAYER.descriptor(FOREIGN_LAYER, urls=["https://a"])]),
        ),
    ]
]

SHA512 = [
    case(
        "pushed by sha512",
        push(SHA512_IMAGE, SHA512_IMAGE.digest),
        *found(SHA512_IMAGE, SHA512_IMAGE.digest),
        get(manifests(ABSENT_512), 404, codes=("MANIFEST_UNKNOWN",)),
        seed=PARTS,
    ),
    case(
        "a tag set with a sha512 push resolves to it",
        push(SHA512_IMAGE, f"{SHA512_IMAGE.digest}?tag=v512", OCI_Tag="v512"),
        *found(SHA512_IMAGE, "v512"),
        seed=PARTS,
    ),
    case(
        "sha512 of other content is refused",
        put(manifests(ABSENT_512), 400, IMAGE.content, send=typed(OCI_MANIFEST), codes=("DIGEST_INVALID",)),
        seed=PARTS,
    ),
    case(
        "deleted by sha512",
        push(SHA512_IMAGE, SHA512_IMAGE.digest),
        delete(manifests(SHA512_IMAGE.digest)),
        get(manifests(SHA512_IMAGE.digest), 404),
        seed=PARTS,
    ),
]

CACHE_CONFIG = "application/vnd.buildkit.cacheconfig.v0"
CHILDREN = [
    case(
        "an index",
        push(INDEX, "multi"),
        *found(INDEX, "multi"),
        *found(INDEX, INDEX.digest),
        seed=(*PARTS, IMAGE, IMAGE_ARM),
    ),
    case(
        "a Docker list",
        push(index([DOCKER_IMAGE.descriptor()], DOCKER_LIST), "multi"),
        *found(index([DOCKER_IMAGE.descriptor()], DOCKER_LIST), "multi"),
        seed=(*PARTS, DOCKER_IMAGE),
    ),
    case("an index of an index", push(NESTED, "nested"), *found(NESTED, "nested"), seed=INDEX_SEED),
    case(
        "BuildKit's cache: children are blobs",
        push(index([LAYER.descriptor(OCI_LAYER), CONFIG.descriptor(CACHE_CONFIG)]), "cache"),
        seed=PARTS,
    ),
    case(
        "BuildKit's cache as a Docker list",
        push(index([LAYER.descriptor(OCI_LAYER), CONFIG.descriptor(CACHE_CONFIG)], DOCKER_LIST), "cache"),
        seed=PARTS,
    ),
    case(
        "a child without a platform, of an unknown type",
        push(index([IMAGE.descriptor() | {"mediaType": "application/x"}]), "odd"),
        seed=IMAGE_SEED,
    ),
    case("sha512 children", push(index([SHA512_IMAGE.descriptor()]), "multi"), seed=(*PARTS, SHA512_IMAGE)),
]


def padded(size: int) -> Manifest:
    """Return an image manifest of exactly this many bytes."""
    empty = image(CONFIG_DESCRIPTOR, [], annotations={"pad": ""})
    return image(CONFIG_DESCRIPTOR, [], annotations={"pad": "x" * (size - len(empty.content))})


ANNOTATED = image(
    CONFIG_DESCRIPTOR,
    [LAYER_DESCRIPTOR],
    annotations={f"org.example.{number}": "x" * 10_000 for number in range(390)},
)
SIZES = [
    case("390 annotations of 10 kB", push(ANNOTATED, "large"), *found(ANNOTATED, "large"), seed=PARTS),
    case("4 MiB exactly", push(padded(LIMIT), "large"), *found(padded(LIMIT), "large"), seed=PARTS),
    case(
        "one byte more than 4 MiB",
        put(
            manifests("large"),
            413,
            padded(LIMIT + 1).content,
            send=typed(OCI_MANIFEST),
            codes=("MANIFEST_INVALID",),
        ),
        get(manifests("large"), 404),
        seed=PARTS,
    ),
]

SUBJECT: dict[str, Any] = {"subject": IMAGE.descriptor()}
ABSENT_SUBJECT: dict[str, Any] = {"subject": {"mediaType": OCI_MANIFEST, "digest": ABSENT, "size": 1}}
SUBJECTS = [
    case(
        f"{about} is confirmed",
        push(manifest, manifest.digest, OCI_Subject=subject),
        push(manifest, "tag", OCI_Subject=subject),
        *found(manifest, "tag"),
        seed=IMAGE_SEED,
    )
    for about, manifest, subject in [
        ("an image's subject", image(CONFIG_DESCRIPTOR, [], **SUBJECT), IMAGE.digest),
        ("an index's subject", index([], **SUBJECT), IMAGE.digest),
        ("a Docker image's subject", image(CONFIG_DESCRIPTOR, [], DOCKER_MANIFEST, **SUBJECT), IMAGE.digest),
        ("an absent subject", image(CONFIG_DESCRIPTOR, [], **ABSENT_SUBJECT), ABSENT),
        ("an index's absent subject", index([], **ABSENT_SUBJECT), ABSENT),
    ]
]

PUSHES = [
    case(
        "pushing again changes nothing",
        push(IMAGE, "latest"),
        push(IMAGE, IMAGE.digest),
        *found(IMAGE, "latest"),
        seed=IMAGE_SEED,
    ),
    case(
        "a tag moves, the old manifest stays by digest",
        push(IMAGE_ARM, "latest"),
        *found(IMAGE_ARM, "latest"),
        *found(IMAGE, IMAGE.digest),
        listed("latest"),
        seed=IMAGE_SEED,
    ),
    case("tag and digest give the same headers", push(IMAGE, "a"), push(IMAGE, IMAGE.digest), seed=PARTS),
    case(
        "chunked encoding without a length",
        put(manifests("v1"), 201, Chunked((IMAGE.content[:9], IMAGE.content[9:])), send=typed(OCI_MANIFEST)),
        *found(IMAGE, "v1"),
        seed=PARTS,
    ),
    case(
        "the same bytes under another type are another matter",
        put(manifests("v1"), 201, bare(IMAGE).content, send=typed(OCI_MANIFEST)),
        *found(bare(IMAGE), "v1"),
        seed=PARTS,
    ),
]


@pytest.mark.parametrize(
    "row", [*TAKEN, *FOREIGN, *SHA512, *CHILDREN, *SIZES, *SUBJECTS, *PUSHES], ids=lambda row: row.about
)
def test_manifest_push_row(exam: Exam, row: Case) -> None:
    exam.run(row)


@SPARSE
@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_sparse_index_is_taken_where_the_setting_allows_it(sparse_exam: Exam, media_type: str) -> None:
    manifest = index([IMAGE.descriptor(), IMAGE_ARM.descriptor()], media_type)
    sparse_exam.run(
        case(
            "children may be missing",
            push(manifest, "multi"),
            *found(manifest, "multi"),
            get(manifests(IMAGE.digest), 404),
            delete(manifests(manifest.digest)),
        )
    )


@SPARSE
def test_sparse_setting_demands_the_layers_of_images(sparse_exam: Exam) -> None:
    sparse_exam.run(case("layers must be there", push_missing(IMAGE, *(part.digest for part in PARTS))))


def test_digest_of_the_exact_bytes_is_kept(exam: Exam) -> None:
    content = IMAGE.content.replace(b"\n", b"\r\n") + b" \t\n"
    name = exam.new_repository(PARTS)
    ask = exam.registry.ask_as_admin
    pushed_answer = ask("PUT", f"/v2/{name}/manifests/odd", typed(OCI_MANIFEST), content)
    assert pushed_answer.header("Docker-Content-Digest") == digest_of(content)
    assert ask("GET", f"/v2/{name}/manifests/odd").body == content
