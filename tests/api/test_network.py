"""Network lists over HTTP, at once in force for /v2 and the control plane on every worker."""

from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from tests.servers import HomeportServer

pytestmark = pytest.mark.anyio

API = "/api/v2.0"
PROXIED = {"HOMEPORT_TRUSTED_PROXIES": "127.0.0.0/8"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    """Run a server that believes this machine's proxies, so that tests can come from anywhere."""
    server = HomeportServer(tmp_path_factory.mktemp("network"), environment=PROXIED)
    try:
        yield server.start()
    finally:
        server.stop()


class Visitor:
    """Asks as the administrator, from an address of its own."""

    def __init__(self, server: HomeportServer, address: str) -> None:
        self._server = server
        credentials = aiohttp.encode_basic_auth(server.user, server.password)
        self._headers = {"X-Forwarded-For": address, "Authorization": credentials}

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, object, str]:
        """Return status, JSON and Location of the answer."""
        async with (
            aiohttp.ClientSession(headers=self._headers) as client,
            client.request(method, self._server.url + path, json=body) as answer,
        ):
            text = await answer.text()
            content = await answer.json() if text else None
            return answer.status, content, answer.headers.get("location", "")


async def begin_upload(visitor: Visitor, repository: str) -> int:
    status, _, _ = await visitor.ask("POST", f"/v2/{repository}/blobs/uploads/")
    return status


async def test_project_list_holds_pushes_and_pulls_of_that_project_alone(server: HomeportServer) -> None:
    inside, outside = Visitor(server, "10.7.1.1"), Visitor(server, "192.0.2.7")
    locations = []
    for operation in ("pull", "push"):
        rule = {"operation": operation, "network": "10.7.0.0/16"}
        status, _, location = await inside.ask("POST", f"{API}/projects/library/network-rules", rule)
        assert status == 201
        locations.append(location)

    assert await begin_upload(inside, "library/x") == 202
    assert await begin_upload(outside, "library/x") == 403
    assert await begin_upload(outside, "elsewhere/x") == 202
    assert (await inside.ask("GET", "/v2/library/x/tags/list"))[0] == 404
    status, content, _ = await outside.ask("GET", "/v2/library/x/tags/list")
    assert (status, content["errors"][0]["code"]) == (403, "DENIED")  # type: ignore[index]

    for location in locations:
        assert (await inside.ask("DELETE", location))[0] == 200
    for _ in range(10):  # every worker
        assert await begin_upload(outside, "library/x") == 202


async def test_rules_are_listed_as_they_were_added(server: HomeportServer) -> None:
    visitor = Visitor(server, "10.7.1.1")
    rule = {"operation": "push", "network": "2001:db8::/32"}
    _, _, location = await visitor.ask("POST", f"{API}/projects/library/network-rules", rule)

    _, rules, _ = await visitor.ask("GET", f"{API}/projects/library/network-rules")

    assert [(entry["operation"], entry["network"]) for entry in rules] == [  # type: ignore[attr-defined]
        ("push", "2001:db8::/32")
    ]
    await visitor.ask("DELETE", location)
    assert (await visitor.ask("DELETE", location))[0] == 404


async def test_management_list_holds_the_control_plane_alone(
    server: HomeportServer,
) -> None:
    inside, outside = Visitor(server, "10.9.1.1"), Visitor(server, "192.0.2.7")
    rule = {"operation": "management", "network": "10.9.0.0/16"}
    status, _, location = await inside.ask("POST", f"{API}/network-rules", rule)
    assert status == 201

    assert (await outside.ask("GET", f"{API}/network-rules"))[0] == 403
    assert await begin_upload(outside, "library/x") == 202
    assert (await outside.ask("GET", f"{API}/health"))[0] == 200

    assert (await inside.ask("DELETE", location))[0] == 200
    assert (await outside.ask("GET", f"{API}/network-rules"))[0] == 200


@pytest.mark.parametrize(
    ("path", "rule", "status"),
    [
        ("/network-rules", {"operation": "management", "network": "10.200.0.0/16"}, 400),
        ("/network-rules", {"operation": "pull", "network": "office"}, 400),
        ("/network-rules", {"operation": "pull", "network": "10.0.0.1/8"}, 400),
        ("/network-rules", {"operation": "dance", "network": "10.0.0.0/8"}, 422),
        ("/network-rules", {"operation": "pull"}, 422),
        ("/projects/library/network-rules", {"operation": "management", "network": "10.0.0.0/8"}, 422),
        ("/projects/none/network-rules", {"operation": "pull", "network": "10.0.0.0/8"}, 404),
    ],
)
async def test_bad_rule_is_refused(
    server: HomeportServer, path: str, rule: dict[str, str], status: int
) -> None:
    visitor = Visitor(server, "10.9.1.1")

    assert (await visitor.ask("POST", API + path, rule))[0] == status


async def test_strangers_see_no_rules(server: HomeportServer) -> None:
    async with aiohttp.ClientSession() as client:
        for path in ("/network-rules", "/projects/library/network-rules"):
            async with client.get(server.url + API + path) as answer:
                assert answer.status == 401


async def test_forwarded_address_of_an_untrusted_client_opens_nothing(tmp_path: Path) -> None:
    server = HomeportServer(tmp_path / "s", workers=1)
    try:
        server.start()
        visitor = Visitor(server, "10.7.1.1")
        rule = {"operation": "push", "network": "10.7.0.0/16"}
        await visitor.ask("POST", f"{API}/projects/library/network-rules", rule)

        assert await begin_upload(visitor, "library/x") == 403
    finally:
        server.stop()
