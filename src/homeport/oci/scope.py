"""Scopes of registry tokens: `type:name:action,action` (distribution's token scope documentation)."""

from collections.abc import Iterable
from dataclasses import dataclass

REPOSITORY = "repository"
REGISTRY = "registry"
CATALOG = "catalog"

MAX_SCOPES = 64


@dataclass(frozen=True, slots=True)
class Scope:
    """Actions on one resource; actions may hold `*`, which stands for all that the account has."""

    type: str
    name: str
    actions: frozenset[str]

    def __str__(self) -> str:
        return f"{self.type}:{self.name}:{','.join(sorted(self.actions, key=_pull_first))}"


def _pull_first(action: str) -> tuple[int, str]:
    order = {"pull": 0, "push": 1, "delete": 2}
    return order.get(action, 3), action


def parse_scopes(values: Iterable[str]) -> list[Scope]:
    """Return the scopes in the given parameter values, merged per resource, in order of appearance.

    A value may hold several scopes, separated by spaces; a name may hold colons (`host:port/name`).
    Malformed scopes and resource classes such as `repository(plugin)` grant nothing and are left out, as
    are all beyond MAX_SCOPES.
    """
    merged: dict[tuple[str, str], frozenset[str]] = {}
    for value in values:
        for text in value.split():
            scope = _parse_scope(text)
            if scope is None:
                continue
            key = (scope.type, scope.name)
            if key not in merged and len(merged) >= MAX_SCOPES:
                continue
            merged[key] = merged.get(key, frozenset()) | scope.actions
    return [Scope(type_, name, actions) for (type_, name), actions in merged.items()]


def _parse_scope(text: str) -> Scope | None:
    type_, first, rest = text.partition(":")
    name, last, actions = rest.rpartition(":")
    if not first or not last or not type_ or not name or "(" in type_:
        return None
    return Scope(type_, name, frozenset(action for action in actions.split(",") if action))
