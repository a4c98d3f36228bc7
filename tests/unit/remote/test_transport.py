import pytest
from tests.unit.remote.conftest import QUICK
from tests.unit.remote.hostile import HostileRegistry, answer, run_handler
from yarl import URL

from homeport.remote.errors import ProtocolError
from homeport.remote.reach import Reach
from homeport.remote.tls import TlsContexts, TlsOptions
from homeport.remote.transport import Request, Timeouts, Transport

pytestmark = pytest.mark.anyio

HOME = URL("https://registry.example/v2/")


def transport(*, may_be_private: bool = False) -> Transport:
    made = Transport("registry.example", TlsContexts(TlsOptions()), Timeouts())
    made.settle(HOME, Reach(may_be_private=may_be_private))
    return made


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/v2/a/uploads/1?state=a%2Fb%3D", "https://registry.example/v2/a/uploads/1?state=a%2Fb%3D"),
        ("uploads/1", "https://registry.example/v2/uploads/1"),
        ("https://cdn.example/x?y=1#z", "https://cdn.example/x?y=1"),
        ("//cdn.example/x", "https://cdn.example/x"),
        ("https://user:secret@cdn.example/x", "https://cdn.example/x"),
        ("https://8.8.8.8/x", "https://8.8.8.8/x"),
    ],
)
def test_location_is_taken_as_it_is(location: str, expected: str) -> None:
    assert str(transport().derive(HOME, location)) == expected


@pytest.mark.parametrize(
    "location",
    [
        "",
        "http://registry.example/x",
        "ftp://cdn.example/x",
        "file:///etc/passwd",
        "https://10.0.0.1/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://[fd00::1]/x",
        "https://169.254.169.254/x",
        "https://cdn.example/é",
        "https://cdn.example/a b",
        "https://cdn.example:99999/x",
        "https://cdn.example/" + "x" * 20_000,
    ],
)
def test_location_that_may_not_be_used_is_refused(location: str) -> None:
    with pytest.raises(ProtocolError):
        transport().derive(HOME, location)


def test_private_registry_may_lead_into_its_own_network_but_not_to_metadata() -> None:
    inside = transport(may_be_private=True)
    assert inside.derive(HOME, "https://10.0.0.1/x").host == "10.0.0.1"
    with pytest.raises(ProtocolError):
        inside.derive(HOME, "https://169.254.169.254/x")


async def test_name_of_a_private_address_is_refused_when_the_registry_is_public(
    hostile: HostileRegistry,
) -> None:
    async with Transport("x", TlsContexts(TlsOptions()), QUICK.timeouts) as public:
        public.settle(URL("http://registry.example"), Reach(may_be_private=False))
        url = URL(hostile.url).with_host("localhost")
        with pytest.raises(ProtocolError, match="no public address"):
            await public.call(Request("GET", url))
    assert hostile.seen == []


async def test_proxy_of_the_environment_is_used_and_no_proxy_honoured(
    hostile: HostileRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_handler(answer(200, b"by proxy")) as url:
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("no_proxy", "")
        async with Transport("x", TlsContexts(TlsOptions()), QUICK.timeouts) as client:
            request = Request("GET", URL(f"{hostile.url}/v2/"))
            assert (await client.call(request)).body == b"by proxy"
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            assert (await client.call(request)).body == b"{}"


async def test_answer_that_never_ends_is_stopped(hostile: HostileRegistry) -> None:
    hostile.on("GET", "/v2/", answer(200, b"x" * 10_000))
    async with Transport("x", TlsContexts(TlsOptions()), QUICK.timeouts) as client:
        with pytest.raises(ProtocolError, match="more than 5000 bytes"):
            await client.call(Request("GET", URL(f"{hostile.url}/v2/"), limit_bytes=5000))
