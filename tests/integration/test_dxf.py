import hashlib
import shutil
import sys
from pathlib import Path

import pytest
from tests.programs import Shell, make_shell
from tests.reader import Registry, RegistryReader

# dxf sends passwords over TLS alone
pytestmark = [pytest.mark.xdist_group("oras"), pytest.mark.parametrize("registry", ["tls"], indirect=True)]


@pytest.fixture
def shell(tmp_path: Path, registry: Registry) -> Shell:
    """Return a shell in which `dxf` reaches the registry."""
    return make_shell(
        tmp_path / "shell",
        DXF_HOST=registry.host,
        DXF_USERNAME=registry.user,
        DXF_PASSWORD=registry.password,
        DXF_TLSVERIFY=str(registry.ca),
    )


def dxf(shell: Shell, command: str, *arguments: str | Path) -> str:
    program = shutil.which("dxf", path=Path(sys.executable).parent)
    assert program is not None
    return shell.run(program, command, *arguments).strip()


def test_dxf_pushes_and_pulls_a_blob_by_alias(shell: Shell, reader: RegistryReader, repository: str) -> None:
    content = "".join(f"{number}\n" for number in range(200_000))
    (shell.directory / "numbers").write_text(content)
    digest = dxf(shell, "push-blob", repository, "numbers", "@latest")
    assert digest == f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"
    assert reader.blob(repository, digest) == content.encode()
    assert dxf(shell, "get-alias", repository, "latest") == digest
    assert dxf(shell, "pull-blob", repository, "@latest") == content.strip()


def test_dxf_lists_and_deletes_aliases(shell: Shell, reader: RegistryReader, repository: str) -> None:
    (shell.directory / "note").write_text("hello")
    digest = dxf(shell, "push-blob", repository, "note", "@drop")
    (shell.directory / "note").write_text("bye")
    dxf(shell, "push-blob", repository, "note", "@keep")
    assert sorted(dxf(shell, "list-aliases", repository).split()) == ["drop", "keep"]
    assert digest in dxf(shell, "del-alias", repository, "drop")
    assert reader.tags(repository) == ["keep"]
    assert repository in dxf(shell, "list-repos").split()
