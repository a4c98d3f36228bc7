"""An OCI layout in a directory as a source and a destination (image-layout.md)."""

import asyncio
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from homeport.oci import mediatype
from homeport.oci.digest import Digest
from homeport.oci.manifest import Descriptor
from homeport.remote.blob import VerifiedBlob
from homeport.remote.errors import NotFoundError, RemoteError, UsageError
from homeport.remote.files import FilePart, whole_file
from homeport.remote.layout_reader import (
    INDEX_FILE,
    LAYOUT_FILE,
    REF_NAME,
    LayoutReader,
    blob_path,
    read_index,
)
from homeport.remote.manifest import MAX_MANIFEST_BYTES, ManifestContent
from homeport.remote.referrers import describe_referrer

_LAYOUT_MARKER = b'{"imageLayoutVersion":"1.0.0"}'


class OciLayout(LayoutReader):
    """A layout; open it with `open_layout`. Blobs are written at once, index.json by `finish`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"oci:{directory}", self._locate_file)
        self._directory = directory
        self._entries: list[tuple[dict[str, Any], str | None]] = []
        self._is_prepared = False

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """Tell whether the blob is there with the right bytes; see ImageDestination."""

        def verify() -> bool:
            try:
                part = self._locate_file(blob_path(descriptor.digest))
            except NotFoundError:
                return False
            return (
                part.size_bytes == descriptor.size_bytes
                and part.digest(descriptor.digest.algorithm) == descriptor.digest
            )

        return await asyncio.to_thread(verify)

    async def find_manifest(self, reference: str | Digest) -> Digest | None:
        """Return the digest under this name or digest, None when it is not there; see ImageDestination."""
        if isinstance(reference, Digest):
            entries = await self.entries()
            try:
                content = await self.fetch_manifest(reference)
            except NotFoundError:
                return None
            listed = any(entry.descriptor.digest == reference for entry in entries)
            if content.manifest.subject is not None and not listed:
                return None
            return reference if await asyncio.to_thread(self._is_complete, content) else None
        for entry in await self.entries():
            if reference and reference in entry.names:
                return entry.descriptor.digest
        return None

    async def write_blob(self, blob: VerifiedBlob, mount_from: str | None) -> bool:
        """Write the blob under its digest once all of it is checked; see ImageDestination."""
        del mount_from  # a layout has no other repositories
        await asyncio.to_thread(self._prepare)
        target = self._directory / blob_path(blob.descriptor.digest)
        with _replacing(target) as (temporary, commit):
            with temporary.open("xb", buffering=0) as file:
                async for chunk in blob.chunks():
                    await asyncio.to_thread(file.write, chunk)
                await asyncio.to_thread(os.fsync, file.fileno())
            commit()
        return False

    async def write_manifest(self, content: ManifestContent, tag: str | None) -> None:
        """Write the manifest; a tag, also the empty one, lists it in index.json. See ImageDestination."""
        await asyncio.to_thread(self._prepare)
        target = self._directory / blob_path(content.digest)
        await asyncio.to_thread(_write_file, target, content.body)
        if tag is not None or content.manifest.subject is not None:
            self._entries.append((describe_referrer(content), tag))

    async def finish(self) -> None:
        """Replace index.json by one that lists what was written too."""
        await asyncio.to_thread(self._update_index)

    def check_writable(self) -> None:
        """Raise UsageError for a directory with things in it that are no layout."""
        with _explained(self._directory):
            is_layout = (self._directory / LAYOUT_FILE).exists() or not self._directory.exists()
            if not is_layout and any(self._directory.iterdir()):
                raise UsageError(
                    f"{self._directory} is neither empty nor an OCI layout", hint="name another directory"
                )

    def _prepare(self) -> None:
        """Make the directory an empty layout unless it is a layout already."""
        if not self._is_prepared:
            marker = self._directory / LAYOUT_FILE
            if not marker.exists():
                _write_file(marker, _LAYOUT_MARKER)
            self._is_prepared = True

    def _update_index(self) -> None:
        self._prepare()
        with _explained(self._directory):
            lock = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                body = self._merged_index()
                if body is not None:
                    _write_file(self._directory / INDEX_FILE, body)
                self._entries.clear()
            finally:
                os.close(lock)

    def _merged_index(self) -> bytes | None:
        """Return index.json with the new entries, None when it has them all."""
        document: dict[str, Any] = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": []}
        with suppress(NotFoundError):
            present = self._locate_file(INDEX_FILE).read(MAX_MANIFEST_BYTES)
            read_index(self.description, present)
            document = orjson.loads(present)
        before = orjson.dumps(document)
        for entry, tag in self._entries:
            document["manifests"] = _with_entry(document["manifests"], entry, tag)
        body = orjson.dumps(document)
        is_new = not (self._directory / INDEX_FILE).exists()
        return body if is_new or body != before else None

    def _is_complete(self, content: ManifestContent) -> bool:
        """Tell whether the blobs of a manifest are there: in a directory, nothing else assures it."""
        try:
            return all(
                self._locate_file(blob_path(blob.digest)).size_bytes == blob.size_bytes
                for blob in content.blobs()
            )
        except NotFoundError:
            return False

    def _locate_file(self, name: str) -> FilePart:
        return whole_file(self._directory / name)


def _with_entry(
    entries: list[dict[str, Any]], entry: dict[str, Any], tag: str | None
) -> list[dict[str, Any]]:
    """Return the entries with one more; a tag moves to it, an entry without a name stands only once."""
    if not tag:
        return entries if any(old["digest"] == entry["digest"] for old in entries) else [*entries, entry]
    named = {key: entry[key] for key in ("mediaType", "digest", "size")} | {"annotations": {REF_NAME: tag}}
    kept = []
    for old in entries:
        names = old.get("annotations") or {}
        if names.get(REF_NAME) == tag and old["digest"] == entry["digest"]:
            return entries
        if names.get(REF_NAME) != tag:
            kept.append(old)
    return [*kept, named]


async def open_layout(directory: Path, *, for_writing: bool) -> OciLayout:
    """Return the layout in the directory; for writing it may be absent: the first write makes it.

    Raises NotFoundError, ProtocolError or UsageError when the directory is no layout.
    """
    layout = OciLayout(directory)
    if for_writing:
        await asyncio.to_thread(layout.check_writable)
        if not (directory / LAYOUT_FILE).exists():
            return layout
    try:
        await layout.check()
    except NotFoundError as error:
        raise NotFoundError(f"{directory} is no OCI layout: it has no file {LAYOUT_FILE}") from error
    return layout


@contextmanager
def _replacing(target: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Give a temporary path beside the layout's blobs and a function that moves it into place."""
    temporary = target.with_name(f".{target.name[:32]}.{secrets.token_hex(6)}.part")

    def commit() -> None:
        temporary.replace(target)

    with _explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary, commit
        finally:
            temporary.unlink(missing_ok=True)


def _write_file(target: Path, content: bytes) -> None:
    with _replacing(target) as (temporary, commit):
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        commit()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RemoteError(f"{path} cannot be written: {error.strerror or error}") from error
