"""Section 4 of the protocol: manifests are read, tagged in numbers, and deleted."""

import pytest
from tests.conformance.content import (
    ABSENT,
    BLOB,
    CONFIG,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    IMAGE,
    IMAGE_ARM,
    IMAGE_SEED,
    INDEX,
    INDEX_SEED,
    LAYER,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    PARTS,
    index,
)
from tests.conformance.manifest_steps import NESTED, found, listed, push, pushed, served, typed
from tests.conformance.table import (
    Case,
    Exam,
    blobs,
    case,
    delete,
    escaped,
    get,
    head,
    manifests,
    put,
)

TEN = [f"t{number}" for number in range(10)]
MANY = [f"t{number}" for number in range(32)]


def with_tags(*tags: str) -> str:
    """Return the target of the image by digest with these tags."""
    query = "&".join(f"tag={escaped(tag)}" for tag in tags)
    return manifests(f"{IMAGE.digest}?{query}")


TAGS = [
    case(
        "a tag beside the digest",
        put(with_tags("a"), 201, IMAGE.content, send=typed(OCI_MANIFEST), want=pushed(IMAGE, OCI_Tag="a")),
        *found(IMAGE, "a"),
        seed=PARTS,
    ),
    case(
        "ten tags",
        put(
            with_tags(*TEN),
            201,
            IMAGE.content,
            send=typed(OCI_MANIFEST),
            want=pushed(IMAGE, OCI_Tag=frozenset(TEN)),
        ),
        listed(*TEN),
        seed=PARTS,
    ),
    case(
        "32 tags",
        put(
            with_tags(*MANY),
            201,
            IMAGE.content,
            send=typed(OCI_MANIFEST),
            want=pushed(IMAGE, OCI_Tag=frozenset(MANY)),
        ),
        listed(*MANY),
        seed=PARTS,
    ),
    case(
        "33 tags",
        put(with_tags(*MANY, "more"), 414, IMAGE.content, send=typed(OCI_MANIFEST)),
        get("/v2/$repo/manifests/t0", 404),
        seed=PARTS,
    ),
    case(
        "the same tag twice",
        put(
            with_tags("b", "a", "b"),
            201,
            IMAGE.content,
            send=typed(OCI_MANIFEST),
            want=pushed(IMAGE, OCI_Tag=frozenset({"a", "b"})),
        ),
        listed("a", "b"),
        seed=PARTS,
    ),
    *(
        case(
            f"tag {tag[:20]!r} of {len(tag)} characters",
            put(with_tags("good", tag), 400, IMAGE.content, send=typed(OCI_MANIFEST), codes=("TAG_INVALID",)),
            get(manifests("good"), 404),
            get(manifests(IMAGE.digest), 404),
            seed=PARTS,
        )
        for tag in ["", ".a", "a b", "a/b", "a:b", "x" * 129, "\u4e2d", "a\n"]
    ),
    case(
        "?tag= with a tag for a reference",
        put(manifests("latest?tag=a"), 400, IMAGE.content, send=typed(OCI_MANIFEST), codes=("TAG_INVALID",)),
        get(manifests("latest"), 404),
        seed=PARTS,
    ),
    case(
        "tags move together with the push",
        push(IMAGE_ARM, f"{IMAGE_ARM.digest}?tag=latest&tag=other", OCI_Tag=frozenset({"latest", "other"})),
        *found(IMAGE_ARM, "latest"),
        *found(IMAGE_ARM, "other"),
        *found(IMAGE, IMAGE.digest),
        seed=IMAGE_SEED,
    ),
]

ACCEPTS: list[tuple[tuple[str, str], ...]] = [
    (),
    (("Accept", "*/*"),),
    (("Accept", "application/json"),),
    (("Accept", "text/html, */*;q=0.1"),),
    (("Accept", OCI_MANIFEST),),
    (("Accept", OCI_INDEX),),
    (("Accept", DOCKER_MANIFEST), ("Accept", DOCKER_LIST), ("Accept", OCI_MANIFEST)),
    (("Accept", ""),),
    (("Accept", ";;;,,,"),),
]
READS = [
    *(
        case(
            f"Accept {[value for _, value in send]} gives what is stored",
            get(manifests("multi"), send=send, content=INDEX.content, want=served(INDEX)),
            head(manifests("multi"), send=send, want=served(INDEX)),
            get(manifests(IMAGE.digest), send=send, content=IMAGE.content, want=served(IMAGE)),
            seed=INDEX_SEED,
        )
        for send in ACCEPTS
    ),
    case(
        "no encoding of manifests",
        get(
            manifests("latest"),
            send=(("Accept-Encoding", "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5"),),
            content=IMAGE.content,
            want=served(IMAGE),
        ),
        seed=IMAGE_SEED,
    ),
    case(
        "the namespace parameter of mirrors is ignored",
        get(manifests("latest?ns=docker.io"), content=IMAGE.content, want=served(IMAGE)),
        head(manifests("latest?ns=docker.io"), want=served(IMAGE)),
        seed=IMAGE_SEED,
    ),
    *(
        case(
            f"If-None-Match: {value[:30]} is not modified",
            get(
                manifests("latest"), 304, send=(("If-None-Match", value),), want={"ETag": f'"{IMAGE.digest}"'}
            ),
            head(manifests("latest"), 304, send=(("If-None-Match", value),)),
            get(manifests(IMAGE.digest), 304, send=(("If-None-Match", value),)),
            seed=IMAGE_SEED,
        )
        for value in [f'"{IMAGE.digest}"', IMAGE.digest, f'W/"{IMAGE.digest}"', "*", f'"x", "{IMAGE.digest}"']
    ),
    case(
        "If-None-Match of another manifest",
        get(manifests("latest"), send=(("If-None-Match", f'"{ABSENT}"'),), content=IMAGE.content),
        seed=IMAGE_SEED,
    ),
    case(
        "an absent tag or digest",
        get(manifests("absent"), 404, codes=("MANIFEST_UNKNOWN",)),
        head(manifests("absent"), 404),
        get(manifests(ABSENT), 404, codes=("MANIFEST_UNKNOWN",)),
        head(manifests(ABSENT), 404),
        seed=IMAGE_SEED,
    ),
    case("an unknown repository", get(manifests("latest"), 404), head(manifests("latest"), 404)),
    case(
        "a digest of another repository",
        get(manifests(IMAGE.digest), 404, codes=("MANIFEST_UNKNOWN",)),
        seed=(BLOB,),
        other=IMAGE_SEED,
    ),
    case(
        "a blob is no manifest",
        get(manifests(CONFIG.digest), 404, codes=("MANIFEST_UNKNOWN",)),
        seed=IMAGE_SEED,
    ),
    case(
        "a range of a manifest is ignored or honoured, never wrong",
        head(manifests("latest"), send=(("Range", "bytes=0-5"),), want=served(IMAGE)),
        seed=IMAGE_SEED,
    ),
]

GONE = get(manifests("latest"), 404, codes=("MANIFEST_UNKNOWN",))
DELETIONS = [
    case(
        "a deleted tag leaves the manifest",
        delete(manifests("latest"), want={"Content-Length": "0"}),
        GONE,
        head(manifests("latest"), 404),
        *found(IMAGE, IMAGE.digest),
        *found(IMAGE, "other"),
        listed("other"),
        delete(manifests("latest"), 404, codes=("MANIFEST_UNKNOWN",)),
        seed=(*IMAGE_SEED, IMAGE.tagged("other")),
    ),
    case(
        "a deleted manifest takes every tag along",
        delete(manifests(IMAGE.digest), want={"Content-Length": "0"}),
        GONE,
        get(manifests("other"), 404),
        get(manifests(IMAGE.digest), 404, codes=("MANIFEST_UNKNOWN",)),
        head(manifests(IMAGE.digest), 404),
        listed("arm"),
        delete(manifests(IMAGE.digest), 404, codes=("MANIFEST_UNKNOWN",)),
        seed=(*IMAGE_SEED, IMAGE.tagged("other"), IMAGE_ARM.tagged("arm")),
    ),
    case(
        "deleted and pushed again",
        delete(manifests(IMAGE.digest)),
        push(IMAGE, "latest"),
        *found(IMAGE, "latest"),
        seed=IMAGE_SEED,
    ),
    case(
        "all tags deleted, the manifest stays",
        delete(manifests("latest")),
        *found(IMAGE, IMAGE.digest),
        seed=IMAGE_SEED,
    ),
    case(
        "other repositories keep the manifest",
        delete(manifests(IMAGE.digest)),
        get("/v2/$other/manifests/latest", content=IMAGE.content),
        seed=IMAGE_SEED,
        other=IMAGE_SEED,
    ),
    case(
        "a child stays while an index needs it",
        delete(manifests(IMAGE.digest), 405, codes=("UNSUPPORTED",)),
        *found(IMAGE, IMAGE.digest),
        delete(manifests("multi")),
        delete(manifests(IMAGE.digest), 405, codes=("UNSUPPORTED",)),
        delete(manifests(INDEX.digest)),
        delete(manifests(IMAGE.digest)),
        get(manifests(IMAGE.digest), 404),
        seed=INDEX_SEED,
    ),
    case(
        "a nested index stays while its parent needs it",
        push(NESTED, "nested"),
        delete(manifests(INDEX.digest), 405, codes=("UNSUPPORTED",)),
        delete(manifests(IMAGE.digest), 405, codes=("UNSUPPORTED",)),
        delete(manifests(NESTED.digest)),
        delete(manifests(INDEX.digest)),
        seed=INDEX_SEED,
    ),
    case(
        "a tag on a child may be deleted",
        push(IMAGE, "child"),
        delete(manifests("child")),
        *found(INDEX, "multi"),
        seed=INDEX_SEED,
    ),
    case(
        "a blob child stays while an index needs it",
        delete(blobs(LAYER.digest), 405, codes=("UNSUPPORTED",)),
        seed=(*PARTS, index([LAYER.descriptor(OCI_LAYER)]).tagged("cache")),
    ),
    case("an unknown repository", delete(manifests("latest"), 404), delete(manifests(ABSENT), 404)),
    case(
        "an unknown tag and digest",
        delete(manifests("absent"), 404, codes=("MANIFEST_UNKNOWN",)),
        delete(manifests(ABSENT), 404, codes=("MANIFEST_UNKNOWN",)),
        seed=IMAGE_SEED,
    ),
]


@pytest.mark.parametrize("row", [*TAGS, *READS, *DELETIONS], ids=lambda row: row.about)
def test_manifest_row(exam: Exam, row: Case) -> None:
    exam.run(row)
