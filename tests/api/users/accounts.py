"""Users and browsers for the tests of accounts."""

import asyncio
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from tests.api.client import Api, ApiAnswer

from homeport.app import read_audit
from homeport.config import load_settings
from homeport.db.audit import AuditFilter, AuditRecord

PASSWORD = "Passw0rd-of-tests"
FORM = "application/x-www-form-urlencoded"


def unique(prefix: str = "user") -> str:
    """Return a name that nothing else has."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def profile_of(name: str) -> dict[str, str]:
    """Return the body that makes a user of that name."""
    return {
        "username": name,
        "password": PASSWORD,
        "email": f"{name}@example.org",
        "realname": "A Test",
        "comment": "made by a test",
    }


@dataclass(frozen=True, slots=True)
class TestUser:
    """A user that a test made."""

    __test__ = False

    id: int
    name: str
    api: Api


def make_user(admin: Api, *, is_sysadmin: bool = False) -> TestUser:
    """Make a user with PASSWORD."""
    name = unique()
    user_id = admin.post("/users", profile_of(name)).created_id
    if is_sysadmin:
        assert admin.put(f"/users/{user_id}/sysadmin", {"sysadmin_flag": True}).status == 200
    return TestUser(user_id, name, admin.as_user(name, PASSWORD))


def post_login(api: Api, name: str, password: str, **headers: str) -> ApiAnswer:
    """Send the form of the sign-in page."""
    body = urlencode({"principal": name, "password": password}).encode()
    sent = {"content-type": FORM, **{key.replace("_", "-"): value for key, value in headers.items()}}
    return api.as_stranger().request("POST", "/c/login", body, sent)


def cookie_of(answer: ApiAnswer) -> str:
    """Return `sid=VALUE` of the answer's cookie."""
    return str(answer.headers["set-cookie"]).partition(";")[0]


def sign_in(api: Api, name: str, password: str = PASSWORD) -> Api:
    """Return a caller with the session of a browser that signed in, and its CSRF token."""
    answer = post_login(api, name, password)
    assert answer.status == 200, answer.body
    token = answer.headers["x-harbor-csrf-token"]
    return api.as_stranger().with_headers(cookie=cookie_of(answer), x_harbor_csrf_token=token)


def records_of(data: Path, reference: str, operation: str) -> list[AuditRecord]:
    """Return the audit records about something, the newest first."""
    found = asyncio.run(read_audit(load_settings(data=data), AuditFilter(operation=operation), 500))
    return [record for _, record in found if record.reference == reference]
