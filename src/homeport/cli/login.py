"""`homeport login` and `homeport logout`: which server the commands talk to, and as whom."""

import os
import sys
from typing import Annotated

import typer

from homeport.cli.server import (
    PASSWORD_VARIABLE,
    USERNAME_VARIABLE,
    Account,
    CaOption,
    ServerClient,
    load_accounts,
    store_accounts,
)


def login(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="the server, for example https://registry.example.com")
    ],
    *,
    username: Annotated[str | None, typer.Option(help="account; asked for when left out")] = None,
    ca: CaOption = None,
) -> None:
    """Sign in to a server and remember it for the commands that manage it.

    The password comes from HOMEPORT_PASSWORD, from the first line of the standard input, or is asked for. It
    is kept in a file that only its owner can read.

    Example: homeport login https://registry.example.com --username admin
    """
    name = username or os.environ.get(USERNAME_VARIABLE) or typer.prompt("User name")
    authority = str(ca.absolute()) if ca is not None else ""
    account = Account(url.rstrip("/"), name, _read_password(), authority)
    known = ServerClient(account).get("/users/current")
    stored = load_accounts()
    entry = {"username": account.username, "password": account.password, "ca": account.ca}
    store_accounts({"current": account.url, "accounts": {**stored.get("accounts", {}), account.url: entry}})
    print(f"Signed in to {account.url} as {known.get('username', name)}.")


def logout(
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="the server; default: the current one")
    ] = None,
) -> None:
    """Forget the account on a server.

    Example: homeport logout https://registry.example.com
    """
    stored = load_accounts()
    wanted = (url or stored.get("current", "")).rstrip("/")
    accounts = {key: value for key, value in stored.get("accounts", {}).items() if key != wanted}
    current = stored.get("current", "")
    store_accounts({"current": "" if current == wanted else current, "accounts": accounts})
    print(f"Forgot the account on {wanted}." if wanted else "There was no account.")


def _read_password() -> str:
    given = os.environ.get(PASSWORD_VARIABLE)
    if given:
        return given
    if sys.stdin.isatty():
        password: str = typer.prompt("Password", hide_input=True)
        return password
    return sys.stdin.readline(4096).rstrip("\r\n")
