"""Finding what is pulled: manifests by tag and digest, blobs, and the bytes of both."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection

from homeport.blobs.store import BlobStore
from homeport.db.contents import find_blob_size
from homeport.db.engine import Database
from homeport.db.manifests import StoredManifest, find_by_digest, find_by_tag, read_body
from homeport.db.repositories import Location, locate
from homeport.oci.digest import Digest, parse_digest
from homeport.oci.name import is_tag
from homeport.registry.errors import (
    BlobUnknownToRepositoryError,
    ManifestUnknownError,
    NameUnknownError,
    StorageDamagedError,
)

T = TypeVar("T")

_MAX_ANSWERS = 20_000
_MAX_BODIES_BYTES = 32 * 1024 * 1024
_MAX_BODY_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class PulledManifest:
    """A manifest with its exact bytes."""

    location: Location
    digest: str
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class FoundBlob:
    """A blob of a repository; `body` holds the bytes when it is a manifest read as a blob."""

    digest: Digest
    size_bytes: int
    body: bytes | None = None


class Puller:
    """Answers pulls from a cache that is trusted only while the database has not changed.

    Bodies are immutable and stay by digest; where names lead is kept together with the database's version
    that was read before the answer.
    """

    def __init__(self, database: Database, store: BlobStore) -> None:
        self._database = database
        self._store = store
        self._locations: dict[str, tuple[int, Location]] = {}
        self._manifests: dict[tuple[str, str], tuple[int, PulledManifest]] = {}
        self._blobs: dict[tuple[str, str], tuple[int, FoundBlob]] = {}
        self._bodies: OrderedDict[str, bytes] = OrderedDict()
        self._bodies_bytes = 0

    def cached_manifest(self, name: str, reference: str, version: int) -> PulledManifest | None:
        """Return the manifest when it is known from before and the database still has this version."""
        entry = self._manifests.get((name, reference))
        if entry is None or entry[0] != version:
            return None
        return entry[1]

    async def locate(self, name: str) -> Location:
        """Return where the repository name leads, whether it exists or not."""
        version = await self._database.access_version()
        entry = self._locations.get(name)
        if entry is not None and entry[0] == version:
            return entry[1]
        location = await self._database.read(locate, name)
        _keep(self._locations, name, (version, location))
        return location

    async def find_manifest(self, location: Location, reference: str) -> PulledManifest:
        """Return the manifest under the tag or digest.

        Raises DigestInvalidError for a malformed digest, ManifestUnknownError, NameUnknownError.
        """
        name = location.repository_name
        is_digest = ":" in reference
        if is_digest:
            parse_digest(reference)
        elif not is_tag(reference):
            raise ManifestUnknownError(name, reference)
        if location.repository_id is None:
            raise NameUnknownError(name)
        find = find_by_digest if is_digest else find_by_tag
        version = self._database.version()
        found, body = await self._database.read(self._find_with_body, find, location.repository_id, reference)
        if found is None or body is None:
            raise ManifestUnknownError(name, reference)
        pulled = PulledManifest(location, found.digest, found.media_type, body)
        if len(body) <= _MAX_BODY_BYTES:
            _keep(self._manifests, (name, reference), (version, pulled))
        return pulled

    async def find_blob(self, location: Location, digest: Digest) -> FoundBlob:
        """Return the blob, or the manifest, that the repository has under the digest.

        Raises BlobUnknownToRepositoryError, also when only other repositories have it.
        """
        if location.repository_id is None:
            raise BlobUnknownToRepositoryError(str(digest))
        key = (location.repository_name, str(digest))
        version = self._database.version()
        entry = self._blobs.get(key)
        if entry is not None and entry[0] == version:
            return entry[1]
        size_bytes, body = await self._database.read(self._find_content, location.repository_id, key[1])
        if size_bytes is None:
            raise BlobUnknownToRepositoryError(key[1])
        found = FoundBlob(digest, size_bytes, body)
        if body is None:
            _keep(self._blobs, key, (version, found))
        return found

    def local_path(self, blob: FoundBlob) -> str | None:
        """Return the path of the blob's file when the store keeps files, checked to have the right size.

        Raises StorageDamagedError when the file is not what the database promises.
        """
        path = self._store.local_path(blob.digest)
        if path is None:
            return None
        try:
            size_bytes = path.stat().st_size
        except OSError as error:
            raise StorageDamagedError(str(blob.digest)) from error
        if size_bytes != blob.size_bytes:
            raise StorageDamagedError(str(blob.digest))
        return str(path)

    def _find_content(
        self, connection: Connection, repository_id: int, digest: str
    ) -> tuple[int | None, bytes | None]:
        size_bytes = find_blob_size(connection, repository_id, digest)
        if size_bytes is not None:
            return size_bytes, None
        _, body = self._find_with_body(connection, find_by_digest, repository_id, digest)
        return None if body is None else len(body), body

    def _find_with_body(
        self,
        connection: Connection,
        find: Callable[[Connection, int, str], StoredManifest | None],
        repository_id: int,
        reference: str,
    ) -> tuple[StoredManifest | None, bytes | None]:
        found = find(connection, repository_id, reference)
        if found is None:
            return None, None
        body = self._bodies.get(found.digest)
        if body is None:
            body = read_body(connection, found.digest)
            if body is not None:
                self._keep_body(found.digest, body)
        else:
            self._bodies.move_to_end(found.digest)
        return found, body

    def _keep_body(self, digest: str, body: bytes) -> None:
        if len(body) > _MAX_BODY_BYTES:
            return
        self._bodies[digest] = body
        self._bodies_bytes += len(body)
        while self._bodies_bytes > _MAX_BODIES_BYTES:
            _, dropped = self._bodies.popitem(last=False)
            self._bodies_bytes -= len(dropped)


K = TypeVar("K")


def _keep(cache: dict[K, T], key: K, value: T) -> None:
    if len(cache) >= _MAX_ANSWERS:
        cache.clear()
    cache[key] = value
