import pytest

from homeport.rules.usergroups import GroupInvalidError, GroupKind, check_group

DN = "cn=team,dc=example"


@pytest.mark.parametrize(("kind", "dn"), [(1, DN), (2, ""), (3, "")])
def test_group_that_can_be_has_its_kind(kind: int, dn: str) -> None:
    assert check_group(kind, "team", dn) is GroupKind(kind)


@pytest.mark.parametrize(
    ("kind", "name", "dn"),
    [
        (0, "team", ""),
        (4, "team", ""),
        (1, "team", ""),
        (1, "team", "team"),
        (1, "team", "cn=" + "x" * 600),
        (1, "team", "cn=\n"),
        (2, "team", DN),
        (3, "", ""),
        (3, " ", ""),
        (3, "x" * 256, ""),
        (3, "a\tb", ""),
    ],
)
def test_group_that_cannot_be_is_refused(kind: int, name: str, dn: str) -> None:
    with pytest.raises(GroupInvalidError):
        check_group(kind, name, dn)
