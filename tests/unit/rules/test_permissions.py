import pytest

from homeport.rules.permissions import (
    ALL_ACTIONS,
    ANONYMOUS,
    NO_ACTIONS,
    AuthMethod,
    Principal,
    PrincipalKind,
    ProjectFacts,
    RepositoryAction,
    may_list_catalog,
    repository_actions,
    sees_every_repository,
)

ADMIN = Principal("admin", PrincipalKind.USER, 1, is_sysadmin=True, auth_method=AuthMethod.BEARER)
USER = Principal("mallory", PrincipalKind.USER, 2, is_sysadmin=False, auth_method=AuthMethod.BASIC)
PUBLIC = ProjectFacts("library", is_public=True)
PRIVATE = ProjectFacts("secret", is_public=False)
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
    assert repository_actions(principal, project) == expected


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
