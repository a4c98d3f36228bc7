"""What the audit learns of every sign-in."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from homeport.rules.permissions import AuthMethod


class LoginOutcome(StrEnum):
    """How a sign-in ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    SLOWED_DOWN = "slowed_down"


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """Where a request came from."""

    client_address: str
    user_agent: str
    request_id: str


@dataclass(frozen=True, slots=True)
class LoginEvent:
    """A sign-in at the token service; on a failure the principal's name is the one that was claimed."""

    principal_name: str
    auth_method: AuthMethod
    outcome: LoginOutcome
    facts: RequestFacts
    detail: str = ""


LoginRecorder = Callable[[LoginEvent], Awaitable[None]]
