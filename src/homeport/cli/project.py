"""`homeport project`, `member` and `quota`: who may use what, and how much of it."""

from typing import Annotated, Any

import typer

from homeport.cli.server import CaOption, JsonOption, ServerClient, ServerOption, connect
from homeport.cli.tables import print_done, print_rows
from homeport.errors import HomeportError

project = typer.Typer(help="Projects.", no_args_is_help=True)
member = typer.Typer(help="Members of projects.", no_args_is_help=True)
quota = typer.Typer(help="Storage quotas of projects.", no_args_is_help=True)

ROLES = {"admin": 1, "developer": 2, "guest": 3, "maintainer": 4, "limited-guest": 5}

_Name = Annotated[str, typer.Argument(metavar="PROJECT", help="name of the project")]
_Public = Annotated[bool, typer.Option("--public", help="everybody may pull, without signing in")]
_Role = Annotated[str, typer.Option(help=f"{', '.join(ROLES)} or the name of an own role")]
_Units = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@project.command("list")
def list_projects(
    *,
    name: Annotated[str | None, typer.Option(help="part of the name")] = None,
    server: ServerOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List projects.

    Example: homeport project list --name pay
    """
    rows = connect(server, ca).list_all("/projects", name=name)
    columns = ("name", "metadata.public", "repo_count", "owner_name", "creation_time")
    print_rows(rows, columns, as_json=as_json)


@project.command()
def create(
    name: _Name,
    *,
    public: _Public = False,
    quota_size: Annotated[str, typer.Option("--quota", help="bytes, or 500M, 20G; -1: no limit")] = "",
    server: ServerOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a project.

    Example: homeport project create payments --quota 50G
    """
    body: dict[str, Any] = {"project_name": name, "metadata": {"public": str(public).lower()}}
    if quota_size:
        body["storage_limit"] = parse_size(quota_size)
    _, location = connect(server, ca).post("/projects", body)
    print_done(f"Made the project {name}.", {"name": name, "location": location}, as_json=as_json)


@project.command()
def show(
    name: _Name, *, server: ServerOption = None, ca: CaOption = None, as_json: JsonOption = False
) -> None:
    """Show a project with its counts and its quota.

    Example: homeport project show payments --json
    """
    client = connect(server, ca)
    found = client.get(f"/projects/{name}")
    summary = client.get(f"/projects/{name}/summary")
    rows = [{**found, "summary": summary}]
    columns = ("name", "metadata.public", "summary.repo_count", "summary.quota.used", "summary.quota.hard")
    print_rows(rows, columns, as_json=as_json)


@project.command()
def delete(
    name: _Name, *, server: ServerOption = None, ca: CaOption = None, as_json: JsonOption = False
) -> None:
    """Delete an empty project.

    Example: homeport project delete payments
    """
    connect(server, ca).delete(f"/projects/{name}")
    print_done(f"Deleted the project {name}.", {"deleted": name}, as_json=as_json)


@member.command("list")
def list_members(
    name: _Name, *, server: ServerOption = None, ca: CaOption = None, as_json: JsonOption = False
) -> None:
    """List the members of a project.

    Example: homeport member list payments
    """
    rows = connect(server, ca).list_all(f"/projects/{name}/members")
    columns = ("id", "entity_name", "entity_type", "role_name", "repository_pattern")
    print_rows(rows, columns, as_json=as_json)


@member.command("add")
def add_member(
    name: _Name,
    who: Annotated[str, typer.Argument(metavar="NAME", help="user, or group with --group")],
    *,
    role: _Role = "developer",
    group: Annotated[bool, typer.Option("--group", help="NAME is a group")] = False,
    pattern: Annotated[str, typer.Option(help="only repositories that match, for example base-*")] = "",
    server: ServerOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a user or a group a role in a project.

    Example: homeport member add payments alice --role maintainer
    """
    client = connect(server, ca)
    body: dict[str, Any] = {"role_id": role_id(client, role)}
    body["member_group" if group else "member_user"] = {"group_name" if group else "username": who}
    if pattern:
        body["repository_pattern"] = pattern
    _, location = client.post(f"/projects/{name}/members", body)
    facts = {"project": name, "member": who, "role": role, "location": location}
    print_done(f"{who} is now {role} in {name}.", facts, as_json=as_json)


@member.command("set")
def set_member(
    name: _Name,
    who: Annotated[str, typer.Argument(metavar="NAME", help="user or group")],
    *,
    role: _Role,
    server: ServerOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the role of a member.

    Example: homeport member set payments alice --role guest
    """
    client = connect(server, ca)
    entry = _find_member(client, name, who)
    client.put(f"/projects/{name}/members/{entry['id']}", {"role_id": role_id(client, role)})
    facts = {"project": name, "member": who, "role": role}
    print_done(f"{who} is now {role} in {name}.", facts, as_json=as_json)


@member.command("remove")
def remove_member(
    name: _Name,
    who: Annotated[str, typer.Argument(metavar="NAME", help="user or group")],
    *,
    server: ServerOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a member out of a project.

    Example: homeport member remove payments alice
    """
    client = connect(server, ca)
    entry = _find_member(client, name, who)
    client.delete(f"/projects/{name}/members/{entry['id']}")
    print_done(f"{who} is no member of {name} any more.", {"project": name, "removed": who}, as_json=as_json)


@quota.command("list")
def list_quotas(*, server: ServerOption = None, ca: CaOption = None, as_json: JsonOption = False) -> None:
    """List the quotas of all projects, in bytes.

    Example: homeport quota list
    """
    columns = ("id", "ref.name", "used.storage", "hard.storage")
    print_rows(connect(server, ca).list_all("/quotas"), columns, as_json=as_json)


@quota.command("set")
def set_quota(
    name: _Name,
    size: Annotated[str, typer.Argument(help="bytes, or 500M, 20G; -1: no limit")],
    *,
    server: ServerOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set how much a project may store.

    Example: homeport quota set payments 50G
    """
    client = connect(server, ca)
    project_id = client.get(f"/projects/{name}")["project_id"]
    found = next(iter(client.list_all("/quotas", reference="project", reference_id=project_id)), None)
    if found is None:
        raise HomeportError(f"the project {name} has no quota")
    hard = parse_size(size)
    client.put(f"/quotas/{found['id']}", {"hard": {"storage": hard}})
    shown = "without limit" if hard < 0 else f"{hard} bytes"
    print_done(f"The quota of {name} is now {shown}.", {"project": name, "hard": hard}, as_json=as_json)


def role_id(client: ServerClient, name: str) -> int:
    """Return the id of a role, one of the five or an own one. Raises HomeportError."""
    if name in ROLES:
        return ROLES[name]
    for role in client.list_all("/roles"):
        if role.get("name") == name:
            return int(role["id"])
    raise HomeportError(f"there is no role {name!r}", hint=f"use {', '.join(ROLES)} or an own role")


def parse_size(text: str) -> int:
    """Return bytes of `1024`, `500M`, `20G` or `-1`. Raises HomeportError."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].upper() in _Units else (text, "")
    if text == "-1":
        return -1
    if not number.isascii() or not number.isdigit():
        raise HomeportError(f"{text!r} is no size", hint="write bytes, or 500M, 20G, or -1 for no limit")
    return int(number) * _Units.get(unit, 1)


def _find_member(client: ServerClient, name: str, who: str) -> dict[str, Any]:
    for entry in client.list_all(f"/projects/{name}/members"):
        if entry.get("entity_name") == who:
            return entry
    raise HomeportError(f"{who} is no member of {name}", hint=f"see `homeport member list {name}`")
