"""Writing an archive that `docker load`, `podman load`, skopeo and OCI readers take.

It is what newer Docker versions save: an OCI layout with `manifest.json` beside it.
"""

import asyncio
import contextlib
import gzip
import os
import secrets
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any, cast

import orjson

from homeport.oci import mediatype
from homeport.oci.digest import Digest
from homeport.oci.manifest import Descriptor
from homeport.oci.platform import Platform, choose_manifest
from homeport.oci.reference import ReferenceInvalidError, parse_image_reference
from homeport.remote.archive import MANIFEST_FILE
from homeport.remote.blob import VerifiedBlob
from homeport.remote.errors import ProtocolError, RemoteError
from homeport.remote.layout_reader import CONTAINERD_NAME, INDEX_FILE, LAYOUT_FILE, REF_NAME, blob_path
from homeport.remote.manifest import ManifestContent
from homeport.remote.referrers import describe_referrer

_BLOCK = tarfile.BLOCKSIZE
_GZIP_LEVEL = 3


class ArchiveWriter:
    """An archive being written; made by `create_archive`. Blobs go in one after the other.

    No file is made before the first write.
    """

    def __init__(self, file: Path, platform: Platform) -> None:
        self._file = file
        self._temporary = file.with_name(f".{file.name[:64]}.{secrets.token_hex(6)}.part")
        self._opened: list[IO[bytes]] = []
        self._platform = platform
        self._turn = asyncio.Lock()
        self._written: set[Digest] = set()
        self._manifests: dict[Digest, ManifestContent] = {}
        self._entries: list[dict[str, Any]] = []
        self._root: tuple[ManifestContent, str] | None = None
        self._is_broken = False
        self._directories: set[str] = set()

    @property
    def description(self) -> str:
        """The place in words for people."""
        return f"docker-archive:{self._file}"

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """Tell whether this run has already written the blob."""
        return descriptor.digest in self._written

    async def find_manifest(self, reference: str | Digest) -> Digest | None:
        """Return the digest when this run has already written the manifest."""
        return reference if isinstance(reference, Digest) and reference in self._manifests else None

    async def write_blob(self, blob: VerifiedBlob, mount_from: str | None) -> bool:
        """Append the blob; one that turns out wrong spoils the whole archive. See ImageDestination."""
        del mount_from  # an archive has no other repositories
        descriptor = blob.descriptor
        async with self._turn:
            self._check_whole()
            if descriptor.digest in self._written:
                return False
            self._is_broken = True
            with _explained(self._file):
                name = blob_path(descriptor.digest)
                await asyncio.to_thread(self._write_header, name, descriptor.size_bytes)
                async for chunk in blob.chunks():
                    await asyncio.to_thread(self._write, chunk)
                await asyncio.to_thread(self._write, _padding(descriptor.size_bytes))
            self._written.add(descriptor.digest)
            self._is_broken = False
        return False

    async def write_manifest(self, content: ManifestContent, tag: str | None) -> None:
        """Append the manifest; with a tag, also the empty one, it is the image of the archive."""
        async with self._turn:
            self._check_whole()
            if content.digest not in self._manifests:
                with _explained(self._file):
                    await asyncio.to_thread(self._write_file, blob_path(content.digest), content.body)
                self._manifests[content.digest] = content
            if tag is not None:
                self._root = (content, tag)
            elif content.manifest.subject is not None:
                self._entries.append(describe_referrer(content))

    async def finish(self) -> None:
        """Append the lists of images; then the archive is complete."""
        self._check_whole()
        if self._root is None:
            raise ProtocolError("the archive got no image")
        root, name = self._root
        with _explained(self._file):
            await asyncio.to_thread(self._write_lists, root, name)
            await asyncio.to_thread(self._close_files)
            self._temporary.replace(self._file)

    def abandon(self) -> None:
        """Remove what is unfinished; does nothing after `finish`."""
        with contextlib.suppress(OSError):
            self._close_files()
        self._temporary.unlink(missing_ok=True)

    def _write_lists(self, root: ManifestContent, name: str) -> None:
        index = {
            "schemaVersion": 2,
            "mediaType": mediatype.OCI_INDEX,
            "manifests": [{**_plain(root), **_annotations(name)}, *self._entries],
        }
        self._write_file(LAYOUT_FILE, b'{"imageLayoutVersion":"1.0.0"}')
        self._write_file(INDEX_FILE, orjson.dumps(index))
        image = self._runnable(root)
        if image is not None and image.manifest.config is not None:
            saved = {
                "Config": blob_path(image.manifest.config.digest),
                "RepoTags": [familiar_name(name)] if name else None,
                "Layers": [blob_path(layer.digest) for layer in image.manifest.layers],
            }
            self._write_file(MANIFEST_FILE, orjson.dumps([saved]))
        self._write(bytes(2 * _BLOCK))

    def _runnable(self, root: ManifestContent) -> ManifestContent | None:
        """Return the one image that older readers load: of an index, that for this machine's platform."""
        if not root.manifest.is_index:
            return root
        images = [child for child in root.children() if child.digest in self._manifests]
        child = choose_manifest(images, self._platform)
        return self._manifests[child.digest] if child is not None else None

    def _check_whole(self) -> None:
        if self._is_broken:
            raise RemoteError(f"{self.description} is spoiled by content that failed before")

    def _write_file(self, name: str, content: bytes) -> None:
        self._write_header(name, len(content))
        self._write(content + _padding(len(content)))

    def _write(self, content: bytes) -> None:
        if not self._opened:
            plain = self._temporary.open("xb")
            self._opened.append(plain)
            if self._file.suffix in {".gz", ".tgz"}:
                packed = gzip.GzipFile("", "wb", _GZIP_LEVEL, plain, 0)
                self._opened.append(cast("IO[bytes]", packed))
        self._opened[-1].write(content)

    def _close_files(self) -> None:
        while self._opened:
            with self._opened.pop() as file:
                file.flush()
                if not self._opened:
                    os.fsync(file.fileno())

    def _write_header(self, name: str, size_bytes: int) -> None:
        parts = name.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            directory = "/".join(parts[:depth])
            if directory not in self._directories:
                self._directories.add(directory)
                self._write(_header(f"{directory}/", 0, tarfile.DIRTYPE))
        self._write(_header(name, size_bytes, tarfile.REGTYPE))


@asynccontextmanager
async def create_archive(file: Path, platform: Platform) -> AsyncIterator[ArchiveWriter]:
    """Give a writer whose archive takes the place of the file when it finishes, and not at all otherwise.

    A name that ends in `.gz` or `.tgz` makes a gzipped archive.
    """
    writer = ArchiveWriter(file, platform)
    try:
        yield writer
    finally:
        writer.abandon()


def familiar_name(name: str) -> str:
    """Return the name as Docker shows it: without docker.io and `library/`."""
    return name.removeprefix("docker.io/").removeprefix("library/") if name.startswith("docker.io/") else name


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RemoteError(f"{file} cannot be written: {error.strerror or error}") from error


def _plain(content: ManifestContent) -> dict[str, Any]:
    return {"mediaType": content.media_type, "digest": str(content.digest), "size": len(content.body)}


def _annotations(name: str) -> dict[str, Any]:
    if not name:
        return {}
    annotations = {CONTAINERD_NAME: name, REF_NAME: name}
    try:
        tag = parse_image_reference(name).tag
    except ReferenceInvalidError:
        return {"annotations": {REF_NAME: name}}
    if tag is not None:
        annotations[REF_NAME] = tag
    return {"annotations": annotations}


def _header(name: str, size_bytes: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    info.type = kind
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size_bytes: int) -> bytes:
    return bytes(-size_bytes % _BLOCK)
