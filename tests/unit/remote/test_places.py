from pathlib import Path

import pytest
from tests.images import ImageSet

from homeport.oci.digest import Digest
from homeport.oci.reference import ImageReference
from homeport.remote.errors import NotFoundError, UsageError
from homeport.remote.location import ArchiveLocation, LayoutLocation, Location, RegistryLocation
from homeport.remote.origins import BlobOrigins
from homeport.remote.places import Registries, open_destination, open_source, this_platform

pytestmark = pytest.mark.anyio

DIGEST = Digest.of(b"x")


@pytest.mark.parametrize(
    ("image", "source", "tag", "digest"),
    [
        (ImageReference("h.example", "a"), "latest", "latest", None),
        (ImageReference("h.example", "a", "1"), "1", "1", None),
        (ImageReference("h.example", "a", None, DIGEST), DIGEST, None, DIGEST),
        (ImageReference("h.example", "a", "1", DIGEST), DIGEST, "1", DIGEST),
    ],
)
async def test_names_in_a_registry(
    image: ImageReference,
    source: str | Digest,
    tag: str | None,
    digest: Digest | None,
    registries: Registries,
) -> None:
    async with open_source(RegistryLocation(image), registries) as opened:
        assert opened.reference == source
    async with open_destination(RegistryLocation(image), registries) as destination:
        assert (destination.tag, destination.digest) == (tag, digest)


@pytest.mark.parametrize(
    ("name", "default", "expected"),
    [
        ("nginx:1", "h.example/a:2", "docker.io/library/nginx:1"),
        ("", "h.example/a:2", "h.example/a:2"),
        ("", "", ""),
    ],
)
async def test_names_in_an_archive(
    name: str, default: str, expected: str, registries: Registries, tmp_path: Path
) -> None:
    location = ArchiveLocation(tmp_path / "a.tar", name)
    async with open_destination(location, registries, default_name=default) as destination:
        assert destination.tag == expected
    assert list(tmp_path.iterdir()) == []


async def test_names_in_a_layout(small_images: ImageSet, registries: Registries) -> None:
    async with open_source(LayoutLocation(small_images.nginx, "1.22"), registries) as opened:
        content = await opened.place.fetch_manifest(opened.reference)
    location = LayoutLocation(small_images.nginx, "", content.digest)
    async with open_source(location, registries) as opened:
        assert (await opened.place.fetch_manifest(opened.reference)) == content


@pytest.mark.parametrize(
    ("location", "error"),
    [
        (LayoutLocation(Path("absent"), "1"), NotFoundError),
        (ArchiveLocation(Path("absent"), "1"), NotFoundError),
    ],
)
async def test_absent_place_is_an_error(
    location: Location, error: type[Exception], registries: Registries
) -> None:
    with pytest.raises(error):
        async with open_source(location, registries):
            pass


async def test_layout_is_not_written_into_a_directory_of_other_things(
    registries: Registries, tmp_path: Path
) -> None:
    (tmp_path / "other").touch()
    with pytest.raises(UsageError):
        async with open_destination(LayoutLocation(tmp_path), registries):
            pass


async def test_registry_is_connected_once(registries: Registries) -> None:
    first = await registries.repository(ImageReference("h.example", "a"))
    second = await registries.repository(ImageReference("h.example", "b"))
    assert first.registry is second.registry
    assert str(this_platform()).startswith("linux/")


async def test_blobs_can_be_mounted_from_what_is_known_of_the_same_registry(registries: Registries) -> None:
    one = await registries.repository(ImageReference("h.example", "one"))
    two = await registries.repository(ImageReference("h.example", "two"))
    other = await registries.repository(ImageReference("other.example", "one"))
    origins = BlobOrigins()
    assert origins.find(one, two, [DIGEST]) == {DIGEST: "one"}
    assert origins.find(other, two, [DIGEST]) == {}
    assert origins.find(one, one, [DIGEST]) == {}
    origins.add(one, DIGEST)
    origins.add(two, DIGEST)
    assert origins.find(other, two, [DIGEST, Digest.of(b"y")]) == {DIGEST: "one"}
    assert origins.find(other, one, [DIGEST]) == {}
    assert origins.find(two, other, [DIGEST]) == {}
