"""`homeport keys`: the keys that access tokens are signed with."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

keys = typer.Typer(help="The keys that access tokens are signed with.", no_args_is_help=True)

_Data = Annotated[Path | None, typer.Option(metavar="DIR", help="data directory of the server")]
_Url = Annotated[str | None, typer.Option(metavar="URL", help="the server's database")]
_Json = Annotated[bool, typer.Option("--json", help="print JSON for programs")]


@keys.command()
def rotate(*, data: _Data = None, database_url: _Url = None, as_json: _Json = False) -> None:
    """Sign new tokens with a new key, at once and on every running worker.

    Tokens that are out already stay valid until they expire.

    Example: homeport keys rotate
    """
    from homeport.app import rotate_signing_key
    from homeport.config import load_settings

    kid = asyncio.run(rotate_signing_key(load_settings(data=data, database_url=database_url)))
    print(json.dumps({"kid": kid}) if as_json else f"New tokens are signed with the key {kid}.")


@keys.command("list")
def list_keys(*, data: _Data = None, database_url: _Url = None, as_json: _Json = False) -> None:
    """List the keys that tokens are verified with; the first one signs.

    Example: homeport keys list
    """
    from homeport.app import read_signing_keys
    from homeport.config import load_settings

    stored = asyncio.run(read_signing_keys(load_settings(data=data, database_url=database_url)))
    for key in sorted(stored, key=lambda key: (key.retired_at is not None, -key.created_at.timestamp())):
        retired = key.retired_at.isoformat() if key.retired_at is not None else None
        row = {"kid": key.kid, "created_at": key.created_at.isoformat(), "retired_at": retired}
        if as_json:
            print(json.dumps(row))
        else:
            print(f"{key.kid}  made {row['created_at']}  {f'retired {retired}' if retired else 'signs'}")
