"""The words of Harbor's API for what records tell."""

import pytest

from homeport.rules.audit_events import EVENT_TYPES, Event, event_of, operations_of

KNOWN = ("push", "pull", "delete", "login", "denial", "create_user", "delete_user", "rotate_key", "odd")


@pytest.mark.parametrize(
    ("operation", "event"),
    [
        ("push", Event("create", "artifact")),
        ("pull", Event("pull", "artifact")),
        ("delete", Event("delete", "artifact")),
        ("login", Event("login", "user")),
        ("update_configuration", Event("update", "configuration")),
        ("create_user_group", Event("create", "user_group")),
        ("odd", Event("odd", "")),
    ],
)
def test_operation_has_an_event(operation: str, event: Event) -> None:
    assert event_of(operation) == event


@pytest.mark.parametrize(
    ("verbs", "things", "expected"),
    [
        (None, None, KNOWN),
        (["create"], None, ("push", "create_user")),
        (["create_artifact"], None, ("push",)),
        (["push"], None, ("push",)),
        (["delete"], ["user"], ("delete_user",)),
        (None, ["artifact"], ("push", "pull", "delete")),
        (["nothing"], None, ()),
        ([], None, ()),
    ],
)
def test_operations_are_found_by_harbors_names(
    verbs: list[str] | None, things: list[str] | None, expected: tuple[str, ...]
) -> None:
    assert operations_of(KNOWN, verbs, things) == expected


def test_event_types_are_names_of_events() -> None:
    assert len(set(EVENT_TYPES)) == len(EVENT_TYPES)
    assert {"create_artifact", "pull_artifact", "login_user"} <= set(EVENT_TYPES)
