import base64
import contextlib
import hashlib
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from tests.images import ImageSet, OciLayout
from tests.integration.containers import ContainerTools
from tests.integration.daemons import Containerd, DockerDaemon
from tests.programs import require_program, require_root
from tests.reader import RegistryReader
from tests.servers import HomeportServer

README = Path(__file__).resolve().parents[2] / "README.md"
PASSWORD = "choose-your-own"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HomeportServer]:
    """Run a server with the README's password, on a free port instead of 8080."""
    running = HomeportServer(tmp_path / "server")
    running.password = PASSWORD
    try:
        yield running.start()
    finally:
        running.stop()


def blocks(language: str) -> list[str]:
    """Return the README's code of a language, in its order."""
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands_after(marker: str, server: HomeportServer) -> str:
    """Return the README's commands behind a marker, for the server's port."""
    text = README.read_text(encoding="utf-8")
    found = re.search(rf"<!-- {re.escape(marker)} -->\n```sh\n(.*?)```", text, re.DOTALL)
    assert found, f"the README has no commands after {marker}"
    assert PASSWORD in found[1]
    assert "127.0.0.1:8080" in found[1]
    return found[1].replace("127.0.0.1:8080", server.host)


def run_commands(commands: str, environment: Mapping[str, str], within: Sequence[str] = ()) -> None:
    result = subprocess.run(
        [*within, "bash", "-exc", commands],
        env=dict(environment),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr


def test_first_push_and_pull_with_podman_work_as_written(server: HomeportServer, tmp_path: Path) -> None:
    require_root()
    require_program("podman")
    tools = ContainerTools(tmp_path / "tools", server.registry).prepare()
    (tools.configuration / "registries.conf").write_text("")  # a person has configured nothing
    tools.accounts.unlink()
    commands = commands_after("first push and pull: podman", server)
    run_commands(commands, tools.shell.environment)
    assert RegistryReader(server.registry).tags("library/hello") == ["1"]
    assert server.host in tools.podman("images", "--format", "{{.Repository}}")


@pytest.fixture
def docker(server: HomeportServer) -> Iterator[DockerDaemon]:
    """Run Docker as it is after its installation: it knows nothing of the server."""
    require_root()
    with contextlib.ExitStack() as running:
        containerd = Containerd()
        running.callback(containerd.stop)
        daemon = DockerDaemon(containerd.start(), server.registry)
        running.callback(daemon.stop)
        yield daemon.start()


@pytest.mark.docker
@pytest.mark.xdist_group("docker")
def test_first_push_and_pull_with_docker_work_as_written(
    server: HomeportServer, docker: DockerDaemon
) -> None:
    commands = commands_after("first push and pull: docker", server)
    run_commands(commands, docker.shell.environment, docker.namespace)
    assert RegistryReader(server.registry).tags("library/hello") == ["1"]
    assert docker.image_id(docker.name("library/hello", "1"))


def test_mirror_for_podman_works_as_written(
    homeport_tls_server: HomeportServer, small_images: ImageSet, tmp_path: Path
) -> None:
    tools = ContainerTools(tmp_path / "tools", homeport_tls_server.registry).prepare()
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote("dockerhub/library/alpine", "3.20"))
    mirror = next(block for block in blocks("toml") if "[[registry.mirror]]" in block)
    written = mirror.replace("registry.example.com:8443", homeport_tls_server.host)
    (tools.configuration / "registries.conf").write_text(written)
    digest = tools.skopeo(
        "inspect", "--no-tags", "--format", "{{.Digest}}", "docker://docker.io/library/alpine:3.20"
    )
    assert digest.strip() == OciLayout(small_images.nginx).digest("1.22")


@pytest.mark.parametrize(("project", "position"), [("library", 0), ("dockerhub/library", 1)])
def test_mirror_for_containerd_works_as_written(
    *,
    homeport_tls_server: HomeportServer,
    small_images: ImageSet,
    tmp_path: Path,
    project: str,
    position: int,
) -> None:
    server = homeport_tls_server
    tools = ContainerTools(tmp_path / "tools", server.registry).prepare()
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(f"{project}/alpine", "3.20"))
    mirror = [block for block in blocks("toml") if "registry-1.docker.io" in block][position]
    account = base64.b64encode(f"admin:{server.password}".encode()).decode()
    for old, new in (
        ("/etc/containerd/certs.d/registry.example.com:8443/ca.crt", str(server.ca)),
        ("registry.example.com:8443", server.host),
        (base64.b64encode(f"admin:{PASSWORD}".encode()).decode(), account),
    ):
        mirror = mirror.replace(old, new)
    hosts = tmp_path / "certs.d"
    (hosts / "docker.io").mkdir(parents=True)
    (hosts / "docker.io" / "hosts.toml").write_text(mirror)
    digest = OciLayout(small_images.nginx).digest("1.22")
    command = (
        "ctr",
        "content",
        "fetch-object",
        "--hosts-dir",
        hosts,
        "docker.io/library/alpine:3.20",
        digest,
    )
    manifest = tools.shell.run(*command)
    assert f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}" == digest
