import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.oci.challenge import MAX_CHALLENGES, Challenge, parse_challenges

BEARER = (
    'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"'
)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([""], []),
        (["Basic"], [Challenge("basic", {})]),
        (['Basic realm="x"'], [Challenge("basic", {"realm": "x"})]),
        (["basic REALM=x, charset=UTF-8"], [Challenge("basic", {"realm": "x", "charset": "UTF-8"})]),
        (
            [BEARER],
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://auth.example/token",
                        "service": "registry.example",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        (['Bearer realm="a\\"b, c"'], [Challenge("bearer", {"realm": 'a"b, c'})]),
        (
            ['Negotiate, Basic realm="x", Bearer realm="y"'],
            [
                Challenge("negotiate", {}),
                Challenge("basic", {"realm": "x"}),
                Challenge("bearer", {"realm": "y"}),
            ],
        ),
        (
            ["Negotiate YWJj==, Basic realm=x"],
            [Challenge("negotiate", {}), Challenge("basic", {"realm": "x"})],
        ),
        (
            ['Basic realm="x"', 'Bearer realm="y"'],
            [Challenge("basic", {"realm": "x"}), Challenge("bearer", {"realm": "y"})],
        ),
        (['Bearer realm="x",realm="y"'], [Challenge("bearer", {"realm": "x"})]),
        (['Bearer realm = "x" , service = y'], [Challenge("bearer", {"realm": "x", "service": "y"})]),
        (['Basic realm="x", ;;;'], [Challenge("basic", {"realm": "x"})]),
    ],
)
def test_challenges_are_parsed(values: list[str], expected: list[Challenge]) -> None:
    assert parse_challenges(values) == expected


def test_scopes_of_a_challenge() -> None:
    (challenge,) = parse_challenges(['Bearer realm="x",scope="repository:a:pull repository:b:pull,push"'])
    assert challenge.scopes() == {"repository:a:pull", "repository:b:pull,push"}


def test_challenges_are_bounded() -> None:
    assert len(parse_challenges(["Basic realm=x, " * 1000])) == MAX_CHALLENGES


@given(st.lists(st.text(alphabet='Basic Bearer=",\\; \t\x00é', max_size=60), max_size=4))
def test_any_header_is_parsed_to_something(values: list[str]) -> None:
    for challenge in parse_challenges(values):
        assert challenge.scheme == challenge.scheme.lower()
