"""Copying an image graph from one place to another: look, plan, execute."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from homeport.errors import HomeportError
from homeport.oci.digest import Digest
from homeport.oci.manifest import Descriptor
from homeport.remote.blob import VerifiedBlob
from homeport.remote.endpoint import ImageDestination, ImageSource
from homeport.remote.errors import UsageError
from homeport.remote.graph import ImageGraph, Selection, load_graph, unique_blobs
from homeport.remote.origins import BlobOrigins
from homeport.remote.plan import (
    BlobAction,
    CopyPlan,
    PlannedBlob,
    PlannedReferrer,
    Presence,
    manifests_to_check,
    plan_copy,
)
from homeport.remote.workers import DEFAULT_PARALLEL, map_bounded


class CopyProgress(Protocol):
    """Told what happens while a plan is executed."""

    def planned(self, plan: CopyPlan) -> None:
        """Learn of the plan; its blobs are about to move."""

    def started(self, blob: Descriptor) -> None:
        """Learn that the blob begins to move."""

    def advanced(self, blob: Descriptor, size_bytes: int) -> None:
        """Learn that so many more bytes of the blob are on their way."""

    def finished(self, blob: Descriptor, action: BlobAction) -> None:
        """Learn that the blob is at the destination, by this action."""


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """What to copy: `reference` names it at the source, `tag` or `digest` at the destination.

    With a `digest` the image must have that digest. `recheck` looks for every blob even where the manifest
    that names it is present.
    """

    reference: str | Digest
    tag: str | None
    digest: Digest | None = None
    selection: Selection = field(default_factory=Selection)
    parallel: int = DEFAULT_PARALLEL
    recheck: bool = False


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What a copy has done. `failed_referrers` says, for each that is not there, why; the image itself is."""

    digest: Digest
    media_type: str
    copied_blobs: int
    copied_bytes: int
    mounted_blobs: int
    mounted_bytes: int
    skipped_blobs: int
    skipped_bytes: int
    written_manifests: int
    duration_s: float
    failed_referrers: tuple[tuple[Digest, str], ...] = ()


class ImageCopier:
    """Copies images from a source to a destination; `origins` may be shared by many copiers of one run."""

    def __init__(self, source: ImageSource, destination: ImageDestination, origins: BlobOrigins) -> None:
        self._source = source
        self._destination = destination
        self._origins = origins

    async def plan(self, request: CopyRequest) -> CopyPlan:
        """Read the image's manifests, look what the destination has, and return what is to be done.

        Changes nothing. Raises the errors of `load_graph` and of the destination, and UsageError when the
        image has not the digest that the destination was named with.
        """
        graph = await load_graph(self._source, request.reference, request.selection)
        if request.digest is not None and request.digest != graph.root.digest:
            raise UsageError(
                f"the image has the digest {graph.root.digest}, not {request.digest}",
                hint="name the destination by a tag",
            )
        blobs = unique_blobs((*graph.manifests, *graph.referrers))
        origins = self._origins.find(self._source, self._destination, [blob.digest for blob in blobs])
        presence = await self._look(graph, request, origins)
        return plan_copy(graph, request.tag, presence, origins)

    async def _look(self, graph: ImageGraph, request: CopyRequest, origins: Mapping[Digest, str]) -> Presence:
        """Ask the destination for the manifests, and for the blobs that may have to be copied.

        A blob that can be mounted is not asked for: mounting costs as much and says the same.
        """
        everything = (*graph.manifests, *graph.referrers)
        tags = [] if request.tag is None else [request.tag]
        digests = [content.digest for content in everything]
        references: list[str | Digest] = [*tags, *digests]
        found = await map_bounded(self._destination.find_manifest, references, 2 * request.parallel)
        tagged = found.pop(0) if tags else None
        present = frozenset(
            digest for digest, answer in zip(digests, found, strict=True) if answer is not None
        )
        wanted = everything if request.recheck else manifests_to_check(graph, present)
        blobs = [blob for blob in unique_blobs(wanted) if blob.digest not in origins]
        has = await map_bounded(self._destination.has_blob, blobs, 2 * request.parallel)
        found_blobs = frozenset(blob.digest for blob, there in zip(blobs, has, strict=True) if there)
        return Presence(frozenset() if request.recheck else present, found_blobs, tagged)

    async def execute(self, plan: CopyPlan, progress: CopyProgress, parallel: int) -> CopyResult:
        """Do what the plan says; nothing is tagged before all else is there. May be repeated.

        Referrers that fail do not stop the image. Other errors are raised as they are, after every
        transfer was ended.
        """
        run = _Execution(self._source, self._destination, self._origins, progress)
        progress.planned(plan)
        started = time.monotonic()
        await map_bounded(run.move, plan.blobs, parallel)
        await run.write_manifests(plan, parallel)
        await self._destination.finish()
        return run.result(plan, time.monotonic() - started)


class _Execution:
    """One execution of a plan and its counts."""

    def __init__(
        self,
        source: ImageSource,
        destination: ImageDestination,
        origins: BlobOrigins,
        progress: CopyProgress,
    ) -> None:
        self._source = source
        self._destination = destination
        self._origins = origins
        self._progress = progress
        self._done: dict[Digest, PlannedBlob] = {}
        self._moving: dict[Digest, asyncio.Lock] = {}
        self._written_manifests = 0
        self._failed: list[tuple[Digest, str]] = []

    async def move(self, blob: PlannedBlob) -> None:
        """Make the blob be at the destination, once however often it is asked for."""
        descriptor = blob.descriptor
        async with self._moving.setdefault(descriptor.digest, asyncio.Lock()):
            if descriptor.digest in self._done:
                return
            action = blob.action
            if action is not BlobAction.SKIP:
                self._progress.started(descriptor)
                content = VerifiedBlob(
                    self._source, descriptor, lambda size: self._progress.advanced(descriptor, size)
                )
                mounted = await self._destination.write_blob(content, blob.origin)
                action = BlobAction.MOUNT if mounted else BlobAction.COPY
            self._origins.add(self._destination, descriptor.digest)
            self._done[descriptor.digest] = PlannedBlob(descriptor, action, blob.origin)
            self._progress.finished(descriptor, action)

    async def write_manifests(self, plan: CopyPlan, parallel: int) -> None:
        """Put the manifests, the referrers and the root, in this order."""
        for content in plan.manifests:
            await self._destination.write_manifest(content, None)
            self._written_manifests += 1
        if plan.referrers:
            if plan.writes_root and plan.tag is not None:
                await self._destination.write_manifest(plan.root, None)
            await self._write_referrers(plan.referrers, parallel)
        if plan.writes_root:
            await self._destination.write_manifest(plan.root, plan.tag)
            self._written_manifests += 1

    async def _write_referrers(self, referrers: Sequence[PlannedReferrer], parallel: int) -> None:
        for referrer in referrers:
            await self._attempt(referrer, lambda blobs: map_bounded(self.move, blobs, parallel))

    async def _attempt(
        self, referrer: PlannedReferrer, move: Callable[[Sequence[PlannedBlob]], Awaitable[list[None]]]
    ) -> None:
        try:
            await move(referrer.blobs)
            await self._destination.write_manifest(referrer.content, None)
        except HomeportError as error:
            self._failed.append((referrer.content.digest, str(error)))
        else:
            self._written_manifests += 1

    def result(self, plan: CopyPlan, duration_s: float) -> CopyResult:
        """Return what was done so far."""

        def counted(action: BlobAction) -> tuple[int, int]:
            sizes = [blob.descriptor.size_bytes for blob in self._done.values() if blob.action is action]
            return len(sizes), sum(sizes)

        copied, mounted, skipped = (
            counted(BlobAction.COPY),
            counted(BlobAction.MOUNT),
            counted(BlobAction.SKIP),
        )
        missing = [(digest, "the source lists it but does not have it") for digest in plan.missing_referrers]
        return CopyResult(
            digest=plan.root.digest,
            media_type=plan.root.media_type,
            copied_blobs=copied[0],
            copied_bytes=copied[1],
            mounted_blobs=mounted[0],
            mounted_bytes=mounted[1],
            skipped_blobs=skipped[0],
            skipped_bytes=skipped[1],
            written_manifests=self._written_manifests,
            duration_s=duration_s,
            failed_referrers=(*self._failed, *missing),
        )
