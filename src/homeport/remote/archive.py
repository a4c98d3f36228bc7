"""Archives as `docker save`, `podman save` and skopeo write them, as a source.

Newer ones hold an OCI layout, whose bytes and digests are kept. Older ones have no manifest: one is made,
always the same for the same archive, of the configuration and the layers as they lie there.
"""

import asyncio
import contextlib
import tempfile
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from homeport.oci import mediatype
from homeport.oci.digest import Digest, DigestInvalidError, parse_digest
from homeport.oci.manifest import Descriptor
from homeport.oci.reference import DEFAULT_TAG, ReferenceInvalidError, parse_image_reference
from homeport.remote.endpoint import ImageSource
from homeport.remote.errors import NotFoundError, ProtocolError, RemoteError, UsageError
from homeport.remote.files import FilePart, open_regular
from homeport.remote.layout_reader import INDEX_FILE, LAYOUT_FILE, LayoutReader
from homeport.remote.manifest import MAX_MANIFEST_BYTES, ManifestContent, read_manifest
from homeport.remote.tar import TarIndex, read_tar_index

MANIFEST_FILE = "manifest.json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SavedImage:
    """One image of manifest.json: paths in the archive, and its names as `host/name:tag`."""

    config: str
    layers: tuple[str, ...]
    names: tuple[str, ...]


def full_name(text: str) -> str:
    """Return an image's name with host and tag (`nginx` is `docker.io/library/nginx:latest`).

    A text that is no image name is returned as it is.
    """
    try:
        image = parse_image_reference(text)
    except ReferenceInvalidError:
        return text
    return f"{image.registry}/{image.repository}:{image.tag or DEFAULT_TAG}"


@asynccontextmanager
async def open_archive(file: Path) -> AsyncIterator[ImageSource]:
    """Open an archive for reading; a gzipped one is unpacked to a temporary file first.

    Raises NotFoundError and ProtocolError when the file is no such archive.
    """
    async with _unpacked(file) as tar:
        index = await asyncio.to_thread(read_tar_index, tar)
        where = f"docker-archive:{file}"
        if LAYOUT_FILE in index and INDEX_FILE in index:
            yield SavedLayout(where, index)
        elif MANIFEST_FILE in index:
            yield DockerArchive(where, index)
        else:
            raise ProtocolError(f"{file} holds no image: it has neither {MANIFEST_FILE} nor {INDEX_FILE}")


class SavedLayout(LayoutReader):
    """An archive with an OCI layout in it; names are looked up by Docker's rules."""

    def __init__(self, where: str, index: TarIndex) -> None:
        super().__init__(where, index.locate)
        self._index = index

    async def fetch_manifest(self, reference: str | Digest) -> ManifestContent:
        """Return the manifest by digest or name; see ImageSource."""
        if isinstance(reference, Digest) or not reference:
            return await super().fetch_manifest(reference)
        wanted = full_name(reference)
        for entry in await self.entries():
            if reference in entry.names or wanted in {full_name(name) for name in entry.names if ":" in name}:
                return await super().fetch_manifest(entry.descriptor.digest)
        return await super().fetch_manifest(await self._by_configuration(wanted, reference))

    async def _by_configuration(self, wanted: str, reference: str) -> Digest | str:
        """Return the manifest whose configuration manifest.json calls by this name."""
        if MANIFEST_FILE not in self._index:
            return reference
        saved = await asyncio.to_thread(_read_saved, self.description, self._index)
        configs = {Path(image.config).name for image in saved if wanted in image.names}
        for entry in await self.entries():
            content = await super().fetch_manifest(entry.descriptor.digest)
            config = content.manifest.config
            if config is not None and config.digest.encoded in configs:
                return entry.descriptor.digest
        return reference


class DockerArchive:
    """An archive without manifests; each image gets one in Docker's format."""

    def __init__(self, where: str, index: TarIndex) -> None:
        self._where = where
        self._index = index
        self._parts: dict[Digest, FilePart] = {}
        self._manifests: dict[Digest, ManifestContent] = {}

    @property
    def description(self) -> str:
        """The place in words for people."""
        return self._where

    async def fetch_manifest(self, reference: str | Digest) -> ManifestContent:
        """Return the made-up manifest of the image with this name; the empty name stands for the only one."""
        if isinstance(reference, Digest):
            if reference in self._manifests:
                return self._manifests[reference]
            raise NotFoundError(f"{self._where} does not have {reference}", hint="name the image")
        saved = await asyncio.to_thread(_read_saved, self._where, self._index)
        content = await asyncio.to_thread(self._make_manifest, _choose(self._where, saved, reference))
        self._manifests[content.digest] = content
        return content

    async def read_blob(self, descriptor: Descriptor, offset: int) -> AsyncGenerator[bytes, None]:
        """Yield the blob's bytes from the offset on; see BlobReader."""
        part = self._parts.get(descriptor.digest)
        if part is None:
            raise NotFoundError(f"{self._where} does not have {descriptor.digest}")
        async with aclosing(part.stream(offset)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def list_referrers(self, subject: Digest) -> tuple[Descriptor, ...]:  # noqa: ARG002 - ImageSource
        """Return nothing: the format knows no referrers."""
        return ()

    def _make_manifest(self, image: SavedImage) -> ManifestContent:
        config_part = self._index.locate(image.config)
        config = config_part.read(MAX_MANIFEST_BYTES)
        diff_ids = _diff_ids(self._where, config)
        if len(diff_ids) != len(image.layers):
            raise ProtocolError(
                f"{self._where} has {len(image.layers)} layers, its configuration {len(diff_ids)}"
            )
        config_digest = Digest.of(config)
        self._parts[config_digest] = config_part
        layers = [self._layer(path, diff_id) for path, diff_id in zip(image.layers, diff_ids, strict=True)]
        document = {
            "schemaVersion": 2,
            "mediaType": mediatype.DOCKER_MANIFEST,
            "config": {"mediaType": DOCKER_CONFIG, "size": len(config), "digest": str(config_digest)},
            "layers": layers,
        }
        return read_manifest(self._where, orjson.dumps(document), mediatype.DOCKER_MANIFEST, None)

    def _layer(self, path: str, diff_id: Digest) -> dict[str, Any]:
        """Describe a layer as it lies there; the digest of a plain one is its diff id, checked on reading."""
        part = self._index.locate(path)
        with part.open() as file:
            magic = file.read(4)
        media_type, digest = DOCKER_LAYER, diff_id
        if magic.startswith(_GZIP_MAGIC):
            media_type, digest = f"{DOCKER_LAYER}.gzip", part.digest("sha256")
        elif magic == _ZSTD_MAGIC:
            media_type, digest = f"{DOCKER_LAYER}.zstd", part.digest("sha256")
        self._parts[digest] = part
        return {"mediaType": media_type, "size": part.size_bytes, "digest": str(digest)}


def _read_saved(where: str, index: TarIndex) -> list[SavedImage]:
    body = index.locate(MANIFEST_FILE).read(MAX_MANIFEST_BYTES)
    document: Any = None
    with contextlib.suppress(orjson.JSONDecodeError):
        document = orjson.loads(body)
    if not isinstance(document, list) or not document:
        raise ProtocolError(f"{where} has an unusable {MANIFEST_FILE}")
    return [_saved_image(where, entry) for entry in document]


def _saved_image(where: str, entry: object) -> SavedImage:
    fields = entry if isinstance(entry, dict) else {}
    config, layers, names = fields.get("Config"), fields.get("Layers") or [], fields.get("RepoTags") or []
    if not isinstance(config, str) or not _are_texts(layers) or not _are_texts(names):
        raise ProtocolError(f"{where} has an unusable {MANIFEST_FILE}")
    return SavedImage(config, tuple(layers), tuple(full_name(name) for name in names))


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _choose(where: str, saved: Sequence[SavedImage], name: str) -> SavedImage:
    names = sorted({known for image in saved for known in image.names})
    hint = f"it has {', '.join(names[:20])}" if names else "its images have no names"
    if not name:
        if len(saved) > 1:
            raise UsageError(f"{where} has several images", hint=hint)
        return saved[0]
    wanted = full_name(name)
    for image in saved:
        if wanted in image.names:
            return image
    raise NotFoundError(f"{where} does not have {wanted}", hint=hint)


def _diff_ids(where: str, config: bytes) -> list[Digest]:
    try:
        return [parse_digest(text) for text in orjson.loads(config)["rootfs"]["diff_ids"] or []]
    except (orjson.JSONDecodeError, KeyError, TypeError, DigestInvalidError) as error:
        raise ProtocolError(f"{where} has an image configuration without usable layers") from error


@asynccontextmanager
async def _unpacked(file: Path) -> AsyncIterator[Path]:
    """Give the path of the plain archive: the file itself, or a temporary one with what gzip packed."""
    with await asyncio.to_thread(open_regular, file) as packed:
        if packed.read(2) != _GZIP_MAGIC:
            yield file
            return
        packed.seek(0)
        with tempfile.NamedTemporaryFile(prefix="homeport-", suffix=".tar") as target:
            unpacker = zlib.decompressobj(wbits=31)
            while piece := await asyncio.to_thread(packed.read, _PIECE_BYTES):
                unpacker = await asyncio.to_thread(_unpack, unpacker, piece, target, file)
            if not unpacker.eof:
                raise ProtocolError(f"{file} is cut off")
            target.flush()
            yield Path(target.name)


def _unpack(unpacker: Any, piece: bytes, target: IO[bytes], file: Path) -> Any:
    """Write what a piece of gzip holds, in bounded steps; return the unpacker of what follows."""
    try:
        while piece:
            if unpacker.eof:
                if not piece.strip(b"\0"):
                    return unpacker
                unpacker = zlib.decompressobj(wbits=31)
            target.write(unpacker.decompress(piece, _PIECE_BYTES))
            piece = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    except zlib.error as error:
        raise ProtocolError(f"{file} is damaged: its gzip data cannot be read") from error
    except OSError as error:
        raise RemoteError(
            f"{file} cannot be unpacked: {error.strerror}", hint="set TMPDIR to a directory with enough space"
        ) from error
    return unpacker
