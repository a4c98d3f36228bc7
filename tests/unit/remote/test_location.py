import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.errors import HomeportError
from homeport.oci.digest import Digest
from homeport.oci.reference import ImageReference, ReferenceInvalidError
from homeport.remote.location import (
    ArchiveLocation,
    LayoutLocation,
    Location,
    LocationInvalidError,
    RegistryLocation,
    parse_location,
)
from homeport.remote.places import name_of

DIGEST = Digest.of(b"x")


@pytest.mark.parametrize(
    ("text", "expected", "name"),
    [
        (
            "nginx",
            RegistryLocation(ImageReference("docker.io", "library/nginx")),
            "docker.io/library/nginx:latest",
        ),
        (
            "docker://nginx:1",
            RegistryLocation(ImageReference("docker.io", "library/nginx", "1")),
            "docker.io/library/nginx:1",
        ),
        (
            "localhost:5000/a/b:c",
            RegistryLocation(ImageReference("localhost:5000", "a/b", "c")),
            "localhost:5000/a/b:c",
        ),
        (
            f"docker://h.example/a@{DIGEST}",
            RegistryLocation(ImageReference("h.example", "a", None, DIGEST)),
            "",
        ),
        ("oci:dir", LayoutLocation(Path("dir")), ""),
        ("oci:/a/b:tag", LayoutLocation(Path("/a/b"), "tag"), ""),
        ("oci:dir:host.example/a:b", LayoutLocation(Path("dir"), "host.example/a:b"), ""),
        (f"oci:dir@{DIGEST}", LayoutLocation(Path("dir"), "", DIGEST), ""),
        ("docker-archive:a.tar", ArchiveLocation(Path("a.tar")), ""),
        (
            "docker-archive:a.tar:nginx:1",
            ArchiveLocation(Path("a.tar"), "nginx:1"),
            "docker.io/library/nginx:1",
        ),
    ],
)
def test_location_is_parsed(text: str, expected: Location, name: str) -> None:
    location = parse_location(text)
    assert location == expected
    assert parse_location(str(location)) == expected
    assert name_of(location) == name


@pytest.mark.parametrize("text", ["oci:", "oci::tag", "docker-archive:", "dir:/x", "docker-daemon:nginx:1"])
def test_other_places_are_refused(text: str) -> None:
    with pytest.raises(LocationInvalidError):
        parse_location(text)


@pytest.mark.parametrize("text", ["", "docker://", "docker://UPPER", "a b", "https://host/x"])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(ReferenceInvalidError):
        parse_location(text)


@given(st.text(max_size=60))
def test_any_text_is_a_location_or_an_error(text: str) -> None:
    with contextlib.suppress(HomeportError):
        parse_location(text)
