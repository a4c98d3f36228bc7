"""Users of a real OpenLDAP sign in, by Basic, at the token service, with browsers, skopeo and podman."""

import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api.client import Api
from tests.api.users.accounts import post_login, sign_in
from tests.directory import GROUPS, PASSWORD, PEOPLE, READER, SUFFIX, LdapServer
from tests.images import ImageSet
from tests.integration.containers import ContainerTools
from tests.reader import Registry
from tests.servers import HomeportServer

pytestmark = pytest.mark.xdist_group("ldap")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LdapServer]:
    """Run a directory that the tests of this file share."""
    server = LdapServer(tmp_path_factory.mktemp("slapd"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, directory: LdapServer) -> Iterator[HomeportServer]:
    """Run a server whose accounts are in the directory."""
    server = HomeportServer(tmp_path_factory.mktemp("homeport-ldap"), workers=1)
    try:
        server.start()
        admin = Api(server.url, server.user, server.password)
        assert admin.put("/configurations", directory.settings()).status == 200
        yield server
    finally:
        server.stop()


@pytest.fixture
def admin(shared: HomeportServer, directory: LdapServer) -> Iterator[Api]:
    """Return the local administrator; what a test configures is undone."""
    admin = Api(shared.url, shared.user, shared.password)
    yield admin
    defaults = {
        "ldap_start_tls": False,
        "ldap_ca_certificate": "",
        "ldap_verify_cert": True,
        "ldap_filter": "",
        "ldap_group_admin_dn": "",
        "ldap_timeout": 5,
    }
    assert admin.put("/configurations", {**directory.settings(), **defaults}).status == 200


@pytest.fixture
def name() -> str:
    """Return a user name that no other test has."""
    return f"u{secrets.token_hex(5)}"


def configure(admin: Api, **settings: object) -> None:
    answer = admin.put("/configurations", settings)
    assert answer.status == 200, answer.body


def current(api: Api) -> dict[str, object]:
    answer = api.get("/users/current")
    assert answer.status == 200, answer.body
    found: dict[str, object] = answer.json
    return found


def records_of(admin: Api, name: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = admin.get(
        f"/auditlog-exts?q=username={name}&page_size=100&sort=-op_time"
    ).json
    return found


def test_first_sign_in_makes_the_account(admin: Api, directory: LdapServer, name: str) -> None:
    directory.add_user(name, surname="Doe")

    user = current(admin.as_user(name, PASSWORD))

    assert (user["username"], user["email"]) == (name, f"{name}@example.org")
    assert (user["realname"], user["sysadmin_flag"]) == (f"{name} Doe", False)
    made = [record for record in records_of(admin, name) if record["operation"] == "create"]
    assert [record["auth_method"] for record in made] == ["ldap"], records_of(admin, name)


@pytest.mark.parametrize("password", ["wrong", "", "Ldap-4-tests ", "ldap-4-tests"])
def test_wrong_and_empty_passwords_are_refused(
    admin: Api, directory: LdapServer, name: str, password: str
) -> None:
    directory.add_user(name)

    answer = admin.as_user(name, password).get("/users/current")

    assert (answer.status, answer.code) == (401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    "text", ["*", "{name}*", "{name})(uid=*", "*)(|(uid=*", "\\2a", "({name})", "{name}\\"]
)
def test_names_do_not_change_the_search(admin: Api, directory: LdapServer, name: str, text: str) -> None:
    directory.add_user(name)

    assert admin.as_user(text.format(name=name), PASSWORD).get("/users/current").status == 401
    assert admin.get("/ldap/users/search?username=%2A").json == []


def test_name_in_another_case_is_the_same_account(admin: Api, directory: LdapServer, name: str) -> None:
    directory.add_user(name)

    first, second = current(admin.as_user(name, PASSWORD)), current(admin.as_user(name.upper(), PASSWORD))

    assert first["user_id"] == second["user_id"]


def test_entry_that_moved_keeps_its_account(admin: Api, directory: LdapServer, name: str) -> None:
    dn = directory.add_user(name)
    before = current(admin.as_user(name, PASSWORD))
    directory.delete(dn)
    unit = f"ou={secrets.token_hex(4)},{PEOPLE}"
    directory.add(f"dn: {unit}\nobjectClass: organizationalUnit\n")
    directory.add(
        f"dn: uid={name},{unit}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: Moved\n"
        f"userPassword: Another-5-password\n"
    )

    after = current(admin.as_user(name, "Another-5-password"))

    assert (before["user_id"], after["realname"]) == (after["user_id"], name)


def test_two_entries_of_one_name_sign_nobody_in(admin: Api, directory: LdapServer, name: str) -> None:
    directory.add_user(name)
    unit = f"ou={secrets.token_hex(4)},{PEOPLE}"
    directory.add(f"dn: {unit}\nobjectClass: organizationalUnit\n")
    directory.add(
        f"dn: uid={name},{unit}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: Twin\n"
        f"userPassword: {PASSWORD}\n"
    )

    assert admin.as_user(name, PASSWORD).get("/users/current").status == 401


def test_filter_of_the_configuration_restricts_who_signs_in(
    admin: Api, directory: LdapServer, name: str
) -> None:
    directory.add_user(name, surname="Inside")
    outside = f"{name}x"
    directory.add_user(outside, surname="Outside")
    configure(admin, ldap_filter="(sn=Inside)")

    assert admin.as_user(name, PASSWORD).get("/users/current").status == 200
    assert admin.as_user(outside, PASSWORD).get("/users/current").status == 401


def test_local_admin_never_comes_from_the_directory(admin: Api, directory: LdapServer) -> None:
    directory.add_user("admin")
    try:
        assert current(admin)["username"] == "admin"
        for name in ("admin", "ADMIN", "Admin"):
            assert admin.as_user(name, PASSWORD).get("/users/current").status == 401
    finally:
        directory.delete(f"uid=admin,{PEOPLE}")


def test_groups_of_the_directory_give_roles_until_the_next_sign_in_says_otherwise(
    admin: Api, directory: LdapServer, name: str
) -> None:
    dn = directory.add_user(name)
    inner = directory.add_group(f"{name}-inner", [dn])
    outer = directory.add_group(f"{name}-outer", [inner])
    project = f"p{name}"
    assert admin.post("/projects", {"project_name": project}).status == 201
    member = {"role_id": 2, "member_group": {"group_type": 1, "group_name": "outer", "ldap_group_dn": outer}}
    assert admin.post(f"/projects/{project}/members", member).status == 201
    user = admin.as_user(name, PASSWORD)

    assert user.get(f"/projects/{project}").status == 200
    groups = admin.get("/usergroups?page_size=100").json
    assert {group["ldap_group_dn"] for group in groups} >= {inner, outer}

    directory.delete(outer)
    # another password, so that the remembered one does not count
    directory.modify(f"dn: {dn}\nchangetype: modify\nreplace: userPassword\nuserPassword: Second-1-pass\n")
    assert admin.as_user(name, "Second-1-pass").get(f"/projects/{project}").status == 403


def test_admin_group_makes_system_administrators_while_they_are_in_it(
    admin: Api, directory: LdapServer, name: str
) -> None:
    dn = directory.add_user(name)
    placeholder = directory.add_user(f"{name}-other")
    group = directory.add_group(f"{name}-admins", [dn, placeholder])
    configure(admin, ldap_group_admin_dn=group.upper().replace(",", " , "))
    user = admin.as_user(name, PASSWORD)

    found = current(user)
    assert (found["admin_role_in_auth"], found["sysadmin_flag"]) == (True, False)
    assert user.get("/users").status == 200

    directory.leave_group(group, dn)
    directory.modify(f"dn: {dn}\nchangetype: modify\nreplace: userPassword\nuserPassword: Second-1-pass\n")
    later = admin.as_user(name, "Second-1-pass")
    assert later.get("/users").status == 403
    assert user.get("/users").status == 403


def test_another_admin_group_ends_the_rights_of_the_old_one_at_once(
    admin: Api, directory: LdapServer, name: str
) -> None:
    group = directory.add_group(f"{name}-admins", [directory.add_user(name)])
    configure(admin, ldap_group_admin_dn=group)
    user = admin.as_user(name, PASSWORD)
    assert user.get("/users").status == 200

    configure(admin, ldap_group_admin_dn=f"cn=nobody,{GROUPS}")

    assert user.get("/users").status == 403


@pytest.mark.parametrize("way", ["ldaps", "StartTLS"])
def test_tls_is_checked_against_the_authority(admin: Api, directory: LdapServer, name: str, way: str) -> None:
    directory.add_user(name)
    tls = {"ldap_url": directory.tls_url} if way == "ldaps" else {"ldap_start_tls": True}
    user = admin.as_user(name, PASSWORD)

    configure(admin, **tls)
    assert user.get("/users/current").status == 503
    configure(admin, ldap_ca_certificate=directory.ca.read_text())
    assert user.get("/users/current").status == 200


def test_certificate_for_another_name_is_refused(admin: Api, directory: LdapServer, name: str) -> None:
    directory.add_user(name)
    configure(
        admin,
        ldap_url=directory.tls_url.replace("localhost", "127.0.0.1"),
        ldap_ca_certificate=directory.ca.read_text(),
    )
    user = admin.as_user(name, PASSWORD)
    assert user.get("/users/current").status == 503

    configure(admin, ldap_verify_cert=False)
    assert user.get("/users/current").status == 200


def test_directory_that_is_down_leaves_the_local_admin_in(
    admin: Api, directory: LdapServer, name: str
) -> None:
    directory.add_user(name)
    remembered = f"{name}r"
    directory.add_user(remembered)
    assert admin.as_user(remembered, PASSWORD).get("/users/current").status == 200
    directory.stop()
    try:
        answer = admin.as_user(name, PASSWORD).get("/users/current")
        assert (answer.status, answer.code) == (503, "UNAVAILABLE")
        token = admin.as_user(name, PASSWORD).request("GET", "/service/token?service=homeport")
        assert token.status == 503
        assert post_login(admin, name, PASSWORD).status == 503
        assert admin.as_user(name, PASSWORD).request("GET", "/v2/").status == 503
        assert current(admin)["username"] == "admin"
        # what was accepted minutes ago still is
        assert admin.as_user(remembered, PASSWORD).get("/users/current").status == 200
    finally:
        directory.start()
    time.sleep(2.1)
    assert admin.as_user(name, PASSWORD).get("/users/current").status == 200


def test_directory_that_does_not_answer_is_given_up(admin: Api, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        configure(admin, ldap_url=f"ldap://127.0.0.1:{silent.getsockname()[1]}", ldap_timeout=1)
        began = time.monotonic()
        assert admin.as_user(name, PASSWORD).get("/users/current").status == 503
        assert time.monotonic() - began < 10


def test_referrals_are_not_followed(admin: Api, directory: LdapServer, name: str) -> None:
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as other:

        def wait_for_client() -> None:
            try:
                other.accept()
                asked.set()
            except OSError:
                pass

        threading.Thread(target=wait_for_client, daemon=True).start()
        url = f"ldap://127.0.0.1:{other.getsockname()[1]}/{PEOPLE}"
        dn = f"ou={name},{PEOPLE}"
        directory.add(f"dn: {dn}\nobjectClass: referral\nobjectClass: extensibleObject\nref: {url}\n")
        try:
            assert admin.as_user(name, PASSWORD).get("/users/current").status == 401
            assert not asked.is_set()
        finally:
            directory.delete(dn)


def test_browser_session_of_a_directory_user(admin: Api, directory: LdapServer, name: str) -> None:
    directory.add_user(name)

    browser = sign_in(admin, name, PASSWORD)

    assert current(browser)["username"] == name
    signed_in = [record for record in records_of(admin, name) if record["operation"] == "login"]
    assert signed_in
    assert signed_in[0]["detail"] == "ldap"


def test_password_of_a_directory_user_is_not_kept_here(admin: Api, directory: LdapServer, name: str) -> None:
    directory.add_user(name)
    user_id = current(admin.as_user(name, PASSWORD))["user_id"]

    answer = admin.put(f"/users/{user_id}/password", {"new_password": "Harbour-9-x"})

    assert answer.status == 403
    assert admin.as_user(name, "Harbour-9-x").get("/users/current").status == 401


def test_token_service_gives_no_refresh_token_to_directory_users(
    admin: Api, directory: LdapServer, name: str
) -> None:
    directory.add_user(name)

    answer = admin.as_user(name, PASSWORD).request(
        "GET", "/service/token?service=homeport&offline_token=true"
    )

    assert answer.status == 200
    assert "refresh_token" not in answer.json


def test_ping_tells_what_is_wrong_and_keeps_the_stored_password(admin: Api, directory: LdapServer) -> None:
    assert admin.post("/ldap/ping").json == {"success": True, "message": ""}
    wrong = admin.post("/ldap/ping", {"ldap_search_password": "wrong"})
    assert wrong.status == 200
    assert wrong.json["success"] is False
    assert "invalidCredentials" in wrong.json["message"]
    elsewhere = admin.post("/ldap/ping", {"ldap_url": "ldap://127.0.0.1:1"})
    assert elsewhere.status == 400
    assert "password" in elsewhere.message
    given = {
        "ldap_url": directory.url,
        "ldap_search_dn": READER,
        "ldap_search_password": "nope",
        "ldap_connection_timeout": 3,
    }
    assert admin.post("/ldap/ping", given).json["success"] is False


def test_search_and_import_make_accounts_beforehand(admin: Api, directory: LdapServer, name: str) -> None:
    directory.add_user(name)
    found = admin.get(f"/ldap/users/search?username={name}").json
    assert found == [{"username": name, "realname": f"{name} Test", "email": f"{name}@example.org"}]

    assert admin.post("/ldap/users/import", {"ldap_uid_list": [name]}).status == 200
    again = admin.post("/ldap/users/import", {"ldap_uid_list": [name, "nobody-here"]})

    assert again.status == 404
    assert [failure["uid"] for failure in again.json] == [name, "nobody-here"]
    listed = admin.get(f"/users?q=username={name}").json
    assert current(admin.as_user(name, PASSWORD))["user_id"] == listed[0]["user_id"]


def test_user_of_the_directory_becomes_a_member_before_signing_in(
    admin: Api, directory: LdapServer, name: str
) -> None:
    directory.add_user(name)
    assert admin.post("/projects", {"project_name": f"p{name}"}).status == 201

    for member, status in ((name, 201), ("nobody-here", 404), ("*", 404)):
        body = {"role_id": 2, "member_user": {"username": member}}
        assert admin.post(f"/projects/p{name}/members", body).status == status

    assert admin.as_user(name, PASSWORD).get(f"/projects/p{name}").status == 200


def test_groups_are_found_by_part_of_the_name_and_by_dn(admin: Api, directory: LdapServer, name: str) -> None:
    group = directory.add_group(f"{name}-team", [directory.add_user(name)])
    expected = [{"group_name": f"{name}-team", "group_type": 1, "ldap_group_dn": group}]

    assert admin.get(f"/ldap/groups/search?groupname={name}").json == expected
    assert admin.get(f"/ldap/groups/search?groupdn={group.replace('=', '%3D')}").json == expected
    assert admin.get(f"/ldap/groups/search?groupdn=cn%3Dnone,{SUFFIX}").json == []
    assert admin.get("/ldap/groups/search?groupdn=garbage").status == 400


def test_directory_is_for_administrators_alone(admin: Api, directory: LdapServer, name: str) -> None:
    directory.add_user(name)
    for caller, status in ((admin.as_user(name, PASSWORD), 403), (admin.as_stranger(), 401)):
        assert caller.post("/ldap/ping").status == status
        assert caller.get("/ldap/users/search").status == status
        assert caller.get("/ldap/groups/search").status == status
        assert caller.post("/ldap/users/import", {"ldap_uid_list": [name]}).status == status


@pytest.fixture
def tools(tmp_path: Path, shared: HomeportServer, name: str) -> ContainerTools:
    """Return the programs of a user who has not signed in yet."""
    tools = ContainerTools(tmp_path / "tools", Registry(shared.url, name, PASSWORD, None)).prepare()
    tools.log_out()
    return tools


def test_skopeo_and_podman_work_for_directory_users(
    admin: Api, directory: LdapServer, tools: ContainerTools, name: str, small_images: ImageSet
) -> None:
    group = directory.add_group(f"{name}-team", [directory.add_user(name)])
    assert admin.post("/projects", {"project_name": name}).status == 201
    member = {"role_id": 2, "member_group": {"group_type": 1, "group_name": "team", "ldap_group_dn": group}}
    assert admin.post(f"/projects/{name}/members", member).status == 201
    login = ["login", "--tls-verify=false", "--username", name]

    tools.skopeo(*login, "--password", PASSWORD, tools.registry.host)
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(f"{name}/nginx", "1.22"))
    tools.skopeo("logout", tools.registry.host)
    tools.podman(*login, "--password-stdin", tools.registry.host, stdin=PASSWORD)
    tools.podman("pull", "--quiet", tools.name(f"{name}/nginx", "1.22"))


# the last one: afterwards this address has to wait
def test_wrong_passwords_are_slowed_down_whatever_the_spelling(
    admin: Api, directory: LdapServer, name: str
) -> None:
    directory.add_user(name)

    statuses = []
    for attempt in range(30):
        spelled = "".join(
            letter.upper() if attempt >> place & 1 else letter for place, letter in enumerate(name)
        )
        statuses.append(admin.as_user(spelled, f"wrong-{attempt}").get("/users/current").status)
        if statuses[-1] == 429:
            break

    assert statuses[-1] == 429
    assert set(statuses[:-1]) == {401}
