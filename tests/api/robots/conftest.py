"""A server whose robots fail to sign in, with projects that they work in."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.api.client import Api
from tests.api.robots.robots import new_name
from tests.servers import HomeportServer

RecordsOf = Callable[[str], list[dict[str, Any]]]

IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EMPTY_OBJECT = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@pytest.fixture(scope="session")
def robot_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    """Run a server of these tests alone: their wrong secrets slow everybody at their address down."""
    environment = {"HOMEPORT_WORKLOAD_NETWORKS": "127.0.0.0/8", "HOMEPORT_WORKLOAD_HTTP": "true"}
    server = HomeportServer(tmp_path_factory.mktemp("robots"), environment=environment)
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def admin(robot_server: HomeportServer) -> Api:
    """Return the system administrator."""
    return Api(robot_server.url, robot_server.user, robot_server.password)


@pytest.fixture
def project(admin: Api) -> str:
    """Return the name of a new private project with an image: the first push makes one."""
    name = new_name("project")
    answer = admin.request("POST", f"/v2/{name}/image/blobs/uploads/")
    assert answer.status == 202, answer.body
    location = answer.headers["location"]
    separator = "&" if "?" in location else "?"
    path = f"{location[location.index('/v2/') :]}{separator}digest={EMPTY_OBJECT}"
    assert admin.request("PUT", path, b"{}").status == 201
    manifest = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": EMPTY_OBJECT, "size": 2},
        "layers": [{"mediaType": "application/octet-stream", "digest": EMPTY_OBJECT, "size": 2}],
    }
    headers = {"content-type": IMAGE_MANIFEST}
    content = json.dumps(manifest).encode()
    assert admin.request("PUT", f"/v2/{name}/image/manifests/latest", content, headers).status == 201
    return name


@pytest.fixture
def records_of(robot_server: HomeportServer) -> RecordsOf:
    """Return what reads the audit records about a robot, the oldest first."""

    def read(robot_name: str) -> list[dict[str, Any]]:
        return _select(robot_server, "reference = ?", robot_name)

    return read


@pytest.fixture
def logins_of(robot_server: HomeportServer) -> RecordsOf:
    """Return what reads the records of a robot's sign-ins, the oldest first."""

    def read(robot_name: str) -> list[dict[str, Any]]:
        return _select(robot_server, "principal = ? AND operation LIKE 'login%'", robot_name)

    return read


def _select(server: HomeportServer, condition: str, value: str) -> list[dict[str, Any]]:
    connection = sqlite3.connect(f"file:{server.data / 'homeport.db'}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        statement = f"SELECT * FROM audit_record WHERE {condition} ORDER BY id"  # noqa: S608 - ours
        return [dict(row) for row in connection.execute(statement, (value,))]
    finally:
        connection.close()
