import json
from pathlib import Path

import pytest
from tests.images import ImageSet, OciLayout
from tests.integration.containers import ContainerTools
from tests.reader import RegistryReader

pytestmark = pytest.mark.xdist_group("buildah")


def test_buildah_from_a_pulled_image_commits_and_pushes_a_child(
    tools: ContainerTools, reader: RegistryReader, repository: str, real_images: ImageSet
) -> None:
    tools.skopeo("copy", f"oci:{real_images.debian}:bookworm-amd64", tools.remote(repository, "bookworm"))
    container = tools.buildah("from", tools.name(repository, "bookworm")).strip()
    module = tools.shell.directory / "company.conf"
    module.write_text("secure = yes\n")
    tools.buildah("copy", container, module, "/etc/company.conf")
    tools.buildah("config", "--label", "com.example.security-module=1.0", container)
    child = tools.name(f"{repository}-secured", "bookworm")
    tools.buildah("commit", "--quiet", "--rm", container, child)
    digest_file = tools.shell.directory / "digest"
    tools.buildah("push", "--quiet", "--digestfile", digest_file, child)

    pushed = reader.image(f"{repository}-secured", "bookworm")
    assert pushed.digest == digest_file.read_text()
    config = json.loads(reader.blob(f"{repository}-secured", pushed.config_digest))
    assert config["config"]["Labels"]["com.example.security-module"] == "1.0"
    assert config["rootfs"]["diff_ids"][:-1] == _diff_ids(reader, repository, "bookworm")


def test_buildah_bud_pulls_its_base_and_pushes_docker_schema_2(
    tools: ContainerTools, reader: RegistryReader, repository: str, small_images: ImageSet, tmp_path: Path
) -> None:
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(repository, "1.22"))
    (tmp_path / "Containerfile").write_text(
        f"FROM {tools.name(repository, '1.22')}\nCOPY Containerfile /build/\nLABEL step=two\n"
    )
    child = tools.name(f"{repository}-child", "1.0")
    tools.buildah(
        "bud",
        "--quiet",
        "--layers",
        "--format",
        "docker",
        "-f",
        tmp_path / "Containerfile",
        "-t",
        child,
        tmp_path,
    )
    tools.buildah("push", "--quiet", "--format", "v2s2", child)
    pushed = reader.image(f"{repository}-child", "1.0")
    assert pushed.media_type == "application/vnd.docker.distribution.manifest.v2+json"
    assert pushed.layers[:-1] == reader.image(repository, "1.22").layers


def test_buildah_pull_takes_the_platform_asked_for(
    tools: ContainerTools, repository: str, small_images: ImageSet
) -> None:
    layout = OciLayout(small_images.nginx)
    tools.skopeo("copy", "--all", f"oci:{small_images.nginx}:multi", tools.remote(repository, "multi"))
    tools.buildah("pull", "--quiet", "--arch", "arm64", tools.name(repository, "multi"))
    inspected = json.loads(tools.buildah("inspect", "--type", "image", tools.name(repository, "multi")))
    assert inspected["OCIv1"]["architecture"] == "arm64"
    arm64 = json.loads(layout.blob(layout.digest("1.22-arm64")))
    assert f"sha256:{inspected['FromImageID']}" == arm64["config"]["digest"]


def test_buildah_manifest_push_all_keeps_every_platform(
    tools: ContainerTools, reader: RegistryReader, repository: str, small_images: ImageSet
) -> None:
    tools.skopeo("copy", "--all", f"oci:{small_images.nginx}:multi", tools.remote(repository, "multi"))
    tools.buildah("manifest", "create", "copied")
    tools.buildah("manifest", "add", "--all", "copied", tools.remote(repository, "multi"))
    tools.buildah("manifest", "push", "--all", "copied", tools.remote(f"{repository}-copy", "multi"))
    source, copied = reader.image(repository, "multi"), reader.image(f"{repository}-copy", "multi")
    assert copied.content - {copied.digest} == source.content - {source.digest}


def test_buildah_login_and_logout_change_what_may_be_pushed(
    tools: ContainerTools, reader: RegistryReader, repository: str, small_images: ImageSet
) -> None:
    host = tools.registry.host
    tools.log_out()
    tools.shell.run(
        *("buildah", "login", "--username", tools.registry.user, "--password-stdin", host),
        stdin=tools.registry.password,
    )
    image = tools.buildah("pull", "--quiet", f"oci:{small_images.nginx}:1.22").strip()
    tools.buildah("push", "--quiet", image, tools.remote(repository, "1.22"))
    tools.buildah("logout", host)
    denied = tools.shell.attempt("buildah", "push", "--quiet", image, tools.remote(repository, "1.23"))
    assert denied.returncode != 0
    assert reader.tags(repository) == ["1.22"]


def _diff_ids(reader: RegistryReader, repository: str, tag: str) -> list[str]:
    config = json.loads(reader.blob(repository, reader.image(repository, tag).config_digest))
    return list(config["rootfs"]["diff_ids"])
