"""Steps that push, find and refuse manifests, for the tables of several areas."""

from tests.conformance.content import (
    CONFIG,
    IMAGE,
    INDEX,
    LAYER,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Manifest,
    index,
)
from tests.conformance.table import (
    Step,
    Wanted,
    get,
    head,
    manifests,
    put,
)

CONFIG_DESCRIPTOR = CONFIG.descriptor(OCI_CONFIG)
LAYER_DESCRIPTOR = LAYER.descriptor(OCI_LAYER)


def typed(media_type: str) -> tuple[tuple[str, str], ...]:
    """Return a Content-Type header."""
    return (("Content-Type", media_type),)


def pushed(manifest: Manifest, **more: Wanted) -> dict[str, Wanted]:
    """Return the headers of a manifest that was taken."""
    return {
        "Location": f"/v2/$repo/manifests/{manifest.digest}",
        "Docker-Content-Digest": manifest.digest,
        "Content-Length": "0",
        "OCI-Subject": None,
        "OCI-Tag": None,
        **{name.replace("_", "-"): value for name, value in more.items()},
    }


def push(manifest: Manifest, reference: str, **more: Wanted) -> Step:
    """Return a PUT that is taken."""
    return put(
        manifests(reference),
        201,
        manifest.content,
        send=typed(manifest.media_type),
        want=pushed(manifest, **more),
    )


def served(manifest: Manifest) -> dict[str, Wanted]:
    """Return the headers of a manifest that is read."""
    return {
        "Content-Type": manifest.media_type,
        "Content-Length": str(len(manifest.content)),
        "Docker-Content-Digest": manifest.digest,
        "ETag": f'"{manifest.digest}"',
    }


def found(manifest: Manifest, reference: str) -> tuple[Step, Step]:
    """Return GET and HEAD that find exactly what was pushed."""
    want = served(manifest)
    return (
        get(manifests(reference), content=manifest.content, want=want),
        head(manifests(reference), want=want),
    )


def refuse(body: bytes, media_type: str | None = OCI_MANIFEST, code: str = "MANIFEST_INVALID") -> Step:
    """Return a PUT that is refused."""
    send = typed(media_type) if media_type is not None else ()
    return put(manifests("latest"), 400, body, send=send, codes=(code,))


def bare(manifest: Manifest) -> Manifest:
    """Return the same manifest without its mediaType."""
    text = manifest.content.decode().replace(f'"mediaType" : "{manifest.media_type}" ,', "", 1)
    return Manifest(text.encode(), manifest.media_type)


def listed(*tags: str) -> Step:
    """Return a GET that finds exactly these tags."""
    return Step("GET", "/v2/$repo/tags/list", 200, tags=tuple(sorted(tags)))


def missing(*digests: str) -> tuple[str, ...]:
    """Return one code per missing digest."""
    return ("MANIFEST_BLOB_UNKNOWN",) * len(digests)


def push_missing(manifest: Manifest, *digests: str) -> Step:
    """Return a PUT that is refused for each of these digests."""
    return put(
        manifests("latest"), 400, manifest.content, send=typed(manifest.media_type), codes=missing(*digests)
    )


SHA512_IMAGE = Manifest(IMAGE.content, OCI_MANIFEST, algorithm="sha512")
NESTED = index([INDEX.descriptor()])
