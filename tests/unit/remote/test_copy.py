import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.images import INDEX_TYPE, MANIFEST_TYPE
from tests.unit.remote.hostile import HostileRegistry, answer, run_registry

from homeport.oci.digest import Digest, parse_digest
from homeport.oci.manifest import Descriptor
from homeport.oci.reference import ImageReference
from homeport.remote.copy import CopyRequest, CopyResult, ImageCopier
from homeport.remote.errors import ContentMismatchError, RefusedError, UsageError
from homeport.remote.graph import Selection
from homeport.remote.origins import BlobOrigins
from homeport.remote.places import Registries
from homeport.remote.plan import BlobAction, CopyPlan
from homeport.remote.repository import RegistryRepository

pytestmark = pytest.mark.anyio


class Notes:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.plan: CopyPlan | None = None
        self.moved: dict[Digest, int] = {}
        self.actions: dict[Digest, BlobAction] = {}

    def planned(self, plan: CopyPlan) -> None:
        """Note the plan."""
        self.plan = plan

    def started(self, blob: Descriptor) -> None:
        """Note that nothing has moved yet."""
        self.moved[blob.digest] = 0

    def advanced(self, blob: Descriptor, size_bytes: int) -> None:
        """Note how much has moved."""
        self.moved[blob.digest] += size_bytes

    def finished(self, blob: Descriptor, action: BlobAction) -> None:
        """Note the action."""
        self.actions[blob.digest] = action


async def run(
    source: RegistryRepository, destination: RegistryRepository, request: CopyRequest, **more: Any
) -> CopyResult:
    copier = ImageCopier(source, destination, more.get("origins") or BlobOrigins())
    return await copier.execute(await copier.plan(request), more.get("notes") or Notes(), 4)


@pytest.fixture
def two_platforms(hostile: HostileRegistry) -> str:
    """Store an index of two images under `a/image:1` and return its digest."""
    children = []
    for name in ("amd64", "arm64"):
        digest = hostile.add_image("a/image", name, name.encode() * 1000, b"shared" * 1000)
        size = len(hostile.manifests["a/image", digest][1])
        platform = {"os": "linux", "architecture": name}
        children.append({"mediaType": MANIFEST_TYPE, "digest": digest, "size": size, "platform": platform})
    document = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": children}
    return hostile.add_manifest("a/image", "1", document)


@pytest.fixture
async def target(registries: Registries) -> AsyncIterator[tuple[HostileRegistry, RegistryRepository]]:
    """Return a second hostile registry and a repository in it."""
    async with run_registry() as registry:
        yield registry, await registries.repository(ImageReference(registry.host, "b/image"))


Target = tuple[HostileRegistry, RegistryRepository]


async def test_blobs_come_first_then_children_then_the_index_with_the_tag(
    two_platforms: str, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    notes = Notes()
    result = await run(repository, destination, CopyRequest("1", "2"), notes=notes)
    writes = [seen.path for seen in registry.seen if seen.method == "PUT"]
    kinds = ["blob" if "/uploads/" in path else path.rpartition("/")[2][:7] for path in writes]
    assert kinds == ["blob"] * 4 + ["sha256:", "sha256:", "2"]
    assert str(result.digest) == two_platforms
    assert (result.copied_blobs, result.written_manifests) == (4, 3)
    assert result.copied_bytes == sum(notes.moved.values()) == sum(map(len, registry.blobs.values()))
    assert set(notes.actions.values()) == {BlobAction.COPY}


async def test_failing_blob_leaves_no_manifest(
    two_platforms: str, hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    bad = next(digest for digest, content in hostile.blobs.items() if content.startswith(b"arm64"))
    hostile.blobs[bad] = hostile.blobs[bad][::-1]
    with pytest.raises(ContentMismatchError):
        await run(repository, destination, CopyRequest("1", "2"))
    assert registry.manifests == {}
    assert bad not in registry.blobs
    assert two_platforms


async def test_failing_child_leaves_no_tag(
    two_platforms: str, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    registry.on("PUT", "/manifests/sha256", answer(403))
    with pytest.raises(RefusedError):
        await run(repository, destination, CopyRequest("1", "2"))
    assert ("b/image", "2") not in registry.manifests
    assert ("b/image", two_platforms) not in registry.manifests


async def test_second_copy_finds_all_there(
    two_platforms: str, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    await run(repository, destination, CopyRequest("1", "2"))
    registry.seen.clear()
    result = await run(repository, destination, CopyRequest("1", "2"))
    assert (result.skipped_blobs, result.copied_blobs, result.written_manifests) == (4, 0, 0)
    assert {seen.method for seen in registry.seen} == {"HEAD"}
    assert all("/manifests/" in seen.path for seen in registry.seen)
    assert two_platforms


async def test_recheck_finds_a_lost_blob(
    two_platforms: str, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    await run(repository, destination, CopyRequest("1", "2"))
    lost = next(digest for digest, content in registry.blobs.items() if content.startswith(b"shared"))
    del registry.blobs[lost]
    assert (await run(repository, destination, CopyRequest("1", "2"))).copied_blobs == 0
    assert (await run(repository, destination, CopyRequest("1", "2", recheck=True))).copied_blobs == 1
    assert lost in registry.blobs
    assert two_platforms


async def test_referrer_that_fails_does_not_stop_the_image(
    hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    digest = hostile.add_image("a/image", "1", b"layer")
    about = {"mediaType": MANIFEST_TYPE, "digest": digest, "size": 1}
    good = hostile.add_image("a/image", "good", b"good", subject=about)
    bad = hostile.add_image("a/image", "bad", b"bad", subject=about)
    lost = next(key for key, content in hostile.blobs.items() if content == b"bad")
    del hostile.blobs[lost]
    result = await run(
        repository, destination, CopyRequest("1", "2", selection=Selection(with_referrers=True))
    )
    assert ("b/image", "2") in registry.manifests
    assert ("b/image", good) in registry.manifests
    assert ("b/image", bad) not in registry.manifests
    ((failed, reason),) = result.failed_referrers
    assert failed == parse_digest(bad)
    assert lost in reason
    order = [seen.path.rpartition("/")[2] for seen in registry.seen if seen.method == "PUT"]
    assert [name for name in order if "digest=" not in name] == [digest, good, "2"]


async def test_blobs_that_the_run_has_put_elsewhere_are_mounted(
    hostile: HostileRegistry, repository: RegistryRepository, registries: Registries, target: Target
) -> None:
    registry, destination = target
    hostile.add_image("a/image", "1", b"base" * 100, b"one")
    hostile.add_image("a/image", "2", b"base" * 100, b"two")
    other = await registries.repository(ImageReference(registry.host, "c/image"))
    origins = BlobOrigins()
    await run(repository, destination, CopyRequest("1", "1"), origins=origins)
    registry.on("HEAD", "/c/image/blobs/", answer(404), times=99)
    result = await run(repository, other, CopyRequest("2", "2"), origins=origins)
    assert (result.mounted_blobs, result.copied_blobs) == (2, 1)
    assert {"from=b/image" in seen.path for seen in registry.requests("POST", "mount=")} == {True}


async def test_image_of_another_digest_than_the_destination_is_named_with_is_refused(
    hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    digest = parse_digest(hostile.add_image("a/image", "1", b"layer"))
    with pytest.raises(UsageError, match="has the digest"):
        await run(repository, destination, CopyRequest("1", None, Digest.of(b"other")))
    assert registry.requests("POST", "") == []
    await run(repository, destination, CopyRequest("1", None, digest))
    assert {reference for _, reference in registry.manifests} == {str(digest)}


async def test_large_image_of_many_layers_arrives(
    hostile: HostileRegistry, repository: RegistryRepository, target: Target
) -> None:
    registry, destination = target
    hostile.add_image("a/image", "1", *(os.urandom(200_000 * number) for number in range(1, 40)))
    await run(repository, destination, CopyRequest("1", "1"))
    assert registry.blobs == hostile.blobs
