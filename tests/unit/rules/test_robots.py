import string
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.rules.permissions import (
    AuthMethod,
    Principal,
    PrincipalKind,
    ProjectFacts,
    Rights,
    may_in_project,
    may_in_system,
)
from homeport.rules.robots import (
    GRANTABLE_IN_PROJECT,
    GRANTABLE_IN_SYSTEM,
    NEVER,
    ClaimPattern,
    RobotInvalidError,
    RobotPermission,
    check_claim_patterns,
    check_duration,
    check_robot_name,
    check_secret,
    claims_match,
    decided_as,
    expand,
    expiry,
    is_expiry_near,
    login_name,
    make_secret,
    may_grant,
    rights_of,
    split_login_name,
)
from homeport.rules.roles import ROLE_PERMISSIONS, ProjectRole

ONE = ProjectFacts(1, "one", is_public=False)
TWO = ProjectFacts(2, "two", is_public=False)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def principal(rights: Rights, *, is_sysadmin: bool = False) -> Principal:
    return Principal("robot$x", PrincipalKind.ROBOT, 1, is_sysadmin, AuthMethod.BASIC, rights)


def in_system(permission: str, *, is_denied: bool = False) -> RobotPermission:
    return RobotPermission(True, None, permission, is_denied)


def in_project(permission: str, project_id: int | None = 1, *, is_denied: bool = False) -> RobotPermission:
    return RobotPermission(False, project_id, permission, is_denied)


@pytest.mark.parametrize("permission", sorted(GRANTABLE_IN_SYSTEM))
def test_permission_in_the_system_is_decided_there_and_gives_nothing_else(permission: str) -> None:
    robot = principal(rights_of([in_system(permission)]))
    assert [each for each in sorted(GRANTABLE_IN_SYSTEM) if may_in_system(robot, each)] == [permission]
    assert not any(may_in_project(robot, ONE, decided_as(each)) for each in GRANTABLE_IN_PROJECT)


@pytest.mark.parametrize("permission", sorted(GRANTABLE_IN_PROJECT))
@pytest.mark.parametrize("project_id", [1, None])
def test_permission_in_a_project_is_decided_there_and_gives_nothing_else(
    permission: str, project_id: int | None
) -> None:
    robot = principal(rights_of([in_project(permission, project_id)]))
    allowed = [each for each in sorted(GRANTABLE_IN_PROJECT) if may_in_project(robot, ONE, decided_as(each))]
    assert allowed == [permission]
    assert may_in_project(robot, TWO, decided_as(permission)) == (project_id is None)
    assert not any(may_in_system(robot, each) for each in GRANTABLE_IN_SYSTEM)


def test_project_itself_is_a_dot_in_decisions() -> None:
    assert decided_as("project:read") == ".:read"
    assert decided_as("project-x:read") == "project-x:read"


def test_denied_permissions_are_taken_away() -> None:
    robot = principal(
        rights_of(
            [
                in_project("repository:push", None),
                in_project("repository:pull", None),
                in_project("repository:push", 2, is_denied=True),
                in_system("catalog:read"),
                in_system("catalog:read", is_denied=True),
            ]
        )
    )
    assert may_in_project(robot, ONE, "repository:push", "one/x")
    assert not may_in_project(robot, TWO, "repository:push", "two/x")
    assert may_in_project(robot, TWO, "repository:pull", "two/x")
    assert not may_in_system(robot, "catalog:read")


def test_permission_denied_everywhere_is_denied_in_each_project() -> None:
    rights = rights_of([in_project("tag:list", 1), in_project("tag:list", None, is_denied=True)])
    assert not may_in_project(principal(rights), ONE, "tag:list")


@given(
    st.lists(
        st.builds(
            RobotPermission,
            st.just(False),
            st.sampled_from([1, 2, None]),
            st.sampled_from(["repository:pull", "tag:list", "project:read"]),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_rights_are_what_is_allowed_and_not_denied(permissions: list[RobotPermission]) -> None:
    robot = principal(rights_of(permissions))
    for project in (ONE, TWO):
        for permission in ("repository:pull", "tag:list", "project:read"):
            meant = [
                each
                for each in permissions
                if each.permission == permission and each.project_id in {None, project.id}
            ]
            expected = bool(meant) and not any(each.is_denied for each in meant)
            assert may_in_project(robot, project, decided_as(permission)) == expected


@pytest.mark.parametrize("name", ["a", "ci", "a.b_c-d", "0", "a" * 255])
def test_robot_name_is_valid(name: str) -> None:
    check_robot_name(name)


@pytest.mark.parametrize(
    "name", ["", "A", "a b", "a+b", "a$b", "-a", "a-", "a--b", "a..b", "é", "a\n", "a" * 256]
)
def test_robot_name_is_refused(name: str) -> None:
    with pytest.raises(RobotInvalidError):
        check_robot_name(name)


def test_login_name_is_split_as_it_was_made() -> None:
    for prefix in ("robot$", "bot_"):
        assert split_login_name(prefix, login_name(prefix, "ci", None)) == (None, "ci")
        assert split_login_name(prefix, login_name(prefix, "ci", "shop")) == ("shop", "ci")
    assert split_login_name("robot$", "alice") is None


@pytest.mark.parametrize("secret", ["Abcdefg1", "A1b" * 42, "Pässword1"])
def test_secret_is_strong_enough(secret: str) -> None:
    check_secret(secret)


@pytest.mark.parametrize(
    "secret", ["", "Abcdef1", "abcdefg1", "ABCDEFG1", "Abcdefgh", "A1b" * 43, "ÄÖÜäöü12"]
)
def test_secret_is_too_weak(secret: str) -> None:
    with pytest.raises(RobotInvalidError):
        check_secret(secret)


def test_made_secrets_are_strong_and_never_the_same() -> None:
    made = {make_secret() for _ in range(100)}
    assert len(made) == 100
    for secret in made:
        check_secret(secret)
        assert set(secret) <= set(string.ascii_letters + string.digits)


@pytest.mark.parametrize("days", [NEVER, 1, 36_500])
def test_duration_is_valid(days: int) -> None:
    check_duration(days)


@pytest.mark.parametrize("days", [0, -2, 36_501])
def test_duration_is_refused(days: int) -> None:
    with pytest.raises(RobotInvalidError):
        check_duration(days)


def test_expiry_counts_days() -> None:
    assert expiry(NOW, 2) == NOW + timedelta(days=2)
    assert expiry(NOW, NEVER) is None


@pytest.mark.parametrize(
    ("days", "is_near"), [(None, False), (-1, False), (0, False), (1, True), (7, True), (8, False)]
)
def test_expiry_is_near_in_the_last_week(days: int | None, is_near: bool) -> None:  # noqa: FBT001 - a table
    expires_at = None if days is None else NOW + timedelta(days=days)
    assert is_expiry_near(expires_at, NOW) == is_near


def test_star_expands_to_what_may_be_granted() -> None:
    everything = expand(is_system=False, resource="*", action="*")
    assert set(everything) == GRANTABLE_IN_PROJECT
    assert expand(is_system=False, resource=".", action="read") == ["project:read"]
    assert expand(is_system=True, resource="catalog", action="*") == ["catalog:read"]


@pytest.mark.parametrize(
    ("is_system", "resource", "action"),
    [(True, "repository", "pull"), (False, "catalog", "read"), (False, "", ""), (True, "user", "fly")],
)
def test_what_may_not_be_granted_is_refused(is_system: bool, resource: str, action: str) -> None:  # noqa: FBT001 - a table
    with pytest.raises(RobotInvalidError):
        expand(is_system=is_system, resource=resource, action=action)


def test_project_administrators_may_grant_all_that_robots_may_have_in_their_project() -> None:
    from homeport.rules.permissions import ProjectGrant

    grants = (ProjectGrant(ROLE_PERMISSIONS[ProjectRole.PROJECT_ADMIN]),)
    admin = principal(Rights(projects={1: grants}))
    for permission in GRANTABLE_IN_PROJECT:
        assert may_grant(admin, in_project(permission), ONE, in_every_project=False)
        assert not may_grant(admin, in_project(permission, 2), TWO, in_every_project=False)
        assert not may_grant(admin, in_project(permission, None), None, in_every_project=True)
    assert not any(
        may_grant(admin, in_system(permission), None, in_every_project=False)
        for permission in GRANTABLE_IN_SYSTEM
    )


def test_what_everybody_may_in_a_public_project_cannot_be_granted_by_everybody() -> None:
    public = ProjectFacts(1, "one", is_public=True)
    assert not may_grant(principal(Rights()), in_project("repository:pull"), public, in_every_project=False)


def test_grant_in_every_project_needs_it_in_every_project() -> None:
    everywhere = principal(rights_of([in_project("tag:list", None)]))
    assert may_grant(everywhere, in_project("tag:list", None), None, in_every_project=True)
    but_one = principal(rights_of([in_project("tag:list", None), in_project("tag:list", 2, is_denied=True)]))
    assert not may_grant(but_one, in_project("tag:list", None), None, in_every_project=True)
    assert not may_grant(but_one, in_project("tag:list", 2), TWO, in_every_project=False)
    assert may_grant(but_one, in_project("tag:list", 1), ONE, in_every_project=False)


MATCHES: list[tuple[str, Any, bool]] = [
    ("repo:acme/shop:ref:refs/heads/main", "repo:acme/shop:ref:refs/heads/main", True),
    ("repo:acme/*:ref:refs/heads/main", "repo:acme/shop:ref:refs/heads/main", True),
    ("repo:acme/*:ref:refs/heads/main", "repo:acme/shop/x:ref:refs/heads/main", False),
    ("repo:acme/*:ref:refs/heads/main", "repo:acme/evil:environment:x:ref:refs/heads/main", False),
    ("repo:acme/**", "repo:acme/shop:environment:production", True),
    ("repo:acme/**", "repo:acme2/shop", False),
    ("a.c", "abc", False),
    ("a*", "a\nb", True),
    ("main", "main\n", False),
    ("Main", "main", False),
    ("true", True, True),
    ("1", True, False),
    ("42", 42, True),
    ("42", 42.0, False),
    ("b", ["a", "b"], True),
    ("c", ["a", "b"], False),
    ("a", {"a": 1}, False),
    ("None", None, False),
    ("*", "", True),
]


@pytest.mark.parametrize(("pattern", "value", "expected"), MATCHES)
def test_claim_matches_its_pattern(pattern: str, value: object, expected: bool) -> None:  # noqa: FBT001 - a table
    assert claims_match([ClaimPattern("x", (pattern,))], {"x": value}) == expected


def test_every_claim_must_match_by_one_of_its_patterns() -> None:
    wanted = [ClaimPattern("a", ("1", "2")), ClaimPattern("b", ("3",))]
    assert claims_match(wanted, {"a": "2", "b": "3"})
    assert not claims_match(wanted, {"a": "2"})
    assert not claims_match(wanted, {"a": "3", "b": "3"})


def test_claim_inside_objects_is_found_by_its_path() -> None:
    claims = {"kubernetes.io": {"namespace": "shop", "pod": {"name": "p"}}, "a/b": "direct"}
    assert claims_match([ClaimPattern("kubernetes.io/namespace", ("shop",))], claims)
    assert claims_match([ClaimPattern("kubernetes.io/pod/name", ("p",))], claims)
    assert claims_match([ClaimPattern("a/b", ("direct",))], claims)
    assert not claims_match([ClaimPattern("kubernetes.io/pod/name/x", ("p",))], claims)


def test_patterns_that_trust_everybody_are_refused() -> None:
    for wanted in ((), (ClaimPattern("sub", ("**",)),), (ClaimPattern("sub", ("me", "*")),)):
        with pytest.raises(RobotInvalidError):
            check_claim_patterns(wanted)
    check_claim_patterns((ClaimPattern("ref", ("*",)), ClaimPattern("sub", ("repo:acme/**",))))
