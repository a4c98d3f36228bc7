import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.oci.errors import OciErrorCode
from homeport.oci.name import (
    MAX_NAME_LENGTH,
    NameInvalidError,
    TagInvalidError,
    is_repository_name,
    is_tag,
    parse_repository_name,
    parse_tag,
)

NAME_GRAMMAR = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
TAG_GRAMMAR = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "0",
        "library/nginx",
        "a/b/c/d/e/f/g/h",
        "a.b/c_d/e__f/g-h/i---j",
        "blobs/manifests/tags/uploads",
        "2048/2048",
        "a" * 255,
        "a/" + "b" * 253,
    ],
)
def test_name_of_the_grammar_is_taken(name: str) -> None:
    assert parse_repository_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "A/b",
        "a/B",
        ".a/b",
        "a./b",
        "a..b/c",
        "a_/b",
        "a___b/c",
        "a._b/c",
        "-a/b",
        "a-/b",
        "..",
        "../a",
        "a/../b",
        "a/./b",
        "a b/c",
        "a/b\n",
        "a/b\0",
        "a:5000/b",
        "a@b/c",
        "\u00e4/b",
        "\u0430/b",
        "a%2fb",
        "a\\b",
        "a" * 256,
        "a/" * 200 + "a",
    ],
)
def test_name_outside_the_grammar_is_refused(name: str) -> None:
    with pytest.raises(NameInvalidError) as caught:
        parse_repository_name(name)
    assert caught.value.code is OciErrorCode.NAME_INVALID
    assert len(str(caught.value.detail)) <= 256


@given(st.from_regex(NAME_GRAMMAR, fullmatch=True))
def test_name_parser_takes_what_the_specification_describes(name: str) -> None:
    assert is_repository_name(name) == (len(name) <= MAX_NAME_LENGTH)


@given(st.text(alphabet="ab0A._-/ \n\0%:\u00e4", max_size=20))
def test_name_parser_agrees_with_the_specification(name: str) -> None:
    assert is_repository_name(name) == (re.fullmatch(NAME_GRAMMAR, name) is not None)


@pytest.mark.parametrize("length", [40, 1000, 100_000])
def test_name_parser_takes_linear_time(length: int) -> None:
    assert not is_repository_name("a-" * length)
    assert not is_repository_name("a" * length + "!")


@pytest.mark.parametrize(
    "tag", ["a", "_", "0", "latest", "v1.2.3-rc_1", "_._", "A" * 128, "sha256-" + "a" * 64]
)
def test_tag_of_the_grammar_is_taken(tag: str) -> None:
    assert parse_tag(tag) == tag


@pytest.mark.parametrize(
    "tag",
    [
        "",
        ".",
        "..",
        "-",
        ".a",
        "-a",
        ".INVALID_MANIFEST_NAME",
        "a b",
        "a/b",
        "a:b",
        "a@b",
        "a+b",
        "a\n",
        "a\0",
        "\u00e4",
        "a%20",
        "A" * 129,
    ],
)
def test_tag_outside_the_grammar_is_refused(tag: str) -> None:
    with pytest.raises(TagInvalidError) as caught:
        parse_tag(tag)
    assert caught.value.code is OciErrorCode.TAG_INVALID


@given(st.text(alphabet="aZ0._-/: \n\0\u00e4", max_size=140))
def test_tag_parser_agrees_with_the_specification(tag: str) -> None:
    assert is_tag(tag) == (re.fullmatch(TAG_GRAMMAR, tag) is not None)
