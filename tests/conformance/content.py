"""Blobs and manifests that tests push, built once; each with its digest."""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
NONDISTRIBUTABLE_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"

ABSENT = "sha256:" + "0" * 63 + "1"
ABSENT_512 = "sha512:" + "0" * 127 + "1"


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """Return the digest of the content."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def random_bytes(size: int, seed: int = 0) -> bytes:
    """Return bytes that are the same for the same seed."""
    return random.Random(f"{seed}/{size}").randbytes(size)  # noqa: S311 - content, no secret


@dataclass(frozen=True, slots=True)
class Blob:
    """Content to push as a blob."""

    content: bytes
    algorithm: str = "sha256"

    @property
    def digest(self) -> str:
        """The digest it is pushed under."""
        return digest_of(self.content, self.algorithm)

    def descriptor(self, media_type: str, **more: Any) -> dict[str, Any]:
        """Return a descriptor of this blob."""
        return {"mediaType": media_type, "digest": self.digest, "size": len(self.content), **more}


@dataclass(frozen=True, slots=True)
class Manifest:
    """Content to push as a manifest, under a tag or, without one, under its digest."""

    content: bytes
    media_type: str
    tag: str = ""
    algorithm: str = "sha256"

    @property
    def digest(self) -> str:
        """The digest of the bytes."""
        return digest_of(self.content, self.algorithm)

    @property
    def reference(self) -> str:
        """What it is pushed under."""
        return self.tag or self.digest

    def tagged(self, tag: str) -> "Manifest":
        """Return the same manifest under this tag."""
        return Manifest(self.content, self.media_type, tag, self.algorithm)

    def descriptor(self, **more: Any) -> dict[str, Any]:
        """Return a descriptor of this manifest."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content), **more}


def encode(document: object) -> bytes:
    """Return JSON with odd white space, so that a server that re-serialises is caught."""
    return json.dumps(document, indent=3, separators=(" ,", " : ")).encode() + b"\n"


def image(
    config: dict[str, Any], layers: Sequence[dict[str, Any]], media_type: str = OCI_MANIFEST, **more: Any
) -> Manifest:
    """Return an image manifest; a member that is None is left out."""
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config,
        "layers": list(layers),
        **more,
    }
    return Manifest(encode({key: value for key, value in document.items() if value is not None}), media_type)


def index(children: Sequence[dict[str, Any]], media_type: str = OCI_INDEX, **more: Any) -> Manifest:
    """Return an index; a member that is None is left out."""
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": list(children), **more}
    return Manifest(encode({key: value for key, value in document.items() if value is not None}), media_type)


BLOB = Blob(random_bytes(2048))
BLOB_512 = Blob(random_bytes(2048, 1), "sha512")
EMPTY = Blob(b"")
EMPTY_512 = Blob(b"", "sha512")
EMPTY_JSON = Blob(b"{}")
EMPTY_JSON_512 = Blob(b"{}", "sha512")

CONFIG = Blob(encode({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}))
LAYER = Blob(random_bytes(3000, 2))
LAYER_2 = Blob(random_bytes(1000, 3))

IMAGE = image(CONFIG.descriptor(OCI_CONFIG), [LAYER.descriptor(OCI_LAYER), LAYER_2.descriptor(OCI_LAYER)])
IMAGE_ARM = image(CONFIG.descriptor(OCI_CONFIG), [LAYER.descriptor(OCI_LAYER)], annotations={"arch": "arm64"})
DOCKER_IMAGE = image(
    CONFIG.descriptor("application/vnd.docker.container.image.v1+json"),
    [LAYER.descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip")],
    DOCKER_MANIFEST,
)
INDEX = index(
    [
        IMAGE.descriptor(platform={"os": "linux", "architecture": "amd64"}),
        IMAGE_ARM.descriptor(platform={"os": "linux", "architecture": "arm64"}),
    ]
)

PARTS = (CONFIG, LAYER, LAYER_2)
IMAGE_SEED = (*PARTS, IMAGE.tagged("latest"))
INDEX_SEED = (*PARTS, IMAGE, IMAGE_ARM, INDEX.tagged("multi"))
