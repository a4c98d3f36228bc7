import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from tests.images import INDEX_TYPE, ImageSet, OciLayout, write_small_images
from tests.integration.copying import Copier, blobs
from tests.programs import Shell, clean_environment
from tests.reader import Registry, RegistryReader
from tests.servers import DockerRegistry, HomeportServer

MULTI_MANIFESTS = 3  # an index and two images


@pytest.fixture
def copier(tmp_path: Path) -> Copier:
    """Return `homeport copy` with a home of its own."""
    (tmp_path / "home").mkdir()
    return Copier(tmp_path / "home")


@pytest.fixture(params=["docker-registry", "homeport"])
def place(request: pytest.FixtureRequest, copier: Copier) -> Registry:
    """Return a registry that the copier is logged in to where it must: docker-registry, and Homeport."""
    if request.param == "homeport":
        server: HomeportServer = request.getfixturevalue("homeport_server")
        copier.log_in(server.registry)
        return server.registry
    peer: DockerRegistry = request.getfixturevalue("docker_registry")
    return peer.registry


@pytest.fixture
def both(
    copier: Copier, docker_registry: DockerRegistry, homeport_server: HomeportServer
) -> tuple[Registry, Registry]:
    """Return docker-registry and Homeport, to which the copier is logged in."""
    copier.log_in(homeport_server.registry)
    return docker_registry.registry, homeport_server.registry


def test_copy_moves_a_real_image_with_all_its_platforms(
    copier: Copier, place: Registry, repository: str, real_images: ImageSet, tmp_path: Path
) -> None:
    layout = OciLayout(real_images.nginx)
    result = copier.copy(f"oci:{real_images.nginx}:multi", f"{place.host}/{repository}:multi")
    pushed = RegistryReader(place).image(repository, "multi")
    assert result["digest"] == pushed.digest == layout.digest("multi")
    assert pushed.content == layout.content(pushed.digest)
    assert result["manifests"] == MULTI_MANIFESTS

    again = copier.copy(f"oci:{real_images.nginx}:multi", f"{place.host}/{repository}:multi")
    assert blobs(again) == (0, 0, blobs(result)[0])
    assert again["manifests"] == 0

    copier.copy(f"docker://{place.host}/{repository}:multi", f"oci:{tmp_path}/pulled:multi")
    pulled = OciLayout(tmp_path / "pulled")
    assert pulled.digest("multi") == pushed.digest
    for digest in pushed.content:
        assert pulled.blob(digest) == layout.blob(digest)


@pytest.mark.parametrize("way", ["to-homeport", "from-homeport"])
def test_copy_streams_between_registries(
    way: str, copier: Copier, both: tuple[Registry, Registry], repository: str, real_images: ImageSet
) -> None:
    source, destination = both if way == "to-homeport" else reversed(both)
    copier.copy(f"oci:{real_images.nginx}:1.22-secured", f"{source.host}/{repository}:1")
    result = copier.copy(f"{source.host}/{repository}:1", f"{destination.host}/{repository}:2")
    pushed = RegistryReader(destination).image(repository, "2")
    assert pushed.digest == result["digest"] == OciLayout(real_images.nginx).digest("1.22-secured")
    assert blobs(result)[0] == len(pushed.content) - 1


def test_copy_within_a_registry_mounts_every_blob(
    copier: Copier, place: Registry, repository: str, small_images: ImageSet
) -> None:
    copier.copy(f"oci:{small_images.nginx}:multi", f"{place.host}/{repository}:1")
    result = copier.copy(f"{place.host}/{repository}:1", f"{place.host}/{repository}-other:1")
    image = RegistryReader(place).image(f"{repository}-other", "1")
    assert image.content == OciLayout(small_images.nginx).content(image.digest)
    assert blobs(result) == (0, len(image.content) - MULTI_MANIFESTS, 0)


def test_copy_takes_one_platform(
    copier: Copier, place: Registry, repository: str, small_images: ImageSet
) -> None:
    layout = OciLayout(small_images.nginx)
    source, target = f"oci:{small_images.nginx}:multi", f"{place.host}/{repository}"
    result = copier.copy("--platform", "linux/arm64", source, f"{target}:arm")
    assert result["digest"] == layout.digest("1.22-arm64")
    assert RegistryReader(place).image(repository, "arm").digest == result["digest"]
    several = copier.attempt("--platform", "linux/arm64", "--platform", "linux/amd64", source, f"{target}:no")
    assert (several.returncode, "--sparse" in several.stderr) == (2, True)
    absent = copier.attempt("--platform", "linux/s390x", source, f"{target}:no")
    assert (absent.returncode, "linux/amd64, linux/arm64" in absent.stderr) == (2, True)
    assert RegistryReader(place).tags(repository) == ["arm"]


def test_copy_sparse_keeps_the_index(copier: Copier, small_images: ImageSet, tmp_path: Path) -> None:
    layout = OciLayout(small_images.nginx)
    result = copier.copy(
        "--platform",
        "linux/arm64",
        "--sparse",
        f"oci:{small_images.nginx}:multi",
        f"oci:{tmp_path}/new:multi",
    )
    assert result["digest"] == layout.digest("multi")
    there = {path.name for path in (tmp_path / "new" / "blobs" / "sha256").iterdir()}
    arm, amd = layout.digest("1.22-arm64"), layout.digest("1.22-secured")
    assert {arm.partition(":")[2], layout.digest("multi").partition(":")[2]} <= there
    assert amd.partition(":")[2] not in there


def test_copy_takes_referrers_along(
    copier: Copier, both: tuple[Registry, Registry], repository: str, tmp_path: Path
) -> None:
    images = write_small_images(tmp_path / "images")
    layout = OciLayout(images.nginx)
    child = layout.descriptor("1.22-arm64")
    sbom = add_referrer(layout, child, "application/spdx+json", b"sbom")
    signature = add_referrer(layout, sbom, "application/vnd.example.signature", b"signed")

    peer, homeport = both
    copier.copy("--referrers", f"oci:{images.nginx}:multi", f"{homeport.host}/{repository}:1")
    found = RegistryReader(homeport).referrers(repository, child["digest"])
    assert [(entry["digest"], entry["artifactType"]) for entry in found] == [
        (sbom["digest"], "application/spdx+json")
    ]

    # docker-registry has no referrers API: the fallback tags hold them, and lead back
    copier.copy("--referrers", f"{homeport.host}/{repository}:1", f"{peer.host}/{repository}:1")
    tags = RegistryReader(peer).tags(repository)
    assert sorted(tags) == sorted(["1", fallback(child["digest"]), fallback(sbom["digest"])])
    copier.copy("--referrers", f"{peer.host}/{repository}:1", f"oci:{tmp_path}/back:1")
    back = OciLayout(tmp_path / "back")
    for descriptor in (sbom, signature):
        assert back.blob(descriptor["digest"]) == layout.blob(descriptor["digest"])
    copier.copy(f"{peer.host}/{repository}:1", f"oci:{tmp_path}/without:1")
    assert not (tmp_path / "without" / "blobs" / "sha256" / sbom["digest"].partition(":")[2]).exists()


def add_referrer(layout: OciLayout, subject: dict[str, Any], kind: str, content: bytes) -> dict[str, Any]:
    """Store an artifact that refers to the subject and list it in the layout."""
    body = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": kind,
        "config": layout.add_blob(b"{}", "application/vnd.oci.empty.v1+json"),
        "layers": [layout.add_blob(content, kind)],
        "subject": {key: subject[key] for key in ("mediaType", "digest", "size")},
    }
    descriptor = layout.add_blob(json.dumps(body).encode(), str(body["mediaType"]))
    index = layout.directory / "index.json"
    document = json.loads(index.read_bytes())
    document["manifests"].append(descriptor)
    index.write_text(json.dumps(document))
    return descriptor


def fallback(digest: str) -> str:
    return digest.replace(":", "-")


def test_copy_is_read_by_skopeo_and_podman_and_reads_them(
    copier: Copier, docker_registry: DockerRegistry, repository: str, small_images: ImageSet, tmp_path: Path
) -> None:
    shell = Shell(tmp_path, clean_environment(tmp_path / "tools"))
    policy = tmp_path / "policy.json"
    policy.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
    skopeo = ["skopeo", "--policy", str(policy), "copy", "--src-tls-verify=false", "--dest-tls-verify=false"]
    layout = OciLayout(small_images.nginx)
    name = f"docker://{docker_registry.host}/{repository}"

    shell.run(*skopeo, f"oci:{small_images.nginx}:1.22", f"{name}:skopeo")
    assert copier.copy(f"{name}:skopeo", f"oci:{tmp_path}/one:a")["digest"] == layout.digest("1.22")
    shell.run(*skopeo, f"oci:{tmp_path}/one:a", f"oci:{tmp_path}/two:b")
    assert OciLayout(tmp_path / "two").digest("b") == layout.digest("1.22")

    copier.copy(f"oci:{small_images.nginx}:1.22", f"docker-archive:{tmp_path}/mine.tar:example/app:1")
    shell.run(*skopeo, f"docker-archive:{tmp_path}/mine.tar:example/app:1", f"oci:{tmp_path}/three:c")
    assert diff_ids(OciLayout(tmp_path / "three"), "c") == diff_ids(layout, "1.22")

    shell.run(
        *skopeo, f"oci:{small_images.nginx}:1.22", f"docker-archive:{tmp_path}/theirs.tar:example/app:1"
    )
    subprocess.run(["gzip", "-k", tmp_path / "theirs.tar"], check=True)
    for archive in ("theirs.tar", "theirs.tar.gz"):
        result = copier.copy(f"docker-archive:{tmp_path}/{archive}", f"{name}:{archive}")
        copier.copy(f"{name}:{archive}", f"oci:{tmp_path}/four:{archive}")
        four = OciLayout(tmp_path / "four")
        assert four.digest(archive) == result["digest"]
        assert diff_ids(four, archive) == diff_ids(layout, "1.22")


def diff_ids(layout: OciLayout, tag: str) -> list[str]:
    """Return the digests of the unpacked layers of an image."""
    manifest = json.loads(layout.blob(layout.digest(tag)))
    return list(json.loads(layout.blob(manifest["config"]["digest"]))["rootfs"]["diff_ids"])


def test_copy_over_tls_needs_the_authority(
    copier: Copier, homeport_tls_server: HomeportServer, repository: str, small_images: ImageSet
) -> None:
    registry = homeport_tls_server.registry
    assert registry.ca is not None
    copier.log_in(registry)
    source, target = f"oci:{small_images.nginx}:1.22", f"{registry.host}/{repository}"
    refused = copier.attempt(source, f"{target}:no")
    assert refused.returncode == 1
    assert "certificate" in refused.stderr
    copier.copy("--ca", registry.ca, source, f"{target}:option")
    copier.copy("--insecure", source, f"{target}:insecure")
    trusted = copier.home / ".config" / "containers" / "certs.d" / registry.host
    trusted.mkdir(parents=True)
    (trusted / "ca.crt").write_bytes(registry.ca.read_bytes())
    copier.copy(source, f"{target}:certs")
    assert RegistryReader(registry).tags(repository) == ["certs", "insecure", "option"]


def test_copy_takes_credentials_from_options_the_environment_and_podmans_file(
    copier: Copier, homeport_server: HomeportServer, repository: str, small_images: ImageSet
) -> None:
    registry = homeport_server.registry
    source, target = f"oci:{small_images.nginx}:1.22", f"{registry.host}/{repository}"
    account = f"{registry.user}:{registry.password}"
    none = copier.attempt(source, f"{target}:no")
    assert (none.returncode, "credentials" in none.stderr) == (4, True)
    wrong = copier.attempt(source, f"{target}:no", HOMEPORT_DEST_CREDS="admin:wrong-password-4")
    assert wrong.returncode == 4
    assert "wrong-password-4" not in wrong.stderr
    copier.copy("--dest-creds", account, source, f"{target}:option")
    copier.copy(source, f"{target}:environment", HOMEPORT_DEST_CREDS=account)
    copier.log_in(registry)
    file = copier.home / "podman.json"
    (copier.home / ".docker" / "config.json").rename(file)
    copier.copy(source, f"{target}:file", REGISTRY_AUTH_FILE=str(file))
    assert RegistryReader(registry).tags(repository) == ["environment", "file", "option"]


def test_copy_dry_run_tells_and_changes_nothing(
    copier: Copier, docker_registry: DockerRegistry, repository: str, small_images: ImageSet, tmp_path: Path
) -> None:
    source, target = f"oci:{small_images.nginx}:multi", f"{docker_registry.host}/{repository}:1"
    plan = copier.copy("--dry-run", source, target)
    assert plan["dry_run"]
    count = len(OciLayout(small_images.nginx).content(plan["digest"])) - MULTI_MANIFESTS
    assert plan["copy"]["blobs"] == len(plan["steps"]) == count
    assert plan["manifests"] == MULTI_MANIFESTS
    assert RegistryReader(docker_registry.registry).status(f"/v2/{repository}/tags/list") == 404
    for place in (f"oci:{tmp_path}/new:a", f"docker-archive:{tmp_path}/new.tar"):
        text = copier.attempt("--dry-run", source, place)
        assert text.returncode == 0
        assert f"{count} blobs to copy" in text.stdout
    assert list(tmp_path.glob("new*")) == []


def test_copy_prints_a_summary_for_people(copier: Copier, small_images: ImageSet, tmp_path: Path) -> None:
    done = copier.attempt(f"oci:{small_images.nginx}:1.22", f"oci:{tmp_path}/new:a")
    assert done.stderr == ""
    first, digest, counts = done.stdout.splitlines()
    assert re.fullmatch(r"Copied oci:\S+:1\.22 to oci:\S+:a in \d+\.\d s", first)
    assert digest.strip() == OciLayout(small_images.nginx).digest("1.22")
    assert re.fullmatch(r"  3 blobs copied \(\d+\.\d kB\), 1 manifest written", counts)


@pytest.mark.parametrize(
    ("source", "destination", "code", "text"),
    [
        ("docker-daemon:nginx:1", "oci:new", 2, "not supported"),
        ("UPPER/:", "oci:new", 2, "no image reference"),
        ("oci:absent:1", "oci:new", 1, "no OCI layout"),
        ("docker-archive:absent.tar", "oci:new", 1, "does not exist"),
        ("127.0.0.1:1/a/b:1", "oci:new", 1, "cannot be reached"),
    ],
)
def test_copy_explains_errors(source: str, destination: str, code: int, text: str, copier: Copier) -> None:
    done = copier.attempt("--retries", "0", source, destination)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    failed = copier.attempt("--retries", "0", "--json", source, destination)
    assert failed.returncode == code
    assert text in json.loads(failed.stdout)["error"]


def test_copy_to_a_digest_needs_that_digest(
    copier: Copier, docker_registry: DockerRegistry, repository: str, small_images: ImageSet
) -> None:
    layout, target = OciLayout(small_images.nginx), f"{docker_registry.host}/{repository}"
    other = copier.attempt(f"oci:{small_images.nginx}:1.22", f"{target}@{layout.digest('multi')}")
    assert other.returncode == 2
    copier.copy(f"oci:{small_images.nginx}:1.22", f"{target}@{layout.digest('1.22')}")
    assert RegistryReader(docker_registry.registry).image(repository, layout.digest("1.22"))
    assert RegistryReader(docker_registry.registry).status(f"/v2/{repository}/tags/list") == 404


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_copy_ends_cleanly_when_it_is_interrupted(
    sent: signal.Signals, copier: Copier, tmp_path: Path
) -> None:
    layout = OciLayout(tmp_path / "big").create()
    layout.add_image("1", "amd64", [{"noise": os.urandom(1_000_000)} for _ in range(250)])
    fifo = tmp_path / "out"
    fifo.mkdir()
    command = [
        sys.executable,
        "-m",
        "homeport",
        "copy",
        f"oci:{tmp_path}/big:1",
        f"docker-archive:{fifo}/a.tar.gz",
    ]
    environment = clean_environment(copier.home)
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 30
        while not list(fifo.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(sent)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (130, b"")
    assert errors == b"homeport: interrupted; nothing was tagged\n"
    assert list(fifo.iterdir()) == []


def test_copy_writes_archives_with_a_name_for_docker(
    copier: Copier, docker_registry: DockerRegistry, repository: str, small_images: ImageSet, tmp_path: Path
) -> None:
    target = f"{docker_registry.host}/{repository}:1"
    copier.copy(f"oci:{small_images.nginx}:multi", target)
    copier.copy(target, f"docker-archive:{tmp_path}/a.tar")
    with tarfile.open(tmp_path / "a.tar") as archive:
        saved = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        index = json.load(archive.extractfile("index.json"))  # type: ignore[arg-type]
    assert [entry["RepoTags"] for entry in saved] == [[target]]
    assert [entry["mediaType"] for entry in index["manifests"]] == [INDEX_TYPE]


def test_copy_shows_bars_on_a_terminal(copier: Copier, small_images: ImageSet, tmp_path: Path) -> None:
    near, far = pty.openpty()
    source, target = f"oci:{small_images.nginx}:1.22", f"oci:{tmp_path}/new:a"
    command = [sys.executable, "-m", "homeport", "copy", source, target]
    environment = clean_environment(copier.home, TERM="xterm", COLUMNS="100")
    with subprocess.Popen(command, env=environment, stdout=far, stderr=far) as process:
        os.close(far)
        shown = b""
        with contextlib.suppress(OSError):
            while chunk := os.read(near, 65536):
                shown += chunk
    os.close(near)
    assert process.returncode == 0
    assert b" total " in shown
    assert f"Copied {source}".encode() in shown
