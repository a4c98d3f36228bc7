"""Robots as tests make them."""

import itertools
import os
from dataclasses import dataclass
from typing import Any

from tests.api.client import Api, ApiAnswer

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class MadeRobot:
    """A robot, and the caller that it is."""

    id: int
    name: str
    secret: str
    api: Api

    @property
    def path(self) -> str:
        """Where it stands below the API's root."""
        return f"/robots/{self.id}"


def new_name(prefix: str = "bot") -> str:
    """Return a name that no other test of this run uses."""
    return f"{prefix}-{os.getpid()}-{next(_numbers)}"


def entry(namespace: str, *permissions: str, effect: str | None = None) -> dict[str, Any]:
    """Return a permission entry: of the system for `/`, else of a project."""
    access: list[dict[str, str]] = []
    for permission in permissions:
        resource, _, action = permission.partition(":")
        access.append({"resource": resource, "action": action, **({"effect": effect} if effect else {})})
    return {"kind": "system" if namespace == "/" else "project", "namespace": namespace, "access": access}


def body(*entries: dict[str, Any], level: str = "system", **more: Any) -> dict[str, Any]:
    """Return what a robot is made from."""
    return {"name": new_name(), "level": level, "duration": 30, "permissions": list(entries), **more}


def make_robot(caller: Api, *entries: dict[str, Any], level: str = "system", **more: Any) -> MadeRobot:
    """Make a robot."""
    return made(caller, caller.post("/robots", body(*entries, level=level, **more)))


def made(caller: Api, answer: ApiAnswer) -> MadeRobot:
    """Return the robot that an answer tells of."""
    assert answer.status == 201, answer.body
    created = answer.json
    name, secret = created["name"], created["secret"]
    return MadeRobot(created["id"], name, secret, caller.as_user(name, secret))


def token_of(caller: Api, *scopes: str) -> tuple[int, str]:
    """Ask the token service with the caller's Basic credentials; return the status and the token."""
    query = "&".join(f"scope={scope}" for scope in scopes)
    answer = caller.request("GET", f"/service/token?service=homeport&{query}")
    return answer.status, answer.json["token"] if answer.status == 200 else ""


def with_token(caller: Api, token: str, method: str, path: str) -> int:
    """Send a request with a bearer token and return the status."""
    return caller.as_stranger().with_headers(authorization=f"Bearer {token}").request(method, path).status
