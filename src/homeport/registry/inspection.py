"""Looks for everything that is promised and not kept: lost content, half-made changes, wrong sizes.

What is checked: the database's own structure; each tag leads to a manifest of its repository; each
manifest's body is there, hashes to its digest and says what is recorded of it; what it names is in its
repository; each blob that a repository has is in the store with its size and, when content is read, hashes to
its name; nothing lies among the blobs that is none.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from homeport.blobs.store import BlobDamagedError, BlobStore, BlobUnknownError
from homeport.db.engine import Database, DatabaseDamagedError
from homeport.db.inspection import (
    BlobRow,
    Counts,
    count_contents,
    find_broken_links,
    find_file_problems,
    find_miscounted_quotas,
    find_stray_links,
    find_stray_repositories,
    find_stray_tags,
    find_uncounted_contents,
    is_blob_linked,
    linked_blobs,
    read_blobs,
    read_manifests,
)
from homeport.errors import HomeportError
from homeport.oci.digest import Digest, DigestInvalidError, new_hash, parse_digest
from homeport.registry.findings import Finding, FindingKind, check_manifest

T = TypeVar("T")

_MAX_KEPT = 1000
_MAX_ROWS = 1000
_PAGE_MANIFESTS = 500
_PAGE_BYTES = 8 * 1024 * 1024
_PAGE_BLOBS = 500
_LANES = 4


@dataclass(frozen=True, slots=True)
class InspectionOptions:
    """Whether the bytes of every blob are read, and since when uploads count as expired (an aware time)."""

    reads_content: bool
    uploads_expire_before: datetime


@dataclass(frozen=True, slots=True)
class InspectionListener:
    """Whom to tell during the inspection: of every finding, and how much of what is done.

    `on_progress` gets what is being looked at, how many of it are done and how many there are about.
    """

    on_finding: Callable[[Finding], None]
    on_progress: Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome: `findings` are the first of all that were found, the numbers count all of them."""

    counts: Counts
    damages: int
    notes: int
    findings: tuple[Finding, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is damaged; notes do not count."""
        return self.damages == 0


SILENT = InspectionListener(lambda _finding: None, lambda _what, _done, _total: None)


async def inspect(
    database: Database, store: BlobStore, options: InspectionOptions, listener: InspectionListener = SILENT
) -> Report:
    """Check everything and return what was found; changes nothing and may run beside a working server.

    Memory is bounded whatever there is to inspect. Raises DatabaseUnavailableError and
    StorageUnavailableError when it cannot look.
    """
    return await _Inspector(database, store, options, listener).inspect()


class _Inspector:
    def __init__(
        self, database: Database, store: BlobStore, options: InspectionOptions, listener: InspectionListener
    ) -> None:
        self._database = database
        self._store = store
        self._options = options
        self._listener = listener
        self._damages = 0
        self._notes = 0
        self._kept: list[Finding] = []
        self._done = 0

    async def inspect(self) -> Report:
        counts = Counts(0, 0, 0, 0, 0, 0)
        try:
            if await self._check_file():
                counts = await self._database.read(count_contents)
                await self._check_structure()
                await self._check_manifests(counts.manifests)
                await self._check_blobs(counts.blobs)
                await self._check_files(counts.blobs)
        except DatabaseDamagedError as error:
            self._found(FindingKind.DATABASE_DAMAGED, "database", str(error))
        await self._check_uploads()
        return Report(counts, self._damages, self._notes, tuple(self._kept))

    def _found(self, kind: FindingKind, subject: str, message: str) -> None:
        self._take(Finding(kind, subject, message))

    def _take(self, finding: Finding) -> None:
        if finding.is_damage:
            self._damages += 1
        else:
            self._notes += 1
        if len(self._kept) < _MAX_KEPT:
            self._kept.append(finding)
        self._listener.on_finding(finding)

    async def _check_file(self) -> bool:
        """Tell whether the database can be read at all; nothing that it says is worth a look otherwise."""
        self._listener.on_progress("database", 0, 1)
        problems = await self._database.read(find_file_problems, limit=_MAX_ROWS)
        for problem in problems:
            self._found(FindingKind.DATABASE_DAMAGED, "database", problem)
        return not problems

    async def _check_structure(self) -> None:
        for child, row, parent in await self._database.read(find_broken_links, limit=_MAX_ROWS):
            message = f"row {row} of {child} points to nothing in {parent}"
            self._found(FindingKind.DATABASE_DAMAGED, "database", message)
        for name, project in await self._database.read(find_stray_repositories, limit=_MAX_ROWS):
            message = f"it is recorded in the project {project}"
            self._found(FindingKind.REPOSITORY_MISPLACED, name, message)
        for name, tag in await self._database.read(find_stray_tags, limit=_MAX_ROWS):
            message = "the tag leads to no manifest of its repository"
            self._found(FindingKind.TAG_ASTRAY, f"{name}:{tag}", message)
        for name, digest in await self._database.read(find_stray_links, limit=_MAX_ROWS):
            message = "the repository has a blob that is not recorded"
            self._found(FindingKind.LINK_ASTRAY, f"{name}@{digest}", message)
        for name, used_bytes, counted_bytes in await self._database.read(
            find_miscounted_quotas, limit=_MAX_ROWS
        ):
            message = f"the project's use is recorded as {used_bytes} bytes and is {counted_bytes}"
            self._found(FindingKind.QUOTA_MISCOUNTED, name, message)
        for name, digest in await self._database.read(find_uncounted_contents, limit=_MAX_ROWS):
            message = "the content does not count for its project"
            self._found(FindingKind.QUOTA_MISCOUNTED, f"{name}@{digest}", message)
        self._listener.on_progress("database", 1, 1)

    async def _check_manifests(self, total: int) -> None:
        after_id = done = 0
        while page := await self._database.read(
            read_manifests, after_id=after_id, limit=_PAGE_MANIFESTS, max_bytes=_PAGE_BYTES
        ):
            for row in page:
                for finding in check_manifest(row):
                    self._take(finding)
            after_id = page[-1].id
            done += len(page)
            self._listener.on_progress("manifests", done, max(done, total))

    async def _check_blobs(self, total: int) -> None:
        after = ""
        self._done = 0
        while page := await self._database.read(read_blobs, after=after, limit=_PAGE_BLOBS):
            linked = [row for row in page if row.repository is not None]
            rows = iter(linked)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(_LANES):
                        group.create_task(self._check_rows(rows, total))
            except* HomeportError as errors:
                raise errors.exceptions[0] from None
            after = page[-1].digest
            self._listener.on_progress("blobs", self._done, max(self._done, total))

    async def _check_rows(self, rows: Iterator[BlobRow], total: int) -> None:
        for row in rows:
            finding = await self._check_blob(row)
            # What was deleted while it was looked at is not missed.
            if finding is not None and await self._database.read(is_blob_linked, row.digest):
                self._take(finding)
            self._done += 1
            if self._options.reads_content:
                self._listener.on_progress("blobs", self._done, max(self._done, total))

    async def _check_blob(self, row: BlobRow) -> Finding | None:
        subject = f"{row.repository}@{row.digest}"
        try:
            digest = parse_digest(row.digest)
        except DigestInvalidError:
            return Finding(FindingKind.DATABASE_DAMAGED, subject, "the blob's recorded name is no digest")
        size_bytes = await self._store.stat(digest)
        if size_bytes is None:
            return Finding(FindingKind.BLOB_MISSING, subject, "the blob is not in the store")
        if size_bytes != row.size_bytes:
            message = f"the blob has {size_bytes} bytes instead of {row.size_bytes}"
            return Finding(FindingKind.BLOB_SIZE_WRONG, subject, message)
        if self._options.reads_content and not await self._is_intact(digest, size_bytes):
            return Finding(FindingKind.BLOB_DAMAGED, subject, "the blob does not hash to its name")
        return None

    async def _is_intact(self, digest: Digest, size_bytes: int) -> bool:
        hasher = new_hash(digest.algorithm)
        try:
            async for chunk in self._store.read(digest, 0, size_bytes):
                await asyncio.to_thread(hasher.update, chunk)
        except (BlobUnknownError, BlobDamagedError):
            return False
        return hasher.hexdigest() == digest.encoded

    async def _check_files(self, total: int) -> None:
        """Look for files that no repository has, and for files that are no blobs."""
        count = unlinked_bytes = done = 0
        async for page in _paged(self._store.digests(), _PAGE_BLOBS):
            linked = await self._database.read(linked_blobs, [str(digest) for digest in page])
            for digest in page:
                if str(digest) in linked:
                    continue
                size_bytes = await self._store.stat(digest)
                if size_bytes is None:
                    continue
                count += 1
                unlinked_bytes += size_bytes
                if self._options.reads_content:
                    await self._check_unlinked(digest, size_bytes)
            done += len(page)
            self._listener.on_progress("files", done, max(done, total))
        if count:
            message = f"{count} blobs with {unlinked_bytes} bytes are in no repository"
            self._found(FindingKind.BLOBS_UNLINKED, "storage", message)
        async for name in self._store.strays():
            self._found(FindingKind.STRAY_FILE, name, "it lies among the blobs and is none")

    async def _check_unlinked(self, digest: Digest, size_bytes: int) -> None:
        is_intact = await self._is_intact(digest, size_bytes)
        if not is_intact and await self._store.stat(digest) is not None:
            message = "a blob that is in no repository does not hash to its name"
            self._found(FindingKind.BLOB_DAMAGED, str(digest), message)

    async def _check_uploads(self) -> None:
        counts = {FindingKind.UPLOADS_UNFINISHED: 0, FindingKind.UPLOADS_EXPIRED: 0}
        sizes_bytes = dict.fromkeys(counts, 0)
        async for status in self._store.uploads():
            is_expired = status.changed_at < self._options.uploads_expire_before
            kind = FindingKind.UPLOADS_EXPIRED if is_expired else FindingKind.UPLOADS_UNFINISHED
            counts[kind] += 1
            sizes_bytes[kind] += status.size_bytes
        for kind, count in counts.items():
            if count:
                state = "expired" if kind is FindingKind.UPLOADS_EXPIRED else "not finished"
                message = f"{count} uploads with {sizes_bytes[kind]} bytes are {state}"
                self._found(kind, "storage", message)


async def _paged(items: AsyncIterator[T], size: int) -> AsyncIterator[list[T]]:
    page: list[T] = []
    async for item in items:
        page.append(item)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page
