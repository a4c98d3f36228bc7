import pytest
from tests.api.client import Api
from tests.api.users.accounts import make_user, unique


def make_group(admin: Api, kind: int = 3, **fields: str) -> tuple[int, str]:
    name = unique("group")
    body = {"group_name": name, "group_type": kind, **fields}
    return admin.post("/usergroups", body).created_id, name


def test_group_is_made_read_renamed_and_deleted(admin: Api) -> None:
    group_id, name = make_group(admin)

    assert admin.get(f"/usergroups/{group_id}").json == {
        "id": group_id,
        "group_name": name,
        "group_type": 3,
    }
    assert admin.put(f"/usergroups/{group_id}", {"group_name": f"{name}-new"}).status == 200
    assert admin.get(f"/usergroups/{group_id}").json["group_name"] == f"{name}-new"
    assert admin.delete(f"/usergroups/{group_id}").status == 200
    assert admin.get(f"/usergroups/{group_id}").status == 404
    assert admin.delete(f"/usergroups/{group_id}").status == 404
    assert admin.put(f"/usergroups/{group_id}", {"group_name": name}).status == 404


def test_group_keeps_its_kind_and_distinguished_name(admin: Api) -> None:
    dn = f"cn={unique()},ou=groups,dc=example,dc=org"
    group_id, name = make_group(admin, 1, ldap_group_dn=dn)

    body = {"group_name": f"{name}-new", "group_type": 3, "ldap_group_dn": "cn=admins", "id": 1}
    assert admin.put(f"/usergroups/{group_id}", body).status == 200

    assert admin.get(f"/usergroups/{group_id}").json == {
        "id": group_id,
        "group_name": f"{name}-new",
        "group_type": 1,
        "ldap_group_dn": dn,
    }


def test_groups_are_listed_by_name_and_distinguished_name(admin: Api) -> None:
    dn = f"cn={unique()},dc=example,dc=org"
    group_id, name = make_group(admin, 1, ldap_group_dn=dn)

    by_name = admin.get(f"/usergroups?group_name={name[6:]}")
    assert [each["id"] for each in by_name.json] == [group_id]
    assert by_name.headers["x-total-count"] == "1"
    assert [each["id"] for each in admin.get(f"/usergroups?ldap_group_dn={dn.upper()}").json] == [group_id]
    assert len(admin.get("/usergroups?page_size=1").json) == 1


def test_search_hides_distinguished_names(admin: Api, stranger: Api) -> None:
    group_id, name = make_group(admin, 1, ldap_group_dn=f"cn={unique()},dc=example")
    user = make_user(admin).api

    found = user.get(f"/usergroups/search?groupname={name}").json

    assert found == [{"id": group_id, "group_name": name, "group_type": 1}]
    assert user.get("/usergroups/search").status == 422
    assert user.get("/usergroups/search?groupname=a&q=ldap_group_dn=~c").status == 400
    assert stranger.get(f"/usergroups/search?groupname={name}").status == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"group_name": "", "group_type": 3},
        {"group_name": " ", "group_type": 3},
        {"group_name": "a" * 256, "group_type": 3},
        {"group_name": "a\nb", "group_type": 3},
        {"group_name": "a", "group_type": 0},
        {"group_name": "a", "group_type": 4},
        {"group_name": "a", "group_type": 1},
        {"group_name": "a", "group_type": 1, "ldap_group_dn": "no name"},
        {"group_name": "a", "group_type": 3, "ldap_group_dn": "cn=a"},
        {"group_name": "a", "group_type": "x"},
        [],
    ],
)
def test_group_that_cannot_be_is_refused(admin: Api, body: object) -> None:
    assert admin.post("/usergroups", body).status in {400, 422}


def test_group_that_is_there_is_a_conflict(admin: Api) -> None:
    _, name = make_group(admin)
    dn = f"cn={unique()},dc=example"
    make_group(admin, 1, ldap_group_dn=dn)
    other, _ = make_group(admin)

    again = {"group_name": name, "group_type": 3}
    same_dn = {"group_name": unique(), "group_type": 1, "ldap_group_dn": dn.upper()}
    assert (admin.post("/usergroups", again).status, admin.post("/usergroups", same_dn).status) == (409, 409)
    assert admin.post("/usergroups", {**again, "group_type": 2}).status == 201
    assert admin.put(f"/usergroups/{other}", {"group_name": name}).status == 409


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", ""),
        ("GET", "/{id}"),
        ("PUT", "/{id}"),
        ("DELETE", "/{id}"),
        ("GET", "/999999"),
        ("DELETE", "/999999"),
    ],
)
def test_groups_are_for_administrators(admin: Api, stranger: Api, method: str, path: str) -> None:
    group_id, _ = make_group(admin)
    user = make_user(admin).api
    filled = "/api/v2.0/usergroups" + path.format(id=group_id)
    body = {"group_name": "x", "group_type": 3} if method in {"POST", "PUT"} else None

    assert user.request(method, filled, body).status == 403
    assert stranger.request(method, filled, body).status == 401
