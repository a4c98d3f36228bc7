"""Distinguished names and search filters: compared and put together so that no text changes their meaning."""

import re
from dataclasses import dataclass

_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}|[0-9]+(\.[0-9]+){1,30}", re.ASCII)
_ESCAPED = {character: f"\\{ord(character):02x}" for character in "\\*()\0"}


def is_attribute(text: str) -> bool:
    """Tell whether the text can be the name of an attribute."""
    return _ATTRIBUTE.fullmatch(text) is not None


def escape_value(text: str) -> str:
    """Return the text as a filter holds it when it stands for itself (RFC 4515)."""
    return "".join(_ESCAPED.get(character, character) for character in text)


def both(configured: str, condition: str) -> str:
    """Return a filter for what matches a configured one, which may be empty, and the condition."""
    return f"(&{configured}{condition})" if configured else condition


@dataclass(frozen=True, slots=True)
class DistinguishedName:
    """A name that can be compared: attribute types and values without regard to case and outer spaces."""

    parts: tuple[str, ...]

    def is_below(self, base: "DistinguishedName") -> bool:
        """Tell whether this is the base or somewhere below it."""
        return len(self.parts) >= len(base.parts) and (
            not base.parts or self.parts[-len(base.parts) :] == base.parts
        )


def parse_dn(text: str) -> DistinguishedName:
    """Return the name that can be compared; texts that are no names give names that equal nothing else."""
    parts: list[str] = []
    current = ""
    is_escaped = False
    for character in text:
        if not is_escaped and character in ",;":
            parts.append(_normalized(current))
            current = ""
            continue
        is_escaped = character == "\\" and not is_escaped
        current += character
    if text.strip():
        parts.append(_normalized(current))
    return DistinguishedName(tuple(parts))


def _normalized(part: str) -> str:
    attribute, _, value = part.partition("=")
    return f"{attribute.strip()}={value.strip()}".lower()
