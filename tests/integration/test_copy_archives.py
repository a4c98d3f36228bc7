from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.images import ImageSet, OciLayout
from tests.integration.copying import Copier
from tests.integration.daemons import Containerd, DockerDaemon
from tests.integration.test_copy import diff_ids
from tests.programs import make_shell, require_root
from tests.reader import RegistryReader
from tests.servers import DockerRegistry

NAME = "registry.example/team/app:1"


@pytest.fixture
def copier(tmp_path: Path) -> Copier:
    """Return `homeport copy` with a home of its own."""
    (tmp_path / "home").mkdir()
    return Copier(tmp_path / "home")


@pytest.fixture(scope="module")
def docker(docker_registry: DockerRegistry) -> Iterator[DockerDaemon]:
    """Run a Docker daemon."""
    require_root()
    containerd = Containerd()
    try:
        daemon = DockerDaemon(containerd.start(), docker_registry.registry).start()
        try:
            yield daemon
        finally:
            daemon.stop()
    finally:
        containerd.stop()


@pytest.mark.docker
@pytest.mark.xdist_group("docker")
def test_docker_loads_what_copy_wrote_and_copy_reads_what_docker_saved(
    copier: Copier,
    docker: DockerDaemon,
    docker_registry: DockerRegistry,
    real_images: ImageSet,
    tmp_path: Path,
) -> None:
    layout = OciLayout(real_images.nginx)
    copier.copy(f"oci:{real_images.nginx}:multi", f"docker-archive:{tmp_path}/in.tar:{NAME}")
    assert NAME in docker.docker("load", "--input", tmp_path / "in.tar")
    docker.docker("save", "--output", tmp_path / "out.tar", NAME)
    result = copier.copy(f"docker-archive:{tmp_path}/out.tar:{NAME}", f"{docker_registry.host}/back/app:1")
    assert RegistryReader(docker_registry.registry).image("back/app", "1").digest == result["digest"]
    copier.copy(f"{docker_registry.host}/back/app:1", f"oci:{tmp_path}/back:1")
    assert diff_ids(OciLayout(tmp_path / "back"), "1") == diff_ids(layout, "1.22-secured")
    docker.docker("pull", f"{docker_registry.host}/back/app:1")


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_podman_loads_what_copy_wrote_and_copy_reads_what_podman_saved(
    form: str, copier: Copier, small_images: ImageSet, tmp_path: Path
) -> None:
    require_root()
    shell = make_shell(tmp_path / "podman", CONTAINERS_STORAGE_CONF=str(tmp_path / "storage.conf"))
    storage = tmp_path / "storage"
    (tmp_path / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\nrunroot = "{storage}/run"\ngraphroot = "{storage}/graph"\n'
    )
    policy = shell.directory / ".config" / "containers" / "policy.json"
    policy.parent.mkdir(parents=True)
    policy.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
    copier.copy(f"oci:{small_images.nginx}:1.22", f"docker-archive:{tmp_path}/in.tar:{NAME}")
    assert NAME in shell.run("podman", "load", "--input", tmp_path / "in.tar")
    shell.run("podman", "save", "--format", form, "--output", tmp_path / "out.tar", NAME)
    copier.copy(f"docker-archive:{tmp_path}/out.tar", f"oci:{tmp_path}/back:1")
    assert diff_ids(OciLayout(tmp_path / "back"), "1") == diff_ids(OciLayout(small_images.nginx), "1.22")
