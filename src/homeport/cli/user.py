"""`homeport user`: user accounts."""

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from homeport.errors import HomeportError

if TYPE_CHECKING:
    from homeport.auth.secret import Secret

user = typer.Typer(help="User accounts.", no_args_is_help=True)

PASSWORD_VARIABLE = "HOMEPORT_PASSWORD"  # noqa: S105 - the variable's name

_MAX_LINE = 4096


@user.command("set-password")
def set_password(
    name: Annotated[str, typer.Argument(help="name of the user")],
    *,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="data directory of the server")] = None,
    database_url: Annotated[str | None, typer.Option(metavar="URL", help="the server's database")] = None,
) -> None:
    """Give a user a new password, on the server's own machine: the way back when an administrator lost it.

    The password comes from HOMEPORT_PASSWORD, from the first line of the standard input, or is asked for.
    Every session and token of the user ends. Works while the server runs and while it does not.

    Example: homeport user set-password admin --data /var/lib/homeport
    """
    from homeport.app import set_user_password
    from homeport.config import load_settings

    settings = load_settings(data=data, database_url=database_url)
    asyncio.run(set_user_password(settings, name, read_password()))
    print(f"The user {name} has a new password.")


def read_password() -> "Secret":
    """Return a password from the environment, the standard input or a prompt. Raises HomeportError."""
    from homeport.auth.secret import Secret

    given = os.environ.get(PASSWORD_VARIABLE)
    if given:
        return Secret(given)
    if sys.stdin.isatty():
        return Secret(typer.prompt("New password", hide_input=True, confirmation_prompt=True))
    line = sys.stdin.readline(_MAX_LINE).rstrip("\r\n")
    if not line:
        raise HomeportError(
            "there is no password", hint=f"set {PASSWORD_VARIABLE}, pipe the password in, or use a terminal"
        )
    return Secret(line)
