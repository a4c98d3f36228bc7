from homeport.auth.errors import (
    CredentialsMalformedError,
    LoginSlowedDownError,
    PasswordWrongError,
    RefreshTokenInvalidError,
    SigningKeyUnknownError,
    TokenInvalidError,
)
from homeport.oci.errors import OciErrorCode


def test_errors_of_signing_in_carry_the_code_of_the_specification() -> None:
    for error in (
        CredentialsMalformedError("no"),
        PasswordWrongError("alice"),
        TokenInvalidError("no"),
        SigningKeyUnknownError(),
        RefreshTokenInvalidError(),
    ):
        assert error.code is OciErrorCode.UNAUTHORIZED
    slowed_down = LoginSlowedDownError("too many", account="alice", retry_after_s=7)
    assert slowed_down.code is OciErrorCode.TOOMANYREQUESTS
    assert "7 seconds" in slowed_down.hint


def test_wrong_password_error_names_no_account_to_the_client() -> None:
    error = PasswordWrongError("alice")
    assert error.account == "alice"
    assert "alice" not in f"{error} {error.hint} {error.detail}"
