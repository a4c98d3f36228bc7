import pytest

from homeport.oci.name import is_repository_name
from homeport.rules.permissions import (
    ANONYMOUS,
    AuthMethod,
    Principal,
    PrincipalKind,
    ProjectGrant,
    Rights,
)
from homeport.rules.projects import (
    CveAllowlist,
    ProjectInvalidError,
    ProjectScope,
    check_allowlist,
    check_metadata,
    check_project_name,
    project_scope,
)
from homeport.rules.roles import ROLE_PERMISSIONS, ProjectRole


def user_with(rights: Rights, *, is_sysadmin: bool = False) -> Principal:
    """Return a user who has these rights."""
    return Principal("user", PrincipalKind.USER, 7, is_sysadmin, AuthMethod.BASIC, rights)


@pytest.mark.parametrize("name", ["a", "0", "team-1", "a.b_c-d", "a" * 255])
def test_project_name_is_a_component_of_repository_names(name: str) -> None:
    assert check_project_name(name) == name
    assert len(name) > 200 or is_repository_name(f"{name}/app")


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "a..b", "a--b", "-a", "a-", "é", "a\n", "a" * 256])
def test_other_project_names_are_refused(name: str) -> None:
    with pytest.raises(ProjectInvalidError):
        check_project_name(name)


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("public", "TRUE", "true"),
        ("public", "0", "false"),
        ("auto_scan", " t ", "true"),
        ("severity", "Critical", "critical"),
        ("proxy_speed_kb", "-1", "-1"),
        ("max_upstream_conn", "10", "10"),
        ("proxy_cache_filter_kind", "regex", "regex"),
        ("proxy_cache_filter_pattern", "Library/**", "Library/**"),
    ],
)
def test_metadata_is_stored_in_one_spelling(name: str, value: str, stored: str) -> None:
    assert check_metadata(name, value) == stored


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("public", ""),
        ("public", "yes"),
        ("severity", "unknown"),
        ("proxy_speed_kb", "-2"),
        ("proxy_speed_kb", "9" * 30),
        ("proxy_speed_kb", "１"),  # noqa: RUF001 - a digit that is none
        ("proxy_cache_filter_kind", "glob"),
        ("proxy_cache_filter_pattern", "\0"),
        ("retention_id", "1"),
        ("invented", "true"),
        ("", "true"),
    ],
)
def test_other_metadata_is_refused(name: str, value: str) -> None:
    with pytest.raises(ProjectInvalidError):
        check_metadata(name, value)


def test_allowlist_holds_each_vulnerability_once() -> None:
    assert check_allowlist(["CVE-1", "GHSA-2"], 5) == CveAllowlist(("CVE-1", "GHSA-2"), 5)
    for ids, expires_at in ((["CVE-1", "CVE-1"], None), ([""], None), (["a b"], None), ([], -1), ([], 2**60)):
        with pytest.raises(ProjectInvalidError):
            check_allowlist(ids, expires_at)


def test_scope_is_where_the_principal_reads_projects_or_some_of_their_repositories() -> None:
    guest = ROLE_PERMISSIONS[ProjectRole.GUEST]
    whole, part = ProjectGrant(guest), ProjectGrant(guest, "base/*")
    nothing = ProjectGrant(frozenset({"repository:pull"}))

    assert project_scope(ANONYMOUS) == ProjectScope()
    assert project_scope(user_with(Rights(), is_sysadmin=True)).everywhere
    assert project_scope(user_with(Rights(system=frozenset({"project:list"})))).everywhere
    assert project_scope(user_with(Rights(every_project=(part,)))).everywhere
    rights = Rights(projects={1: (whole,), 2: (part,), 3: (nothing,)})
    assert project_scope(user_with(rights)) == ProjectScope(project_ids=frozenset({1, 2}))
