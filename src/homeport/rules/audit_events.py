"""The names that Harbor's API has for what audit records tell."""

from collections.abc import Iterable
from dataclasses import dataclass

EVENT_TYPES = (
    "create_artifact",
    "delete_artifact",
    "pull_artifact",
    "create_project",
    "update_project",
    "delete_project",
    "delete_repository",
    "login_user",
    "logout_user",
    "create_user",
    "update_user",
    "delete_user",
    "create_robot",
    "update_robot",
    "delete_robot",
    "create_member",
    "update_member",
    "delete_member",
    "update_configuration",
)


@dataclass(frozen=True, slots=True)
class Event:
    """An operation and what kind of thing it is done to, in Harbor's words."""

    operation: str
    resource_type: str

    @property
    def name(self) -> str:
        """The event's name, such as `create_artifact`."""
        return f"{self.operation}_{self.resource_type}"


_OWN_NAMES = {
    "push": Event("create", "artifact"),
    "pull": Event("pull", "artifact"),
    "delete": Event("delete", "artifact"),
    "mount": Event("create", "blob"),
    "login": Event("login", "user"),
    "logout": Event("logout", "user"),
    "denial": Event("denial", "request"),
}


def event_of(operation: str) -> Event:
    """Return the event of a record's operation: `push` is create artifact, `update_user` update user."""
    known = _OWN_NAMES.get(operation)
    if known is not None:
        return known
    verb, _, thing = operation.partition("_")
    return Event(verb, thing) if thing else Event(operation, "")


def operations_of(
    known: Iterable[str], verbs: Iterable[str] | None, things: Iterable[str] | None
) -> tuple[str, ...]:
    """Return those of the known operations that are asked for by Harbor's names; None asks for all.

    An operation's own name (`push`, `create_artifact`) is understood as well.
    """
    wanted_verbs = None if verbs is None else frozenset(verbs)
    wanted_things = None if things is None else frozenset(things)
    found = []
    for operation in known:
        event = event_of(operation)
        is_named = wanted_verbs is None or not wanted_verbs.isdisjoint(
            {operation, event.operation, event.name}
        )
        if is_named and (wanted_things is None or event.resource_type in wanted_things):
            found.append(operation)
    return tuple(found)
