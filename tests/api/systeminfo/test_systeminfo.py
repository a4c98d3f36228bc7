from tests.api.client import Api
from tests.api.users.accounts import make_user
from tests.servers import HomeportServer


def test_strangers_learn_what_signing_in_needs(stranger: Api) -> None:
    answer = stranger.get("/systeminfo")

    assert (answer.status, answer.json) == (
        200,
        {"auth_mode": "db_auth", "primary_auth_mode": False, "self_registration": False},
    )


def test_users_learn_more(admin: Api) -> None:
    found = make_user(admin).api.get("/systeminfo").json

    assert found["external_url"] == admin.url
    assert found["registry_url"] == admin.url.removeprefix("http://")
    assert found["harbor_version"].startswith("v2.16.0-homeport-")
    assert found["has_ca_root"] is False
    assert found["current_time"].endswith("Z")


def test_wrong_credentials_are_no_stranger(admin: Api) -> None:
    assert admin.as_user("admin", "wrong").get("/systeminfo").status == 401


def test_volumes_are_for_administrators(admin: Api, stranger: Api) -> None:
    (volume,) = admin.get("/systeminfo/volumes").json["storage"]

    assert volume["total"] > volume["free"] > 0
    assert make_user(admin).api.get("/systeminfo/volumes").status == 403
    assert stranger.get("/systeminfo/volumes").status == 401


def test_certificate_is_there_for_everybody_when_there_is_an_authority(
    stranger: Api, homeport_tls_server: HomeportServer
) -> None:
    server = homeport_tls_server
    assert server.ca is not None
    api = Api(server.url, server.user, server.password, ca=server.ca)

    answer = api.as_stranger().get("/systeminfo/getcert")

    assert (answer.status, answer.body) == (200, server.ca.read_bytes())
    assert answer.headers["content-disposition"] == "attachment; filename=ca.crt"
    assert api.get("/systeminfo").json["has_ca_root"] is True
    assert stranger.get("/systeminfo/getcert").status == 404
