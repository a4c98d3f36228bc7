"""Section 6 of the protocol: what refers to a manifest."""

import re
from typing import Any

import pytest
from tests.conformance.content import (
    ABSENT,
    ABSENT_512,
    CONFIG,
    DOCKER_MANIFEST,
    EMPTY_JSON,
    IMAGE,
    IMAGE_SEED,
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
    PARTS,
    Manifest,
    image,
    index,
)
from tests.conformance.manifest_steps import SHA512_IMAGE, found, push
from tests.conformance.table import Case, Exam, Step, Wanted, case, delete, escaped, get, head, manifests

SUBJECT = IMAGE.descriptor()
SBOM = "application/spdx+json"
SIGNATURE = "application/vnd.dev.sigstore.bundle.v0.3+json"

BOM = image(
    EMPTY_JSON.descriptor(OCI_EMPTY),
    [],
    artifactType=SBOM,
    subject=SUBJECT,
    annotations={"a": "1", "b": "\u4e2d"},
)
SIGNED = image(EMPTY_JSON.descriptor(OCI_EMPTY), [], artifactType=SIGNATURE, subject=SUBJECT)
BY_CONFIG = image(CONFIG.descriptor(OCI_CONFIG), [], subject=SUBJECT)
DOCKER = image(CONFIG.descriptor("application/x-config"), [], DOCKER_MANIFEST, subject=SUBJECT)
TYPED_INDEX = index([], artifactType=SBOM, subject=SUBJECT, annotations={"i": "j"})
PLAIN_INDEX = index([], subject=SUBJECT)
UNRELATED = image(EMPTY_JSON.descriptor(OCI_EMPTY), [], artifactType=SBOM)

SEED = (*IMAGE_SEED, EMPTY_JSON, BOM, SIGNED, BY_CONFIG, DOCKER, TYPED_INDEX, PLAIN_INDEX, UNRELATED)


def shown(
    manifest: Manifest, artifact_type: str | None, annotations: dict[str, str] | None = None
) -> dict[str, Any]:
    """Return the descriptor that the list must show."""
    descriptor = manifest.descriptor(artifactType=artifact_type, annotations=annotations)
    return {name: value for name, value in descriptor.items() if value is not None}


BOM_SHOWN = shown(BOM, SBOM, {"a": "1", "b": "\u4e2d"})
SIGNED_SHOWN = shown(SIGNED, SIGNATURE)
BY_CONFIG_SHOWN = shown(BY_CONFIG, OCI_CONFIG)
DOCKER_SHOWN = shown(DOCKER, "application/x-config")
TYPED_INDEX_SHOWN = shown(TYPED_INDEX, SBOM, {"i": "j"})
PLAIN_INDEX_SHOWN = shown(PLAIN_INDEX, None)
ALL = [BOM_SHOWN, SIGNED_SHOWN, BY_CONFIG_SHOWN, DOCKER_SHOWN, TYPED_INDEX_SHOWN, PLAIN_INDEX_SHOWN]


def listed(digest: str, query: str = "", *descriptors: dict[str, Any]) -> Step:
    """Return a GET that finds exactly these descriptors, in the order of their push."""
    filters: Wanted = "artifactType" if query else None
    return get(
        f"/v2/$repo/referrers/{digest}{query}",
        json={"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(descriptors)},
        want={"Content-Type": OCI_INDEX, "OCI-Filters-Applied": filters, "Link": None},
    )


FALLBACK_TAG = IMAGE.digest.replace(":", "-")
FALLBACK = index([BOM_SHOWN, SIGNED_SHOWN])

ROWS = [
    case("all referrers, each with type and annotations", listed(IMAGE.digest, "", *ALL), seed=SEED),
    case(
        "HEAD of the referrers",
        head(f"/v2/$repo/referrers/{IMAGE.digest}", want={"Content-Type": OCI_INDEX}),
        seed=SEED,
    ),
    case(
        "one type",
        listed(IMAGE.digest, f"?artifactType={escaped(SBOM)}", BOM_SHOWN, TYPED_INDEX_SHOWN),
        seed=SEED,
    ),
    case(
        "one type, its plus not escaped",
        listed(IMAGE.digest, f"?artifactType={SBOM}", BOM_SHOWN, TYPED_INDEX_SHOWN),
        seed=SEED,
    ),
    case(
        "the config's type",
        listed(IMAGE.digest, f"?artifactType={escaped(OCI_CONFIG)}", BY_CONFIG_SHOWN),
        seed=SEED,
    ),
    case(
        "two types, as containerd repeats them",
        listed(
            IMAGE.digest,
            f"?artifactType={escaped(SIGNATURE)}&artifactType={escaped(OCI_CONFIG)}",
            SIGNED_SHOWN,
            BY_CONFIG_SHOWN,
        ),
        seed=SEED,
    ),
    case(
        "the same type twice",
        listed(IMAGE.digest, f"?artifactType={SBOM}&artifactType={SBOM}", BOM_SHOWN, TYPED_INDEX_SHOWN),
        seed=SEED,
    ),
    case("an unknown type", listed(IMAGE.digest, "?artifactType=application/none"), seed=SEED),
    case("a type of odd characters", listed(IMAGE.digest, "?artifactType=%ff%25'%22%E4%B8%AD"), seed=SEED),
    case(
        "an empty type filters nothing",
        get(f"/v2/$repo/referrers/{IMAGE.digest}?artifactType=", want={"OCI-Filters-Applied": None}),
        seed=SEED,
    ),
    case(
        "the namespace parameter is ignored",
        get(f"/v2/$repo/referrers/{IMAGE.digest}?ns=docker.io"),
        seed=SEED,
    ),
    *(
        case(f"last={last}", get(f"/v2/$repo/referrers/{IMAGE.digest}?last={escaped(last)}"), seed=SEED)
        for last in ["x", "\u00b2", "\u0661", "-1", "9" * 18, "9" * 40, "1.5", ""]
    ),
    case("no referrers", listed(BOM.digest), seed=SEED),
    case("an unknown subject", listed(ABSENT), listed(ABSENT_512), seed=SEED),
    case("the all-zero digest that oras asks for", listed("sha256:" + "0" * 64), seed=SEED),
    case("an unknown repository", listed(IMAGE.digest), listed("sha256:" + "0" * 64)),
    case("an unknown repository and a type", listed(IMAGE.digest, f"?artifactType={SBOM}")),
    *(
        case(
            f"referrers of {digest[:20]!r}",
            get(f"/v2/$repo/referrers/{digest}", 400, codes=("DIGEST_INVALID",)),
            seed=SEED,
        )
        for digest in ["latest", "sha256:x", "sha256:" + "A" * 64, "md5:" + "a" * 32, FALLBACK_TAG]
    ),
    case(
        "a push shows at once, a delete hides at once",
        listed(IMAGE.digest),
        push(BOM, BOM.digest, OCI_Subject=IMAGE.digest),
        listed(IMAGE.digest, "", BOM_SHOWN),
        push(SIGNED, "signed", OCI_Subject=IMAGE.digest),
        listed(IMAGE.digest, "", BOM_SHOWN, SIGNED_SHOWN),
        delete(manifests(BOM.digest)),
        listed(IMAGE.digest, "", SIGNED_SHOWN),
        delete(manifests("signed")),
        listed(IMAGE.digest, "", SIGNED_SHOWN),
        delete(manifests(SIGNED.digest)),
        listed(IMAGE.digest),
        seed=(*IMAGE_SEED, EMPTY_JSON),
    ),
    case(
        "pushed twice, listed once",
        push(BOM, BOM.digest, OCI_Subject=IMAGE.digest),
        push(BOM, "a", OCI_Subject=IMAGE.digest),
        push(BOM, "b", OCI_Subject=IMAGE.digest),
        listed(IMAGE.digest, "", BOM_SHOWN),
        seed=(*IMAGE_SEED, EMPTY_JSON),
    ),
    case(
        "a referrer may come before its subject",
        push(BOM, BOM.digest, OCI_Subject=IMAGE.digest),
        listed(IMAGE.digest, "", BOM_SHOWN),
        push(IMAGE, "latest"),
        listed(IMAGE.digest, "", BOM_SHOWN),
        seed=(*PARTS, EMPTY_JSON),
    ),
    case(
        "a deleted subject leaves its referrers",
        delete(manifests(IMAGE.digest)),
        listed(IMAGE.digest, "", BOM_SHOWN),
        *found(BOM, BOM.digest),
        seed=(*IMAGE_SEED, EMPTY_JSON, BOM),
    ),
    case(
        "another repository's referrers are its own",
        listed(IMAGE.digest),
        seed=IMAGE_SEED,
        other=SEED,
    ),
    case(
        "a referrer of a referrer",
        listed(
            BOM.digest,
            "",
            shown(
                image(EMPTY_JSON.descriptor(OCI_EMPTY), [], artifactType=SIGNATURE, subject=BOM.descriptor()),
                SIGNATURE,
            ),
        ),
        seed=(
            *IMAGE_SEED,
            EMPTY_JSON,
            BOM,
            image(EMPTY_JSON.descriptor(OCI_EMPTY), [], artifactType=SIGNATURE, subject=BOM.descriptor()),
        ),
    ),
]

BOM_512 = image(EMPTY_JSON.descriptor(OCI_EMPTY), [], artifactType=SBOM, subject=SHA512_IMAGE.descriptor())
PUSHED_512 = Manifest(BOM.content, OCI_MANIFEST, algorithm="sha512")
OTHER_ALGORITHMS = [
    case(
        "a sha512 subject",
        push(BOM_512, BOM_512.digest, OCI_Subject=SHA512_IMAGE.digest),
        listed(SHA512_IMAGE.digest, "", shown(BOM_512, SBOM)),
        listed(IMAGE.digest),
        seed=(*PARTS, EMPTY_JSON, SHA512_IMAGE),
    ),
    case(
        "a referrer pushed by sha512",
        push(PUSHED_512, PUSHED_512.digest, OCI_Subject=IMAGE.digest),
        listed(IMAGE.digest, "", BOM_SHOWN | {"digest": PUSHED_512.digest}),
        seed=(*IMAGE_SEED, EMPTY_JSON),
    ),
]

FALLBACKS = [
    case(
        "manifests in a fallback index are listed, once",
        push(BOM, BOM.digest, OCI_Subject=IMAGE.digest),
        push(SIGNED, SIGNED.digest, OCI_Subject=IMAGE.digest),
        push(FALLBACK, FALLBACK_TAG),
        listed(IMAGE.digest, "", BOM_SHOWN, SIGNED_SHOWN),
        seed=(*IMAGE_SEED, EMPTY_JSON),
    ),
    case(
        "the fallback tag is an ordinary tag",
        get(manifests(FALLBACK_TAG), 404, codes=("MANIFEST_UNKNOWN",)),
        push(FALLBACK, FALLBACK_TAG),
        *found(FALLBACK, FALLBACK_TAG),
        push(index([BOM_SHOWN]), FALLBACK_TAG),
        *found(index([BOM_SHOWN]), FALLBACK_TAG),
        delete(manifests(FALLBACK_TAG)),
        get(manifests(FALLBACK_TAG), 404, codes=("MANIFEST_UNKNOWN",)),
        listed(IMAGE.digest, "", BOM_SHOWN, SIGNED_SHOWN),
        seed=(*IMAGE_SEED, EMPTY_JSON, BOM, SIGNED),
    ),
    case(
        "a fallback index lists nothing without a subject",
        push(index([UNRELATED.descriptor()]), FALLBACK_TAG),
        listed(IMAGE.digest),
        seed=(*IMAGE_SEED, EMPTY_JSON, UNRELATED),
    ),
    case(
        "cosign's tag is an ordinary tag",
        push(UNRELATED, f"{FALLBACK_TAG}.sig"),
        push(SIGNED, f"{FALLBACK_TAG}.sig", OCI_Subject=IMAGE.digest),
        *found(SIGNED, f"{FALLBACK_TAG}.sig"),
        seed=(*IMAGE_SEED, EMPTY_JSON),
    ),
]


@pytest.mark.parametrize("row", [*ROWS, *OTHER_ALGORITHMS, *FALLBACKS], ids=lambda row: row.about)
def test_referrers_row(exam: Exam, row: Case) -> None:
    exam.run(row)


@pytest.mark.parametrize("query", ["", f"?artifactType={escaped(SBOM)}"])
def test_long_referrers_come_in_pages(exam: Exam, query: str) -> None:
    name = exam.new_repository((*IMAGE_SEED, EMPTY_JSON))
    wanted = set()
    for number in range(6):
        note = {"number": str(number), "text": "x" * 900_000}
        referrer = image(
            EMPTY_JSON.descriptor(OCI_EMPTY), [], artifactType=SBOM, subject=SUBJECT, annotations=note
        )
        exam.push(name, referrer)
        wanted.add(referrer.digest)
    target = f"/v2/{name}/referrers/{IMAGE.digest}{query}"
    found_digests: list[str] = []
    pages = 0
    while target:
        pages += 1
        assert pages < 10
        answer = exam.registry.ask_as_admin("GET", target)
        assert answer.header("Content-Type") == OCI_INDEX
        assert answer.header("OCI-Filters-Applied") == ("artifactType" if query else None)
        assert len(answer.body) <= 4 * 1024 * 1024
        found_digests += [descriptor["digest"] for descriptor in answer.json()["manifests"]]
        link = answer.header("Link")
        match = re.fullmatch(r'<(/v2/[^>]+)>; rel="next"', link) if link else None
        assert link is None or match
        target = match[1] if match else ""
    assert pages > 1
    assert len(found_digests) == len(wanted)
    assert set(found_digests) == wanted
