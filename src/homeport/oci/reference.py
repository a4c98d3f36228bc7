"""Image references as people and Kubernetes files write them: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`."""

import re
from dataclasses import dataclass, replace

from homeport.errors import HomeportError
from homeport.oci.digest import Digest, DigestInvalidError, parse_digest
from homeport.oci.name import is_repository_name, is_tag

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"

_HOST = re.compile(
    r"(?:localhost|[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*"
    r"|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?"
)


class ReferenceInvalidError(HomeportError):
    """The text is no image reference."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(
            f"{text!r} is no image reference: {reason}",
            hint="write HOST/NAME:TAG, for example registry.example.com/library/nginx:stable",
        )


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image in a registry; a tag, a digest, or both (then the digest decides)."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        text = f"{self.registry}/{self.repository}"
        if self.tag is not None:
            text += f":{self.tag}"
        if self.digest is not None:
            text += f"@{self.digest}"
        return text

    @property
    def reference(self) -> str:
        """What stands behind `/manifests/` in a request: the digest, else the tag, else `latest`."""
        if self.digest is not None:
            return str(self.digest)
        return self.tag or DEFAULT_TAG

    def with_digest(self, digest: Digest) -> "ImageReference":
        """Return the same repository at this digest, without a tag."""
        return replace(self, tag=None, digest=digest)


def parse_image_reference(text: str) -> ImageReference:
    """Return the image that the text names, by Docker's rules.

    The first component is a host when it holds a dot or a colon, is `localhost`, or has an upper-case
    letter; else the image is of docker.io, and a name without a slash there is of `library/`. No tag is
    made up: `reference` falls back to `latest`. Raises ReferenceInvalidError.
    """
    rest, at, digest_text = text.partition("@")
    try:
        digest = parse_digest(digest_text) if at else None
    except DigestInvalidError as error:
        raise ReferenceInvalidError(text, str(error)) from error
    tag: str | None = None
    colon = rest.rfind(":")
    if colon > rest.rfind("/"):
        rest, tag = rest[:colon], rest[colon + 1 :]
        if not is_tag(tag):
            raise ReferenceInvalidError(text, "the tag is malformed")
    registry, repository = _split_registry(rest)
    if not _HOST.fullmatch(registry):
        raise ReferenceInvalidError(text, "the host is malformed")
    if not is_repository_name(repository):
        raise ReferenceInvalidError(text, "the repository name is malformed")
    return ImageReference(registry, repository, tag, digest)


def _split_registry(rest: str) -> tuple[str, str]:
    first, slash, remainder = rest.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    if not is_host:
        return DEFAULT_REGISTRY, rest if slash else f"library/{rest}"
    if first in {"index.docker.io", "registry-1.docker.io"}:
        first = DEFAULT_REGISTRY
    if first == DEFAULT_REGISTRY and "/" not in remainder:
        remainder = f"library/{remainder}"
    return first, remainder
