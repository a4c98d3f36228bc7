"""Makes the first account, and changes passwords."""

from homeport.auth.clock import utc_now
from homeport.auth.passwords import MAX_PASSWORD_BYTES, MIN_PASSWORD_LENGTH, Passwords, make_password
from homeport.auth.secret import Secret
from homeport.db.engine import Database
from homeport.db.users import add_user, change_password_hash, find_user, has_user
from homeport.errors import HomeportError

FIRST_ADMIN = "admin"


class PasswordUnacceptableError(HomeportError):
    """The password cannot be used for an account."""


def check_new_password(password: Secret) -> None:
    """Raise PasswordUnacceptableError when the password is too short or too long."""
    text = password.reveal()
    if len(text) < MIN_PASSWORD_LENGTH or len(text.encode()) > MAX_PASSWORD_BYTES:
        raise PasswordUnacceptableError(
            "the password is too short or too long",
            hint=f"use at least {MIN_PASSWORD_LENGTH} characters and at most {MAX_PASSWORD_BYTES} bytes",
        )


async def ensure_admin(database: Database, password: Secret | None) -> str | None:
    """Make the user `admin`, a system administrator, unless it exists.

    It gets the given password, or a made-up one, which is returned once and cannot be read again. May be
    called by several processes at once. Raises PasswordUnacceptableError.
    """
    if await database.read(has_user, FIRST_ADMIN):
        return None
    if password:
        check_new_password(password)
    chosen = password or make_password()
    passwords = Passwords()
    try:
        password_hash = await passwords.hash(chosen)
    finally:
        passwords.close()
    is_made = await database.write(add_user, FIRST_ADMIN, password_hash, utc_now(), is_sysadmin=True)
    return chosen.reveal() if is_made and not password else None


async def change_password(database: Database, passwords: Passwords, username: str, password: Secret) -> bool:
    """Give the local user a new password; every token given for the old one ends. False when there is none.

    Raises PasswordUnacceptableError.
    """
    check_new_password(password)
    password_hash = await passwords.hash(password)
    user = await database.read(find_user, username)
    if user is None or user.source != "local":
        return False
    return await database.write(change_password_hash, user.id, password_hash, utc_now())
