"""Writes the tables in docs/ that come from the code; --check tells which are out of date (exit code 1)."""

# ruff: noqa: INP001, T201 - a program that prints

import inspect
import sys
from collections.abc import Callable
from pathlib import Path

import typer
from typer.core import TyperArgument, TyperGroup, TyperOption

from homeport.cli.commands import build
from homeport.config import Settings
from homeport.oci.errors import OciErrorCode
from homeport.web.api.operations import OPERATIONS
from homeport.web.api.routers import built_routers, unbuilt_operations
from homeport.web.v2.errors import STATUS

DOCS = Path(__file__).resolve().parent.parent / "docs"
END = "<!-- end of generated -->"


def render_settings() -> str:
    """Return the table of settings."""
    lines = ["| setting | environment | option of `serve` | default | meaning |", "|---|---|---|---|---|"]
    serve = _commands()["serve"]
    options = {parameter.name: parameter for parameter in serve.params if isinstance(parameter, TyperOption)}
    for name, field in Settings.model_fields.items():
        if field.default_factory is not None:
            default = "the number of cores"
        elif field.default in {None, ""}:
            default = "none"
        else:
            default = f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
        option = f"`{options[name].opts[0]}`" if name in options else ""
        meaning = _cell(field.description or "")
        lines.append(f"| `{name}` | `HOMEPORT_{name.upper()}` | {option} | {default} | {meaning} |")
    return "\n".join(lines)


def render_commands() -> str:
    """Return a section for each command: its help, arguments and options."""
    return "\n\n".join(_render_command(name, command) for name, command in sorted(_commands().items()))


def render_errors() -> str:
    """Return the table of error codes."""
    lines = ["| code | status | meaning |", "|---|---|---|"]
    lines += [f"| `{code.name}` | {STATUS[code]} | {_cell(code.value)} |" for code in OciErrorCode]
    return "\n".join(lines)


# why an area of Harbor's API is not served yet: what it waits for
_WAITS_FOR = {
    "preheat": "peer-to-peer preheating",
    "replication": "replication",
    "webhook": "webhooks, which need the job engine",
    "webhookjob": "webhooks, which need the job engine",
    "Retention": "retention",
    "registry": "registry endpoints, which come with replication",
    "scanner": "scanning",
    "scan": "scanning",
    "scanAll": "scanning",
    "scan data export": "scanning",
    "securityhub": "scanning",
    "SystemCVEAllowlist": "scanning",
    "project": "scanning",
    "gc": "garbage collection",
    "purge": "schedules of the job engine; `homeport audit` and the settings purge meanwhile",
    "jobservice": "the job engine",
    "schedule": "the job engine",
    "immutable": "immutability rules",
    "artifact": "scanning",
}


# routed beside their neighbours, and refused there
_ANSWER_501 = {"getVulnerabilitiesAddition"}


def render_operations() -> str:
    """Return the table of Harbor's operations: which are served, and what the others wait for."""
    unbuilt = set(unbuilt_operations(built_routers()))
    count = len(OPERATIONS) - len(unbuilt) - len(_ANSWER_501)
    lines = [
        f"{count} of {len(OPERATIONS)} operations are served.",
        "",
        "| area | operation | state |",
        "|---|---|---|",
    ]
    for operation in sorted(OPERATIONS, key=lambda each: (each.area.lower(), each.path, each.method)):
        state = "done"
        if operation in unbuilt or operation.id in _ANSWER_501:
            state = f"501: waits for {_WAITS_FOR.get(operation.area, 'its turn')}"
        lines.append(
            f"| {operation.area} | `{operation.method} {operation.path}` ({operation.id}) | {state} |"
        )
    return "\n".join(lines)


GENERATED: dict[str, tuple[str, Callable[[], str]]] = {
    "configuration.md": ("settings", render_settings),
    "commands.md": ("commands", render_commands),
    "registry.md": ("errors", render_errors),
    "harbor-api.md": ("operations", render_operations),
}


def _commands() -> dict[str, typer.core.TyperCommand]:
    """Return every command by its full name, those of groups included."""
    found: dict[str, typer.core.TyperCommand] = {}

    def collect(prefix: str, group: TyperGroup) -> None:
        for name, command in group.commands.items():
            if isinstance(command, TyperGroup):
                collect(f"{prefix}{name} ", command)
            elif isinstance(command, typer.core.TyperCommand) and not command.hidden:
                found[f"{prefix}{name}"] = command

    root = typer.main.get_command(build())
    assert isinstance(root, TyperGroup)  # noqa: S101 - several commands make a group
    collect("", root)
    return found


def _render_command(name: str, command: typer.core.TyperCommand) -> str:
    words, _, example = inspect.cleandoc(command.help or "").replace("\b\n", "").partition("Example:")
    arguments = [parameter for parameter in command.params if isinstance(parameter, TyperArgument)]
    usage = " ".join([f"homeport {name}", "[OPTIONS]", *(_metavar(argument) for argument in arguments)])
    parts = [f"## {name}", words.strip(), f"```\n{usage}\n```"]
    rows = [
        (_metavar(parameter), parameter.help or "")
        if isinstance(parameter, TyperArgument)
        else (_option(parameter), parameter.help or "")
        for parameter in command.params
        if isinstance(parameter, (TyperArgument, TyperOption)) and not parameter.hidden
    ]
    if rows:
        table = [f"| `{_cell(left)}` | {_cell(right)} |" for left, right in rows]
        parts.append("\n".join(["| argument or option | meaning |", "|---|---|", *table]))
    if example:
        lines = [line.strip() for line in example.splitlines() if line.strip()]
        parts.append("```sh\n" + "\n".join(lines) + "\n```")
    return "\n\n".join(parts)


def _metavar(argument: TyperArgument) -> str:
    name = (argument.metavar or (argument.name or "").upper()).strip("[]")
    return name if argument.required else f"[{name}]"


def _option(option: TyperOption) -> str:
    names = ", ".join((*option.opts, *option.secondary_opts))
    return f"{names} {option.metavar}" if option.metavar else names


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def render_page(text: str, name: str, content: str) -> str:
    """Return the page with the part between the markers replaced."""
    begin = f"<!-- generated: {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"the page has no part {begin} ... {END}")
    return f"{before}{begin}\n\n{content}\n\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Write or check every page; returns the exit code."""
    stale = 0
    for page, (name, render) in GENERATED.items():
        path = DOCS / page
        old = path.read_text(encoding="utf-8")
        new = render_page(old, name, render())
        if new == old:
            continue
        if "--check" in arguments:
            print(f"docs/{page} is out of date: run make docs", file=sys.stderr)
            stale = 1
        else:
            path.write_text(new, encoding="utf-8")
            print(f"wrote docs/{page}")
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
