import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.oci.scope import MAX_SCOPES, Scope, parse_scopes


def scope(name: str, *actions: str, kind: str = "repository") -> Scope:
    return Scope(kind, name, frozenset(actions))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([""], []),
        (["repository:a/b:pull"], [scope("a/b", "pull")]),
        (["repository:a/b:pull,push"], [scope("a/b", "pull", "push")]),
        (["repository:a/b:push,pull,delete"], [scope("a/b", "pull", "push", "delete")]),
        (["repository:a/b:*"], [scope("a/b", "*")]),
        (["repository:host:5000/a/b:pull"], [scope("host:5000/a/b", "pull")]),
        (["registry:catalog:*"], [scope("catalog", "*", kind="registry")]),
        (
            ["repository:a/b:pull repository:c/d:pull,push"],
            [scope("a/b", "pull"), scope("c/d", "pull", "push")],
        ),
        (["repository:a/b:pull", "repository:c/d:push"], [scope("a/b", "pull"), scope("c/d", "push")]),
        (["repository:a/b:pull", "repository:a/b:push"], [scope("a/b", "pull", "push")]),
        (["  repository:a/b:pull   repository:c/d:pull "], [scope("a/b", "pull"), scope("c/d", "pull")]),
        (["repository:a/b:pull,,push,"], [scope("a/b", "pull", "push")]),
        (["repository:a/b:"], [scope("a/b")]),
        (["unknown:thing:do"], [scope("thing", "do", kind="unknown")]),
        (["repository(plugin):a/b:pull"], []),
        (["repository"], []),
        (["repository:"], []),
        (["repository:a/b"], []),
        (["::"], []),
        ([":a/b:pull"], []),
        (["repository::pull"], []),
        (["repository:a/b:pull nonsense repository:c/d:pull"], [scope("a/b", "pull"), scope("c/d", "pull")]),
    ],
)
def test_scopes_are_parsed_and_merged(values: list[str], expected: list[Scope]) -> None:
    assert parse_scopes(values) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (scope("a/b", "push", "pull"), "repository:a/b:pull,push"),
        (scope("a/b", "delete", "push", "pull"), "repository:a/b:pull,push,delete"),
        (scope("a/b", "z", "*", "pull"), "repository:a/b:pull,*,z"),
        (scope("catalog", "*", kind="registry"), "registry:catalog:*"),
        (scope("a/b"), "repository:a/b:"),
    ],
)
def test_scope_text_has_one_order(value: Scope, expected: str) -> None:
    assert str(value) == expected


def test_scopes_beyond_the_limit_are_left_out() -> None:
    found = parse_scopes([f"repository:a/{number}:pull" for number in range(10 * MAX_SCOPES)])
    assert len(found) == MAX_SCOPES


def test_scope_already_seen_is_merged_beyond_the_limit() -> None:
    values = [f"repository:a/{number}:pull" for number in range(MAX_SCOPES + 5)]
    found = parse_scopes([*values, "repository:a/0:push"])
    assert found[0] == scope("a/0", "pull", "push")
    assert len(found) == MAX_SCOPES


names = st.from_regex(r"[a-z0-9.:]+(/[a-z0-9]+){0,3}", fullmatch=True).filter(
    lambda name: name.strip(":") == name
)
actions = st.frozensets(st.sampled_from(["pull", "push", "delete", "*"]), min_size=1)


@given(st.dictionaries(names, actions, max_size=MAX_SCOPES))
def test_scope_text_reads_back(wanted: dict[str, frozenset[str]]) -> None:
    expected = [Scope("repository", name, found) for name, found in wanted.items()]
    assert parse_scopes([" ".join(str(value) for value in expected)]) == expected


@given(st.lists(st.text(max_size=80), max_size=20))
def test_scope_parser_never_raises(values: list[str]) -> None:
    found = parse_scopes(values)
    assert len({(value.type, value.name) for value in found}) == len(found)
