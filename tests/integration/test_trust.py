import hashlib
import http.server
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ports import reserve_port
from tests.programs import Daemon, clean_environment, require_program, require_root

from homeport.auth.authority import authority_directory, ensure_authority, issue_server_certificate

MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
HEADERS = {
    "Content-Type": "application/vnd.oci.image.index.v1+json",
    "Content-Length": str(len(MANIFEST)),
    "Docker-Content-Digest": DIGEST,
}
RUSTLS_SERVER = f"""
async def app(scope, receive, send):
    assert scope["type"] == "http"
    headers = [(name.lower().encode(), value.encode()) for name, value in {HEADERS!r}.items()]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else {MANIFEST!r}}})
"""


class ManifestHandler(http.server.BaseHTTPRequestHandler):
    """Answers every request with one manifest, as much of a registry as a client's TLS needs."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        """Answer with the headers alone."""
        self.send_response(200)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self) -> None:
        """Answer with headers and body."""
        self.do_HEAD()
        self.wfile.write(MANIFEST)

    def log_message(self, *_arguments: object) -> None:
        """Stay silent."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    authority = ensure_authority(authority_directory(directory))
    issue_server_certificate(authority, ["localhost", "127.0.0.1", "::1"])
    return directory


def serve_with_openssl(data: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(data / "tls" / "server.crt", data / "tls" / "server.key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ManifestHandler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(10)


def serve_with_rustls(data: Path, directory: Path) -> Iterator[str]:
    (directory / "manifest_server.py").write_text(RUSTLS_SERVER)
    port = reserve_port()
    tls = data / "tls"
    command = [sys.executable, "-m", "granian", "--interface", "asginl", "--port", str(port)]
    command += ["--ssl-certificate", str(tls / "server.crt"), "--ssl-keyfile", str(tls / "server.key")]
    command += ["--working-dir", str(directory), "manifest_server:app"]
    daemon = Daemon(command, directory / "log", clean_environment(directory / "home"))
    try:
        wait_for_port(port, daemon)
        yield f"127.0.0.1:{port}"
    finally:
        daemon.stop()


def wait_for_port(port: int, daemon: Daemon) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        daemon.check_running()
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"nothing listens on port {port}")


@pytest.fixture(scope="module", params=["openssl", "rustls"])
def registry(
    request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    if request.param == "openssl":
        yield from serve_with_openssl(data)
    else:
        yield from serve_with_rustls(data, tmp_path_factory.mktemp("rustls"))


def trust(*arguments: str | Path) -> str:
    """Run `homeport trust` as a person does; returns its standard output."""
    command = [sys.executable, "-m", "homeport", "trust", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    require_program(str(command[0]))
    return subprocess.run([*map(str, command)], check=False, capture_output=True, text=True, timeout=60)


def test_trust_prints_the_certificate(data: Path) -> None:
    assert trust("--data", data) == (data / "tls" / "ca.crt").read_text()


def test_trust_prints_json(data: Path) -> None:
    facts = json.loads(trust("--data", data, "--json"))
    assert facts["pem"] == (data / "tls" / "ca.crt").read_text()
    assert set(facts) == {"path", "subject", "fingerprint_sha256", "not_before", "not_after", "pem"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--data", "nowhere"], 1, "There is no certificate authority in nowhere/tls"),
        (["--ca", "nowhere.crt"], 1, "There is no certificate file nowhere.crt"),
        (["--dry-run"], 2, "name a target"),
        (["docker"], 2, "needs the registry"),
        (["docker", "https://a"], 2, "cannot use"),
        (["helm", "a:1"], 2, "helm"),
        (["system", "--root", "."], 1, "neither update-ca-certificates nor update-ca-trust"),
    ],
)
def test_trust_that_cannot_be_says_why(
    data: Path, tmp_path: Path, *, arguments: list[str], code: int, message: str
) -> None:
    if "--data" not in arguments and "--ca" not in arguments:
        arguments = [*arguments, "--data", str(data)]
    command = [sys.executable, "-m", "homeport", "trust", *arguments]
    result = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert result.returncode == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["docker", "containerd", "podman"])
def test_trust_dry_run_tells_what_the_run_does(data: Path, tmp_path: Path, target: str) -> None:
    arguments = (target, "localhost:8443", "--data", data, "--root", tmp_path, "--json")
    planned = json.loads(trust(*arguments, "--dry-run"))
    assert list(tmp_path.iterdir()) == []
    executed = json.loads(trust(*arguments))
    assert executed["steps"] == planned["steps"]
    written = {str(path): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {step["path"]: step["content"] for step in planned["steps"]}


def test_trust_dry_run_prints_the_content_in_full(data: Path, tmp_path: Path) -> None:
    output = trust("docker", "localhost:8443", "--data", data, "--root", tmp_path, "--dry-run")
    assert output.startswith(f"write {tmp_path}/etc/docker/certs.d/localhost:8443/ca.crt: ")
    for line in (data / "tls" / "ca.crt").read_text().splitlines():
        assert f"\n    {line}\n" in output


def test_curl_accepts_the_server_with_the_authority_alone(data: Path, registry: str) -> None:
    for host in (registry, registry.replace("127.0.0.1", "localhost")):
        command = ("curl", "-sS", "--noproxy", "*", f"https://{host}/v2/")
        trusting = run(*command, "--cacert", data / "tls" / "ca.crt")
        assert (trusting.returncode, trusting.stdout) == (0, MANIFEST.decode()), trusting.stderr
        assert run(*command).returncode == 60


def test_openssl_verifies_name_and_purpose(data: Path, registry: str) -> None:
    command = ("openssl", "s_client", "-connect", registry, "-x509_strict", "-verify_return_error")
    for check in (("-verify_ip", "127.0.0.1"), ("-verify_hostname", "localhost")):
        result = run(*command, *check, "-CAfile", data / "tls" / "ca.crt")
        assert "Verify return code: 0 (ok)" in result.stdout, result.stderr
    result = run(*command, "-verify_hostname", "other.example.com", "-CAfile", data / "tls" / "ca.crt")
    assert "hostname mismatch" in result.stdout + result.stderr


def test_python_verifies_in_strict_mode(data: Path, registry: str) -> None:
    context = ssl.create_default_context(cafile=data / "tls" / "ca.crt")
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    host, _, port = registry.partition(":")
    with (
        socket.create_connection((host, int(port)), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as client,
    ):
        assert client.version() == "TLSv1.3"


@pytest.mark.parametrize("target", ["docker", "podman"])
def test_skopeo_accepts_the_server_with_what_trust_installed(
    data: Path, registry: str, tmp_path: Path, target: str
) -> None:
    directory = "docker" if target == "docker" else "containers"
    command = ("skopeo", "inspect", "--raw", "--no-creds", f"docker://{registry}/library/x:1")
    assert "unknown authority" in run(*command).stderr
    trust(target, registry, "--data", data, "--root", tmp_path)
    result = run(*command, "--cert-dir", tmp_path / "etc" / directory / "certs.d" / registry)
    assert (result.returncode, result.stdout) == (0, MANIFEST.decode()), result.stderr


def test_containerd_client_accepts_the_server_with_what_trust_installed(
    data: Path, registry: str, tmp_path: Path
) -> None:
    hosts = tmp_path / "etc" / "containerd" / "certs.d"
    command = ("ctr", "content", "fetch-object", "--hosts-dir", hosts, f"{registry}/library/x:1", DIGEST)
    assert run(*command).returncode != 0
    trust("containerd", registry, "--data", data, "--root", tmp_path)
    result = run(*command)
    assert (result.returncode, result.stdout) == (0, MANIFEST.decode()), result.stderr


def install_programs(root: Path, programs: list[str]) -> None:
    """Copy programs of this system, with the libraries they need, below the root."""
    files = [Path(path) for name in programs if (path := shutil.which(name))]
    listed = run("ldd", *files).stdout.split()
    files += [Path(word) for word in listed if word.startswith("/") and not word.endswith(":")]
    for file in dict.fromkeys(files):
        target = root / file.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)


@pytest.fixture
def debian_root(tmp_path: Path) -> Path:
    """Just enough of Debian in a directory to run its own update-ca-certificates there."""
    require_root()
    require_program("update-ca-certificates")
    root = tmp_path / "root"
    for name in (
        "tmp",
        "dev",
        "etc/ssl/certs",
        "usr/share/ca-certificates",
        "usr/local/share/ca-certificates",
    ):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    (root / "dev/null").touch()
    shutil.copy("/etc/ssl/openssl.cnf", root / "etc/ssl/openssl.cnf")
    programs = "sh openssl sed find cat sort readlink basename ln mktemp mv rm chmod wc test grep run-parts"
    install_programs(root, [*programs.split(), "update-ca-certificates"])
    return root


def test_system_trust_store_takes_and_gives_back_the_certificate(
    data: Path, registry: str, debian_root: Path, tmp_path: Path
) -> None:
    other = ensure_authority(tmp_path / "other")
    (debian_root / "usr/local/share/ca-certificates/other.crt").write_bytes(
        other.certificate_path.read_bytes()
    )
    bundle = debian_root / "etc/ssl/certs/ca-certificates.crt"
    command = ("curl", "-sS", "--noproxy", "*", "--cacert", bundle, f"https://{registry}/v2/")
    trust("system", "--data", data, "--root", debian_root)
    trust("system", "--data", data, "--root", debian_root)
    assert run(*command).stdout == MANIFEST.decode()
    trust("system", "--data", data, "--root", debian_root, "--remove")
    assert run(*command).returncode == 60
    assert bundle.read_bytes() == other.certificate_path.read_bytes()
    assert not any("homeport" in path.name for path in debian_root.rglob("*"))
