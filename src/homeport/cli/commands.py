"""Registers every command."""

import typer

from homeport.cli.audit import audit
from homeport.cli.copy import copy
from homeport.cli.doctor import doctor
from homeport.cli.keys import keys
from homeport.cli.login import login, logout
from homeport.cli.project import member, project, quota
from homeport.cli.robot import robot
from homeport.cli.role import label, role
from homeport.cli.serve import serve
from homeport.cli.trust import trust
from homeport.cli.user import user
from homeport.cli.version import version


def build() -> typer.Typer:
    """Return the whole command line."""
    app = typer.Typer(
        name="homeport",
        help="A self-hosted home for container images.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.command()(serve)
    app.command()(copy)
    app.add_typer(audit, name="audit")
    app.command()(doctor)
    app.command()(trust)
    app.add_typer(keys, name="keys")
    app.command()(login)
    app.command()(logout)
    for name, group in (
        ("user", user),
        ("project", project),
        ("member", member),
        ("robot", robot),
        ("role", role),
        ("label", label),
        ("quota", quota),
    ):
        app.add_typer(group, name=name)
    app.command()(version)
    return app
