"""`homeport role` and `homeport label`."""

from typing import Annotated, Any

import typer

from homeport.cli.server import CaOption, JsonOption, ServerClient, ServerOption, connect
from homeport.cli.tables import print_done, print_rows
from homeport.errors import HomeportError

role = typer.Typer(help="Own roles: named sets of permissions.", no_args_is_help=True)
label = typer.Typer(help="Labels for artifacts.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="its name")]
_Project = Annotated[str | None, typer.Option(help="of this project; default: of the system")]


@role.command("list")
def list_roles(*, server: ServerOption = None, ca: CaOption = None, as_json: JsonOption = False) -> None:
    """List the five roles of projects and own ones.

    Example: homeport role list
    """
    rows = [
        {**row, "permissions": [f"{each['resource']}:{each['action']}" for each in row["permissions"]]}
        for row in connect(server, ca).list_all("/roles")
    ]
    print_rows(rows, ("id", "name", "description", "permissions"), as_json=as_json)


@role.command("create")
def create_role(
    name: _Name,
    *,
    may: Annotated[list[str], typer.Option("--may", metavar="RESOURCE:ACTION", help="repeatable")],
    description: Annotated[str, typer.Option(help="what it is for")] = "",
    server: ServerOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a role that members of projects can have.

    Example: homeport role create puller --may repository:pull --may tag:list
    """
    body = {"name": name, "description": description, "permissions": [parse_permission(text) for text in may]}
    _, location = connect(server, ca).post("/roles", body)
    print_done(f"Made the role {name}.", {"name": name, "location": location}, as_json=as_json)


@role.command("delete")
def delete_role(
    name: _Name, *, server: ServerOption = None, ca: CaOption = None, as_json: JsonOption = False
) -> None:
    """Delete an own role.

    Example: homeport role delete puller
    """
    client = connect(server, ca)
    found = _named(client.list_all("/roles"), name, "role")
    client.delete(f"/roles/{found['id']}")
    print_done(f"Deleted the role {name}.", {"deleted": name}, as_json=as_json)


@label.command("list")
def list_labels(
    *, project: _Project = None, server: ServerOption = None, ca: CaOption = None, as_json: JsonOption = False
) -> None:
    """List labels.

    Example: homeport label list --project payments
    """
    rows = _labels(connect(server, ca), project)
    print_rows(rows, ("id", "name", "color", "description"), as_json=as_json)


@label.command("create")
def create_label(
    name: _Name,
    *,
    project: _Project = None,
    color: Annotated[str, typer.Option(help="for example #0065AB")] = "",
    description: Annotated[str, typer.Option(help="what it means")] = "",
    server: ServerOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a label.

    Example: homeport label create approved --color '#2AA876'
    """
    client = connect(server, ca)
    body: dict[str, Any] = {"name": name, "color": color, "description": description, "scope": "g"}
    if project is not None:
        body |= {"scope": "p", "project_id": client.get(f"/projects/{project}")["project_id"]}
    _, location = client.post("/labels", body)
    print_done(f"Made the label {name}.", {"name": name, "location": location}, as_json=as_json)


@label.command("delete")
def delete_label(
    name: _Name,
    *,
    project: _Project = None,
    server: ServerOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a label and take it from everything that has it.

    Example: homeport label delete approved
    """
    client = connect(server, ca)
    found = _named(_labels(client, project), name, "label")
    client.delete(f"/labels/{found['id']}")
    print_done(f"Deleted the label {name}.", {"deleted": name}, as_json=as_json)


def parse_permission(text: str) -> dict[str, str]:
    """Return a permission as the API has it. Raises HomeportError."""
    resource, colon, action = text.partition(":")
    if not colon or not resource or not action:
        raise HomeportError(f"{text!r} is no permission", hint="write RESOURCE:ACTION")
    return {"resource": resource, "action": action}


def _labels(client: ServerClient, project: str | None) -> list[dict[str, Any]]:
    if project is None:
        return list(client.list_all("/labels", scope="g"))
    project_id = client.get(f"/projects/{project}")["project_id"]
    return list(client.list_all("/labels", scope="p", project_id=project_id))


def _named(rows: Any, name: str, kind: str) -> dict[str, Any]:
    for row in rows:
        if row.get("name") == name:
            found: dict[str, Any] = row
            return found
    raise HomeportError(f"there is no {kind} {name!r}", hint=f"see `homeport {kind} list`")
