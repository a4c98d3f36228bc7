import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry
from tests.api.client import Api, ApiAnswer
from tests.api.robots.conftest import RecordsOf
from tests.api.robots.robots import MadeRobot, entry, make_robot, with_token
from tests.issuer import KEYS, Issuer

PULL, PUSH = "repository:pull", "repository:push"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"
MAIN_OF_SHOP = {"sub": "repo:acme/shop:ref:refs/heads/main"}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """Run a token issuer."""
    with Issuer() as issuer:
        yield issuer


@pytest.fixture
def robot(admin: Api, project: str, issuer: Issuer) -> MadeRobot:
    """Return a robot that trusts the issuer's workload of one branch."""
    robot = make_robot(admin, entry(project, PULL, PUSH), level="project")
    trust(admin, robot, issuer)
    return robot


def trust(admin: Api, robot: MadeRobot, trusted: Issuer, **change: Any) -> str:
    """Add a trust rule to the robot and return its path."""
    rule = {"issuer": trusted.url, "audience": "homeport", "claims": MAIN_OF_SHOP, **change}
    answer = admin.post(f"{robot.path}/trusts", rule)
    return f"{robot.path}/trusts/{answer.created_id}"


def exchange(caller: Api, token: str, **change: str) -> ApiAnswer:
    """Exchange an identity token."""
    fields = {
        "grant_type": EXCHANGE,
        "subject_token": token,
        "subject_token_type": JWT,
        "service": "homeport",
        **change,
    }
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return caller.as_stranger().request("POST", "/service/token", urlencode(fields).encode(), headers)


def test_workload_exchanges_its_token_for_a_registry_token(
    admin: Api, project: str, robot: MadeRobot, issuer: Issuer
) -> None:
    answer = exchange(admin, issuer.token(), scope=f"repository:{project}/image:pull,push")

    assert answer.status == 200
    given = answer.json
    assert given["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert (given["token_type"], given["scope"]) == ("Bearer", f"repository:{project}/image:pull,push")
    assert "refresh_token" not in given
    assert with_token(admin, given["access_token"], "POST", f"/v2/{project}/image/blobs/uploads/") == 202
    assert with_token(admin, given["access_token"], "POST", "/v2/library/image/blobs/uploads/") == 403
    assert admin.get(robot.path).json["last_used_address"] == "127.0.0.1"


@pytest.mark.parametrize("username", ["robot", "oidc"])
def test_workload_token_is_a_password_too(
    admin: Api, project: str, robot: MadeRobot, issuer: Issuer, username: str
) -> None:
    caller = admin.as_user(robot.name if username == "robot" else username, issuer.token())
    answer = caller.request("GET", f"/service/token?scope=repository:{project}/image:push")
    assert answer.status == 200
    path = f"/v2/{project}/image/blobs/uploads/"
    assert with_token(admin, answer.json["token"], "POST", path) == 202
    assert caller.request("POST", path).status == 202
    assert caller.get(robot.path).status == 403


def test_workload_login_is_recorded_with_who_it_is(
    admin: Api, robot: MadeRobot, issuer: Issuer, logins_of: RecordsOf
) -> None:
    exchange(admin, issuer.token())
    exchange(admin, issuer.token({"aud": "elsewhere"}), client_id=robot.name)
    good, bad = logins_of(robot.name)
    assert (good["auth_method"], good["outcome"]) == ("workload", "success")
    assert good["detail"] == f"{MAIN_OF_SHOP['sub']} of {issuer.url}"
    assert (bad["auth_method"], bad["outcome"]) == ("workload", "failure")
    assert "audience" in bad["detail"]


NOW = int(time.time())
WRONG_CLAIMS: list[tuple[str, dict[str, Any]]] = [
    ("another audience", {"aud": "elsewhere"}),
    ("a list of other audiences", {"aud": ["a", "b"]}),
    ("no audience", {"aud": None}),
    ("an audience that is an object", {"aud": {"homeport": 1}}),
    ("expired", {"exp": NOW - 3600}),
    ("no end", {"exp": None}),
    ("an end that is a text", {"exp": "tomorrow"}),
    ("an end that is true", {"exp": True}),
    ("an endless number as end", {"exp": 10**30}),
    ("not valid yet", {"nbf": NOW + 3600}),
    ("from the future", {"iat": NOW + 3600}),
    ("another subject", {"sub": "repo:acme/shop:ref:refs/heads/evil"}),
    ("a longer subject", {"sub": "repo:acme/shop:ref:refs/heads/main/../evil"}),
    ("no subject", {"sub": None}),
    ("a subject that is a list of others", {"sub": [["repo:acme/shop:ref:refs/heads/main"]]}),
    ("another issuer", {"iss": "http://127.0.0.1:9"}),
    ("no issuer", {"iss": None}),
    ("an issuer that is a list", {"iss": ["http://127.0.0.1:9"]}),
    ("an issuer with a slash more", {"iss": "{issuer}/"}),
]


@pytest.mark.parametrize(("case", "claims"), WRONG_CLAIMS, ids=[case for case, _ in WRONG_CLAIMS])
def test_token_with_wrong_claims_is_refused(
    admin: Api, robot: MadeRobot, issuer: Issuer, case: str, claims: dict[str, Any]
) -> None:
    del case, robot
    filled = {
        name: value.format(issuer=issuer.url) if isinstance(value, str) else value
        for name, value in claims.items()
    }
    answer = exchange(admin, issuer.token(filled))
    assert (answer.status, answer.code) == (401, "UNAUTHORIZED")


def test_audience_may_be_one_of_several(admin: Api, robot: MadeRobot, issuer: Issuer) -> None:
    del robot
    assert exchange(admin, issuer.token({"aud": ["elsewhere", "homeport"]})).status == 200


def test_token_of_another_key_is_refused(admin: Api, robot: MadeRobot, issuer: Issuer) -> None:
    del robot
    for kid in ("first", "other"):
        stolen = ECKey.generate_key("P-256", {"kid": kid})
        assert exchange(admin, issuer.token(key=stolen)).status == 401


def test_key_that_a_token_brings_along_is_not_believed(admin: Api, robot: MadeRobot, issuer: Issuer) -> None:
    del robot
    with Issuer() as attacker:
        own = attacker.keys[0]
        for header in (
            {"jwk": own.as_dict(private=False)},
            {"jku": attacker.url + KEYS},
            {"jku": attacker.url + KEYS, "kid": None},
            {"x5u": attacker.url + "/certificate"},
            {"crit": ["exp"]},
        ):
            token = _resigned(issuer, header, own)
            assert exchange(admin, token).status == 401
        assert attacker.asked == []


def _resigned(issuer: Issuer, header: dict[str, Any], key: ECKey | RSAKey) -> str:
    head = {"alg": "ES256", "kid": "first", **header}
    head = {name: value for name, value in head.items() if value is not None}
    encoded = base64.urlsafe_b64encode(json.dumps(head).encode()).rstrip(b"=")
    signing_input = encoded + b"." + issuer.token().split(".")[1].encode()
    signature = JWSRegistry.algorithms["ES256"].sign(signing_input, key)
    return (signing_input + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def test_unsigned_and_symmetric_tokens_are_refused(admin: Api, robot: MadeRobot, issuer: Issuer) -> None:
    del robot
    issuer.keys.append(RSAKey.generate_key(2048, {"kid": "rsa"}))
    payload = issuer.token().split(".")[1]
    rsa = issuer.keys[1]
    secrets = [b"", rsa.as_pem(private=False), json.dumps(rsa.as_dict(private=False)).encode()]
    for algorithm in ("none", "None", "NONE", "HS256", "", None):
        head = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "kid": "rsa"}).encode()).rstrip(b"=")
        signing_input = head + b"." + payload.encode()
        for secret in secrets:
            mac = hmac.new(secret, signing_input, hashlib.sha256).digest()
            signature = b"" if secret == b"" else base64.urlsafe_b64encode(mac).rstrip(b"=")
            assert exchange(admin, (signing_input + b"." + signature).decode()).status == 401


def test_form_that_is_no_exchange_is_refused(admin: Api, robot: MadeRobot, issuer: Issuer) -> None:
    del robot
    token = issuer.token()
    assert exchange(admin, token, subject_token_type="").status == 400
    assert exchange(admin, token, subject_token_type="urn:ietf:params:oauth:token-type:saml2").status == 400
    assert exchange(admin, token, requested_token_type="urn:x").status == 400
    assert exchange(admin, token, actor_token="x").status == 400
    assert exchange(admin, "").status == 401
    assert exchange(admin, "a.b.c").status == 401
    assert exchange(admin, "e30.e30.").status == 401
    assert exchange(admin, token[:-10]).status == 401
    assert exchange(admin, "eyJ" + "A" * 40_000).status == 401


@pytest.mark.parametrize("end", ["trust", "disable", "delete"])
def test_end_of_trust_ends_what_was_given_by_it(admin: Api, project: str, issuer: Issuer, end: str) -> None:
    robot = make_robot(admin, entry(project, PULL, PUSH), level="project")
    rule = trust(admin, robot, issuer)
    token = exchange(admin, issuer.token(), scope=f"repository:{project}/image:push").json["access_token"]
    path = f"/v2/{project}/image/blobs/uploads/"
    assert with_token(admin, token, "POST", path) == 202
    match end:
        case "trust":
            assert admin.delete(rule).status == 200
        case "disable":
            assert admin.put(robot.path, {**admin.get(robot.path).json, "disable": True}).status == 200
        case _:
            assert admin.delete(robot.path).status == 200
    for _ in range(4):
        assert with_token(admin, token, "POST", path) == 401
    assert exchange(admin, issuer.token()).status == 401


def test_token_that_several_robots_trust_needs_a_name(
    admin: Api, project: str, robot: MadeRobot, issuer: Issuer
) -> None:
    other = make_robot(admin, entry(project, PULL), level="project")
    trust(admin, other, issuer)
    answer = exchange(admin, issuer.token())
    assert (answer.status, "several robots" in answer.message) == (401, True)
    scope = f"repository:{project}/image:pull,push"
    strong = exchange(admin, issuer.token(), scope=scope, client_id=robot.name)
    assert strong.json["scope"] == scope
    weak = exchange(admin, issuer.token(), scope=scope, client_id=other.name)
    assert weak.json["scope"] == f"repository:{project}/image:pull"
    assert exchange(admin, issuer.token(), client_id="robot$nobody").status == 401


def test_issuer_that_nobody_trusts_is_never_asked(admin: Api, robot: MadeRobot) -> None:
    del robot
    with Issuer() as stranger:
        assert exchange(admin, stranger.token()).status == 401
        assert stranger.asked == []


def test_issuer_is_asked_once_and_again_for_a_new_key(admin: Api, robot: MadeRobot, issuer: Issuer) -> None:
    del robot
    for _ in range(6):
        assert exchange(admin, issuer.token()).status == 200
    assert issuer.asked.count(KEYS) <= 2  # once per worker


def test_keys_in_the_rule_make_asking_needless(admin: Api, project: str, issuer: Issuer) -> None:
    robot = make_robot(admin, entry(project, PULL), level="project")
    trust(admin, robot, issuer, issuer="https://kubernetes.default.svc", jwks=issuer.jwks())
    token = issuer.token({"iss": "https://kubernetes.default.svc"})
    assert exchange(admin, token).status == 200
    stolen = ECKey.generate_key("P-256", {"kid": "first"})
    assert exchange(admin, issuer.token({"iss": "https://kubernetes.default.svc"}, key=stolen)).status == 401
    assert issuer.asked == []


def test_claims_inside_objects_are_matched(admin: Api, project: str, issuer: Issuer) -> None:
    robot = make_robot(admin, entry(project, PULL), level="project")
    claims = {"sub": "system:serviceaccount:*:builder", "kubernetes.io/namespace": ["shop", "shop-*"]}
    trust(admin, robot, issuer, claims=claims)

    def token(namespace: str) -> str:
        subject = f"system:serviceaccount:{namespace}:builder"
        return issuer.token({"sub": subject, "kubernetes.io": {"namespace": namespace}})

    assert exchange(admin, token("shop")).status == exchange(admin, token("shop-test")).status == 200
    assert exchange(admin, token("shopping")).status == 401


WRONG_RULES: list[tuple[str, dict[str, Any]]] = [
    ("plain HTTP elsewhere", {"issuer": "http://issuer.example"}),
    ("no URL", {"issuer": "issuer"}),
    ("empty issuer", {"issuer": ""}),
    ("a file", {"issuer": "file:///etc/passwd"}),
    ("user information", {"issuer": "https://user:password@issuer.example"}),
    ("a query", {"issuer": "https://issuer.example/?x=y"}),
    ("a bad port", {"issuer": "https://issuer.example:99999"}),
    ("a private address", {"issuer": "https://10.0.0.1"}),
    ("the metadata service", {"issuer": "https://169.254.169.254"}),
    ("a mapped private address", {"issuer": "https://[::ffff:10.0.0.1]"}),
    ("no audience", {"audience": ""}),
    ("a NUL in the audience", {"audience": "a\0b"}),
    ("no claims", {"claims": {}}),
    ("claims that all have", {"claims": {"sub": "**"}}),
    ("a claim without pattern", {"claims": {"sub": []}}),
    ("one pattern that all have", {"claims": {"sub": ["me", "*"]}}),
    ("a long pattern", {"claims": {"sub": "a" * 1000}}),
    ("keys that are none", {"jwks": {"keys": []}}),
    ("a symmetric key", {"jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}}),
    ("too many keys", {"jwks": {"keys": [{}] * 65}}),
]


@pytest.mark.parametrize(("case", "change"), WRONG_RULES, ids=[case for case, _ in WRONG_RULES])
def test_trust_rule_that_is_dangerous_is_refused(
    admin: Api, project: str, case: str, change: dict[str, Any]
) -> None:
    del case
    robot = make_robot(admin, entry(project, PULL), level="project")
    rule = {"issuer": "https://issuer.example", "audience": "homeport", "claims": MAIN_OF_SHOP, **change}
    answer = admin.post(f"{robot.path}/trusts", rule)
    assert (answer.status, answer.code) == (400, "BAD_REQUEST"), answer.body


def test_trust_rules_are_shown_and_recorded(
    admin: Api, robot: MadeRobot, issuer: Issuer, records_of: RecordsOf
) -> None:
    (shown,) = admin.get(f"{robot.path}/trusts").json
    assert (shown["issuer"], shown["audience"]) == (issuer.url, "homeport")
    assert shown["claims"] == {"sub": [MAIN_OF_SHOP["sub"]]}
    assert admin.delete(f"{robot.path}/trusts/{shown['id']}").status == 200
    assert admin.delete(f"{robot.path}/trusts/{shown['id']}").status == 404
    assert admin.get(f"{robot.path}/trusts").json == []
    operations = [record["operation"] for record in records_of(robot.name)]
    assert operations == ["create_robot", "create_robot_trust", "delete_robot_trust"]
