import hashlib
import json
from pathlib import Path

import pytest
from tests.images import ImageSet, OciLayout, write_small_images
from tests.integration.containers import ContainerTools
from tests.reader import RegistryReader

pytestmark = pytest.mark.xdist_group("skopeo")


def test_skopeo_copy_keeps_the_digest_of_a_real_image(
    tools: ContainerTools, reader: RegistryReader, repository: str, real_images: ImageSet, tmp_path: Path
) -> None:
    layout = OciLayout(real_images.nginx)
    tools.skopeo("copy", f"oci:{real_images.nginx}:1.22-secured", tools.remote(repository, "1.22"))
    pushed = reader.image(repository, "1.22")
    assert pushed.digest == layout.digest("1.22-secured")
    assert pushed.content == layout.content(pushed.digest)

    tools.skopeo("copy", tools.remote(repository, "1.22"), f"oci:{tmp_path}/pulled:1.22")
    pulled = OciLayout(tmp_path / "pulled")
    assert pulled.digest("1.22") == pushed.digest
    for digest in pushed.content:
        assert f"sha256:{hashlib.sha256(pulled.blob(digest)).hexdigest()}" == digest


def test_skopeo_copy_all_keeps_the_index_and_every_platform(
    tools: ContainerTools, reader: RegistryReader, repository: str, real_images: ImageSet, tmp_path: Path
) -> None:
    layout = OciLayout(real_images.nginx)
    tools.skopeo("copy", "--all", f"oci:{real_images.nginx}:multi", tools.remote(repository, "multi"))
    pushed = reader.image(repository, "multi")
    assert pushed.digest == layout.digest("multi")
    assert pushed.content == layout.content(pushed.digest)

    tools.skopeo("copy", "--all", tools.remote(repository, "multi"), f"oci:{tmp_path}/pulled:multi")
    pulled = OciLayout(tmp_path / "pulled")
    assert pulled.digest("multi") == pushed.digest
    assert pulled.content(pushed.digest) == pushed.content


def test_skopeo_copy_picks_one_platform_out_of_an_index(
    tools: ContainerTools, repository: str, small_images: ImageSet, tmp_path: Path
) -> None:
    layout = OciLayout(small_images.nginx)
    tools.skopeo("copy", "--all", f"oci:{small_images.nginx}:multi", tools.remote(repository, "multi"))
    tools.skopeo(
        *("--override-arch", "arm64", "copy"),
        *(tools.remote(repository, "multi"), f"oci:{tmp_path}/pulled:arm64"),
    )
    assert OciLayout(tmp_path / "pulled").digest("arm64") == layout.digest("1.22-arm64")


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_skopeo_copy_pushes_layers_that_it_compresses_on_the_way(
    tools: ContainerTools, reader: RegistryReader, repository: str, tmp_path: Path, compression: str
) -> None:
    # new images: skopeo remembers other compressions of a layer that it has seen and mounts those instead
    images = write_small_images(tmp_path / "images")
    plain = f"dir:{tmp_path}/plain"
    tools.skopeo("copy", "--dest-decompress", f"oci:{images.nginx}:1.22", plain)
    tools.skopeo("copy", "--dest-compress-format", compression, plain, tools.remote(repository))
    image = reader.image(repository, "latest")
    assert {layer["mediaType"].rpartition("+")[2] for layer in image.body["layers"]} == {compression}


def test_skopeo_copy_writes_docker_schema_2(
    tools: ContainerTools, reader: RegistryReader, repository: str, small_images: ImageSet
) -> None:
    tools.skopeo("copy", "--format", "v2s2", f"oci:{small_images.nginx}:1.22", tools.remote(repository))
    image = reader.image(repository, "latest")
    assert image.media_type == "application/vnd.docker.distribution.manifest.v2+json"
    assert image.layers == [
        layer["digest"] for layer in json.loads(_manifest(small_images.nginx, "1.22"))["layers"]
    ]


def test_skopeo_copy_within_the_registry_mounts_layers(
    tools: ContainerTools, reader: RegistryReader, repository: str, small_images: ImageSet
) -> None:
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(repository))
    tools.skopeo("copy", tools.remote(repository), tools.remote(f"{repository}/promoted", "1.22"))
    assert (
        reader.image(f"{repository}/promoted", "1.22").content == reader.image(repository, "latest").content
    )


def test_skopeo_inspect_and_list_tags_show_what_was_pushed(
    tools: ContainerTools, repository: str, small_images: ImageSet
) -> None:
    layout = OciLayout(small_images.nginx)
    for tag in ("1.22", "1.22-secured"):
        tools.skopeo("copy", f"oci:{small_images.nginx}:{tag}", tools.remote(repository, tag))
    inspected = json.loads(tools.skopeo("inspect", tools.remote(repository, "1.22-secured")))
    assert inspected["Digest"] == layout.digest("1.22-secured")
    assert sorted(inspected["RepoTags"]) == ["1.22", "1.22-secured"]
    listed = json.loads(tools.skopeo("list-tags", f"docker://{tools.registry.host}/{repository}"))
    assert sorted(listed["Tags"]) == ["1.22", "1.22-secured"]
    raw = tools.skopeo("inspect", "--raw", tools.remote(repository, layout.digest("1.22")))
    assert raw.encode() == _manifest(small_images.nginx, "1.22")


def test_skopeo_delete_removes_the_image_and_its_tags(
    tools: ContainerTools, reader: RegistryReader, repository: str, small_images: ImageSet
) -> None:
    for tag in ("1.22", "1.22-secured"):
        tools.skopeo("copy", f"oci:{small_images.nginx}:{tag}", tools.remote(repository, tag))
    tools.skopeo("delete", tools.remote(repository, "1.22"))
    assert reader.tags(repository) == ["1.22-secured"]
    assert reader.status(f"/v2/{repository}/manifests/1.22") == 404
    assert reader.image(repository, "1.22-secured").digest == OciLayout(small_images.nginx).digest(
        "1.22-secured"
    )


def test_skopeo_sync_mirrors_a_repository_there_and_back(
    tools: ContainerTools, reader: RegistryReader, repository: str, small_images: ImageSet, tmp_path: Path
) -> None:
    for tag in ("1.22", "multi"):
        tools.skopeo("copy", "--all", f"oci:{small_images.nginx}:{tag}", tools.remote(repository, tag))
    source = f"{tools.registry.host}/{repository}"
    tools.skopeo("sync", "--all", "--src", "docker", "--dest", "dir", source, tmp_path)
    target = f"{tools.registry.host}/{repository}-mirror"
    tools.skopeo("sync", "--all", "--src", "dir", "--dest", "docker", tmp_path, target)
    name = repository.rpartition("/")[2]
    for tag in ("1.22", "multi"):
        mirrored = reader.image(f"{repository}-mirror/{name}", tag)
        assert mirrored.content == reader.image(repository, tag).content


def test_skopeo_without_the_authority_refuses_the_server(tools: ContainerTools, repository: str) -> None:
    if not tools.registry.tls:
        pytest.skip("plain HTTP shows no certificate")
    tools.authority.unlink()
    done = tools.shell.attempt("skopeo", "inspect", tools.remote(repository))
    assert done.returncode != 0
    assert "x509: certificate signed by unknown authority" in done.stderr


def test_skopeo_with_a_wrong_password_is_refused(
    tools: ContainerTools, repository: str, small_images: ImageSet
) -> None:
    done = tools.shell.attempt(
        *("skopeo", "copy", "--dest-creds", "admin:wrong"),
        *(f"oci:{small_images.nginx}:1.22", tools.remote(repository)),
    )
    assert done.returncode != 0
    assert "unauthorized" in done.stderr or "authentication required" in done.stderr


def _manifest(directory: Path, tag: str) -> bytes:
    layout = OciLayout(directory)
    return layout.blob(layout.digest(tag))
