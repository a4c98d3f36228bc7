"""Errors of signing in, with the facts that a surface and the audit need."""

from homeport.errors import HomeportError
from homeport.oci.errors import OciError, OciErrorCode


class AuthenticationError(OciError):
    """The credentials were refused. `account` is the name that they claimed, or empty.

    The message never tells whether an account exists.
    """

    def __init__(self, message: str, *, account: str = "", hint: str = "") -> None:
        super().__init__(OciErrorCode.UNAUTHORIZED, message, hint=hint)
        self.account = account


class CredentialsMalformedError(AuthenticationError):
    """The Authorization header or the form does not hold credentials that can be read."""


class PasswordWrongError(AuthenticationError):
    """The account is unknown or the password is wrong."""

    def __init__(self, account: str) -> None:
        super().__init__(
            "the user name or the password is wrong",
            account=account,
            hint="check both; after several failures answers are slowed down",
        )


class TokenInvalidError(AuthenticationError):
    """An access token was not issued here, is not for here, or is not valid any more."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="ask the token service for a new token")


class SigningKeyUnknownError(TokenInvalidError):
    """An access token names a signing key that is not believed here, or not yet."""

    def __init__(self) -> None:
        super().__init__("the token was signed with a key that is not known here")


class RefreshTokenInvalidError(AuthenticationError):
    """A refresh token is unknown, expired or revoked."""

    def __init__(self) -> None:
        super().__init__("the refresh token is not valid any more", hint="sign in again")


class IdentityTokenInvalidError(AuthenticationError):
    """An identity token of another issuer does not stand for a robot; the message says why."""

    def __init__(self, reason: str, *, account: str = "", hint: str = "") -> None:
        super().__init__(
            f"the identity token was refused: {reason}",
            account=account,
            hint=hint or "see the trust rules of the robot",
        )


class LoginSlowedDownError(OciError):
    """The attempt was not looked at: too many failed before, or too many wait.

    It may be made again after `retry_after_s` seconds.
    """

    def __init__(self, message: str, *, account: str, retry_after_s: int) -> None:
        super().__init__(OciErrorCode.TOOMANYREQUESTS, message, hint=f"try again in {retry_after_s} seconds")
        self.account = account
        self.retry_after_s = retry_after_s


class SourceUnavailableError(OciError):
    """Who keeps the account, a directory or an OpenID provider, cannot be asked now."""

    def __init__(
        self, account: str, message: str = "the directory that keeps the accounts cannot be asked"
    ) -> None:
        super().__init__(
            OciErrorCode.UNAVAILABLE,
            message,
            hint="try again later; local accounts can sign in",
        )
        self.account = account


class SealBrokenError(HomeportError):
    """Sealed content cannot be opened: the instance secret is another one, or the content was changed."""


class InstanceSecretError(HomeportError):
    """The instance secret cannot be read or made."""
