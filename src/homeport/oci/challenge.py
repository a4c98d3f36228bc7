"""Challenges of `WWW-Authenticate` (RFC 9110, 11.6.1; distribution's token authentication)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MAX_CHALLENGES = 16
MAX_HEADER_LENGTH = 16 * 1024

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - a grammar, no secret
_SCHEME = re.compile(rf"({_TOKEN})(?=[ ,]|$)")
_PARAMETER = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))')
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))")
_SEPARATORS = " \t,"


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate; scheme and parameter names are in lower case."""

    scheme: str
    parameters: Mapping[str, str]

    def scopes(self) -> frozenset[str]:
        """Return the scopes that the challenge names, each `type:name:actions`."""
        return frozenset(self.parameters.get("scope", "").split())


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """Return the challenges of all header values in order of appearance, at most MAX_CHALLENGES.

    What cannot be read ends its header value: the challenges before it still count. A repeated parameter
    keeps its first value.
    """
    challenges: list[Challenge] = []
    for value in values:
        challenges.extend(_parse_value(value[:MAX_HEADER_LENGTH]))
    return challenges[:MAX_CHALLENGES]


def _parse_value(value: str) -> Iterable[Challenge]:
    position = 0
    while position < len(value):
        while position < len(value) and value[position] in _SEPARATORS:
            position += 1
        scheme = _SCHEME.match(value, position)
        if scheme is None:
            return
        parameters, position = _parse_parameters(value, scheme.end())
        yield Challenge(scheme[1].lower(), parameters)


def _parse_parameters(value: str, position: int) -> tuple[dict[str, str], int]:
    parameters: dict[str, str] = {}
    while True:
        start = position
        while start < len(value) and value[start] in _SEPARATORS:
            start += 1
        found = _PARAMETER.match(value, start)
        if found is None:
            token68 = None if parameters or "," in value[position:start] else _TOKEN68.match(value, start)
            return parameters, token68.end() if token68 is not None else start
        quoted, plain = found[2], found[3]
        text = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        parameters.setdefault(found[1].lower(), text)
        position = found.end()
