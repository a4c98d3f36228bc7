"""The server and the callers that tests of Harbor's API share."""

import pytest
from tests.api.client import Api
from tests.servers import HomeportServer


@pytest.fixture
def admin(homeport_server: HomeportServer) -> Api:
    """Return the system administrator of the shared server."""
    return Api(homeport_server.url, homeport_server.user, homeport_server.password)


@pytest.fixture
def stranger(admin: Api) -> Api:
    """Return a caller of the shared server who is not signed in."""
    return admin.as_stranger()
