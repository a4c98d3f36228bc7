"""Triggers that raise `access_version` whenever something changes that rights depend on.

Pushes change the database all the time; with a number of their own for accounts, roles and projects, what was
decided about callers stays known meanwhile. Triggers, so that no statement can forget it.
"""

from collections.abc import Iterator

# per table the events that count; pushes make repositories, but do not change what they are called
_EVENTS: dict[str, tuple[str, ...]] = {
    "user_account": ("INSERT", "UPDATE", "DELETE"),
    "user_group": ("INSERT", "UPDATE", "DELETE"),
    "user_group_member": ("INSERT", "UPDATE", "DELETE"),
    "role": ("INSERT", "UPDATE", "DELETE"),
    "project": ("INSERT", "UPDATE", "DELETE"),
    "project_metadata": ("INSERT", "UPDATE", "DELETE"),
    "project_member": ("INSERT", "UPDATE", "DELETE"),
    "repository": ("INSERT", "DELETE"),
    # not what is used of it
    "quota": ("UPDATE OF hard_bytes",),
    # not when it was last used
    "robot": ("INSERT", "UPDATE OF name, project_id, is_disabled, expires_at", "DELETE"),
    "robot_secret": ("INSERT", "UPDATE", "DELETE"),
    "robot_permission": ("INSERT", "UPDATE", "DELETE"),
    "robot_trust": ("INSERT", "UPDATE", "DELETE"),
    "signing_key": ("INSERT", "UPDATE", "DELETE"),
    "setting": ("INSERT", "UPDATE", "DELETE"),
    "network_rule": ("INSERT", "UPDATE", "DELETE"),
    "client_certificate": ("INSERT", "UPDATE", "DELETE"),
}
_RAISE = "UPDATE access_version SET version = version + 1"


def create_statements(dialect: str) -> Iterator[str]:
    """Yield the statements that make the row and the triggers."""
    yield "INSERT INTO access_version (id, version) VALUES (1, 1)"
    if dialect == "postgresql":
        yield (
            "CREATE FUNCTION raise_access_version() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {_RAISE}; RETURN NULL; END $$"
        )
    for table, events in _EVENTS.items():
        for event in events:
            name = f"access_{table}_{event.split()[0].lower()}"
            if dialect == "postgresql":
                yield (
                    f"CREATE TRIGGER {name} AFTER {event} ON {table} "
                    "FOR EACH STATEMENT EXECUTE FUNCTION raise_access_version()"
                )
            else:
                yield f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN {_RAISE}; END"


def drop_statements(dialect: str) -> Iterator[str]:
    """Yield the statements that take the triggers away."""
    for table, events in _EVENTS.items():
        for event in events:
            name = f"access_{table}_{event.split()[0].lower()}"
            yield f"DROP TRIGGER {name}" + (f" ON {table}" if dialect == "postgresql" else "")
    if dialect == "postgresql":
        yield "DROP FUNCTION raise_access_version()"
