import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.unit.remote.conftest import QUICK
from tests.unit.remote.hostile import HostileRegistry, answer

from homeport.auth.authority import ensure_authority, issue_server_certificate
from homeport.oci.reference import ImageReference
from homeport.remote.errors import CertificateError, ProtocolError, RemoteError
from homeport.remote.places import PlaceOptions, Registries
from homeport.remote.registry import DOCKER_HUB_HOST, Registry, RegistryOptions
from homeport.remote.tls import TlsContexts, TlsOptions

pytestmark = pytest.mark.anyio


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[HostileRegistry]:
    """Run a registry on TLS for the name localhost, with an authority of its own in `ca.crt`."""
    authority = ensure_authority(tmp_path)
    issue_server_certificate(authority, ["localhost"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    registry = HostileRegistry()
    registry.add_image("a/image", "1", b"layer")
    runner = web.ServerRunner(web.Server(registry.handle), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    registry.url = f"https://localhost:{runner.addresses[0][1]}"
    yield registry
    await runner.cleanup()


async def fetch(registry: HostileRegistry, options: TlsOptions) -> None:
    quick = RegistryOptions(TlsContexts(options), QUICK.timeouts, QUICK.retry)
    async with Registries(PlaceOptions(registry=quick)) as registries:
        repository = await registries.repository(ImageReference(registry.host, "a/image"))
        await repository.fetch_manifest("1")


async def test_plain_http_is_spoken_to_this_machine(hostile: HostileRegistry) -> None:
    hostile.add_image("a/image", "1", b"layer")
    await fetch(hostile, TlsOptions())


async def test_unknown_authority_is_refused_also_on_this_machine(secure: HostileRegistry) -> None:
    with pytest.raises(CertificateError, match="cannot be verified"):
        await fetch(secure, TlsOptions())
    assert secure.seen == []


async def test_authority_may_come_from_a_file(secure: HostileRegistry, tmp_path: Path) -> None:
    await fetch(secure, TlsOptions(ca_file=tmp_path / "ca.crt"))


async def test_authority_may_come_from_certs_d(secure: HostileRegistry, tmp_path: Path) -> None:
    folder = tmp_path / "certs.d" / secure.host
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes((tmp_path / "ca.crt").read_bytes())
    await fetch(secure, TlsOptions(directories=(tmp_path / "absent", tmp_path / "certs.d")))


async def test_insecure_takes_any_certificate(secure: HostileRegistry) -> None:
    await fetch(secure, TlsOptions(insecure=True))


async def test_client_certificate_without_key_is_an_error(secure: HostileRegistry, tmp_path: Path) -> None:
    folder = tmp_path / "certs.d" / secure.host
    folder.mkdir(parents=True)
    (folder / "client.cert").write_bytes((tmp_path / "server.crt").read_bytes())
    with pytest.raises(CertificateError, match=r"client\.key"):
        await fetch(secure, TlsOptions(directories=(tmp_path / "certs.d",)))
    (folder / "client.key").write_bytes((tmp_path / "server.key").read_bytes())
    (folder / "ca.crt").write_bytes((tmp_path / "ca.crt").read_bytes())
    await fetch(secure, TlsOptions(directories=(tmp_path / "certs.d",)))


async def test_unusable_authority_file_is_an_error(secure: HostileRegistry, tmp_path: Path) -> None:
    (tmp_path / "bad.crt").write_text("nothing")
    for file in (tmp_path / "bad.crt", tmp_path / "absent.crt"):
        with pytest.raises(CertificateError, match="cannot be used"):
            await fetch(secure, TlsOptions(ca_file=file))


async def test_https_does_not_lead_to_http(secure: HostileRegistry, tmp_path: Path) -> None:
    secure.on("GET", "/manifests/", answer(307, Location="http://localhost:1/elsewhere"))
    with pytest.raises(ProtocolError, match="from https to http"):
        await fetch(secure, TlsOptions(ca_file=tmp_path / "ca.crt"))


async def test_docker_hub_is_reached_at_its_own_host() -> None:
    async def nobody(_: str) -> None:
        return None

    async with Registry("docker.io", nobody, QUICK) as registry:
        assert registry.name == "docker.io"
        assert registry.host == DOCKER_HUB_HOST


async def test_registry_that_starts_late_is_waited_for(hostile: HostileRegistry) -> None:
    hostile.add_image("a/image", "1", b"layer")
    hostile.on("GET", "^/v2/$", answer(503), times=3)
    await fetch(hostile, TlsOptions())


async def test_registry_that_is_not_there_is_an_error() -> None:
    absent = HostileRegistry(url="http://127.0.0.1:1")
    with pytest.raises(RemoteError, match="cannot be reached"):
        await fetch(absent, TlsOptions())
