import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.auth.errors import TokenInvalidError
from homeport.auth.grants import Grants, asked_actions, asks_for_catalog, grants_from_claim
from homeport.oci.scope import MAX_SCOPES, Scope
from homeport.rules.permissions import NO_ACTIONS, RepositoryAction

PULL, PUSH, DELETE = RepositoryAction.PULL, RepositoryAction.PUSH, RepositoryAction.DELETE


def test_grants_have_dockers_form_in_a_token() -> None:
    grants = Grants(
        {"library/nginx": frozenset({PUSH, PULL}), "library/empty": NO_ACTIONS}, may_list_catalog=True
    )
    assert grants.as_claim() == [
        {"type": "repository", "name": "library/nginx", "actions": ["pull", "push"]},
        {"type": "registry", "name": "catalog", "actions": ["*"]},
    ]
    assert list(map(str, grants.scopes())) == ["repository:library/nginx:pull,push", "registry:catalog:*"]


@given(
    st.dictionaries(st.text(min_size=1, max_size=10), st.frozensets(st.sampled_from(RepositoryAction))),
    st.booleans(),
)
def test_grants_come_back_from_their_claim(
    repositories: dict[str, frozenset[RepositoryAction]],
    may_list_catalog: bool,  # noqa: FBT001 - a drawn value
) -> None:
    restored = grants_from_claim(Grants(repositories, may_list_catalog).as_claim())
    assert restored == Grants({n: a for n, a in repositories.items() if a}, may_list_catalog)


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        (["pull"], {PULL}),
        (["push", "pull", "delete"], {PULL, PUSH, DELETE}),
        (["*"], {PULL, PUSH, DELETE}),
        (["pull", "fly"], {PULL}),
        (["PULL"], set()),
        ([], set()),
    ],
)
def test_asked_actions_are_those_that_exist(actions: list[str], expected: set[RepositoryAction]) -> None:
    assert asked_actions(Scope("repository", "a", frozenset(actions))) == expected


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (Scope("registry", "catalog", frozenset({"*"})), True),
        (Scope("registry", "catalog", frozenset({"pull"})), False),
        (Scope("registry", "other", frozenset({"*"})), False),
        (Scope("repository", "catalog", frozenset({"*"})), False),
    ],
)
def test_catalog_is_asked_for_by_its_own_scope(scope: Scope, expected: bool) -> None:  # noqa: FBT001 - a table
    assert asks_for_catalog([scope]) is expected


@pytest.mark.parametrize(
    "claim",
    [
        None,
        {},
        "repository:a:pull",
        [None],
        ["repository:a:pull"],
        [{"type": "repository", "name": "a"}],
        [{"type": "repository", "name": 1, "actions": []}],
        [{"type": "repository", "name": "a", "actions": "pull"}],
        [{"type": "repository", "name": str(number), "actions": []} for number in range(MAX_SCOPES + 2)],
    ],
)
def test_claim_of_another_shape_is_refused(claim: object) -> None:
    with pytest.raises(TokenInvalidError):
        grants_from_claim(claim)
