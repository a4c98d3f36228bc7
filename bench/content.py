"""What is pushed and pulled: random blobs, small images, OCI layouts."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import orjson

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"

_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Image:
    """An image as bytes; `blobs` are its layers and, last, its config, by digest."""

    blobs: dict[str, bytes]
    manifest: bytes


def make_image(layer_count: int, layer_bytes: int) -> Image:
    """Return an image of random layers, unlike any other."""
    layers = {
        digest_of(content): content for content in (os.urandom(layer_bytes) for _ in range(layer_count))
    }
    config = orjson.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": list(layers)},
        }
    )
    manifest = orjson.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(CONFIG_TYPE, config),
            "layers": [_descriptor(_LAYER_TYPE, content) for content in layers.values()],
        }
    )
    return Image({**layers, digest_of(config): config}, manifest)


def write_layout(image: Image, directory: Path) -> None:
    """Write the image as an OCI layout with the tag `latest`."""
    store = directory / "blobs" / "sha256"
    store.mkdir(parents=True)
    for digest, content in {**image.blobs, digest_of(image.manifest): image.manifest}.items():
        (store / digest.removeprefix("sha256:")).write_bytes(content)
    entry = {
        **_descriptor(MANIFEST_TYPE, image.manifest),
        "annotations": {"org.opencontainers.image.ref.name": "latest"},
    }
    (directory / "oci-layout").write_bytes(b'{"imageLayoutVersion":"1.0.0"}')
    (directory / "index.json").write_bytes(orjson.dumps({"schemaVersion": 2, "manifests": [entry]}))


def write_random(path: Path, size_bytes: int) -> str:
    """Fill the file with random bytes and return their digest."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for begin in range(0, size_bytes, _CHUNK_BYTES):
            chunk = os.urandom(min(_CHUNK_BYTES, size_bytes - begin))
            digest.update(chunk)
            file.write(chunk)
    return f"sha256:{digest.hexdigest()}"


def renew(path: Path) -> str:
    """Change a few bytes of the file, so that no store has it yet, and return its new digest."""
    with path.open("r+b") as file:
        file.write(os.urandom(32))
        file.seek(0)
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def digest_of(content: bytes) -> str:
    """Return the sha256 digest as the specification writes it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}
