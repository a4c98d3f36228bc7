"""Fixtures of all tests: servers that run, images to push, and how long property tests search."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.images import ImageSet, make_real_images, write_small_images
from tests.postgresql import PostgresCluster
from tests.servers import DockerRegistry, HomeportServer

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile(
    "fuzz", deadline=None, max_examples=20_000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long runs out unless they are asked for."""
    if "soak" in config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, as the server does."""
    return "asyncio"


@pytest.fixture(scope="session")
def homeport_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    """Run a server on plain HTTP that the tests of this process share."""
    yield from _running(HomeportServer(tmp_path_factory.mktemp("homeport")))


@pytest.fixture(scope="session")
def homeport_tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    """Run a server with a certificate from its own authority for the name localhost."""
    directory = tmp_path_factory.mktemp("homeport-tls")
    yield from _running(HomeportServer(directory, "--tls", "auto", "--hostname", "localhost"))


@pytest.fixture
def homeport_postgres_server(tmp_path: Path, postgres_url: str) -> Iterator[HomeportServer]:
    """Run a server of this test alone whose metadata is in PostgreSQL."""
    yield from _running(HomeportServer(tmp_path / "homeport", "--database-url", postgres_url))


@pytest.fixture(scope="session")
def docker_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """Run Debian's docker-registry on plain HTTP, open to everybody, shared by the tests of this process."""
    registry = DockerRegistry(tmp_path_factory.mktemp("docker-registry")).start()
    yield registry
    registry.stop()


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """Run a PostgreSQL server that the tests of this process share."""
    cluster = PostgresCluster()
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture
def postgres_url(postgres_cluster: PostgresCluster) -> Iterator[str]:
    """Return the URL of an empty database of this test alone."""
    url = postgres_cluster.create_database()
    yield url
    postgres_cluster.drop_database(url)


@pytest.fixture(scope="session")
def real_images() -> ImageSet:
    """Return images made from Debian packages, or small ones where they cannot be made."""
    return make_real_images()


@pytest.fixture(scope="session")
def small_images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Return images of the same names and shape as the real ones, of some hundred kilobytes."""
    return write_small_images(tmp_path_factory.mktemp("images"))


def _running(server: HomeportServer) -> Iterator[HomeportServer]:
    try:
        yield server.start()
    finally:
        server.stop()
