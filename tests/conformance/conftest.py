"""The registry under examination: one server per test worker, seeded as the tables ask."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from sqlalchemy import create_engine
from tests.conformance.aftermath import unharmed
from tests.conformance.content import BLOB, IMAGE, IMAGE_SEED
from tests.conformance.table import Exam
from tests.conformance.tokens import TokenClient
from tests.conformance.wire import Registry
from tests.servers import HomeportServer

from homeport.auth.passwords import Passwords
from homeport.auth.secret import Secret
from homeport.db.users import add_user

LOGINS = pytest.mark.xdist_group("logins")
BODY_TIMEOUT_S = 2
VICTIM = "hostile/victim"
OTHER_USER, OTHER_PASSWORD = "reader", "Reader-4-tests"


def registry_of(server: HomeportServer) -> Registry:
    """Return how tests reach a server that runs."""
    url = urlsplit(server.url)
    assert url.hostname is not None
    assert url.port is not None
    return Registry(url.hostname, url.port, server.user, server.password)


@pytest.fixture(scope="session")
def registry(homeport_server: HomeportServer) -> Registry:
    """Return the registry that the whole worker shares."""
    return registry_of(homeport_server)


@pytest.fixture(scope="session")
def exam(registry: Registry) -> Exam:
    """Return what runs rows against the shared registry."""
    return Exam(registry)


@pytest.fixture(scope="session")
def other_user(homeport_server: HomeportServer) -> None:
    """Make an account without any role, straight in the database: there is no other way yet."""
    password_hash = asyncio.run(Passwords().hash(Secret(OTHER_PASSWORD)))
    engine = create_engine(f"sqlite:///{homeport_server.data / 'homeport.db'}")
    try:
        with engine.begin() as connection:
            assert add_user(connection, OTHER_USER, password_hash, datetime.now(UTC), is_sysadmin=False)
    finally:
        engine.dispose()


@pytest.fixture(scope="module")
def own_tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenClient]:
    """Return a client of a token service that this module alone fails to sign in to."""
    server = HomeportServer(tmp_path_factory.mktemp("logins"), workers=1)
    try:
        yield TokenClient(registry_of(server.start()))
    finally:
        server.stop()


@pytest.fixture(scope="session")
def sparse_exam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exam]:
    """Return what runs rows against a registry that takes sparse indexes."""
    directory = tmp_path_factory.mktemp("sparse")
    server = HomeportServer(directory, environment={"HOMEPORT_SPARSE_INDEXES": "true"}, workers=1)
    try:
        yield Exam(registry_of(server.start()))
    finally:
        server.stop()


@pytest.fixture(scope="session")
def hostile_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    """Run a server for bad input, where a body may pause for two seconds; VICTIM is in it."""
    environment = {"HOMEPORT_BODY_TIMEOUT_S": str(BODY_TIMEOUT_S)}
    server = HomeportServer(tmp_path_factory.mktemp("hostile"), environment=environment)
    try:
        exam = Exam(registry_of(server.start()))
        for item in (*IMAGE_SEED, BLOB):
            exam.push(VICTIM, item)
        yield server
    finally:
        server.stop()


@pytest.fixture
def hostile(hostile_server: HomeportServer) -> Iterator[Registry]:
    """Return the server for bad input; after the test it must be as before, and answer."""
    registry = registry_of(hostile_server)
    with unharmed(hostile_server):
        yield registry
        for target, content in (("manifests/latest", IMAGE.content), (f"blobs/{BLOB.digest}", BLOB.content)):
            answer = registry.ask_as_admin("GET", f"/v2/{VICTIM}/{target}")
            assert (answer.status, answer.body) == (200, content)
