"""`homeport user`: user accounts."""

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homeport.cli.server import CaOption, JsonOption, ServerClient, ServerOption, connect
from homeport.cli.tables import print_done, print_rows
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


@user.command("list")
def list_users(*, server: ServerOption = None, ca: CaOption = None, as_json: JsonOption = False) -> None:
    """List the users of a server.

    Example: homeport user list --server https://registry.example.com
    """
    columns = ("user_id", "username", "realname", "email", "sysadmin_flag", "creation_time")
    print_rows(connect(server, ca).list_all("/users"), columns, as_json=as_json)


@user.command()
def create(
    name: Annotated[str, typer.Argument(help="name of the user")],
    *,
    email: Annotated[str, typer.Option(help="mail address")],
    realname: Annotated[str, typer.Option(help="name of the person")] = "",
    server: ServerOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a user.

    The new user's password is the first line of the standard input, or is asked for. The credentials of the
    administrator come from `homeport login` or from the environment.

    Example: homeport user create alice --email alice@example.com
    """
    client = connect(server, ca)
    password = read_new_password().reveal()
    body = {"username": name, "email": email, "realname": realname or name, "password": password}
    _, location = client.post("/users", body)
    print_done(f"Made the user {name}.", {"username": name, "location": location}, as_json=as_json)


@user.command()
def delete(
    name: Annotated[str, typer.Argument(help="name of the user")],
    *,
    server: ServerOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a user; sessions and tokens of the user end at once.

    Example: homeport user delete alice
    """
    client = connect(server, ca)
    client.delete(f"/users/{_find(client, name)['user_id']}")
    print_done(f"Deleted the user {name}.", {"deleted": name}, as_json=as_json)


@user.command("set-admin")
def set_admin(
    name: Annotated[str, typer.Argument(help="name of the user")],
    *,
    revoke: Annotated[bool, typer.Option("--revoke", help="take the right away")] = False,
    server: ServerOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a user a system administrator, or an ordinary user again.

    Example: homeport user set-admin alice
    """
    client = connect(server, ca)
    client.put(f"/users/{_find(client, name)['user_id']}/sysadmin", {"sysadmin_flag": not revoke})
    state = "is no administrator any more" if revoke else "is a system administrator"
    print_done(f"{name} {state}.", {"username": name, "sysadmin": not revoke}, as_json=as_json)


def _find(client: ServerClient, name: str) -> dict[str, Any]:
    for entry in client.list_all("/users", q=f"username={name}"):
        if entry.get("username") == name:
            return entry
    raise HomeportError(f"there is no user {name!r}", hint="see `homeport user list`")


def read_new_password() -> "Secret":
    """Return a password from the standard input or a prompt. Raises HomeportError."""
    from homeport.auth.secret import Secret

    if sys.stdin.isatty():
        return Secret(typer.prompt("New password", hide_input=True, confirmation_prompt=True))
    line = sys.stdin.readline(_MAX_LINE).rstrip("\r\n")
    if not line:
        raise HomeportError("there is no password", hint="pipe the password in, or use a terminal")
    return Secret(line)


def read_password() -> "Secret":
    """Return a password from the environment, the standard input or a prompt. Raises HomeportError."""
    from homeport.auth.secret import Secret

    given = os.environ.get(PASSWORD_VARIABLE)
    if given:
        return Secret(given)
    return read_new_password()
