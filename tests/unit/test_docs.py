import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer
from typer.core import TyperGroup

from homeport.cli.commands import build
from homeport.config import Settings
from homeport.oci.errors import OciErrorCode

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *(REPOSITORY / "docs").rglob("*.md"),
        *(REPOSITORY / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ]
)
ENGLISH, CHINESE = "README.md", "README.zh-CN.md"


def text_of(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def code_blocks(name: str) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```$", text_of(name), re.MULTILINE | re.DOTALL)


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_reference_is_current() -> None:
    command = [sys.executable, str(REPOSITORY / "scripts" / "write_reference.py"), "--check"]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("setting", Settings.model_fields)
def test_setting_is_documented(setting: str) -> None:
    assert Settings.model_fields[setting].description
    assert f"| `{setting}` | `HOMEPORT_{setting.upper()}` |" in text_of("docs/configuration.md")


def commands() -> dict[str, str]:
    """Return the help of every command by its full name, those of groups included."""
    found: dict[str, str] = {}

    def collect(prefix: str, group: TyperGroup) -> None:
        for name, command in group.commands.items():
            if isinstance(command, TyperGroup):
                collect(f"{prefix}{name} ", command)
            else:
                found[f"{prefix}{name}"] = command.help or ""

    root = typer.main.get_command(build())
    assert isinstance(root, TyperGroup)
    collect("", root)
    return found


@pytest.mark.parametrize("name", commands())
def test_command_is_documented(name: str) -> None:
    assert f"\n## {name}\n" in text_of("docs/commands.md")


@pytest.mark.parametrize("name", commands())
def test_command_help_ends_in_an_example(name: str) -> None:
    assert f"homeport {name}" in commands()[name].partition("Example:")[2]


@pytest.mark.parametrize("code", [code.name for code in OciErrorCode])
def test_error_code_is_documented(code: str) -> None:
    assert f"| `{code}` |" in text_of("docs/registry.md")


def test_make_target_is_in_both_readmes() -> None:
    targets = re.findall(r"^([a-z]+):.*## ", text_of("Makefile"), re.MULTILINE)
    expected = {f"make {target}" for target in targets if target != "help"}
    assert expected
    for name in (ENGLISH, CHINESE):
        listed = set(re.findall(r"^\| `(make [a-z]+)`", text_of(name), re.MULTILINE))
        assert listed >= expected, name


def test_readmes_have_the_same_sections_tables_and_code() -> None:
    for pattern in (r"^#+ ", r"^\|", r"^```\w*$", r"^<!-- .* -->$"):
        english, chinese = (re.findall(pattern, text_of(name), re.MULTILINE) for name in (ENGLISH, CHINESE))
        assert chinese == english, pattern
    assert code_blocks(CHINESE) == code_blocks(ENGLISH)


def test_readmes_link_to_the_same_pages() -> None:
    english, chinese = (set(re.findall(r"\]\(([^)#]+)\)", text_of(name))) for name in (ENGLISH, CHINESE))
    assert chinese - {ENGLISH} == english - {CHINESE}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(REPOSITORY)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        target, _, anchor = unquote(link).partition("#")
        if "://" in target:
            continue
        linked = (page.parent / target).resolve() if target else page
        if not linked.exists() or (anchor and anchor not in anchors_of(linked)):
            broken.append(link)
    assert broken == []


def test_decisions_are_listed() -> None:
    index = text_of("docs/decisions/index.md")
    pages = [page.name for page in (REPOSITORY / "docs" / "decisions").glob("0*.md")]
    assert [name for name in pages if f"({name})" not in index] == []


def test_documentation_index_lists_every_page() -> None:
    index = text_of("docs/index.md")
    pages = [page.name for page in (REPOSITORY / "docs").glob("*.md") if page.name != "index.md"]
    assert [name for name in pages if f"({name})" not in index] == []


def test_licence_is_apache_2() -> None:
    assert "Apache License" in text_of("LICENSE")
    assert "END OF TERMS AND CONDITIONS" in text_of("LICENSE")
