"""The registry under examination: one server per test worker, seeded as the tables ask."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from tests.conformance.table import Exam
from tests.conformance.wire import Registry
from tests.servers import HomeportServer


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
def sparse_exam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exam]:
    """Return what runs rows against a registry that takes sparse indexes."""
    directory = tmp_path_factory.mktemp("sparse")
    server = HomeportServer(directory, environment={"HOMEPORT_SPARSE_INDEXES": "true"}, workers=1)
    try:
        yield Exam(registry_of(server.start()))
    finally:
        server.stop()
