"""Repository names and tags (distribution-spec, "Pulling manifests")."""

import re

from homeport.oci.errors import OciError, OciErrorCode

MAX_NAME_LENGTH = 255

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


class NameInvalidError(OciError):
    """The text is no repository name."""

    def __init__(self, text: str, reason: str = "the repository name is malformed") -> None:
        super().__init__(
            OciErrorCode.NAME_INVALID,
            reason,
            detail=text[:256],
            hint="use PROJECT/NAME in lower case, for example library/nginx",
        )


class TagInvalidError(OciError):
    """The text is no tag."""

    def __init__(self, text: str) -> None:
        super().__init__(
            OciErrorCode.TAG_INVALID,
            "the tag is malformed",
            detail=text[:256],
            hint="a tag has 1 to 128 letters, digits, '_', '.' or '-', and starts with no '.' or '-'",
        )


def is_repository_name(text: str) -> bool:
    """Tell whether the text is a repository name of at most 255 characters."""
    return len(text) <= MAX_NAME_LENGTH and _NAME.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Tell whether the text is a tag."""
    return _TAG.fullmatch(text) is not None


def parse_repository_name(text: str) -> str:
    """Return the name unchanged when it is one, else raise NameInvalidError."""
    if not is_repository_name(text):
        raise NameInvalidError(text)
    return text


def parse_tag(text: str) -> str:
    """Return the tag unchanged when it is one, else raise TagInvalidError."""
    if not is_tag(text):
        raise TagInvalidError(text)
    return text
