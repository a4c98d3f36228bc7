"""Reading images in the form of an OCI layout, from a directory or out of an archive (image-layout.md)."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

import orjson

from homeport.oci import mediatype
from homeport.oci.digest import Digest
from homeport.oci.manifest import Descriptor, ManifestInvalidError, parse_manifest
from homeport.remote.errors import NotFoundError, ProtocolError, UsageError
from homeport.remote.files import FilePart
from homeport.remote.manifest import MAX_MANIFEST_BYTES, ManifestContent, read_manifest
from homeport.remote.referrers import fallback_tag

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
LAYOUT_FILE = "oci-layout"
INDEX_FILE = "index.json"

Locate = Callable[[str], FilePart]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One entry of index.json: its descriptor, and the names that it goes by."""

    descriptor: Descriptor
    names: tuple[str, ...]


class LayoutReader:
    """Reads a layout; `locate` finds a file of it by its relative path or raises NotFoundError."""

    def __init__(self, description: str, locate: Locate) -> None:
        self._description = description
        self._locate = locate

    @property
    def description(self) -> str:
        """The place in words for people."""
        return self._description

    async def check(self) -> None:
        """Raise ProtocolError when this is no layout of version 1."""
        marker = await asyncio.to_thread(lambda: self._locate(LAYOUT_FILE).read(4096))
        version = None
        with suppress(orjson.JSONDecodeError):
            document = orjson.loads(marker)
            version = document.get("imageLayoutVersion") if isinstance(document, dict) else None
        if not isinstance(version, str) or not version.startswith("1."):
            raise ProtocolError(f"{self._description} is no OCI layout of version 1")

    async def entries(self) -> list[IndexEntry]:
        """Return the entries of index.json; none when the file is absent."""
        try:
            body = await asyncio.to_thread(lambda: self._locate(INDEX_FILE).read(MAX_MANIFEST_BYTES))
        except NotFoundError:
            return []
        return read_index(self._description, body)

    async def fetch_manifest(self, reference: str | Digest) -> ManifestContent:
        """Return the manifest by digest or name; the empty name stands for the only image there."""
        if isinstance(reference, Digest):
            return await self._read(reference, None)
        entries = await self.entries()
        chosen = [entry for entry in entries if reference in entry.names]
        if not reference:
            chosen = await self._roots(entries)
        if not chosen:
            raise NotFoundError(
                f"{self._description} does not have {reference!r}"
                if reference
                else f"{self._description} is empty",
                hint=_hint(entries),
            )
        if len({entry.descriptor.digest for entry in chosen}) > 1:
            raise UsageError(f"{self._description} has several images", hint=_hint(entries))
        return await self._read(chosen[0].descriptor.digest, chosen[0].descriptor.media_type)

    async def read_blob(self, descriptor: Descriptor, offset: int) -> AsyncGenerator[bytes, None]:
        """Yield the blob's bytes from the offset on; see BlobReader."""
        part = await asyncio.to_thread(self._locate, blob_path(descriptor.digest))
        async with aclosing(part.stream(offset)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def list_referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        """Return the manifests in index.json whose subject is this one, and those of its fallback tag."""
        found: dict[Digest, Descriptor] = {}
        for entry in await self.entries():
            content = None
            with suppress(NotFoundError, ProtocolError):
                content = await self._read(entry.descriptor.digest, entry.descriptor.media_type)
            if content is None:
                continue
            about = content.manifest.subject
            if about is not None and about.digest == subject:
                found[content.digest] = entry.descriptor
            elif fallback_tag(subject) in entry.names:
                found.update({child.digest: child for child in content.manifest.manifests})
        return tuple(found.values())

    async def _roots(self, entries: Sequence[IndexEntry]) -> list[IndexEntry]:
        """Return the entries that are no referrers of others."""
        if len(entries) == 1:
            return list(entries)
        roots = []
        for entry in entries:
            content = await self._read(entry.descriptor.digest, entry.descriptor.media_type)
            if content.manifest.subject is None:
                roots.append(entry)
        return roots

    async def _read(self, digest: Digest, media_type: str | None) -> ManifestContent:
        def load() -> bytes:
            return self._locate(blob_path(digest)).read(MAX_MANIFEST_BYTES)

        try:
            body = await asyncio.to_thread(load)
        except NotFoundError as error:
            raise NotFoundError(f"{self._description} does not have {digest}") from error
        return read_manifest(self._description, body, media_type or None, digest)


def blob_path(digest: Digest) -> str:
    """Return the path of a blob in a layout; a checked digest cannot lead out of it."""
    return f"blobs/{digest.algorithm}/{digest.encoded}"


def read_index(where: str, body: bytes) -> list[IndexEntry]:
    """Return the entries of an index.json; raises ProtocolError when it is none."""
    try:
        index = parse_manifest(body, mediatype.OCI_INDEX)
    except ManifestInvalidError as error:
        raise ProtocolError(f"{where} has an unusable index.json: {error}") from error
    return [IndexEntry(child, _names(child)) for child in index.manifests]


def _names(descriptor: Descriptor) -> tuple[str, ...]:
    annotations = descriptor.annotations or {}
    return tuple(annotations[key] for key in (REF_NAME, CONTAINERD_NAME) if annotations.get(key))


def _hint(entries: Sequence[IndexEntry]) -> str:
    names = sorted({name for entry in entries for name in entry.names})
    return f"it has {', '.join(names[:20])}" if names else "name an image by its digest"
