"""`homeport serve`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer


def serve(
    *,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="where everything is kept")] = None,
    listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="address to listen on")] = None,
    workers: Annotated[int | None, typer.Option(help="web processes; default: one per core")] = None,
    database_url: Annotated[
        str | None, typer.Option(metavar="URL", help="postgresql://... or sqlite:///PATH")
    ] = None,
    storage: Annotated[str | None, typer.Option(metavar="STORE", help="dir:PATH")] = None,
    external_url: Annotated[
        str | None, typer.Option(metavar="URL", help="what clients call this server, behind a proxy")
    ] = None,
    hostname: Annotated[
        str | None, typer.Option(metavar="NAME", help="name in the certificate; alone it means TLS")
    ] = None,
    tls: Annotated[
        str | None, typer.Option(metavar="auto|off|CERT,KEY", help="auto: certificate of an own CA")
    ] = None,
    role: Annotated[str | None, typer.Option(metavar="all|web|jobs", help="which processes run")] = None,
) -> None:
    """Run the registry. No option is needed.

    Every setting can also stand in the environment (HOMEPORT_LISTEN, HOMEPORT_DATA ...) or in homeport.toml.

    Example: homeport serve --listen 0.0.0.0:8443 --hostname registry.example.com
    """
    from homeport.app import run_server
    from homeport.config import load_settings

    run_server(
        load_settings(
            data=data,
            listen=listen,
            workers=workers,
            database_url=database_url,
            storage=storage,
            external_url=external_url,
            hostname=hostname,
            tls=tls,
            role=role,
        ),
        announce=partial(print, flush=True),
    )
