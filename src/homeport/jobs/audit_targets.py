"""Where audit records are forwarded to, and when a target that does not answer is tried again."""

import random
import ssl
import time
from collections.abc import Callable

from homeport.auth.configuration import Configuration
from homeport.db.audit_forward import read_positions, start_target
from homeport.db.engine import Database
from homeport.errors import HomeportError

SYSLOG = "syslog"
WEBHOOK = "webhook"
SETTING_OF = {SYSLOG: "audit_log_forward_endpoint", WEBHOOK: "audit_webhook_endpoint"}

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 120.0


class ForwardError(HomeportError):
    """The target did not take the records; they stay in the table."""


def configured_targets(configuration: Configuration) -> tuple[str, ...]:
    """Return the targets that are to get the records."""
    return tuple(target for target, name in SETTING_OF.items() if getattr(configuration, name))


def trust_of(configuration: Configuration) -> ssl.SSLContext:
    """Return how servers of targets are verified: by the configured authority, else by the system's."""
    authority = configuration.audit_forward_ca_certificate
    return ssl.create_default_context(cadata=authority or None)


async def begin(database: Database, target: str) -> dict[int, int]:
    """Return what the target has; one that is new begins with what was recorded since it is configured."""
    positions = await database.read(read_positions, target)
    if not positions:
        await database.write(start_target, target, SETTING_OF[target])
        positions = await database.read(read_positions, target)
    return positions


class Backoff:
    """Pauses that double with every failure, up to two minutes, spread so that servers do not act as one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._until = 0.0

    @property
    def is_pausing(self) -> bool:
        """Whether it is too early to try again."""
        return self._clock() < self._until

    def fail(self) -> float:
        """Note a failure; returns the pause in seconds."""
        longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._failures, 16))
        pause: float = longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
        self._failures += 1
        self._until = self._clock() + pause
        return pause

    def succeed(self) -> None:
        """Forget the failures."""
        self._failures = 0
        self._until = 0.0
