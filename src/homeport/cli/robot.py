"""`homeport robot`: accounts of machines."""

from typing import Annotated, Any

import typer

from homeport.cli.role import parse_permission
from homeport.cli.server import CaOption, JsonOption, ServerClient, ServerOption, connect
from homeport.cli.tables import print_done, print_rows
from homeport.errors import HomeportError

robot = typer.Typer(help="Accounts of machines.", no_args_is_help=True)

_Robot = Annotated[str, typer.Argument(metavar="NAME", help="login name, for example robot$payments+ci")]
_PULL = "repository:pull"


@robot.command("list")
def list_robots(
    *,
    project: Annotated[str | None, typer.Option(help="those of a project; default: of the system")] = None,
    server: ServerOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List robots.

    Example: homeport robot list --project payments
    """
    rows = _robots(connect(server, ca), project)
    print_rows(rows, ("id", "name", "disable", "expires_at", "description"), as_json=as_json)


@robot.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="name without prefix, for example ci")],
    *,
    project: Annotated[str, typer.Option(help="the project that it is for")],
    may: Annotated[
        list[str] | None,
        typer.Option("--may", metavar="RESOURCE:ACTION", help="repeatable; default: repository:pull"),
    ] = None,
    days: Annotated[int, typer.Option(help="life in days; -1: for ever")] = 30,
    description: Annotated[str, typer.Option(help="what it is for")] = "",
    server: ServerOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a robot for a project; its secret is shown once.

    Example: homeport robot create ci --project payments --may repository:pull --may repository:push
    """
    access = [parse_permission(text) for text in may or [_PULL]]
    body: dict[str, Any] = {
        "name": name,
        "description": description,
        "level": "project",
        "disable": False,
        "duration": days,
        "permissions": [{"kind": "project", "namespace": project, "access": access}],
    }
    made, _ = connect(server, ca).post("/robots", body)
    message = f"Made {made['name']}. Its secret, shown only now: {made['secret']}"
    print_done(message, made, as_json=as_json)


@robot.command()
def refresh(
    name: _Robot,
    *,
    overlap_hours: Annotated[
        int | None, typer.Option("--overlap-hours", help="the old secret stays valid for so long")
    ] = None,
    server: ServerOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a robot a new secret; it is shown once.

    Example: homeport robot refresh 'robot$payments+ci' --overlap-hours 24
    """
    client = connect(server, ca)
    body: dict[str, Any] = {"secret": ""}
    if overlap_hours is not None:
        body["overlap_hours"] = overlap_hours
    answer = client.patch(f"/robots/{_find(client, name)['id']}", body)
    secret = (answer or {}).get("secret", "")
    print_done(
        f"The new secret of {name}, shown only now: {secret}",
        {"name": name, "secret": secret},
        as_json=as_json,
    )


@robot.command()
def delete(
    name: _Robot, *, server: ServerOption = None, ca: CaOption = None, as_json: JsonOption = False
) -> None:
    """Delete a robot; its secrets and tokens end at once.

    Example: homeport robot delete 'robot$payments+ci'
    """
    client = connect(server, ca)
    client.delete(f"/robots/{_find(client, name)['id']}")
    print_done(f"Deleted {name}.", {"deleted": name}, as_json=as_json)


def _robots(client: ServerClient, project: str | None) -> list[dict[str, Any]]:
    if project is None:
        return list(client.list_all("/robots"))
    project_id = client.get(f"/projects/{project}")["project_id"]
    return list(client.list_all("/robots", q=f"Level=project,ProjectID={project_id}"))


def _find(client: ServerClient, name: str) -> dict[str, Any]:
    _, dollar, rest = name.partition("$")
    project, plus, _ = rest.partition("+")
    for entry in _robots(client, project if dollar and plus else None):
        if entry.get("name") == name:
            return entry
    raise HomeportError(f"there is no robot {name}", hint="see `homeport robot list`, and quote the $")
