"""Blob uploads: sessions, their end in a repository, and mounts."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from sqlalchemy import Connection

from homeport.blobs.store import BlobStore, UploadStatus
from homeport.db.actor import Actor, Target
from homeport.db.audit import add_records
from homeport.db.contents import find_blob_size, link_blob, repositories_with_blob
from homeport.db.engine import Database
from homeport.db.quotas import check_room
from homeport.db.repositories import Location, ensure_repository, locate
from homeport.oci.digest import Digest
from homeport.rules.quota import UNLIMITED, QuotaExceededError

_MAX_MOUNT_CANDIDATES = 50


class Uploads:
    """Upload sessions of repositories; a session is known only under the repository that began it."""

    def __init__(self, database: Database, store: BlobStore) -> None:
        self._database = database
        self._store = store

    async def start(self, repository_name: str, algorithm: str | None = None) -> str:
        """Begin a session and return its id; the algorithm is a hint for the digest to come."""
        return await self._store.open_upload(repository_name, algorithm)

    async def status(self, repository_name: str, upload_id: str) -> UploadStatus:
        """Return how much has arrived. Raises UploadUnknownError."""
        return await self._store.upload_status(upload_id, repository_name)

    async def append(
        self,
        repository_name: str,
        upload_id: str,
        chunks: AsyncIterator[bytes],
        *,
        offset: int | None,
    ) -> UploadStatus:
        """Append a body. Raises UploadUnknownError, and OffsetMismatchError before the body is read."""
        return await self._store.append(upload_id, repository_name, chunks, offset=offset)

    async def cancel(self, repository_name: str, upload_id: str) -> None:
        """Drop the session and what arrived. Raises UploadUnknownError."""
        await self._store.cancel(upload_id, repository_name)

    async def finish(self, location: Location, upload_id: str, digest: Digest) -> int:
        """Make the session's content a blob of the repository and return its size in bytes.

        The content is durable before the row that promises it. Raises UploadUnknownError, ProjectGoneError,
        and, both ending the session, DigestMismatchError and QuotaExceededError.
        """
        name = location.repository_name
        if location.project_id is not None and location.storage_limit_bytes != UNLIMITED:
            # before the content is kept; whether it fits in the end, the transaction below decides
            status = await self._store.upload_status(upload_id, name)
            try:
                await self._database.read(check_room, location.project_id, str(digest), status.size_bytes)
            except QuotaExceededError:
                await self._store.cancel(upload_id, name)
                raise
        size_bytes = await self._store.commit(upload_id, name, digest)
        await self._database.write(_link, location, str(digest), size_bytes)
        return size_bytes

    async def mount(self, actor: Actor, target: Location, digest: Digest, source: Location) -> bool:
        """Make the source's blob one of the target; tells whether the source has it.

        Raises ProjectGoneError and QuotaExceededError.

        The caller has checked that the actor may pull from the source.
        """
        if source.repository_id is None:
            return False
        return await self._database.write(_mount, actor, target, str(digest), source.repository_name)

    async def mount_candidates(self, digest: Digest) -> list[Location]:
        """Return some repositories that hold the blob; the caller picks one that the actor may pull."""
        return await self._database.read(_candidates, str(digest))


def _link(connection: Connection, location: Location, digest: str, size_bytes: int) -> None:
    now = datetime.now(UTC)
    repository_id = ensure_repository(
        connection, location.repository_name, now, project_id=location.project_id
    )
    link_blob(connection, repository_id, digest, size_bytes, now)


def _mount(connection: Connection, actor: Actor, target: Location, digest: str, source_name: str) -> bool:
    now = datetime.now(UTC)
    source = locate(connection, source_name)
    if source.repository_id is None:
        return False
    size_bytes = find_blob_size(connection, source.repository_id, digest)
    if size_bytes is None:
        return False
    repository_id = ensure_repository(connection, target.repository_name, now, project_id=target.project_id)
    link_blob(connection, repository_id, digest, size_bytes, now)
    record = actor.record("mount", Target(target.repository_name, source_name, digest))
    add_records(connection, [record])
    return True


def _candidates(connection: Connection, digest: str) -> list[Location]:
    return [
        locate(connection, name)
        for name, _, _ in repositories_with_blob(connection, digest, limit=_MAX_MOUNT_CANDIDATES)
    ]
