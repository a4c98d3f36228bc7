import stat
import subprocess
import tomllib
from pathlib import Path, PurePosixPath

import pytest

from homeport.auth.authority import ServerCertificateError, ensure_authority
from homeport.migrate.trust import (
    ANCHOR_STORES,
    KeepFile,
    Layout,
    RemoveFile,
    RunCommand,
    TrustedCertificate,
    TrustError,
    TrustPlan,
    TrustRequest,
    TrustTarget,
    WantedFile,
    WriteFile,
    containerd_layout,
    execute_trust,
    parse_registry,
    plan_install,
    plan_removal,
    plan_trust,
    read_trusted_certificate,
    system_layout,
)

REGISTRY = "registry.example.com:8443"
PER_REGISTRY = {
    TrustTarget.DOCKER: f"etc/docker/certs.d/{REGISTRY}",
    TrustTarget.CONTAINERD: f"etc/containerd/certs.d/{REGISTRY}",
    TrustTarget.PODMAN: f"etc/containers/certs.d/{REGISTRY}",
}
RHEL, DEBIAN = ANCHOR_STORES


@pytest.fixture
def certificate(tmp_path: Path) -> TrustedCertificate:
    return read_trusted_certificate(ensure_authority(tmp_path / "tls").certificate_path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def files_below(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def execute(plan: TrustPlan) -> None:
    assert tuple(execute_trust(plan)) == plan.steps


def write(path: Path, content: str | bytes = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_certificate_is_read_with_its_facts(certificate: TrustedCertificate) -> None:
    command = ["openssl", "x509", "-in", str(certificate.path), "-noout", "-fingerprint", "-sha256"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert output.strip().partition("=")[2].replace(":", "").lower() == certificate.fingerprint_sha256
    assert certificate.pem == certificate.path.read_bytes()
    assert certificate.subject.startswith("CN=Homeport CA ")
    assert certificate.expires_at.year - certificate.begins_at.year == 10


def test_certificate_is_taken_from_a_file_with_words_around_it(certificate: TrustedCertificate) -> None:
    path = write(certificate.path.parent / "words.crt", b"subject=words\n" + certificate.pem + b"\n\n")
    assert read_trusted_certificate(path).pem == certificate.pem


def test_certificate_file_with_two_is_refused(certificate: TrustedCertificate) -> None:
    path = write(certificate.path.parent / "two.crt", certificate.pem * 2)
    with pytest.raises(TrustError, match="holds 2 certificates"):
        read_trusted_certificate(path)


def test_certificate_file_with_a_key_is_refused(certificate: TrustedCertificate) -> None:
    key = (certificate.path.parent / "ca.key").read_bytes()
    path = write(certificate.path.parent / "both.pem", certificate.pem + key)
    with pytest.raises(TrustError, match="private key") as caught:
        read_trusted_certificate(path)
    assert key.decode() not in str(caught.value)


def test_certificate_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServerCertificateError, match="There is no certificate file"):
        read_trusted_certificate(tmp_path / "none.crt")


@pytest.mark.parametrize(
    "text", ["localhost", "a.example.com:443", "127.0.0.1:8443", "[::1]:8443", "my_host:1"]
)
def test_registry_is_read(text: str) -> None:
    assert parse_registry(text, TrustTarget.DOCKER) == text


@pytest.mark.parametrize(
    "text",
    [None, "", "https://a", "a/b", "..", "../../etc", "a:b", "a:123456", "-a", "a\n", "a b", "::1", "a\x00"],
)
def test_registry_that_is_none_is_refused(text: str | None) -> None:
    with pytest.raises(TrustError, match="registry") as caught:
        parse_registry(text, TrustTarget.DOCKER)
    assert "registry.example.com:8443" in caught.value.hint


@pytest.mark.parametrize("target", PER_REGISTRY)
def test_install_puts_the_certificate_where_the_target_looks(
    certificate: TrustedCertificate, root: Path, target: TrustTarget
) -> None:
    execute(plan_trust(TrustRequest(target, REGISTRY), certificate, root))
    path = root / PER_REGISTRY[target] / "ca.crt"
    assert path.read_bytes() == certificate.pem
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("target", PER_REGISTRY)
def test_plan_changes_nothing(certificate: TrustedCertificate, root: Path, target: TrustTarget) -> None:
    plan = plan_trust(TrustRequest(target, REGISTRY), certificate, root)
    assert plan.steps
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("target", PER_REGISTRY)
def test_install_again_keeps_all(certificate: TrustedCertificate, root: Path, target: TrustTarget) -> None:
    request = TrustRequest(target, REGISTRY)
    execute(plan_trust(request, certificate, root))
    before = files_below(root)
    plan = plan_trust(request, certificate, root)
    assert {type(step) for step in plan.steps} == {KeepFile}
    execute(plan)
    assert files_below(root) == before


@pytest.mark.parametrize("target", PER_REGISTRY)
def test_install_over_other_content_needs_force(
    certificate: TrustedCertificate, root: Path, target: TrustTarget
) -> None:
    path = write(root / PER_REGISTRY[target] / "ca.crt", "another")
    with pytest.raises(TrustError, match=r"ca.crt exists with other content") as caught:
        plan_trust(TrustRequest(target, REGISTRY), certificate, root)
    assert "--force" in caught.value.hint
    assert path.read_bytes() == b"another"
    execute(plan_trust(TrustRequest(target, REGISTRY, may_replace=True), certificate, root))
    assert path.read_bytes() == certificate.pem


@pytest.mark.parametrize("target", PER_REGISTRY)
def test_removal_takes_back_what_was_installed(
    certificate: TrustedCertificate, root: Path, target: TrustTarget
) -> None:
    other = write(root / PER_REGISTRY[target]).parent.parent / "other.example.com" / "ca.crt"
    (root / PER_REGISTRY[target]).unlink()
    write(other, "stays")
    execute(plan_trust(TrustRequest(target, REGISTRY), certificate, root))
    execute(plan_trust(TrustRequest(target, REGISTRY, is_removal=True), certificate, root))
    assert files_below(root) == {str(other.relative_to(root)): b"stays"}
    assert not (root / PER_REGISTRY[target]).exists()


@pytest.mark.parametrize("target", PER_REGISTRY)
def test_removal_keeps_the_directory_with_files_of_others(
    certificate: TrustedCertificate, root: Path, target: TrustTarget
) -> None:
    client = write(root / PER_REGISTRY[target] / "client.cert", "stays")
    execute(plan_trust(TrustRequest(target, REGISTRY), certificate, root))
    execute(plan_trust(TrustRequest(target, REGISTRY, is_removal=True), certificate, root))
    assert files_below(root) == {str(client.relative_to(root)): b"stays"}


@pytest.mark.parametrize("target", PER_REGISTRY)
def test_removal_where_nothing_is_does_nothing(
    certificate: TrustedCertificate, root: Path, target: TrustTarget
) -> None:
    plan = plan_trust(TrustRequest(target, REGISTRY, is_removal=True), certificate, root)
    assert {type(step) for step in plan.steps} == {KeepFile}
    execute(plan)


def test_removal_of_other_content_needs_force(certificate: TrustedCertificate, root: Path) -> None:
    path = write(root / PER_REGISTRY[TrustTarget.PODMAN] / "ca.crt", "another")
    request = TrustRequest(TrustTarget.PODMAN, REGISTRY, is_removal=True)
    with pytest.raises(TrustError, match="holds something else"):
        plan_trust(request, certificate, root)
    forced = TrustRequest(TrustTarget.PODMAN, REGISTRY, is_removal=True, may_replace=True)
    execute(plan_trust(forced, certificate, root))
    assert not path.exists()


def test_containerd_hosts_file_is_toml_that_names_the_certificate_beside_it(
    certificate: TrustedCertificate,
) -> None:
    layout = containerd_layout(certificate, REGISTRY, None)
    authority, hosts = layout.files
    parsed = tomllib.loads(hosts.content.decode())
    assert parsed == {
        "server": f"https://{REGISTRY}",
        "host": {
            f"https://{REGISTRY}": {"capabilities": ["pull", "resolve", "push"], "ca": authority.path.name}
        },
    }
    assert hosts.path == PurePosixPath(f"/etc/containerd/certs.d/{REGISTRY}/hosts.toml")
    assert authority.path.parent == hosts.path.parent


@pytest.mark.parametrize(
    "config",
    [
        'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/srv/certs.d"\n',
        'version = 3\n[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "/srv/certs.d:/etc"\n',
    ],
)
def test_containerd_directory_is_the_configured_one(certificate: TrustedCertificate, config: str) -> None:
    layout = containerd_layout(certificate, REGISTRY, config)
    assert {file.path.parent for file in layout.files} == {PurePosixPath(f"/srv/certs.d/{REGISTRY}")}
    assert not any("config_path" in note for note in layout.notes)


@pytest.mark.parametrize(
    ("config", "plugin"),
    [
        (None, "io.containerd.grpc.v1.cri"),
        ("version = 2\n", "io.containerd.grpc.v1.cri"),
        (
            'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = ""\n',
            "io.containerd.grpc.v1.cri",
        ),
        ("plugins = 1\nversion = 3\n", "io.containerd.cri.v1.images"),
        ("version = 3\n[plugins]\na = 1\n", "io.containerd.cri.v1.images"),
    ],
)
def test_containerd_without_config_path_is_told_what_to_add(
    certificate: TrustedCertificate, config: str | None, plugin: str
) -> None:
    note = containerd_layout(certificate, REGISTRY, config).notes[0]
    assert f'[plugins."{plugin}".registry]' in note
    assert 'config_path = "/etc/containerd/certs.d"' in note


def test_containerd_config_that_is_no_toml_is_told(certificate: TrustedCertificate, root: Path) -> None:
    write(root / "etc/containerd/config.toml", "= broken")
    plan = plan_trust(TrustRequest(TrustTarget.CONTAINERD, REGISTRY), certificate, root)
    assert "is no TOML" in plan.notes[0]


@pytest.mark.parametrize(
    ("store", "path", "command"),
    [
        (DEBIAN, "/usr/local/share/ca-certificates", "update-ca-certificates"),
        (RHEL, "/etc/pki/ca-trust/source/anchors", "update-ca-trust"),
    ],
)
def test_system_is_served_by_what_it_has(
    certificate: TrustedCertificate, root: Path, *, store: object, path: str, command: str
) -> None:
    program = RHEL.program if store is RHEL else DEBIAN.program
    write(root / program.relative_to("/"))
    plan = plan_trust(TrustRequest(TrustTarget.SYSTEM), certificate, root)
    written, run = plan.steps
    assert isinstance(written, WriteFile)
    assert isinstance(run, RunCommand)
    assert written.path.parent == root / path[1:]
    assert written.path.name == f"homeport-{certificate.fingerprint_sha256[:12]}.crt"
    assert run.arguments[:3] == ("chroot", str(root), command)


def test_system_at_the_real_root_needs_no_chroot(certificate: TrustedCertificate) -> None:
    layout = system_layout(certificate, DEBIAN, is_removal=False)
    plan = plan_install(TrustRequest(TrustTarget.SYSTEM), layout, {layout.files[0].path: None}, Path("/"))
    assert plan.steps[-1] == RunCommand(("update-ca-certificates",), "takes the file into the trust store")
    fresh = system_layout(certificate, DEBIAN, is_removal=True)
    plan = plan_removal(
        TrustRequest(TrustTarget.SYSTEM), fresh, {fresh.files[0].path: certificate.pem}, Path("/")
    )
    assert [type(step) for step in plan.steps] == [RemoveFile, RunCommand]
    assert plan.steps[-1] == RunCommand(
        ("update-ca-certificates", "--fresh"), "takes the file out of the trust store"
    )


def test_system_without_a_trust_store_is_refused(certificate: TrustedCertificate, root: Path) -> None:
    with pytest.raises(TrustError, match="neither update-ca-certificates nor update-ca-trust") as caught:
        plan_trust(TrustRequest(TrustTarget.SYSTEM), certificate, root)
    assert "ca-certificates" in caught.value.hint


def test_link_out_of_the_root_is_not_followed(
    certificate: TrustedCertificate, tmp_path: Path, root: Path
) -> None:
    (tmp_path / "host").mkdir()
    (root / "etc").symlink_to(tmp_path / "host")
    with pytest.raises(TrustError, match="leads out of"):
        plan_trust(TrustRequest(TrustTarget.DOCKER, REGISTRY), certificate, root)
    assert list((tmp_path / "host").iterdir()) == []


def test_link_inside_the_root_is_followed(certificate: TrustedCertificate, root: Path) -> None:
    (root / "usr/etc").mkdir(parents=True)
    (root / "etc").symlink_to("usr/etc")
    execute(plan_trust(TrustRequest(TrustTarget.DOCKER, REGISTRY), certificate, root))
    assert (root / "usr" / PER_REGISTRY[TrustTarget.DOCKER] / "ca.crt").read_bytes() == certificate.pem


def test_directory_in_the_way_is_told(certificate: TrustedCertificate, root: Path) -> None:
    (root / PER_REGISTRY[TrustTarget.DOCKER] / "ca.crt").mkdir(parents=True)
    with pytest.raises(TrustError, match="cannot be read: Is a directory"):
        plan_trust(TrustRequest(TrustTarget.DOCKER, REGISTRY), certificate, root)


def test_file_in_the_way_of_a_directory_is_told(certificate: TrustedCertificate, root: Path) -> None:
    plan = plan_trust(TrustRequest(TrustTarget.DOCKER, REGISTRY), certificate, root)
    write(root / "etc/docker", "in the way")
    with pytest.raises(TrustError, match="cannot be written"):
        list(execute_trust(plan))
    assert files_below(root) == {"etc/docker": b"in the way"}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("homeport-no-such-program",), "is not there"),
        (("sh", "-c", "echo broken >&2; exit 3"), "failed with exit code 3: broken"),
        (("false",), "it said nothing"),
    ],
)
def test_command_that_fails_stops_the_plan(tmp_path: Path, command: tuple[str, ...], message: str) -> None:
    never = WriteFile(tmp_path / "never", b"", "comes later")
    with pytest.raises(TrustError, match=message) as caught:
        list(execute_trust(TrustPlan((RunCommand(command, "test"), never))))
    assert caught.value.hint
    assert not never.path.exists()


def test_install_leaves_no_temporary_files(tmp_path: Path) -> None:
    plan = plan_install(
        TrustRequest(TrustTarget.DOCKER, REGISTRY, may_replace=True),
        Layout((WantedFile(PurePosixPath("/a/b"), b"new", "test"),)),
        {PurePosixPath("/a/b"): b"old"},
        tmp_path,
    )
    write(tmp_path / "a/b", "old")
    execute(plan)
    assert files_below(tmp_path) == {"a/b": b"new"}
