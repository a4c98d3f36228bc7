from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

from homeport.db.engine import Database
from homeport.db.repositories import ensure_project
from homeport.db.robots import (
    NewRobot,
    StoredTrust,
    add_robot,
    add_secret,
    add_trust,
    change_robot,
    count_trusts,
    delete_robot,
    delete_secret,
    delete_secrets_expired_before,
    delete_trust,
    end_secret,
    find_project,
    find_robot,
    find_robot_by_login,
    find_trusts_of_issuer,
    has_secrets_expired_before,
    list_expiring,
    list_robots,
    mark_warned,
    note_uses,
    read_permissions,
    read_robot_prefix,
    read_secrets,
    replace_permissions,
)
from homeport.db.settings import StoredSetting, store_settings
from homeport.rules.listing import ListQuery, parse_list_query
from homeport.rules.robots import ClaimPattern, RobotPermission

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def new(name: str = "ci", project_id: int | None = None, expires_at: datetime | None = None) -> NewRobot:
    return NewRobot(name, "", project_id, False, -1, expires_at, "user", 1)


def make(connection: Connection, name: str = "ci", project_id: int | None = None) -> int:
    robot_id = add_robot(connection, new(name, project_id), NOW)
    assert robot_id is not None
    return robot_id


async def test_robot_is_found_by_its_login_name(database: Database) -> None:
    def work(connection: Connection) -> None:
        project_id = ensure_project(connection, "shop", NOW)
        system, own = make(connection), make(connection, project_id=project_id)
        for username, expected in (
            ("robot$ci", system),
            ("robot$shop+ci", own),
            ("robot$other+ci", None),
            ("robot$", None),
            ("ci", None),
            ("robot$+ci", None),
        ):
            found = find_robot_by_login(connection, username)
            assert (found.id if found else None) == expected
        stored = find_robot(connection, own)
        assert stored is not None
        assert (stored.project_name, stored.created_at) == ("shop", NOW)

    await database.write(work)


async def test_prefix_is_the_configured_one(database: Database) -> None:
    def work(connection: Connection) -> None:
        make(connection)
        assert read_robot_prefix(connection) == "robot$"
        store_settings(connection, {"robot_name_prefix": StoredSetting('"bot-"')}, NOW)
        assert find_robot_by_login(connection, "bot-ci") is not None
        assert find_robot_by_login(connection, "robot$ci") is None

    await database.write(work)


async def test_name_is_taken_once_per_project_and_in_the_system(database: Database) -> None:
    def work(connection: Connection) -> None:
        project_id = ensure_project(connection, "shop", NOW)
        make(connection)
        make(connection, project_id=project_id)
        assert add_robot(connection, new(), NOW) is None
        assert add_robot(connection, new(project_id=project_id), NOW) is None

    await database.write(work)


async def test_permissions_are_replaced(database: Database) -> None:
    def work(connection: Connection) -> None:
        robot_id = make(connection)
        granted = (
            RobotPermission(True, None, "catalog:read"),
            RobotPermission(False, None, "repository:pull", is_denied=True),
        )
        for permissions in (granted, granted[:1], ()):
            replace_permissions(connection, robot_id, permissions)
            assert read_permissions(connection, robot_id) == permissions

    await database.write(work)


async def test_secrets_end_and_are_cleared_away(database: Database) -> None:
    def work(connection: Connection) -> None:
        robot_id = make(connection)
        first, second = add_secret(connection, robot_id, "a", NOW), add_secret(connection, robot_id, "b", NOW)
        end_secret(connection, first, NOW + DAY)
        end_secret(connection, first, NOW + 2 * DAY)
        assert [each.expires_at for each in read_secrets(connection, robot_id)] == [NOW + DAY, None]
        assert not has_secrets_expired_before(connection, NOW)
        assert has_secrets_expired_before(connection, NOW + 2 * DAY)
        assert delete_secrets_expired_before(connection, NOW + 2 * DAY) == 1
        assert delete_secret(connection, robot_id, second)
        assert not delete_secret(connection, robot_id, second)

    await database.write(work)


async def test_trust_rules_are_found_by_issuer(database: Database) -> None:
    def work(connection: Connection) -> None:
        robot_id = make(connection)
        claims = (ClaimPattern("sub", ("a", "b")), ClaimPattern("ref", ("c",)))
        rule = add_trust(
            connection, StoredTrust(0, robot_id, "https://issuer.example", "x", claims, None, NOW)
        )
        assert find_trusts_of_issuer(connection, "https://issuer.example") == [rule]
        assert find_trusts_of_issuer(connection, "https://issuer.example/") == []
        assert count_trusts(connection, robot_id) == 1
        assert not delete_trust(connection, robot_id + 1, rule.id)
        assert delete_trust(connection, robot_id, rule.id)

    await database.write(work)


async def test_deleted_robot_takes_everything_along(database: Database) -> None:
    def work(connection: Connection) -> None:
        robot_id = make(connection)
        add_secret(connection, robot_id, "a", NOW)
        add_trust(connection, StoredTrust(0, robot_id, "i", "x", (), None, NOW))
        assert delete_robot(connection, robot_id)
        assert not delete_robot(connection, robot_id)
        assert read_secrets(connection, robot_id) == []
        assert count_trusts(connection, robot_id) == 0

    await database.write(work)


async def test_last_use_is_noted_by_name_and_never_goes_back(database: Database) -> None:
    def work(connection: Connection) -> None:
        robot_id = make(connection)
        note_uses(connection, {"robot$ci": (NOW, "192.0.2.1"), "alice": (NOW, ""), "robot$no": (NOW, "")})
        note_uses(connection, {"robot$ci": (NOW - DAY, "192.0.2.2")})
        stored = find_robot(connection, robot_id)
        assert stored is not None
        assert (stored.last_used_at, stored.last_used_address) == (NOW, "192.0.2.1")

    await database.write(work)


async def test_last_use_leaves_what_is_believed_about_callers(database: Database) -> None:
    await database.write(make)
    before = await database.access_version()
    await database.write(note_uses, {"robot$ci": (NOW, "192.0.2.1")})
    assert await database.access_version() == before


async def test_robot_is_warned_of_once_per_end(database: Database) -> None:
    def work(connection: Connection) -> None:
        robot_id = add_robot(connection, new(expires_at=NOW + DAY), NOW)
        assert robot_id is not None
        make(connection, "for-ever")
        assert [each.id for each in list_expiring(connection, NOW, NOW + 7 * DAY)] == [robot_id]
        mark_warned(connection, robot_id, NOW)
        assert list_expiring(connection, NOW, NOW + 7 * DAY) == []
        change_robot(connection, robot_id, {"expires_at": NOW + 2 * DAY}, NOW)
        assert [each.id for each in list_expiring(connection, NOW, NOW + 7 * DAY)] == [robot_id]

    await database.write(work)


async def test_list_has_pages_of_one_place(database: Database) -> None:
    def work(connection: Connection) -> None:
        project_id = ensure_project(connection, "shop", NOW)
        for number in range(3):
            make(connection, f"r{number}")
        make(connection, "own", project_id)
        page, total = list_robots(connection, parse_list_query("", "-name", 1, 2), None)
        assert ([each.name for each in page], total) == (["r2", "r1"], 3)
        page, total = list_robots(connection, ListQuery(), project_id)
        assert ([each.name for each in page], total) == (["own"], 1)
        page, total = list_robots(connection, parse_list_query("name=~R1", "", 1, 10), None)
        assert [each.name for each in page] == ["r1"]

    await database.write(work)


async def test_project_is_found_by_id_or_name(database: Database) -> None:
    def work(connection: Connection) -> None:
        project_id = ensure_project(connection, "42", NOW)
        for text, is_name, expected in (
            (str(project_id), False, project_id),
            ("42", True, project_id),
            ("42", False, None),
            ("9" * 30, False, None),
            ("", False, None),
            ("4\0002", False, None),
        ):
            found = find_project(connection, text, is_name=is_name)
            assert (found.id if found else None) == expected

    await database.write(work)
