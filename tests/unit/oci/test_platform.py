import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.oci.digest import Digest
from homeport.oci.manifest import Descriptor
from homeport.oci.platform import Platform, PlatformInvalidError, choose_manifest, parse_platform, platform_of


def child(name: str, **platform: str) -> Descriptor:
    return Descriptor("x/y", Digest.of(name.encode()), 1, platform=platform or None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", "linux/amd64"),
        ("Linux/AMD64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("macos/arm64", "darwin/arm64"),
    ],
)
def test_platform_has_one_normal_form(text: str, expected: str) -> None:
    assert str(parse_platform(text)) == expected


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/amd64/", "linux/am d64"])
def test_other_text_is_no_platform(text: str) -> None:
    with pytest.raises(PlatformInvalidError):
        parse_platform(text)


@given(st.text(max_size=30))
def test_any_text_is_a_platform_or_an_error(text: str) -> None:
    try:
        platform = parse_platform(text)
    except PlatformInvalidError:
        return
    assert parse_platform(str(platform)) == platform


@pytest.mark.parametrize("fields", [None, {}, {"os": "linux"}, {"os": 1, "architecture": "amd64"}])
def test_incomplete_fields_are_no_platform(fields: dict[str, object] | None) -> None:
    assert platform_of(fields) is None


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("linux/amd64", "amd64"),
        ("linux/arm64", "arm64"),
        ("linux/arm/v7", "armv7"),
        ("linux/arm/v6", "armv6"),
        ("linux/arm", "armv7"),
        ("linux/386", None),
        ("windows/amd64", "windows-new"),
        ("linux/arm/v5", None),
    ],
)
def test_child_is_chosen_as_runtimes_do(wanted: str, expected: str | None) -> None:
    children = [
        child("attestation", os="unknown", architecture="unknown"),
        child("none"),
        child("armv6", os="linux", architecture="arm", variant="v6"),
        child("armv7", os="linux", architecture="arm", variant="v7"),
        child("amd64", os="linux", architecture="amd64"),
        child("arm64", os="linux", architecture="arm64", variant="v8"),
        child("windows-new", os="windows", architecture="amd64"),
        child("windows-old", os="windows", architecture="amd64"),
    ]
    chosen = choose_manifest(children, parse_platform(wanted))
    assert (chosen.digest if chosen else None) == (Digest.of(expected.encode()) if expected else None)


def test_variant_that_is_not_usual_is_taken_when_it_is_the_only_one() -> None:
    (only,) = children = [child("v5", os="linux", architecture="arm", variant="v5")]
    assert choose_manifest(children, Platform("linux", "arm")) is only
