"""What the tests of repositories and artifacts share."""

import pytest
from tests.api.artifacts.content import House, unique
from tests.api.client import Api
from tests.servers import HomeportServer


@pytest.fixture
def house(homeport_server: HomeportServer, admin: Api) -> House:
    """Return the shared server with its database."""
    return House(homeport_server, admin)


@pytest.fixture
def repository() -> str:
    """Return the name of a repository of this test alone, with a slash inside its project."""
    return f"{unique('project')}/team/app"
