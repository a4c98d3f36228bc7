import pytest

from homeport.rules.permissions import (
    ALL_ACTIONS,
    ANONYMOUS,
    NO_ACTIONS,
    AuthMethod,
    Principal,
    PrincipalKind,
    ProjectFacts,
    ProjectGrant,
    RepositoryAction,
    Rights,
    may_in_project,
    may_in_system,
    may_list_catalog,
    may_somewhere_in_project,
    repository_actions,
    sees_every_repository,
)
from homeport.rules.roles import ROLE_PERMISSIONS, ProjectRole

ADMIN = Principal("admin", PrincipalKind.USER, 1, is_sysadmin=True, auth_method=AuthMethod.BEARER)
USER = Principal("mallory", PrincipalKind.USER, 2, is_sysadmin=False, auth_method=AuthMethod.BASIC)
PUBLIC = ProjectFacts(1, "library", is_public=True)
PRIVATE = ProjectFacts(2, "secret", is_public=False)
PULL = frozenset({RepositoryAction.PULL})


@pytest.mark.parametrize(
    ("principal", "project", "expected"),
    [
        (ADMIN, PUBLIC, ALL_ACTIONS),
        (ADMIN, PRIVATE, ALL_ACTIONS),
        (ADMIN, None, ALL_ACTIONS),
        (USER, PUBLIC, PULL),
        (USER, PRIVATE, NO_ACTIONS),
        (USER, None, NO_ACTIONS),
        (ANONYMOUS, PUBLIC, PULL),
        (ANONYMOUS, PRIVATE, NO_ACTIONS),
        (ANONYMOUS, None, NO_ACTIONS),
    ],
)
def test_repository_actions_follow_account_and_project(
    principal: Principal, project: ProjectFacts | None, expected: frozenset[RepositoryAction]
) -> None:
    assert repository_actions(principal, project, "secret/x") == expected


@pytest.mark.parametrize(
    ("principal", "may_list", "sees_all"),
    [(ADMIN, True, True), (USER, True, False), (ANONYMOUS, False, False)],
)
def test_catalog_is_for_accounts_and_complete_for_administrators(
    principal: Principal,
    may_list: bool,  # noqa: FBT001 - a table
    sees_all: bool,  # noqa: FBT001 - a table
) -> None:
    assert (may_list_catalog(principal), sees_every_repository(principal)) == (may_list, sees_all)


def test_principal_that_is_anonymous_says_so() -> None:
    assert (ANONYMOUS.is_anonymous, USER.is_anonymous) == (True, False)


def test_repository_actions_are_the_words_of_token_scopes() -> None:
    assert {str(action) for action in RepositoryAction} == {"pull", "push", "delete"}


def member(*grants: ProjectGrant, project_id: int = 2) -> Principal:
    rights = Rights(projects={project_id: grants})
    return Principal(
        "m", PrincipalKind.USER, 3, is_sysadmin=False, auth_method=AuthMethod.BASIC, rights=rights
    )


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        (ProjectRole.PROJECT_ADMIN, {"pull", "push", "delete"}),
        (ProjectRole.MAINTAINER, {"pull", "push", "delete"}),
        (ProjectRole.DEVELOPER, {"pull", "push"}),
        (ProjectRole.GUEST, {"pull"}),
        (ProjectRole.LIMITED_GUEST, {"pull"}),
    ],
)
def test_role_gives_its_actions_in_its_project_alone(role: ProjectRole, expected: set[str]) -> None:
    principal = member(ProjectGrant(ROLE_PERMISSIONS[role]))

    assert repository_actions(principal, PRIVATE, "secret/x") == expected
    assert repository_actions(principal, ProjectFacts(9, "else", is_public=False), "else/x") == NO_ACTIONS


def test_most_powerful_grant_wins() -> None:
    guest = ProjectGrant(ROLE_PERMISSIONS[ProjectRole.GUEST])
    developer = ProjectGrant(ROLE_PERMISSIONS[ProjectRole.DEVELOPER])

    assert repository_actions(member(guest, developer), PRIVATE, "secret/x") == {"pull", "push"}
    assert repository_actions(member(developer, guest), PRIVATE, "secret/x") == {"pull", "push"}


@pytest.mark.parametrize(
    ("pattern", "inside", "matches"),
    [
        ("base-*", "base-nginx", True),
        ("base-*", "base-", True),
        ("base-*", "other", False),
        ("base-*", "base-a/b", False),
        ("base-*", "xbase-a", False),
        ("**", "a/b/c", True),
        ("team/**", "team/a/b", True),
        ("team/**", "teams/a", False),
        ("*/x", "a/x", True),
        ("*/x", "a/b/x", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("{web,api}", "api", True),
        ("{web,api}", "app", False),
        ("a.c", "abc", False),
        ("(", "(", True),
    ],
)
def test_pattern_restricts_a_grant_to_repositories(pattern: str, inside: str, matches: bool) -> None:  # noqa: FBT001 - a table
    principal = member(ProjectGrant(ROLE_PERMISSIONS[ProjectRole.DEVELOPER], pattern))

    assert may_in_project(principal, PRIVATE, "repository:push", f"secret/{inside}") == matches


def test_grant_with_a_pattern_gives_nothing_on_the_project_itself() -> None:
    principal = member(ProjectGrant(ROLE_PERMISSIONS[ProjectRole.PROJECT_ADMIN], "**"))

    assert not may_in_project(principal, PRIVATE, "member:create")
    assert may_somewhere_in_project(principal, PRIVATE, "member:create")


def test_public_project_gives_what_harbor_gives_and_no_more() -> None:
    assert may_in_project(ANONYMOUS, PUBLIC, "repository:pull", "library/x")
    assert not may_in_project(ANONYMOUS, PUBLIC, "repository:push", "library/x")
    assert not may_in_project(ANONYMOUS, PUBLIC, "member:list")
    assert not may_in_project(ANONYMOUS, PRIVATE, ".:read")


def test_system_rights_are_their_own() -> None:
    auditor = Principal(
        "a",
        PrincipalKind.USER,
        4,
        is_sysadmin=False,
        auth_method=AuthMethod.BASIC,
        rights=Rights(system=frozenset({"audit-log:list"})),
    )

    assert may_in_system(auditor, "audit-log:list")
    assert not may_in_system(auditor, "user:create")
    assert may_in_system(ADMIN, "user:create")
    assert not may_in_system(ANONYMOUS, "audit-log:list")
