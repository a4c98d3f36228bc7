"""Client certificates through a real nginx that ends TLS and asks for them."""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.ports import reserve_port
from tests.programs import Daemon, clean_environment, require_program
from tests.servers import HomeportServer

from homeport.auth.authority import ensure_authority, issue_server_certificate
from homeport.runtime import is_listening

pytestmark = pytest.mark.anyio

NGINX = """
daemon off; master_process off; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{}}
http {{
  access_log off; client_max_body_size 0;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    ssl_client_certificate {authority}; ssl_verify_client optional;
    location / {{
      proxy_pass {upstream};
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-Proto https;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header Client-Cert "";
      proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;
    }}
  }}
}}
"""


class ClientAuthority:
    """Signs client certificates, as a company's own authority does."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        builder = builder.add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        ).add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        self.path = directory / f"{name}.crt"
        self.path.write_bytes(
            builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )

    def issue(self, name: str) -> tuple[Path, Path]:
        """Return paths of a certificate for the name and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            self._builder(subject, key.public_key())
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{name}.example")]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        paths = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return paths

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
        )


@dataclass(frozen=True, slots=True)
class House:
    """A server behind nginx, and the authorities of its clients."""

    server: HomeportServer
    url: str
    server_ca: Path
    clients: ClientAuthority
    strangers: ClientAuthority

    def curl(self, path: str, *options: str, certificate: tuple[Path, Path] | None = None) -> tuple[int, str]:
        """Return status and body of a request through the proxy."""
        sent = ["--cert", str(certificate[0]), "--key", str(certificate[1])] if certificate else []
        general = ["-s", "--cacert", str(self.server_ca), "-w", "\n%{http_code}"]
        done = subprocess.run(
            ["curl", *general, *sent, *options, self.url + path],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run Homeport, and nginx in front of it."""
    require_program("curl")
    directory = tmp_path_factory.mktemp("certificates")
    clients, strangers = ClientAuthority(directory, "clients"), ClientAuthority(directory, "strangers")
    environment = {"HOMEPORT_TRUSTED_PROXIES": "127.0.0.1/32", "HOMEPORT_CLIENT_CA": str(clients.path)}
    server = HomeportServer(directory / "server", environment=environment).start()
    authority = ensure_authority(directory / "tls")
    certificate, key = issue_server_certificate(authority, ["localhost"])
    port = reserve_port()
    # nginx itself lets every certificate through that either authority signed: Homeport looks again
    both = directory / "both.crt"
    both.write_bytes(clients.path.read_bytes() + strangers.path.read_bytes())
    configuration = directory / "nginx.conf"
    places: dict[str, object] = {
        "certificate": certificate,
        "key": key,
        "authority": both,
        "upstream": server.url,
    }
    configuration.write_text(NGINX.format(directory=directory, port=port, **places))
    command: list[str | Path] = [require_program("nginx"), "-c", configuration, "-p", directory]
    proxy = Daemon(command, directory / "nginx.log", clean_environment(directory))
    try:
        deadline = time.monotonic() + 10
        while not is_listening("127.0.0.1", port) and time.monotonic() < deadline:
            proxy.check_running()
            time.sleep(0.05)
        yield House(server, f"https://localhost:{port}", authority.certificate_path, clients, strangers)
    finally:
        proxy.stop()
        server.stop()


async def map_name(house: House, name: dict[str, object]) -> str:
    """Map a certificate's name as the administrator; return the mapping's place."""
    credentials = aiohttp.encode_basic_auth(house.server.user, house.server.password)
    async with (
        aiohttp.ClientSession(headers={"Authorization": credentials}) as client,
        client.post(f"{house.server.url}/api/v2.0/client-certificates", json=name) as answer,
    ):
        assert answer.status == 201, await answer.text()
        return house.server.url + answer.headers["location"]


async def forget_name(house: House, place: str) -> None:
    credentials = aiohttp.encode_basic_auth(house.server.user, house.server.password)
    async with (
        aiohttp.ClientSession(headers={"Authorization": credentials}) as client,
        client.delete(place) as answer,
    ):
        assert answer.status == 200


async def test_mapped_certificate_signs_in_without_a_password(house: House) -> None:
    robot = house.clients.issue("builder")
    assert house.curl("/v2/", certificate=robot)[0] == 401

    place = await map_name(house, {"field": "san", "value": "dns:builder.example", "user_id": 1})

    assert house.curl("/v2/", certificate=robot)[0] == 200
    assert house.curl("/v2/secret/x/blobs/uploads/", "-X", "POST", certificate=robot)[0] == 202
    assert house.curl("/api/v2.0/client-certificates", certificate=robot)[0] == 200

    await forget_name(house, place)
    for _ in range(6):  # on every worker at once
        assert house.curl("/v2/", certificate=robot)[0] == 401


async def test_certificate_of_another_authority_is_refused(house: House) -> None:
    place = await map_name(house, {"field": "subject", "value": "CN=mole", "user_id": 1})

    assert house.curl("/v2/", certificate=house.clients.issue("mole"))[0] == 200
    assert house.curl("/v2/", certificate=house.strangers.issue("mole"))[0] == 401

    await forget_name(house, place)


async def test_certificate_header_of_an_ordinary_client_opens_nothing(house: House) -> None:
    certificate, _ = house.clients.issue("forged")
    place = await map_name(house, {"field": "subject", "value": "CN=forged", "user_id": 1})
    escaped = certificate.read_text().replace("\n", "%0A").replace("+", "%2B").replace(" ", "%20")

    for header in (f"X-SSL-Client-Cert: {escaped}", "Client-Cert: :AAAA:"):
        assert house.curl("/v2/", "-H", header)[0] == 401

    await forget_name(house, place)


async def test_without_a_certificate_everything_is_as_before(house: House) -> None:
    assert house.curl("/v2/")[0] == 401
    credentials = f"{house.server.user}:{house.server.password}"
    assert house.curl("/v2/", "-u", credentials)[0] == 200


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ({"field": "subject", "value": "CN=x"}, 400),
        ({"field": "subject", "value": "CN=x", "user_id": 999}, 400),
        ({"field": "subject", "value": "CN=x", "user_id": 1, "robot_id": 1}, 400),
        ({"field": "serial", "value": "1", "user_id": 1}, 422),
        ({"field": "subject", "value": "", "user_id": 1}, 422),
    ],
)
async def test_bad_mapping_is_refused(house: House, name: dict[str, object], status: int) -> None:
    credentials = aiohttp.encode_basic_auth(house.server.user, house.server.password)
    async with (
        aiohttp.ClientSession(headers={"Authorization": credentials}) as client,
        client.post(f"{house.server.url}/api/v2.0/client-certificates", json=name) as answer,
    ):
        assert answer.status == status
