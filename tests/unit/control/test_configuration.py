import pytest
from tests.unit.control.house import ACTOR, ControlHouse

from homeport.auth.configuration import DEFAULTS, Configuration, ConfigurationReader
from homeport.auth.errors import SealBrokenError
from homeport.auth.sealing import Sealer
from homeport.auth.secret import Secret
from homeport.control.errors import BadRequestError

pytestmark = pytest.mark.anyio


async def test_configuration_has_defaults(house: ControlHouse) -> None:
    assert await house.reader.read() == DEFAULTS
    assert (await house.reader.read()).stored_names == frozenset()


async def test_defaults_of_the_server_hold_until_a_setting_is_stored(house: ControlHouse) -> None:
    reader = ConfigurationReader(house.database, house.sealer, Configuration(token_expiration=5))
    assert (await reader.read()).token_expiration == 5

    await house.configuration.change(ACTOR, {"token_expiration": 30})

    configuration = await reader.read()
    assert configuration.token_expiration == 30
    assert configuration.stored_names == {"token_expiration"}


async def test_change_is_seen_at_once_by_every_process(
    house: ControlHouse, other_house: ControlHouse
) -> None:
    assert not (await other_house.reader.read()).read_only

    await house.configuration.change(ACTOR, {"read_only": True, "oidc_client_secret": "s3cret"})

    configuration = await other_house.reader.read()
    assert configuration.read_only
    assert configuration.oidc_client_secret == Secret("s3cret")
    assert "s3cret" not in repr(configuration)


async def test_secret_does_not_open_with_another_instance_secret(house: ControlHouse) -> None:
    await house.configuration.change(ACTOR, {"oidc_client_secret": "s3cret"})

    with pytest.raises(SealBrokenError):
        await ConfigurationReader(house.database, Sealer(Secret("f" * 32))).read()


async def test_mode_can_be_changed_while_the_first_user_is_alone(house: ControlHouse) -> None:
    await house.add("first")
    assert (await house.configuration.describe())["auth_mode"].is_editable

    await house.configuration.change(ACTOR, {"auth_mode": "ldap_auth"})
    await house.configuration.change(ACTOR, {"auth_mode": "db_auth"})
    await house.add("second")

    assert not (await house.configuration.describe())["auth_mode"].is_editable
    with pytest.raises(BadRequestError):
        await house.configuration.change(ACTOR, {"auth_mode": "ldap_auth"})


async def test_settings_that_need_each_other_are_checked_with_what_is_stored(house: ControlHouse) -> None:
    with pytest.raises(BadRequestError):
        await house.configuration.change(ACTOR, {"skip_audit_log_database": True})
    await house.configuration.change(ACTOR, {"audit_log_forward_endpoint": "127.0.0.1:514"})
    await house.configuration.change(ACTOR, {"skip_audit_log_database": True})

    with pytest.raises(BadRequestError):
        await house.configuration.change(ACTOR, {"audit_log_forward_endpoint": ""})


async def test_description_hides_secrets_and_names_every_other_setting(house: ControlHouse) -> None:
    described = await house.configuration.describe()

    assert not {"ldap_search_password", "oidc_client_secret", "uaa_client_secret"} & set(described)
    assert {"auth_mode", "ldap_url", "oidc_endpoint", "read_only", "banner_message"} <= set(described)
