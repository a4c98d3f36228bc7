"""Content digests: `algorithm:encoded` (image-spec, descriptor.md, "Digests")."""

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

from homeport.oci.errors import OciError, OciErrorCode

ALGORITHMS = ("sha256", "sha512")

_ENCODED_LENGTH = {"sha256": 64, "sha512": 128}
_GRAMMAR = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})")


class Hash(Protocol):
    """A running hash, as hashlib makes them."""

    def update(self, content: bytes | bytearray | memoryview, /) -> None:
        """Take in more content."""

    def hexdigest(self) -> str:
        """Return the lower-case hexadecimal digest of all content so far."""

    def copy(self) -> "Hash":
        """Return an independent hash in the same state."""


class DigestInvalidError(OciError):
    """The text is no digest of an algorithm that Homeport supports."""

    def __init__(self, text: str) -> None:
        super().__init__(
            OciErrorCode.DIGEST_INVALID,
            "the digest is malformed or its algorithm is not supported",
            detail=text[:256],
            hint="use sha256:<64 hex digits> or sha512:<128 hex digits>",
        )


@dataclass(frozen=True, slots=True)
class Digest:
    """A checked digest; `str()` gives its canonical text."""

    algorithm: str
    encoded: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.encoded}"

    @staticmethod
    def of(content: bytes, algorithm: str = "sha256") -> "Digest":
        """Return the digest of the content."""
        hasher = new_hash(algorithm)
        hasher.update(content)
        return Digest(algorithm, hasher.hexdigest())


def parse_digest(text: str) -> Digest:
    """Return the digest that the text spells, or raise DigestInvalidError."""
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise DigestInvalidError(text)
    if match[1] is not None:
        return Digest(match[1], match[2])
    return Digest(match[3], match[4])


def new_hash(algorithm: str) -> Hash:
    """Return an empty running hash; the algorithm is one of ALGORITHMS, else DigestInvalidError."""
    if algorithm not in _ENCODED_LENGTH:
        raise DigestInvalidError(algorithm)
    return hashlib.new(algorithm)
