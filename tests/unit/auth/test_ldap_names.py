import pytest

from homeport.auth.ldap_names import both, escape_value, is_attribute, parse_dn


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("alice", "alice"),
        ("*", "\\2a"),
        ("a)(uid=*", "a\\29\\28uid=\\2a"),
        ("back\\slash", "back\\5cslash"),
        ("nul\0", "nul\\00"),
        ("ünïcode", "ünïcode"),
    ],
)
def test_escaped_value_stands_for_itself(text: str, escaped: str) -> None:
    assert escape_value(text) == escaped


def test_filter_holds_configured_part_and_condition() -> None:
    assert both("(sn=x)", "(uid=a)") == "(&(sn=x)(uid=a))"
    assert both("", "(uid=a)") == "(uid=a)"


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("cn=Dev,dc=example", "CN=dev , DC=Example", True),
        ("cn=dev,dc=example", "cn=dev,dc=example,dc=org", False),
        ("cn=a\\,b,dc=x", "cn=a,b,dc=x", False),
        ("cn=a\\,b,dc=x", "CN=A\\,B,dc=x", True),
        ("", "cn=a", False),
    ],
)
def test_names_are_compared_by_their_parts(one: str, other: str, *, is_same: bool) -> None:
    assert (parse_dn(one) == parse_dn(other)) is is_same


@pytest.mark.parametrize(
    ("name", "base", "is_below"),
    [
        ("cn=a,ou=groups,dc=x", "ou=groups,dc=x", True),
        ("ou=groups,dc=x", "OU=Groups,dc=x", True),
        ("cn=a,ou=othergroups,dc=x", "ou=groups,dc=x", False),
        ("dc=x", "ou=groups,dc=x", False),
        ("cn=a\\,ou=groups,dc=x", "ou=groups,dc=x", False),
        ("cn=a", "", True),
    ],
)
def test_place_below_a_base_is_decided_by_whole_parts(name: str, base: str, *, is_below: bool) -> None:
    assert parse_dn(name).is_below(parse_dn(base)) is is_below


@pytest.mark.parametrize("text", ["uid", "sAMAccountName", "0.9.2342.19200300.100.1.1", "member-of"])
def test_attribute_names_are_accepted(text: str) -> None:
    assert is_attribute(text)


@pytest.mark.parametrize("text", ["", "uid=*)(x", "a b", "1", "uid)", "ü", "uid\n"])
def test_other_texts_are_no_attribute_names(text: str) -> None:
    assert not is_attribute(text)
