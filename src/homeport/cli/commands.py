"""Registers the commands: all of them for help, only the one that is called otherwise, to start fast."""

from importlib import import_module

import typer

# command or group, and where it is: the module below homeport.cli and the name in it
_COMMANDS = {
    "serve": "serve.serve",
    "copy": "copy.copy",
    "audit": "audit.audit",
    "doctor": "doctor.doctor",
    "trust": "trust.trust",
    "login": "login.login",
    "logout": "login.logout",
    "keys": "keys.keys",
    "user": "user.user",
    "project": "project.project",
    "member": "project.member",
    "robot": "robot.robot",
    "role": "role.role",
    "label": "role.label",
    "quota": "project.quota",
    "version": "version.version",
}


def build(called: str | None = None) -> typer.Typer:
    """Return the command line with every command, or only with the one that is called."""
    app = typer.Typer(
        name="homeport",
        help="A self-hosted home for container images.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback(help=app.info.help)(_keep_names)
    for name in [called] if called in _COMMANDS else _COMMANDS:
        module, _, attribute = _COMMANDS[name].partition(".")
        command = getattr(import_module(f"homeport.cli.{module}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def _keep_names() -> None:
    """Run and manage a home for container images."""
