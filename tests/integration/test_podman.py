import json

import pytest
from tests.images import ImageSet, OciLayout
from tests.integration.containers import ContainerTools
from tests.reader import RegistryReader

pytestmark = pytest.mark.xdist_group("podman")

CONTAINERFILE = """\
FROM {base}
COPY banner.txt /etc/motd
LABEL org.opencontainers.image.title=greeter
"""


def test_podman_pull_and_push_keep_layers_and_digests(
    tools: ContainerTools, reader: RegistryReader, repository: str, real_images: ImageSet
) -> None:
    layout = OciLayout(real_images.nginx)
    tools.skopeo("copy", f"oci:{real_images.nginx}:1.22", tools.remote(repository, "1.22"))

    tools.podman("pull", "--quiet", tools.name(repository, "1.22"))
    pulled = json.loads(tools.podman("image", "inspect", tools.name(repository, "1.22")))[0]
    assert pulled["Digest"] == layout.digest("1.22")
    assert f"sha256:{pulled['Id']}" == reader.image(repository, "1.22").config_digest

    target = f"{repository}-copy"
    tools.podman("tag", tools.name(repository, "1.22"), tools.name(target, "stable"))
    digest_file = tools.shell.directory / "digest"
    tools.podman("push", "--quiet", "--digestfile", digest_file, tools.name(target, "stable"))
    pushed = reader.image(target, "stable")
    assert pushed.digest == digest_file.read_text()
    assert pushed.config_digest == f"sha256:{pulled['Id']}"

    tools.podman("rmi", "--all", "--force")
    tools.podman("pull", "--quiet", tools.name(target, pushed.digest))
    again = json.loads(tools.podman("image", "inspect", tools.name(target, pushed.digest)))[0]
    assert again["Id"] == pulled["Id"]


def test_podman_builds_on_a_pulled_image_and_pushes_the_child(
    tools: ContainerTools, reader: RegistryReader, repository: str, small_images: ImageSet
) -> None:
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(repository, "1.22"))
    context = tools.shell.directory / "context"
    context.mkdir()
    (context / "banner.txt").write_text("welcome\n")
    (context / "Containerfile").write_text(CONTAINERFILE.format(base=tools.name(repository, "1.22")))
    child = tools.name(f"{repository}-child", "1.0")
    tools.podman("build", "--quiet", "--tag", child, context)
    tools.podman("push", "--quiet", child)

    pushed = reader.image(f"{repository}-child", "1.0")
    assert len(pushed.layers) == len(reader.image(repository, "1.22").layers) + 1
    config = json.loads(reader.blob(f"{repository}-child", pushed.config_digest))
    assert config["config"]["Labels"]["org.opencontainers.image.title"] == "greeter"
    tools.podman("rmi", "--all", "--force")
    tools.podman("pull", "--quiet", child)
    mounted = tools.podman("image", "mount", child).strip()
    assert tools.shell.run("cat", f"{mounted}/etc/motd") == "welcome\n"
    tools.podman("image", "unmount", child)


def test_podman_manifest_push_writes_a_multi_arch_index(
    tools: ContainerTools, reader: RegistryReader, repository: str, small_images: ImageSet
) -> None:
    layout = OciLayout(small_images.nginx)
    tools.podman("manifest", "create", "greeters")
    for tag in ("1.22", "1.22-arm64"):
        tools.podman("manifest", "add", "greeters", f"oci:{small_images.nginx}:{tag}")
    tools.podman("manifest", "push", "--all", "greeters", tools.remote(repository, "multi"))

    index = reader.image(repository, "multi")
    children = {child["digest"]: child["platform"]["architecture"] for child in index.body["manifests"]}
    assert children == {layout.digest("1.22"): "amd64", layout.digest("1.22-arm64"): "arm64"}
    tools.podman("pull", "--quiet", "--arch", "arm64", tools.name(repository, "multi"))
    pulled = json.loads(tools.podman("image", "inspect", tools.name(repository, "multi")))[0]
    assert pulled["Architecture"] == "arm64"


def test_podman_login_checks_the_password_and_logout_forgets_it(
    tools: ContainerTools, repository: str, small_images: ImageSet
) -> None:
    host = tools.registry.host
    tools.log_out()
    refused = tools.shell.attempt("podman", "login", "--username", "admin", "--password", "wrong", host)
    assert refused.returncode != 0
    tools.podman(
        "login", "--username", tools.registry.user, "--password-stdin", host, stdin=tools.registry.password
    )
    assert tools.podman("login", "--get-login", host).strip() == tools.registry.user
    tools.podman("pull", "--quiet", f"oci:{small_images.nginx}:1.22")
    image = tools.podman("images", "--quiet").split()[0]
    tools.podman("push", "--quiet", image, tools.remote(repository))

    tools.podman("logout", host)
    denied = tools.shell.attempt("podman", "push", "--quiet", image, tools.remote(repository, "again"))
    assert denied.returncode != 0
    assert any(word in denied.stderr for word in ("unauthorized", "authentication required", "denied"))


def test_podman_search_finds_repositories_and_tags(
    tools: ContainerTools, repository: str, small_images: ImageSet
) -> None:
    for tag in ("1.22", "1.22-secured"):
        tools.skopeo("copy", f"oci:{small_images.nginx}:{tag}", tools.remote(repository, tag))
    name = tools.name(repository).rpartition(":")[0]
    assert name in tools.podman("search", "--format", "{{.Name}}", name).split()
    listed = tools.podman("search", "--list-tags", name)
    rows = [line.split() for line in listed.splitlines()]
    assert sorted(row for row in rows if row[0] == name) == [[name, "1.22"], [name, "1.22-secured"]]


def test_podman_pulls_other_registries_images_from_their_mirror(
    tools: ContainerTools, repository: str, small_images: ImageSet
) -> None:
    layout = OciLayout(small_images.nginx)
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(f"{repository}/nginx", "1.22"))
    insecure = str(not tools.registry.tls).lower()
    with (tools.configuration / "registries.conf").open("a") as configuration:
        configuration.write(
            f'[[registry]]\nprefix = "quay.io/company"\nlocation = "quay.io/company"\nblocked = false\n'
            f'[[registry.mirror]]\nlocation = "{tools.registry.host}/{repository}"\ninsecure = {insecure}\n'
        )
    tools.podman("pull", "--quiet", "quay.io/company/nginx:1.22")
    pulled = json.loads(tools.podman("image", "inspect", "quay.io/company/nginx:1.22"))[0]
    assert pulled["Digest"] == layout.digest("1.22")


def test_podman_pushes_what_it_saved_and_loaded(
    tools: ContainerTools, reader: RegistryReader, repository: str, small_images: ImageSet
) -> None:
    archive = tools.shell.directory / "image.tar"
    name = tools.name(repository, "1.22")
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", f"docker-archive:{archive}:{name}")
    tools.podman("load", "--quiet", "--input", archive)
    tools.podman("push", "--quiet", "--format", "v2s2", name)
    image = reader.image(repository, "1.22")
    assert image.media_type == "application/vnd.docker.distribution.manifest.v2+json"
    assert len(image.layers) == 2
