import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.oci.digest import ALGORITHMS, Digest, DigestInvalidError, new_hash, parse_digest
from homeport.oci.errors import OciErrorCode

EMPTY_SHA256 = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
HEX = "0123456789abcdef"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "sha256",
        "sha256:",
        "sha256:totallywrong",
        "sha256:baddigeststring",
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "g" * 64,
        "sha256:" + "a" * 128,
        "sha512:" + "a" * 64,
        "sha512:" + "a" * 127,
        "SHA256:" + "a" * 64,
        "sha256-" + "a" * 64,
        "sha257:" + "a" * 64,
        "sha384:" + "a" * 96,
        "md5:" + "a" * 32,
        "sha256+b64:" + "a" * 64,
        " sha256:" + "a" * 64,
        "sha256:" + "a" * 64 + "\n",
        "sha256:" + "a" * 63 + "\0",
        "sha256:" + "\u0661" * 64,
        "sha256:../../../../etc/passwd",
    ],
)
def test_digest_malformed_is_refused(text: str) -> None:
    with pytest.raises(DigestInvalidError) as caught:
        parse_digest(text)
    assert caught.value.code is OciErrorCode.DIGEST_INVALID


def test_digest_error_quotes_no_endless_text() -> None:
    error = DigestInvalidError("sha256:" + "x" * 100_000)
    assert len(str(error.detail)) == 256
    assert len(str(error)) < 256


@pytest.mark.parametrize(("algorithm", "length"), [("sha256", 64), ("sha512", 128)])
def test_digest_supported_algorithm_is_parsed(algorithm: str, length: int) -> None:
    encoded = (HEX * 8)[:length]
    assert parse_digest(f"{algorithm}:{encoded}") == Digest(algorithm, encoded)


@given(st.sampled_from(ALGORITHMS), st.binary(max_size=2000))
def test_digest_of_content_reads_back(algorithm: str, content: bytes) -> None:
    digest = Digest.of(content, algorithm)
    assert digest.encoded == hashlib.new(algorithm, content).hexdigest()
    assert parse_digest(str(digest)) == digest


@given(st.text(max_size=200))
def test_digest_parser_knows_only_its_error(text: str) -> None:
    try:
        parsed = parse_digest(text)
    except DigestInvalidError:
        return
    assert str(parsed) == text


@given(st.lists(st.binary(max_size=100), max_size=10), st.sampled_from(ALGORITHMS))
def test_hash_in_pieces_is_hash_of_whole(pieces: list[bytes], algorithm: str) -> None:
    hasher = new_hash(algorithm)
    for piece in pieces:
        hasher.update(piece)
    assert Digest(algorithm, hasher.hexdigest()) == Digest.of(b"".join(pieces), algorithm)


def test_hash_copy_goes_its_own_way() -> None:
    hasher = new_hash("sha256")
    copied = hasher.copy()
    hasher.update(b"more")
    assert f"sha256:{copied.hexdigest()}" == EMPTY_SHA256


@pytest.mark.parametrize("algorithm", ["", "md5", "sha1", "sha384", "SHA256", "blake2b"])
def test_hash_unknown_algorithm_is_refused(algorithm: str) -> None:
    with pytest.raises(DigestInvalidError):
        new_hash(algorithm)
