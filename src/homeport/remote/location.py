"""Where images are, as people write it: `docker://HOST/NAME:TAG`, `oci:DIR:TAG`, `docker-archive:FILE`."""

import re
from dataclasses import dataclass
from pathlib import Path

from homeport.errors import HomeportError
from homeport.oci.digest import Digest, parse_digest
from homeport.oci.reference import ImageReference, parse_image_reference

_DIGEST_SUFFIX = re.compile(r"@((?:sha256|sha512):[0-9a-f]+)\Z")
_UNSUPPORTED = (
    "containers-storage:",
    "docker-daemon:",
    "oci-archive:",
    "dir:",
    "ostree:",
    "sif:",
    "tarball:",
)


class LocationInvalidError(HomeportError):
    """The text names no place for images."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(
            f"{text[:300]!r} is no place for an image: {reason}",
            hint="write docker://HOST/NAME:TAG, oci:DIR:TAG or docker-archive:FILE",
        )


@dataclass(frozen=True, slots=True)
class RegistryLocation:
    """An image in a registry."""

    image: ImageReference

    def __str__(self) -> str:
        return f"docker://{self.image}"


@dataclass(frozen=True, slots=True)
class LayoutLocation:
    """An image in an OCI layout: by name, by digest, or the only one there."""

    directory: Path
    name: str = ""
    digest: Digest | None = None

    def __str__(self) -> str:
        name = f":{self.name}" if self.name else ""
        return f"oci:{self.directory}{name}{f'@{self.digest}' if self.digest else ''}"


@dataclass(frozen=True, slots=True)
class ArchiveLocation:
    """An image in an archive as `docker save` writes it: by name, or the only one there."""

    file: Path
    name: str = ""

    def __str__(self) -> str:
        return f"docker-archive:{self.file}{f':{self.name}' if self.name else ''}"


Location = RegistryLocation | LayoutLocation | ArchiveLocation


def parse_location(text: str) -> Location:
    """Return the place that the text names; a text without a transport is an image in a registry.

    Raises LocationInvalidError, and ReferenceInvalidError for malformed image names.
    """
    if text.startswith("docker://"):
        return RegistryLocation(parse_image_reference(text.removeprefix("docker://")))
    if text.startswith("oci:"):
        return _parse_layout(text)
    if text.startswith("docker-archive:"):
        path, _, name = text.removeprefix("docker-archive:").partition(":")
        if not path:
            raise LocationInvalidError(text, "the file is missing")
        return ArchiveLocation(Path(path), name)
    for transport in _UNSUPPORTED:
        if text.startswith(transport):
            raise LocationInvalidError(text, f"{transport} is not supported")
    return RegistryLocation(parse_image_reference(text))


def _parse_layout(text: str) -> LayoutLocation:
    rest = text.removeprefix("oci:")
    digest = None
    found = _DIGEST_SUFFIX.search(rest)
    if found is not None:
        digest, rest = parse_digest(found[1]), rest[: found.start()]
    path, _, name = rest.partition(":")
    if not path:
        raise LocationInvalidError(text, "the directory is missing")
    return LayoutLocation(Path(path), name, digest)
