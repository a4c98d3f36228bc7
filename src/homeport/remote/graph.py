"""The graph of an image: an index, its manifests, their blobs, and what refers to them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import orjson

from homeport.oci import mediatype
from homeport.oci.digest import Digest
from homeport.oci.manifest import Descriptor
from homeport.oci.platform import Platform, choose_manifest, platform_of
from homeport.remote.blob import VerifiedBlob
from homeport.remote.endpoint import ImageSource
from homeport.remote.errors import NotFoundError, ProtocolError, UsageError
from homeport.remote.manifest import ManifestContent
from homeport.remote.workers import map_bounded

MAX_DEPTH = 6
MAX_MANIFESTS = 20_000
MAX_MANIFEST_TOTAL_BYTES = 256 * 1024 * 1024
MAX_CONFIG_BYTES = 4 * 1024 * 1024

_ATTESTED = "vnd.docker.reference.digest"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of an image to take.

    No platform: all. One platform without `sparse`: the image for it, alone. `sparse`: the index with
    unchanged digest, but only the manifests of these platforms and their attestations.
    """

    platforms: tuple[Platform, ...] = ()
    sparse: bool = False
    with_referrers: bool = False

    def check(self) -> None:
        """Raise UsageError for several platforms without `sparse` and for `sparse` without platforms."""
        if len(self.platforms) > 1 and not self.sparse:
            raise UsageError(
                "several platforms need an index that lacks the others",
                hint="add --sparse if the destination takes such an index, or copy one platform at a time",
            )
        if self.sparse and not self.platforms:
            raise UsageError(
                "--sparse does nothing without --platform", hint="add --platform OS/ARCHITECTURE"
            )


@dataclass(frozen=True, slots=True)
class ImageGraph:
    """All that has to be copied; manifests stand after those they name, `root` is the last of the image.

    `referrers` stand after their subjects. `omitted` are children that a sparse index goes without.
    `missing_referrers` are listed at the source but not there.
    """

    root: ManifestContent
    manifests: tuple[ManifestContent, ...]
    referrers: tuple[ManifestContent, ...] = ()
    omitted: tuple[Descriptor, ...] = ()
    missing_referrers: tuple[Digest, ...] = ()


def unique_blobs(manifests: Iterable[ManifestContent]) -> tuple[Descriptor, ...]:
    """Return the blobs that these manifests need, each digest once, in order of appearance."""
    found: dict[Digest, Descriptor] = {}
    for content in manifests:
        for blob in content.blobs():
            found.setdefault(blob.digest, blob)
    return tuple(found.values())


async def load_graph(source: ImageSource, reference: str | Digest, selection: Selection) -> ImageGraph:
    """Read the manifests of an image from the source, every one checked against its digest.

    Raises UsageError when the selection does not fit the image, NotFoundError when a part is missing, and
    ProtocolError beyond MAX_DEPTH, MAX_MANIFESTS or MAX_MANIFEST_TOTAL_BYTES.
    """
    selection.check()
    walk = _Walk(source)
    root = await source.fetch_manifest(reference)
    walk.count(root)
    chosen: Callable[[Descriptor], bool] = _everything
    if selection.platforms and not root.manifest.is_index:
        await _check_platform(source, root, selection.platforms)
    elif selection.sparse:
        kept = await walk.choose(root, selection.platforms)
        chosen = lambda child: child.digest in kept  # noqa: E731 - a predicate over what was just chosen
    elif selection.platforms:
        leaves = await walk.leaves(root)
        root = await walk.fetch(_pick(source, leaves, selection.platforms[0]).descriptor)
    await walk.take(root, chosen, 0)
    image = tuple(walk.manifests.values())
    if selection.with_referrers:
        await walk.take_referrers()
    return ImageGraph(
        root,
        image,
        tuple(walk.manifests.values())[len(image) :],
        tuple(walk.omitted.values()),
        tuple(walk.missing_referrers),
    )


def _everything(_: Descriptor) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class _Leaf:
    """An image manifest somewhere below an index, with the indexes on the way."""

    descriptor: Descriptor
    path: tuple[Digest, ...]


@dataclass(slots=True)
class _Walk:
    """The manifests found so far and the limits on them."""

    source: ImageSource
    manifests: dict[Digest, ManifestContent] = field(default_factory=dict)
    omitted: dict[Digest, Descriptor] = field(default_factory=dict)
    missing_referrers: list[Digest] = field(default_factory=list)
    fetched: dict[Digest, ManifestContent] = field(default_factory=dict)
    total_bytes: int = 0

    def count(self, content: ManifestContent) -> None:
        """Remember a manifest, or raise ProtocolError beyond the limits."""
        if content.digest in self.fetched:
            return
        self.fetched[content.digest] = content
        self.total_bytes += len(content.body)
        if len(self.fetched) > MAX_MANIFESTS or self.total_bytes > MAX_MANIFEST_TOTAL_BYTES:
            raise ProtocolError(f"{self.source.description}: the image has too many manifests")

    async def fetch(self, descriptor: Descriptor) -> ManifestContent:
        """Return the manifest, from the source only once."""
        known = self.fetched.get(descriptor.digest)
        if known is not None:
            return known
        content = await self.source.fetch_manifest(descriptor.digest)
        if len(content.body) != descriptor.size_bytes:
            raise ProtocolError(
                f"{self.source.description}: {descriptor.digest} has {len(content.body)} bytes, "
                f"its descriptor says {descriptor.size_bytes}"
            )
        self.count(content)
        return content

    async def fetch_child(self, child: Descriptor) -> ManifestContent:
        """As `fetch`, for what an index names."""
        try:
            return await self.fetch(child)
        except NotFoundError as error:
            platform = platform_of(child.platform)
            raise NotFoundError(
                f"{self.source.description} lacks {child.digest}"
                f"{f' for {platform}' if platform else ''}, which its index names",
                hint="choose what is there with --platform",
            ) from error

    async def take(self, content: ManifestContent, chosen: Callable[[Descriptor], bool], depth: int) -> None:
        """Add the manifest after all that it holds."""
        self._check_depth(depth)
        if content.digest in self.manifests:
            return
        wanted = []
        for child in content.children():
            if chosen(child):
                wanted.append(child)
            else:
                self.omitted[child.digest] = child
        for child_content in await map_bounded(self.fetch_child, wanted):
            await self.take(child_content, chosen, depth + 1)
        self.manifests[content.digest] = content

    async def leaves(self, index: ManifestContent, path: tuple[Digest, ...] = ()) -> list[_Leaf]:
        """Return the image manifests of the index and of the indexes in it, in their order."""
        self._check_depth(len(path))
        path = (*path, index.digest)
        found: list[_Leaf] = []
        for child in index.children():
            if child.media_type in mediatype.INDEXES:
                found.extend(await self.leaves(await self.fetch_child(child), path))
            else:
                found.append(_Leaf(child, path))
        return found

    async def choose(self, index: ManifestContent, platforms: Sequence[Platform]) -> frozenset[Digest]:
        """Return the manifests that serve the platforms, their attestations, and the indexes above them."""
        leaves = await self.leaves(index)
        picked = [_pick(self.source, leaves, platform) for platform in platforms]
        digests = {str(leaf.descriptor.digest) for leaf in picked}
        picked += [leaf for leaf in leaves if (leaf.descriptor.annotations or {}).get(_ATTESTED) in digests]
        kept = {digest for leaf in picked for digest in leaf.path}
        return frozenset(kept | {leaf.descriptor.digest for leaf in picked})

    async def take_referrers(self) -> None:
        """Add what refers to the manifests found, and what refers to that."""
        subjects = list(self.manifests)
        for _ in range(MAX_DEPTH):
            before = len(self.manifests)
            lists = await map_bounded(self.source.list_referrers, subjects)
            for subject, descriptors in zip(subjects, lists, strict=True):
                for content in await map_bounded(self._fetch_referrer, descriptors):
                    refers_to = content.manifest.subject if content is not None else None
                    if content is not None and refers_to is not None and refers_to.digest == subject:
                        await self.take(content, _everything, 0)
            subjects = list(self.manifests)[before:]
            if not subjects:
                return

    async def _fetch_referrer(self, descriptor: Descriptor) -> ManifestContent | None:
        try:
            return await self.fetch(descriptor)
        except NotFoundError:
            self.missing_referrers.append(descriptor.digest)
            return None

    def _check_depth(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ProtocolError(f"{self.source.description}: indexes are nested more than {MAX_DEPTH} deep")


def _pick(source: ImageSource, leaves: Sequence[_Leaf], platform: Platform) -> _Leaf:
    child = choose_manifest([leaf.descriptor for leaf in leaves], platform)
    for leaf in leaves:
        if leaf.descriptor is child:
            return leaf
    known = {str(found) for leaf in leaves if (found := platform_of(leaf.descriptor.platform)) is not None}
    raise UsageError(
        f"{source.description} has no image for {platform}",
        hint=f"it has {', '.join(sorted(known)[:20])}" if known else "its index names no platforms",
    )


async def _check_platform(source: ImageSource, root: ManifestContent, platforms: Sequence[Platform]) -> None:
    """Raise UsageError when a single image says that it is for another platform."""
    config = root.manifest.config
    if config is None or config.size_bytes > MAX_CONFIG_BYTES:
        return
    try:
        document = orjson.loads(await VerifiedBlob(source, config).read_all())
    except orjson.JSONDecodeError:
        return
    found = platform_of(document) if isinstance(document, dict) else None
    if found is not None and not any(platform.accepts(found) for platform in platforms):
        raise UsageError(
            f"{source.description} has no image for {platforms[0]}", hint=f"it is a single image for {found}"
        )
