"""What copying an image will do: a pure function of the image's graph and of what is present."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from homeport.oci.digest import Digest
from homeport.oci.manifest import Descriptor
from homeport.remote.graph import ImageGraph, unique_blobs
from homeport.remote.manifest import ManifestContent


class BlobAction(Enum):
    """What happens to a blob, and why."""

    COPY = "the destination lacks it"
    MOUNT = "another repository of the destination's registry has it"
    SKIP = "the destination has it"


@dataclass(frozen=True, slots=True)
class PlannedBlob:
    """A blob and what happens to it; `origin` is the repository to mount it from."""

    descriptor: Descriptor
    action: BlobAction
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Presence:
    """What the destination has of an image; `tagged` is what the destination's tag names now."""

    manifests: frozenset[Digest] = frozenset()
    blobs: frozenset[Digest] = frozenset()
    tagged: Digest | None = None


@dataclass(frozen=True, slots=True)
class PlannedReferrer:
    """A manifest that refers to the image, with its own blobs."""

    content: ManifestContent
    blobs: tuple[PlannedBlob, ...]


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """Every step of a copy, in order: blobs, manifests (children first), referrers, and the root last.

    `manifests` are without the root. `tag` is None when the destination is named by digest alone.
    """

    root: ManifestContent
    tag: str | None
    blobs: tuple[PlannedBlob, ...]
    manifests: tuple[ManifestContent, ...]
    referrers: tuple[PlannedReferrer, ...]
    writes_root: bool
    present_manifests: int
    omitted: tuple[Descriptor, ...] = ()
    missing_referrers: tuple[Digest, ...] = ()

    @property
    def all_blobs(self) -> tuple[PlannedBlob, ...]:
        """The blobs of the image and of its referrers, each once."""
        found: dict[Digest, PlannedBlob] = {}
        for blob in (*self.blobs, *(blob for referrer in self.referrers for blob in referrer.blobs)):
            found.setdefault(blob.descriptor.digest, blob)
        return tuple(found.values())

    def count(self, action: BlobAction) -> int:
        """Return how many blobs the action falls on."""
        return sum(blob.action is action for blob in self.all_blobs)

    def size_bytes(self, action: BlobAction) -> int:
        """Return how many bytes the action falls on."""
        return sum(blob.descriptor.size_bytes for blob in self.all_blobs if blob.action is action)

    @property
    def manifests_to_write(self) -> int:
        """How many manifests will be written, referrers and the root among them."""
        return len(self.manifests) + len(self.referrers) + self.writes_root

    @property
    def is_empty(self) -> bool:
        """Whether the destination is already as it should be."""
        writes = self.writes_root or self.manifests or self.referrers
        return not writes and self.count(BlobAction.SKIP) == len(self.all_blobs)


def manifests_to_check(graph: ImageGraph, present: frozenset[Digest]) -> tuple[ManifestContent, ...]:
    """Return the manifests whose blobs have to be looked for.

    A registry takes a manifest only when it has all that the manifest names, so those of present
    manifests are there.
    """
    return tuple(content for content in (*graph.manifests, *graph.referrers) if content.digest not in present)


def plan_copy(
    graph: ImageGraph, tag: str | None, presence: Presence, origins: Mapping[Digest, str]
) -> CopyPlan:
    """Return the steps that make the destination have the graph under the tag.

    `origins` names, for a blob, another repository of the destination's registry that has it.
    """

    def planned(manifests: Iterable[ManifestContent]) -> tuple[PlannedBlob, ...]:
        sure = {
            blob.digest
            for content in manifests
            if content.digest in presence.manifests
            for blob in content.blobs()
        }
        return tuple(_plan_blob(blob, presence.blobs | sure, origins) for blob in unique_blobs(manifests))

    root = graph.root
    absent = [content for content in graph.manifests if content.digest not in presence.manifests]
    return CopyPlan(
        root=root,
        tag=tag,
        blobs=planned(graph.manifests),
        manifests=tuple(content for content in absent if content is not root),
        referrers=tuple(
            PlannedReferrer(content, planned((content,)))
            for content in graph.referrers
            if content.digest not in presence.manifests
        ),
        writes_root=root.digest not in presence.manifests
        or (tag is not None and presence.tagged != root.digest),
        present_manifests=len(graph.manifests) - len(absent),
        omitted=graph.omitted,
        missing_referrers=graph.missing_referrers,
    )


def _plan_blob(blob: Descriptor, present: frozenset[Digest], origins: Mapping[Digest, str]) -> PlannedBlob:
    if blob.digest in present:
        return PlannedBlob(blob, BlobAction.SKIP)
    origin = origins.get(blob.digest)
    if origin is not None:
        return PlannedBlob(blob, BlobAction.MOUNT, origin)
    return PlannedBlob(blob, BlobAction.COPY)
