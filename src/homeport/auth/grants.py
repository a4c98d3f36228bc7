"""What a token was asked for and granted, in Docker's `access` claim and as rights."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from homeport.auth.errors import TokenInvalidError
from homeport.oci.scope import CATALOG, MAX_SCOPES, REGISTRY, REPOSITORY, Scope
from homeport.rules.permissions import NO_ACTIONS, RepositoryAction

_EVERYTHING = "*"


@dataclass(frozen=True, slots=True)
class Grants:
    """The scopes of a token: actions per repository, and whether the catalog may be listed."""

    repositories: Mapping[str, frozenset[RepositoryAction]] = field(default_factory=dict)
    may_list_catalog: bool = False

    def actions(self, repository: str) -> frozenset[RepositoryAction]:
        """Return the actions granted on the repository."""
        return self.repositories.get(repository, NO_ACTIONS)

    def scopes(self) -> list[Scope]:
        """Return the grants as scopes, without empty ones."""
        scopes = [Scope(REPOSITORY, name, frozenset(actions)) for name, actions in self._granted()]
        if self.may_list_catalog:
            scopes.append(Scope(REGISTRY, CATALOG, frozenset({_EVERYTHING})))
        return scopes

    def as_claim(self) -> list[dict[str, Any]]:
        """Return the grants as the `access` claim of a token."""
        claim: list[dict[str, Any]] = [
            {
                "type": REPOSITORY,
                "name": name,
                "actions": [action.value for action in RepositoryAction if action in actions],
            }
            for name, actions in self._granted()
        ]
        if self.may_list_catalog:
            claim.append({"type": REGISTRY, "name": CATALOG, "actions": [_EVERYTHING]})
        return claim

    def _granted(self) -> list[tuple[str, frozenset[RepositoryAction]]]:
        return [(name, actions) for name, actions in self.repositories.items() if actions]


def asked_actions(scope: Scope) -> frozenset[RepositoryAction]:
    """Return the repository actions that a scope asks for; `*` asks for all, unknown ones are left out."""
    if _EVERYTHING in scope.actions:
        return frozenset(RepositoryAction)
    return frozenset(action for action in RepositoryAction if action.value in scope.actions)


def asks_for_catalog(scopes: Iterable[Scope]) -> bool:
    """Tell whether the catalog is among the scopes (`registry:catalog:*`)."""
    return any(
        scope.type == REGISTRY and scope.name == CATALOG and _EVERYTHING in scope.actions for scope in scopes
    )


def grants_from_claim(claim: object) -> Grants:
    """Return the grants of an `access` claim; raises TokenInvalidError when it has another shape."""
    if not isinstance(claim, list) or len(claim) > MAX_SCOPES:
        raise TokenInvalidError("the token's claim 'access' is missing or malformed")
    scopes = [_scope(entry) for entry in claim]
    return Grants(
        repositories={scope.name: asked_actions(scope) for scope in scopes if scope.type == REPOSITORY},
        may_list_catalog=asks_for_catalog(scopes),
    )


def _scope(entry: object) -> Scope:
    match entry:
        case {"type": str(type_), "name": str(name), "actions": list(actions)}:
            return Scope(type_, name, frozenset(action for action in actions if isinstance(action, str)))
        case _:
            raise TokenInvalidError("the token's claim 'access' is missing or malformed")
