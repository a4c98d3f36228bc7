"""Images that tests push and pull: real ones made from Debian packages, and small ones made at once."""

import fcntl
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.programs import cache_directory

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
CREATED = "2026-01-01T00:00:00Z"
BUILD_TIMEOUT_S = 900
_REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Two OCI layouts, `debian` and `nginx`, of which the second builds on the first.

    `debian` holds the tags `bookworm-amd64`, `bookworm-arm64` and, as an index of both, `bookworm`; `nginx`
    holds `1.22`, `1.22-secured`, `1.22-arm64` and, as an index of the last two, `multi`.
    """

    directory: Path

    @property
    def debian(self) -> Path:
        """The layout of the base image."""
        return self.directory / "debian"

    @property
    def nginx(self) -> Path:
        """The layout of the image that builds on it."""
        return self.directory / "nginx"


class OciLayout:
    """An OCI image layout, read and written byte by byte."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def create(self) -> "OciLayout":
        """Write an empty layout."""
        (self.directory / "blobs" / "sha256").mkdir(parents=True)
        (self.directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (self.directory / "index.json").write_text('{"schemaVersion":2,"manifests":[]}')
        return self

    def descriptor(self, tag: str) -> dict[str, Any]:
        """Return the descriptor that carries the tag."""
        for descriptor in json.loads((self.directory / "index.json").read_bytes())["manifests"]:
            if descriptor.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag:
                return dict(descriptor)
        raise KeyError(tag)

    def digest(self, tag: str) -> str:
        """Return the digest of the manifest or index that carries the tag."""
        return str(self.descriptor(tag)["digest"])

    def blob(self, digest: str) -> bytes:
        """Return a blob's bytes."""
        return self.directory.joinpath("blobs", *digest.split(":")).read_bytes()

    def content(self, digest: str) -> set[str]:
        """Return the digests of a manifest or index and of everything below it."""
        body = json.loads(self.blob(digest))
        children = {child["digest"] for child in body.get("manifests", [])}
        blobs = {blob["digest"] for blob in [body.get("config"), *body.get("layers", [])] if blob}
        return {digest} | blobs | {below for child in children for below in self.content(child)}

    def add_blob(self, content: bytes, media_type: str) -> dict[str, Any]:
        """Store a blob and return its descriptor."""
        encoded = hashlib.sha256(content).hexdigest()
        (self.directory / "blobs" / "sha256" / encoded).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{encoded}", "size": len(content)}

    def add_image(self, tag: str, architecture: str, layers: Sequence[Mapping[str, bytes]]) -> dict[str, Any]:
        """Store an image, each of whose layers holds these files, and return its descriptor."""
        archives = [_tar(files) for files in layers]
        config = {
            "architecture": architecture,
            "os": "linux",
            "created": CREATED,
            "config": {"Cmd": ["/bin/true"]},
            "history": [{"created": CREATED, "created_by": ", ".join(files)} for files in layers],
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(archive).hexdigest()}" for archive in archives],
            },
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": self.add_blob(json.dumps(config).encode(), CONFIG_TYPE),
            "layers": [self.add_blob(gzip.compress(archive, mtime=0), LAYER_TYPE) for archive in archives],
        }
        return self._tag(tag, self.add_blob(json.dumps(manifest).encode(), MANIFEST_TYPE))

    def add_index(self, tag: str, images: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Store an index of images by architecture and return its descriptor."""
        manifests = [
            {key: image[key] for key in ("mediaType", "digest", "size")}
            | {"platform": {"architecture": architecture, "os": "linux"}}
            for architecture, image in images.items()
        ]
        body = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}
        return self._tag(tag, self.add_blob(json.dumps(body).encode(), INDEX_TYPE))

    def _tag(self, tag: str, descriptor: dict[str, Any]) -> dict[str, Any]:
        path = self.directory / "index.json"
        index = json.loads(path.read_bytes())
        index["manifests"].append({**descriptor, "annotations": {"org.opencontainers.image.ref.name": tag}})
        path.write_text(json.dumps(index))
        return descriptor


def write_small_images(directory: Path) -> ImageSet:
    """Write images with the names and the shape of the real ones, of some hundred kilobytes."""
    release = b"ID=debian\nVERSION_CODENAME=bookworm\n"
    base = {"bin/true": b"#!/bin/sh\n", "etc/os-release": release, "opt/noise": os.urandom(100_000)}
    server = {"etc/nginx/nginx.conf": b"events {}\n", "opt/server": os.urandom(50_000)}
    header = b'add_header X-Company-Security-Module "1.0" always;\n'
    module = {"etc/nginx/conf.d/company-security.conf": b"server_tokens off; " + header}
    debian, nginx = OciLayout(directory / "debian").create(), OciLayout(directory / "nginx").create()
    debian.add_index(
        "bookworm",
        {name: debian.add_image(f"bookworm-{name}", name, [base]) for name in ("amd64", "arm64")},
    )
    nginx.add_image("1.22", "amd64", [base, server])
    secured = nginx.add_image("1.22-secured", "amd64", [base, server, module])
    nginx.add_index(
        "multi", {"amd64": secured, "arm64": nginx.add_image("1.22-arm64", "arm64", [base, server])}
    )
    return ImageSet(directory)


def make_real_images() -> ImageSet:
    """Return images made from Debian packages, once per machine and version of the script that makes them.

    HOMEPORT_IMAGES_SCRIPT names the script, else it is looked for in a folder `shared` beside the repository;
    without it, or without the right to run it, small images take their place. HOMEPORT_TEST_CACHE says where
    they are kept.
    """
    script = Path(
        os.environ.get("HOMEPORT_IMAGES_SCRIPT", _REPOSITORY.parent / "shared" / "images" / "make-images.sh")
    )
    may_run = script.is_file() and os.getuid() == 0
    version = hashlib.sha256(script.read_bytes() if may_run else Path(__file__).read_bytes()).hexdigest()[:16]
    cache = cache_directory()
    images = ImageSet(cache / f"images-{version}")
    with (cache / f"images-{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not images.directory.exists():
            unfinished = cache / f"images-{version}.part"
            shutil.rmtree(unfinished, ignore_errors=True)
            if may_run:
                _run_script(script, unfinished)
            else:
                write_small_images(unfinished)
            unfinished.rename(images.directory)
    return images


def _run_script(script: Path, directory: Path) -> None:
    done = subprocess.run(
        ["bash", str(script), str(directory)],
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(
            f"{script.name} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
