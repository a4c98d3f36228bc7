"""The independent client `harborapi` drives what this area serves."""

from collections.abc import AsyncIterator

import pytest
from harborapi import HarborAsyncClient
from harborapi.exceptions import Forbidden, NotFound, Unauthorized
from harborapi.models import (
    Configurations,
    UserCreationReq,
    UserGroup,
    UserProfile,
)
from tests.api.users.accounts import PASSWORD, unique
from tests.servers import HomeportServer

pytestmark = pytest.mark.anyio


def client_of(server: HomeportServer, name: str, password: str) -> HarborAsyncClient:
    return HarborAsyncClient(url=f"{server.url}/api/v2.0", username=name, secret=password)


@pytest.fixture
async def client(homeport_server: HomeportServer) -> AsyncIterator[HarborAsyncClient]:
    client = client_of(homeport_server, homeport_server.user, homeport_server.password)
    yield client
    await client.client.aclose()


async def test_users(client: HarborAsyncClient, homeport_server: HomeportServer) -> None:
    name = unique()
    request = UserCreationReq(
        username=name, password=PASSWORD, email=f"{name}@example.org", realname="A", comment=""
    )
    location = await client.create_user(request)
    user = await client.get_user_by_username(name)
    assert user.user_id is not None
    assert location.endswith(f"/users/{user.user_id}")
    assert name in [each.username for each in await client.get_users(sort="-user_id")]
    assert [each.user_id for each in await client.search_users_by_username(name)] == [user.user_id]
    await client.update_user(user.user_id, UserProfile(email=user.email, realname="B", comment=""))
    assert (await client.get_user(user.user_id)).realname == "B"
    await client.set_user_admin(user.user_id, is_admin=True)
    own = client_of(homeport_server, name, PASSWORD)
    assert (await own.get_current_user()).sysadmin_flag is True
    assert await own.get_current_user_permissions("/system", relative=True)
    await client.set_user_admin(user.user_id, is_admin=False)
    with pytest.raises(Forbidden):
        await own.get_users()
    await own.set_user_password(user.user_id, new_password="Another-Passw0rd", old_password=PASSWORD)
    with pytest.raises(Unauthorized):
        await own.get_current_user()
    await own.client.aclose()
    await client.delete_user(user.user_id)
    with pytest.raises(NotFound):
        await client.get_user(user.user_id)


async def test_user_groups(client: HarborAsyncClient) -> None:
    name = unique("group")
    location = await client.create_usergroup(UserGroup(group_name=name, group_type=3))
    group_id = int(location.rpartition("/")[2])
    assert (await client.get_usergroup(group_id)).group_name == name
    assert [each.id for each in await client.search_usergroups(name)] == [group_id]
    assert group_id in [each.id for each in await client.get_usergroups(group_name=name)]
    await client.update_usergroup(group_id, UserGroup(group_name=f"{name}-new"))
    assert (await client.get_usergroup(group_id)).group_name == f"{name}-new"
    await client.delete_usergroup(group_id)
    with pytest.raises(NotFound):
        await client.get_usergroup(group_id)


async def test_configuration_and_system_information(client: HarborAsyncClient) -> None:
    await client.update_config(Configurations(session_timeout=90))
    found = await client.get_config()
    assert found.session_timeout is not None
    assert found.session_timeout.value == 90
    await client.update_config(Configurations(session_timeout=60))
    info = await client.get_system_info()
    assert info.auth_mode == "db_auth"
    assert str(info.harbor_version).startswith("v2.16.0")
    volumes = await client.get_system_volume_info()
    assert volumes.storage
