import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.auth.configuration import DEFAULT_VALUES, SECRET_NAMES
from homeport.rules.configuration import SettingInvalidError, check_setting, check_together

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PLAIN = sorted(set(DEFAULT_VALUES) - SECRET_NAMES)


@pytest.mark.parametrize("name", PLAIN)
def test_default_is_a_value_that_can_be(name: str) -> None:
    value = DEFAULT_VALUES[name]

    assert check_setting(name, value, type(value)) == value


def test_defaults_can_be_together() -> None:
    check_together({name: value for name, value in DEFAULT_VALUES.items() if name not in SECRET_NAMES})


@given(st.sampled_from(PLAIN), ANYTHING)
def test_value_is_taken_as_it_is_or_refused(name: str, value: object) -> None:
    kind = type(DEFAULT_VALUES[name])
    try:
        checked = check_setting(name, value, kind)
    except SettingInvalidError:
        return
    assert type(checked) is kind
    assert checked == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ldap_url", "ldaps://ldap.example.org:636"),
        ("ldap_filter", "(&(objectClass=person)(mail=*))"),
        ("oidc_scope", "openid,email,offline_access"),
        ("oidc_extra_redirect_parms", '{"prompt":"login"}'),
        ("oidc_group_filter", "^team-.*"),
        ("robot_name_prefix", "bot_"),
        ("storage_per_project", 1024**4),
        ("robot_token_duration", -1),
        ("disabled_audit_log_event_types", "pull_artifact,create_artifact"),
    ],
)
def test_value_that_teams_use_is_taken(name: str, value: str | int) -> None:
    assert check_setting(name, value, type(value)) == value


@pytest.mark.parametrize("value", ["\x80", "no certificate", "-----BEGIN CERTIFICATE-----\n\u4e2d\n"])
def test_text_that_holds_no_certificate_is_refused(value: str) -> None:
    with pytest.raises(SettingInvalidError, match="PEM"):
        check_setting("ldap_ca_certificate", value, str)
