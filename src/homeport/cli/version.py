"""`homeport version`."""

import json
from typing import Annotated

import typer

from homeport import __version__


def version(
    *, as_json: Annotated[bool, typer.Option("--json", help="print JSON for programs")] = False
) -> None:
    """Print the version.

    Example: homeport version
    """
    print(json.dumps({"version": __version__}) if as_json else f"homeport {__version__}")
