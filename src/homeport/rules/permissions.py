"""Who may do what: the one place that decides it, for the token service and for every request."""

from dataclasses import dataclass
from enum import StrEnum


class RepositoryAction(StrEnum):
    """What can be done to a repository, in the words of the token scopes."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"


ALL_ACTIONS = frozenset(RepositoryAction)
NO_ACTIONS: frozenset[RepositoryAction] = frozenset()
_PULL_ONLY = frozenset({RepositoryAction.PULL})


class PrincipalKind(StrEnum):
    """What kind of account acts."""

    ANONYMOUS = "anonymous"
    USER = "user"


class AuthMethod(StrEnum):
    """How a principal proved who it is, as the audit records name it."""

    ANONYMOUS = "anonymous"
    BASIC = "basic"
    BEARER = "bearer"
    PASSWORD = "password"  # noqa: S105 - the OAuth2 grant of that name
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - as above


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts. Its facts are those of the account now, not of the moment when a token was issued."""

    name: str
    kind: PrincipalKind
    user_id: int | None
    is_sysadmin: bool
    auth_method: AuthMethod

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody is signed in."""
        return self.kind is PrincipalKind.ANONYMOUS


ANONYMOUS = Principal(
    name="anonymous",
    kind=PrincipalKind.ANONYMOUS,
    user_id=None,
    is_sysadmin=False,
    auth_method=AuthMethod.ANONYMOUS,
)


@dataclass(frozen=True, slots=True)
class ProjectFacts:
    """What permissions depend on in a project that exists."""

    name: str
    is_public: bool


def repository_actions(principal: Principal, project: ProjectFacts | None) -> frozenset[RepositoryAction]:
    """Return what the principal may do in the project's repositories; None is a project that does not exist.

    System administrators may do everything, in a project that does not exist too: their push creates it.
    Everybody may pull from public projects.
    """
    if principal.is_sysadmin:
        return ALL_ACTIONS
    if project is not None and project.is_public:
        return _PULL_ONLY
    return NO_ACTIONS


def may_list_catalog(principal: Principal) -> bool:
    """Tell whether the principal may list repositories at all; which ones, `sees_every_repository` says."""
    return not principal.is_anonymous


def sees_every_repository(principal: Principal) -> bool:
    """Tell whether the catalog shows every repository, or only those of public projects."""
    return principal.is_sysadmin
