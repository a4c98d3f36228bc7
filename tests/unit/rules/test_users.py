import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.rules.users import UserInvalidError, check_password, check_profile, check_username


@pytest.mark.parametrize("password", ["Passw0rd", "1aA" + "x" * 125, "Pässw0rd", "a B c 1 d"])
def test_password_that_is_hard_to_guess_is_taken(password: str) -> None:
    check_password(password)


@pytest.mark.parametrize(
    "password", ["Passw0r", "1aA" + "x" * 126, "passw0rd", "PASSW0RD", "Password", "Passw0rd\0"]
)
def test_password_that_breaks_the_rule_is_refused_without_being_shown(password: str) -> None:
    with pytest.raises(UserInvalidError) as caught:
        check_password(password)
    assert password not in str(caught.value)


@pytest.mark.parametrize("name", ["a", "alice", "Alice.B_c-d@x", "王小明", "a b"])
def test_name_that_can_be_is_taken(name: str) -> None:
    check_username(name)


@given(st.text(max_size=300))
def test_name_is_safe_or_refused(name: str) -> None:
    try:
        check_username(name)
    except UserInvalidError:
        return
    assert name.isprintable()
    assert not set(name) & set(":$,~#%\n\0")


@pytest.mark.parametrize(
    "email", ["a@example.org", "a.b+c@sub.example.org", "root@localhost", "o'hara@example.org"]
)
def test_email_that_people_have_is_taken(email: str) -> None:
    check_profile(email, "A", "")


@pytest.mark.parametrize(
    "email", ["", "a", "a@", "@b", "a b@c", "a@b@c", "a@-b", "a..b@c", "a@b\n", "x" * 300]
)
def test_email_that_is_none_is_refused(email: str) -> None:
    with pytest.raises(UserInvalidError):
        check_profile(email, "A", "")
