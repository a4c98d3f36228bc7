from pathlib import Path

import oras.client
import oras.oci
import pytest
from tests.images import ImageSet
from tests.integration.containers import ContainerTools
from tests.reader import Registry, RegistryReader

pytestmark = pytest.mark.xdist_group("oras")


@pytest.fixture
def client(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> oras.client.OrasClient:
    """Return a client that sends the account with each request.

    With tokens it cannot push: it asks for one to pull, and goes on to use that when the registry asks it for
    one to push.
    """
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    # the environment's own authorities would come before the one given
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    return make_client(registry, "basic")


def make_client(registry: Registry, auth_backend: str) -> oras.client.OrasClient:
    client = oras.client.OrasClient(
        hostname=registry.host,
        insecure=not registry.tls,
        tls_verify=str(registry.ca) if registry.ca else False,
        auth_backend=auth_backend,
    )
    client.auth.set_basic_auth(registry.user, registry.password)
    return client


@pytest.mark.parametrize("chunked", [False, True], ids=["monolithic", "chunked"])
def test_oras_pushes_and_pulls_an_artifact(
    *,
    client: oras.client.OrasClient,
    reader: RegistryReader,
    repository: str,
    tmp_path: Path,
    chunked: bool,
) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "model.bin").write_bytes(content)
    (tmp_path / "sbom.json").write_text('{"bomFormat":"CycloneDX"}')
    target = f"{client.hostname}/{repository}:v1"
    client.push(
        target,
        files=["model.bin:application/vnd.example.model", "sbom.json:application/vnd.cyclonedx+json"],
        manifest_annotations={"org.example.kind": "model"},
        do_chunked=chunked,
        chunk_size=400_000,
    )
    pushed = reader.image(repository, "v1")
    assert pushed.body["annotations"] == {"org.example.kind": "model"}
    assert [layer["mediaType"] for layer in pushed.body["layers"]] == [
        "application/vnd.example.model",
        "application/vnd.cyclonedx+json",
    ]
    client.pull(target, outdir=str(tmp_path / "pulled"))
    assert (tmp_path / "pulled/model.bin").read_bytes() == content
    assert (tmp_path / "pulled/sbom.json").read_text() == '{"bomFormat":"CycloneDX"}'
    assert client.get_tags(f"{client.hostname}/{repository}") == ["v1"]


def test_oras_pulls_with_a_token(
    client: oras.client.OrasClient, registry: Registry, repository: str, tmp_path: Path
) -> None:
    if "token" not in RegistryReader(registry).challenge():
        pytest.skip("the registry has no token service")
    (tmp_path / "note.txt").write_text("hello")
    target = f"{client.hostname}/{repository}:v1"
    client.push(target, files=["note.txt:text/plain"])
    make_client(registry, "token").pull(target, outdir=str(tmp_path / "pulled"))
    assert (tmp_path / "pulled/note.txt").read_text() == "hello"


def test_oras_attaches_a_referrer_to_an_image(
    client: oras.client.OrasClient,
    tools: ContainerTools,
    reader: RegistryReader,
    repository: str,
    small_images: ImageSet,
) -> None:
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(repository, "1.22"))
    image = reader.image(repository, "1.22")
    Path("sbom.json").write_text('{"bomFormat":"CycloneDX"}')
    Path("config.json").write_text("{}")
    subject = oras.oci.Subject(
        image.media_type, image.digest, len(reader.read(f"/v2/{repository}/manifests/{image.digest}").body)
    )
    client.push(
        f"{client.hostname}/{repository}:sbom",
        files=["sbom.json:application/vnd.cyclonedx+json"],
        manifest_config="config.json:application/vnd.example.sbom",
        subject=subject,
    )
    attached = reader.image(repository, "sbom")
    assert attached.body["subject"]["digest"] == image.digest
    assert [found["digest"] for found in reader.referrers(repository, image.digest)] == [attached.digest]


def test_oras_deletes_a_tag(
    client: oras.client.OrasClient, reader: RegistryReader, repository: str, tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("hello")
    for tag in ("keep", "drop"):
        (tmp_path / "note.txt").write_text(tag)
        client.push(f"{client.hostname}/{repository}:{tag}", files=["note.txt:text/plain"])
    client.delete_tags(f"{client.hostname}/{repository}", ["drop"])
    assert reader.tags(repository) == ["keep"]
