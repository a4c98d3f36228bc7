import asyncio
import json

from tests.api.client import Api
from tests.api.users.accounts import make_user, post_login, records_of, sign_in, unique
from tests.servers import HomeportServer

from homeport.app import read_audit
from homeport.config import load_settings
from homeport.db.audit import AuditFilter


def test_changes_of_accounts_are_recorded(admin: Api, homeport_server: HomeportServer) -> None:
    user = make_user(admin)
    user.api.put(f"/users/{user.id}", {"realname": "Changed"})
    admin.put(f"/users/{user.id}/sysadmin", {"sysadmin_flag": True})
    admin.put(f"/users/{user.id}/password", {"new_password": "Another-Passw0rd"})
    admin.delete(f"/users/{user.id}")

    data = homeport_server.data
    (created,) = records_of(data, user.name, "create_user")
    assert (created.principal, created.outcome, created.client_address) == ("admin", "success", "127.0.0.1")
    password, sysadmin, profile = records_of(data, user.name, "update_user")
    assert profile.principal == user.name
    assert "Changed" in str(profile)
    assert "sysadmin_flag" in str(sysadmin)
    assert "password" in str(password)
    assert "Passw0rd" not in str((password, sysadmin, profile, created))
    assert [each.principal for each in records_of(data, user.name, "delete_user")] == ["admin"]


def test_signing_in_and_out_is_recorded(admin: Api, homeport_server: HomeportServer) -> None:
    user = make_user(admin)
    nobody = unique()
    browser = sign_in(admin, user.name)
    browser.request("GET", "/c/log_out")
    post_login(admin, user.name, "Wrong-Passw0rd")
    post_login(admin, nobody, "Wrong-Passw0rd")

    data = homeport_server.data
    failure, success = records_of(data, user.name, "login_user")
    assert (failure.outcome, success.outcome) == ("failure", "success")
    assert (success.principal, success.auth_method) == (user.name, "password")
    assert [each.outcome for each in records_of(data, nobody, "login_user")] == ["failure"]
    (left,) = records_of(data, user.name, "logout_user")
    assert (left.principal, left.auth_method) == (user.name, "session")


def test_configuration_changes_are_recorded_without_secrets(
    admin: Api, homeport_server: HomeportServer
) -> None:
    secret = unique("S3cret")
    admin.put("/configurations", {"ldap_search_password": secret, "ldap_uid": "mail"})
    admin.put("/configurations", {"ldap_uid": "cn"})

    found = asyncio.run(
        read_audit(load_settings(data=homeport_server.data), AuditFilter(operation="update_configuration"), 2)
    )
    newest, older = (json.dumps([str(record)]) for _, record in found)
    assert "ldap_uid" in newest
    assert "mail" in newest
    assert "ldap_search_password" in older
    assert secret not in older
