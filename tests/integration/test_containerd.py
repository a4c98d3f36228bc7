import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.images import ImageSet, OciLayout
from tests.integration.containers import ContainerTools
from tests.integration.daemons import Containerd
from tests.programs import require_root
from tests.reader import Registry, RegistryReader

pytestmark = pytest.mark.xdist_group("containerd")


@pytest.fixture(scope="module")
def containerd() -> Iterator[Containerd]:
    require_root()
    daemon = Containerd()
    try:
        yield daemon.start()
    finally:
        daemon.stop()


class Client:
    """`ctr` with the hosts directory and the account that a registry needs."""

    def __init__(self, daemon: Containerd, registry: Registry, directory: Path) -> None:
        self.daemon = daemon
        self.registry = registry
        self.directory = directory
        self.namespace = secrets.token_hex(4)
        self.options = ["--hosts-dir", str(directory), "--user", f"{registry.user}:{registry.password}"]

    def write_hosts(self, name: str, path: str = "", *, trusted: bool = True) -> None:
        """Send pulls from the registry `name` to our registry, below `path` there."""
        lines = [
            f'server = "https://{name}"',
            f'[host."{self.registry.url}{path}"]',
            '  capabilities = ["pull", "resolve", "push"]',
            f"  override_path = {str(bool(path)).lower()}",
        ]
        if self.registry.ca and trusted:
            lines.append(f'  ca = "{self.registry.ca}"')
        (self.directory / name).mkdir(parents=True, exist_ok=True)
        (self.directory / name / "hosts.toml").write_text("\n".join(lines) + "\n")

    def ctr(self, *arguments: str | Path) -> str:
        """Run `ctr` in a namespace that starts empty."""
        return self.daemon.ctr(self.namespace, *arguments)

    def pull(self, name: str, *options: str) -> str:
        """Pull an image and return the digest of what its name then points to."""
        self.ctr("images", "pull", *options, *self.options, name)
        return self.ctr("images", "list", f"name=={name}").splitlines()[1].split()[2]

    def push(self, name: str) -> None:
        """Push an image."""
        self.ctr("images", "push", *self.options, name)


@pytest.fixture
def client(containerd: Containerd, registry: Registry, tmp_path: Path) -> Client:
    client = Client(containerd, registry, tmp_path / "certs.d")
    client.write_hosts(registry.host)
    return client


def test_containerd_pulls_and_pushes_a_real_image(
    client: Client,
    tools: ContainerTools,
    reader: RegistryReader,
    repository: str,
    real_images: ImageSet,
) -> None:
    layout = OciLayout(real_images.nginx)
    tools.skopeo("copy", f"oci:{real_images.nginx}:1.22", tools.remote(repository, "1.22"))
    name, copy = tools.name(repository, "1.22"), tools.name(f"{repository}-copy", "1.22")
    assert client.pull(name) == layout.digest("1.22")
    assert "complete" in client.ctr("images", "check", f"name=={name}")

    client.ctr("images", "tag", name, copy)
    client.push(copy)
    pushed = reader.image(f"{repository}-copy", "1.22")
    assert pushed.digest == layout.digest("1.22")
    assert pushed.content == layout.content(pushed.digest)


def test_containerd_pulls_and_pushes_every_platform_of_an_index(
    client: Client,
    tools: ContainerTools,
    reader: RegistryReader,
    repository: str,
    small_images: ImageSet,
) -> None:
    layout = OciLayout(small_images.nginx)
    tools.skopeo("copy", "--all", f"oci:{small_images.nginx}:multi", tools.remote(repository, "multi"))
    name, copy = tools.name(repository, "multi"), tools.name(f"{repository}-copy", "multi")
    assert client.pull(name, "--all-platforms") == layout.digest("multi")
    client.ctr("images", "tag", name, copy)
    client.push(copy)
    pushed = reader.image(f"{repository}-copy", "multi")
    assert pushed.digest == layout.digest("multi")
    assert pushed.content == layout.content(pushed.digest)


def test_containerd_pulls_by_digest(
    client: Client,
    tools: ContainerTools,
    repository: str,
    small_images: ImageSet,
) -> None:
    digest = OciLayout(small_images.nginx).digest("1.22")
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(repository, "1.22"))
    name = tools.name(repository, digest)
    assert client.pull(name) == digest


def test_containerd_pushes_an_image_that_it_imported(
    client: Client,
    tools: ContainerTools,
    reader: RegistryReader,
    repository: str,
    small_images: ImageSet,
) -> None:
    layout = OciLayout(small_images.debian)
    name, archive = tools.name(repository, "imported"), tools.shell.directory / "image.tar"
    tools.skopeo("copy", f"oci:{small_images.debian}:bookworm-amd64", f"oci-archive:{archive}:{name}")
    client.ctr("images", "import", archive)
    client.push(name)
    assert reader.image(repository, "imported").digest == layout.digest("bookworm-amd64")


def test_containerd_takes_the_registry_as_mirror_of_docker_hub(
    client: Client,
    tools: ContainerTools,
    repository: str,
    small_images: ImageSet,
) -> None:
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(repository, "1.22"))
    client.write_hosts("docker.io")
    assert client.pull(f"docker.io/{repository}:1.22") == OciLayout(small_images.nginx).digest("1.22")


def test_containerd_mirrors_another_registry_in_a_project(
    client: Client,
    tools: ContainerTools,
    repository: str,
    small_images: ImageSet,
) -> None:
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(f"{repository}/team/nginx", "1.22"))
    client.write_hosts("quay.example.com", f"/v2/{repository}")
    assert client.pull("quay.example.com/team/nginx:1.22") == OciLayout(small_images.nginx).digest("1.22")


def test_containerd_without_the_authority_refuses_the_server(
    client: Client,
    tools: ContainerTools,
    repository: str,
    small_images: ImageSet,
) -> None:
    if not client.registry.tls:
        pytest.skip("plain HTTP shows no certificate")
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(repository, "1.22"))
    client.write_hosts(client.registry.host, trusted=False)
    done = client.daemon.shell.attempt(
        *("ctr", "--address", client.daemon.socket, "--namespace", client.namespace, "images", "pull"),
        *(*client.options, tools.name(repository, "1.22")),
    )
    assert done.returncode != 0
    assert "x509: certificate signed by unknown authority" in done.stderr
