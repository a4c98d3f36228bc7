"""Registries and clients of the integration tests."""

import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.containers import ContainerTools
from tests.programs import Shell, make_shell
from tests.reader import Registry, RegistryReader
from tests.servers import DockerRegistry

# The same tests run against docker-registry to tell a client's habits from the server's mistakes.
PEER = os.environ.get("HOMEPORT_TEST_PEER", "homeport")


@pytest.fixture(params=["http", "tls"])
def registry(request: pytest.FixtureRequest) -> Registry:
    """Return a running registry, once on plain HTTP and once on TLS with its own authority."""
    suffix = "" if request.param == "http" else "_tls"
    fixture = f"homeport{suffix}_server" if PEER == "homeport" else f"peer{suffix}_server"
    found: Registry = request.getfixturevalue(fixture).registry
    return found


@pytest.fixture(scope="session")
def peer_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """Run docker-registry with an account, in the place of Homeport on plain HTTP."""
    server = DockerRegistry(tmp_path_factory.mktemp("peer"), user="admin").start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def peer_tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """Run docker-registry with an account, in the place of Homeport on TLS."""
    server = DockerRegistry(tmp_path_factory.mktemp("peer"), user="admin", names=["localhost"]).start()
    yield server
    server.stop()


@pytest.fixture
def reader(registry: Registry) -> RegistryReader:
    """Return an independent reader of the registry."""
    return RegistryReader(registry)


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """Return a name of a repository that nobody else uses, in a project that does not exist yet."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.originalname.removeprefix("test_").lower()).strip("-")
    return f"it-{secrets.token_hex(4)}/{name}"


@pytest.fixture
def public_repository(repository: str) -> str:
    """Return a name in the project from which everybody may pull; docker-registry has no such thing."""
    if PEER != "homeport":
        pytest.skip("docker-registry has no public projects")
    return f"library/{repository.replace('/', '-')}"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell whose programs write below this test's directory alone."""
    return make_shell(tmp_path / "shell")


@pytest.fixture
def tools(tmp_path: Path, registry: Registry) -> ContainerTools:
    """Return skopeo, buildah and podman, logged in to the registry."""
    return ContainerTools(tmp_path / "tools", registry).prepare()
