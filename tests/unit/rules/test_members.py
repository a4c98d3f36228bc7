import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.rules.members import (
    ALL_PERMISSIONS,
    MAX_PATTERN_LENGTH,
    ROLE_NAMES,
    PatternInvalidError,
    PermissionsInvalidError,
    check_pattern,
    check_permissions,
    may_hand_out,
)
from homeport.rules.permissions import (
    AuthMethod,
    Principal,
    PrincipalKind,
    ProjectFacts,
    ProjectGrant,
    Rights,
    may_in_project,
)
from homeport.rules.roles import ROLE_PERMISSIONS, ProjectRole

PROJECT = ProjectFacts(1, "team", is_public=False)


def user_with(*grants: ProjectGrant, is_sysadmin: bool = False) -> Principal:
    """Return a user with grants in the project."""
    rights = Rights(projects={PROJECT.id: grants})
    return Principal("user", PrincipalKind.USER, 7, is_sysadmin, AuthMethod.BASIC, rights)


@pytest.mark.parametrize("pattern", ["", "base/*", "**", "{web,api}/**", "a?c", "a" * MAX_PATTERN_LENGTH])
def test_pattern_of_repositories_is_taken(pattern: str) -> None:
    assert check_pattern(pattern) == pattern


@pytest.mark.parametrize(
    "pattern", ["***", "A", "a b", "{", "a}", "{{a}}", "*/*/*/*", "{a,b}" * 4, "ü", "a\n"]
)
def test_other_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(PatternInvalidError):
        check_pattern(pattern)


@pytest.mark.parametrize("pattern", ["**a**a**b", "{a,aa}{a,aa}{a,aa}b", "*a*a*b", f"**{{{'a,' * 100}a}}**b"])
def test_matching_a_pattern_is_quick_whatever_the_name(pattern: str) -> None:
    user = user_with(ProjectGrant(frozenset({"repository:pull"}), check_pattern(pattern)))
    started = time.process_time()

    assert not may_in_project(user, PROJECT, "repository:pull", f"team/{'a' * 250}")
    assert time.process_time() - started < 1


def test_permissions_of_a_role_are_those_of_project_administrators() -> None:
    assert ROLE_PERMISSIONS[ProjectRole.PROJECT_ADMIN] == ALL_PERMISSIONS
    assert set(ROLE_NAMES) == set(map(int, ProjectRole))
    assert check_permissions(frozenset({"repository:pull"})) == {"repository:pull"}
    for wrong in (set(), {"user:create"}, {"repository:pull", "*"}):
        with pytest.raises(PermissionsInvalidError):
            check_permissions(frozenset(wrong))


@given(
    st.frozensets(st.sampled_from(sorted(ALL_PERMISSIONS))),
    st.frozensets(st.sampled_from(sorted(ALL_PERMISSIONS))),
)
def test_nobody_hands_out_more_than_it_has(held: frozenset[str], wanted: frozenset[str]) -> None:
    assert may_hand_out(user_with(ProjectGrant(held)), PROJECT, wanted) is (wanted <= held)
    assert may_hand_out(user_with(ProjectGrant(held, "**")), PROJECT, wanted) is (not wanted)
    assert may_hand_out(user_with(is_sysadmin=True), PROJECT, wanted)
