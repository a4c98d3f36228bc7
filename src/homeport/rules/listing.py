"""The query language of Harbor's lists: `q=k=v,k=~v,k=[a~b],k={a b},k=(a b)` and `sort=-k,k`."""

import re
from dataclasses import dataclass
from enum import StrEnum

from homeport.errors import HomeportError

MAX_PAGE_SIZE = 100
DEFAULT_PAGE_SIZE = 10

_MAX_CONDITIONS = 50
_MAX_PAGE = 10**12
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}")


class QueryInvalidError(HomeportError):
    """The query, sort or page cannot be understood."""


class Match(StrEnum):
    """How a condition compares."""

    EXACT = "exact"
    FUZZY = "fuzzy"
    RANGE = "range"
    ANY = "any"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Condition:
    """One part of a query; a range has two values, an open end is an empty text."""

    key: str
    match: Match
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """One part of a sort."""

    key: str
    is_descending: bool


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a list was asked for; pages count from 1."""

    conditions: tuple[Condition, ...] = ()
    orders: tuple[Order, ...] = ()
    page: int = 1
    page_size: int = DEFAULT_PAGE_SIZE

    @property
    def offset(self) -> int:
        """How many entries come before the page."""
        return (self.page - 1) * self.page_size

    def value(self, key: str) -> str | None:
        """Return what the query wants the key to be exactly, if it does."""
        for condition in self.conditions:
            if condition.key == key and condition.match is Match.EXACT:
                return condition.values[0]
        return None


def parse_list_query(q: str, sort: str, page: int, page_size: int) -> ListQuery:
    """Return the parsed query. Raises QueryInvalidError.

    A page size of -1 is Harbor's way to ask for all, and gets the largest page.
    """
    if page_size == -1:
        page_size = MAX_PAGE_SIZE
    if not 1 <= page <= _MAX_PAGE:
        raise QueryInvalidError(f"page must be from 1 to {_MAX_PAGE}")
    if not 1 <= page_size <= MAX_PAGE_SIZE:
        raise QueryInvalidError(f"page_size must be from 1 to {MAX_PAGE_SIZE}")
    return ListQuery(parse_conditions(q), parse_orders(sort), page, page_size)


def parse_conditions(text: str) -> tuple[Condition, ...]:
    """Return the conditions of a `q` parameter. Raises QueryInvalidError."""
    if "\0" in text:
        raise QueryInvalidError("the query must not hold a NUL")
    parts = _split(text)
    if len(parts) > _MAX_CONDITIONS:
        raise QueryInvalidError("the query has too many conditions")
    return tuple(_parse_condition(part) for part in parts)


def parse_orders(text: str) -> tuple[Order, ...]:
    """Return the orders of a `sort` parameter. Raises QueryInvalidError."""
    orders = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        key = part.lstrip("-+")
        if _KEY.fullmatch(key) is None:
            raise QueryInvalidError(f"{part!r} is nothing to sort by")
        orders.append(Order(key, part.startswith("-")))
    return tuple(orders)


def _split(text: str) -> list[str]:
    """Return the parts between commas that are not inside brackets."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        if character in "[{(":
            depth += 1
        elif character in "]})":
            depth = max(depth - 1, 0)
        elif character == "," and not depth:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def _parse_condition(part: str) -> Condition:
    key, equals, value = part.partition("=")
    key = key.strip()
    if not equals or _KEY.fullmatch(key) is None:
        raise QueryInvalidError(f"{part!r} is no condition", hint="write key=value, key=~value or key=[a~b]")
    if value.startswith("~"):
        return Condition(key, Match.FUZZY, (value[1:],))
    if value.startswith("[") and value.endswith("]"):
        low, tilde, high = value[1:-1].partition("~")
        if not tilde:
            raise QueryInvalidError(f"{part!r} is no range", hint="write key=[low~high]")
        return Condition(key, Match.RANGE, (low.strip(), high.strip()))
    for opening, closing, match in (("{", "}", Match.ANY), ("(", ")", Match.ALL)):
        if value.startswith(opening) and value.endswith(closing):
            return Condition(key, match, tuple(_unquote(word) for word in value[1:-1].split()))
    return Condition(key, Match.EXACT, (_unquote(value),))


def _unquote(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text
