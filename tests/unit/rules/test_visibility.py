"""The scope that lists filter by says the same as the decision on a single repository."""

from hypothesis import given
from hypothesis import strategies as st

from homeport.rules.permissions import (
    AuthMethod,
    Principal,
    PrincipalKind,
    ProjectFacts,
    ProjectGrant,
    Rights,
    may_in_project,
)
from homeport.rules.visibility import is_in_scope, repository_scope

PERMISSIONS = ("repository:list", "repository:delete", "artifact:list")
NAMES = ("base", "base-a", "base/a", "team/base-b", "a.b", "axb")

patterns = st.sampled_from(("", "", "*", "**", "base-*", "base/**", "{base,team}/*", "a.b", "a?b", "{a", "x"))
grants = st.builds(ProjectGrant, st.frozensets(st.sampled_from(PERMISSIONS), max_size=2), patterns)
rights = st.builds(
    Rights,
    system=st.just(frozenset()),
    projects=st.dictionaries(st.integers(1, 3), st.lists(grants, max_size=2).map(tuple), max_size=3),
    every_project=st.lists(grants, max_size=2).map(tuple),
    denied=st.dictionaries(
        st.integers(1, 3), st.frozensets(st.sampled_from(PERMISSIONS), max_size=2), max_size=2
    ),
)


@given(
    st.builds(
        Principal,
        st.just("user"),
        st.just(PrincipalKind.USER),
        st.just(1),
        st.booleans(),
        st.just(AuthMethod.BASIC),
        rights,
    ),
    st.builds(ProjectFacts, st.integers(1, 3), st.sampled_from(("one", "two")), st.booleans()),
    st.sampled_from(NAMES),
    st.sampled_from(PERMISSIONS),
)
def test_scope_and_decision_agree(
    principal: Principal, project: ProjectFacts, name: str, permission: str
) -> None:
    repository = f"{project.name}/{name}"

    scope = repository_scope(principal, permission)

    assert is_in_scope(scope, project, repository) == may_in_project(
        principal, project, permission, repository
    )
