import contextlib
import json
from collections.abc import Iterator

import pytest
from tests.images import ImageSet, OciLayout
from tests.integration.containers import ContainerTools
from tests.integration.daemons import Containerd, DockerDaemon, Ipv6Forwarder
from tests.programs import require_root
from tests.reader import Registry, RegistryReader

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("docker")]

SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"
DOCKERFILE = """\
FROM {base}
COPY banner.txt /etc/motd
LABEL com.example.security-module=1.0
"""


@pytest.fixture(scope="module")
def containerd() -> Iterator[Containerd]:
    require_root()
    daemon = Containerd()
    try:
        yield daemon.start()
    finally:
        daemon.stop()


@pytest.fixture(scope="module")
def daemons() -> Iterator[tuple[contextlib.ExitStack, dict[str, DockerDaemon]]]:
    """Keep the daemons that run, by the registry that they are set up for."""
    with contextlib.ExitStack() as running:
        yield running, {}


@pytest.fixture
def docker(
    containerd: Containerd,
    registry: Registry,
    daemons: tuple[contextlib.ExitStack, dict[str, DockerDaemon]],
) -> DockerDaemon:
    """Return a daemon without images, logged in to the registry, which it trusts and takes as mirror."""
    running, started = daemons
    if registry.url not in started:
        if registry.tls:
            running.enter_context(Ipv6Forwarder(registry.host))
        daemon = DockerDaemon(containerd, registry)
        running.callback(daemon.stop)
        started[registry.url] = daemon.start()
    daemon = started[registry.url]
    daemon.trust_authority()
    daemon.remove_images()
    daemon.log_in()
    return daemon


def test_docker_pushes_and_pulls_a_real_image(
    docker: DockerDaemon,
    tools: ContainerTools,
    reader: RegistryReader,
    repository: str,
    real_images: ImageSet,
) -> None:
    layout = OciLayout(real_images.nginx)
    source, copy = docker.name(repository, "1.22"), docker.name(f"{repository}-copy", "stable")
    tools.skopeo("copy", f"oci:{real_images.nginx}:1.22", tools.remote(repository, "1.22"))
    docker.docker("pull", "--quiet", source)
    assert docker.repository_digests(source) == [layout.digest("1.22")]
    image_id = docker.image_id(source)
    assert image_id == reader.image(repository, "1.22").config_digest

    docker.docker("tag", source, copy)
    said = docker.docker("push", copy)
    pushed = reader.image(f"{repository}-copy", "stable")
    assert f"digest: {pushed.digest}" in said
    assert pushed.media_type == SCHEMA_2
    assert pushed.config_digest == image_id
    assert pushed.layers == reader.image(repository, "1.22").layers

    docker.remove_images()
    docker.docker("pull", "--quiet", copy)
    assert docker.image_id(copy) == image_id
    assert docker.repository_digests(copy) == [pushed.digest]


def test_docker_builds_on_a_pulled_image_and_pushes_the_child(
    docker: DockerDaemon,
    tools: ContainerTools,
    reader: RegistryReader,
    repository: str,
    real_images: ImageSet,
) -> None:
    tools.skopeo("copy", f"oci:{real_images.nginx}:1.22", tools.remote(repository, "1.22"))
    context = docker.directory / "context"
    context.mkdir()
    (context / "banner.txt").write_text("welcome\n")
    (context / "Dockerfile").write_text(DOCKERFILE.format(base=docker.name(repository, "1.22")))
    child = docker.name(f"{repository}-secured", "1.22")
    docker.docker("build", "--quiet", "--tag", child, context)
    docker.docker("push", child)

    pushed, base = reader.image(f"{repository}-secured", "1.22"), reader.image(repository, "1.22")
    assert pushed.layers[:-1] == base.layers
    config = json.loads(reader.blob(f"{repository}-secured", pushed.config_digest))
    assert config["config"]["Labels"]["com.example.security-module"] == "1.0"
    docker.remove_images()
    docker.docker("pull", "--quiet", child)
    assert _file(docker, child, "/etc/motd") == "welcome\n"
    assert "bookworm" in _file(docker, child, "/etc/os-release")


def test_docker_pushes_an_image_that_it_loaded(
    docker: DockerDaemon,
    tools: ContainerTools,
    reader: RegistryReader,
    repository: str,
    small_images: ImageSet,
) -> None:
    name, archive = docker.name(repository, "loaded"), docker.directory / "image.tar"
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", f"docker-archive:{archive}:{name}")
    docker.docker("load", "--quiet", "--input", archive)
    docker.docker("push", name)
    pushed = reader.image(repository, "loaded")
    assert pushed.config_digest == docker.image_id(name)
    assert len(pushed.layers) == 2


def test_docker_push_all_tags_pushes_each_of_them(
    docker: DockerDaemon,
    tools: ContainerTools,
    reader: RegistryReader,
    repository: str,
    small_images: ImageSet,
) -> None:
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(repository, "1.22"))
    docker.docker("pull", "--quiet", docker.name(repository, "1.22"))
    for tag in ("1", "stable"):
        docker.docker("tag", docker.name(repository, "1.22"), docker.name(f"{repository}-copy", tag))
    docker.docker("push", "--all-tags", docker.name(f"{repository}-copy").rpartition(":")[0])
    copied = f"{repository}-copy"
    assert sorted(reader.tags(copied)) == ["1", "stable"]
    assert reader.image(copied, "1").digest == reader.image(copied, "stable").digest


def test_docker_pulls_the_platform_asked_for_out_of_an_index(
    docker: DockerDaemon, tools: ContainerTools, repository: str, small_images: ImageSet
) -> None:
    layout, name = OciLayout(small_images.nginx), docker.name(repository, "multi")
    tools.skopeo("copy", "--all", f"oci:{small_images.nginx}:multi", tools.remote(repository, "multi"))
    for platform, tag in (("linux/amd64", "1.22-secured"), ("linux/arm64", "1.22-arm64")):
        docker.docker("pull", "--quiet", "--platform", platform, name)
        assert docker.repository_digests(name) == [layout.digest("multi")]
        assert docker.image_id(name) == json.loads(layout.blob(layout.digest(tag)))["config"]["digest"]
        docker.remove_images()


def test_docker_manifest_push_writes_a_manifest_list(
    docker: DockerDaemon,
    tools: ContainerTools,
    reader: RegistryReader,
    repository: str,
    small_images: ImageSet,
) -> None:
    parts = {"amd64": "1.22", "arm64": "1.22-arm64"}
    for tag in parts.values():
        tools.skopeo(
            *("copy", "--format", "v2s2", f"oci:{small_images.nginx}:{tag}", tools.remote(repository, tag))
        )
    name = docker.name(repository, "multi")
    trust = [] if docker.registry.tls else ["--insecure"]
    sources = [docker.name(repository, tag) for tag in parts.values()]
    docker.docker("manifest", "create", *trust, name, *sources)
    docker.docker("manifest", "push", *trust, name)
    pushed = reader.image(repository, "multi")
    assert pushed.media_type == "application/vnd.docker.distribution.manifest.list.v2+json"
    assert {child["platform"]["architecture"] for child in pushed.body["manifests"]} == set(parts)


def test_docker_takes_the_registry_as_mirror_of_docker_hub(
    docker: DockerDaemon, tools: ContainerTools, public_repository: str, small_images: ImageSet
) -> None:
    name = public_repository.removeprefix("library/") + ":1.22"
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(public_repository, "1.22"))
    docker.docker("pull", "--quiet", name)
    assert docker.repository_digests(name) == [OciLayout(small_images.nginx).digest("1.22")]


def test_docker_pulls_public_images_without_login(
    docker: DockerDaemon, tools: ContainerTools, public_repository: str, small_images: ImageSet
) -> None:
    docker.log_out()
    name = docker.name(public_repository, "1.22")
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(public_repository, "1.22"))
    docker.docker("pull", "--quiet", name)
    assert docker.repository_digests(name) == [OciLayout(small_images.nginx).digest("1.22")]


def test_docker_without_login_may_neither_push_nor_pull_private_images(
    docker: DockerDaemon, tools: ContainerTools, repository: str, small_images: ImageSet
) -> None:
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(repository, "1.22"))
    docker.docker("pull", "--quiet", docker.name(repository, "1.22"))
    docker.docker("tag", docker.name(repository, "1.22"), docker.name(repository, "1.23"))
    docker.log_out()
    pushed = docker.attempt("push", docker.name(repository, "1.23"))
    docker.remove_images()
    pulled = docker.attempt("pull", docker.name(repository, "1.22"))
    for refused in (pushed, pulled):
        assert refused.returncode != 0
        assert any(word in refused.stderr for word in ("unauthorized", "no basic auth credentials", "denied"))


def test_docker_without_the_authority_refuses_the_server(docker: DockerDaemon, repository: str) -> None:
    if not docker.registry.tls:
        pytest.skip("plain HTTP shows no certificate")
    docker.authority.unlink()
    done = docker.attempt("pull", docker.name(repository))
    assert done.returncode != 0
    assert "x509: certificate signed by unknown authority" in done.stderr


def test_docker_login_refuses_a_wrong_password(docker: DockerDaemon) -> None:
    docker.log_out()
    done = docker.attempt(
        *("login", "--username", "admin", "--password-stdin", docker.registry.host),
        stdin="wrong",
    )
    assert done.returncode != 0
    assert "unauthorized" in done.stderr.lower()


def _file(docker: DockerDaemon, image: str, path: str) -> str:
    """Return a file out of an image."""
    container = docker.docker("create", image).strip()
    target = docker.directory / "copied"
    docker.docker("cp", "--follow-link", f"{container}:{path}", target)
    docker.docker("rm", container)
    return target.read_text()
