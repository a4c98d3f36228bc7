"""Which names, passwords and profiles user accounts can have."""

import re

from homeport.errors import HomeportError

MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_LENGTH = 128
MAX_NAME_LENGTH = 255
MAX_COMMENT_LENGTH = 30

# Harbor's, and the colon that Basic credentials cannot carry in a name
_FORBIDDEN = frozenset(",~#$%")
_FORBIDDEN_IN_USERNAMES = _FORBIDDEN | {":"}
_EMAIL = re.compile(r"[^\s@<>()\[\]\\,;:\"]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?")


class UserInvalidError(HomeportError):
    """An account cannot have this name, password or profile."""


def check_username(username: str) -> None:
    """Raise UserInvalidError when no local account can have the name."""
    if not 0 < len(username) <= MAX_NAME_LENGTH or username != username.strip() or not username.isprintable():
        raise UserInvalidError(
            f"the user name must have 1 to {MAX_NAME_LENGTH} printable characters, no space at its ends"
        )
    if _FORBIDDEN_IN_USERNAMES.intersection(username):
        raise UserInvalidError("the user name holds one of , ~ # $ % :", hint="choose another name")


def check_password(password: str) -> None:
    """Raise UserInvalidError when the password is too easy to guess, by Harbor's rule."""
    is_good = (
        MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH
        and re.search("[A-Z]", password)
        and re.search("[a-z]", password)
        and re.search("[0-9]", password)
        and "\0" not in password
    )
    if not is_good:
        raise UserInvalidError(
            f"the password or secret must have {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters "
            "with at least one uppercase letter, one lowercase letter and one digit"
        )


def check_profile(email: str, realname: str, comment: str) -> None:
    """Raise UserInvalidError when a user cannot tell this of itself."""
    if not email:
        raise UserInvalidError("the email must not be empty")
    if len(email) > MAX_NAME_LENGTH or _EMAIL.fullmatch(email) is None or ".." in email:
        raise UserInvalidError("the email is malformed")
    if not 0 < len(realname) <= MAX_NAME_LENGTH or not realname.isprintable():
        raise UserInvalidError(f"the realname must have 1 to {MAX_NAME_LENGTH} printable characters")
    if _FORBIDDEN.intersection(realname):
        raise UserInvalidError("the realname holds one of , ~ # $ %")
    if len(comment) > MAX_COMMENT_LENGTH or "\0" in comment:
        raise UserInvalidError(f"the comment must have at most {MAX_COMMENT_LENGTH} characters")
