from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, select

from homeport.auth.accounts import Accounts
from homeport.auth.onboarding import (
    LDAP,
    OIDC,
    ExternalIdentity,
    NameTakenError,
    OnboardingRefusedError,
    onboard,
)
from homeport.db.actor import Actor
from homeport.db.engine import Database
from homeport.db.external_users import ExternalGroup, forget_source_admins, read_user_groups
from homeport.db.schema import audit_record
from homeport.db.users import add_user, find_user_details
from homeport.rules.usergroups import GroupKind

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
ACTOR = Actor("alice", "ldap", "192.0.2.1", "", "request-1")
DEV = ExternalGroup("dev", "cn=dev,ou=groups,dc=x")
ALICE = ExternalIdentity(
    LDAP, "uid=alice,ou=people,dc=x", "alice", "alice@example.org", "Alice", (DEV,), is_admin=False
)
SUBJECT = ExternalIdentity(OIDC, "s1https://login.example.org", "alice", groups=(ExternalGroup("dev"),))


def operations(connection: Connection) -> list[str]:
    return list(connection.execute(select(audit_record.c.operation).order_by(audit_record.c.id)).scalars())


async def test_first_sign_in_makes_account_and_groups_and_the_next_one_writes_nothing(
    database: Database,
) -> None:
    user_id = await database.write(onboard, ALICE, ACTOR, NOW)
    version = await database.access_version()

    assert await database.write(onboard, ALICE, ACTOR, NOW + timedelta(days=1)) == user_id

    assert await database.access_version() == version
    assert list((await database.read(read_user_groups, user_id, GroupKind.LDAP)).values()) == ["dev"]
    assert (await database.read(operations))[:2] == ["create_user", "update_user"]
    details = await database.read(find_user_details, user_id)
    assert details is not None
    assert (details.source, details.external_id, details.email) == (LDAP, ALICE.external_id, ALICE.email)


async def test_each_sign_in_brings_groups_up_to_date(database: Database) -> None:
    user_id = await database.write(onboard, ALICE, ACTOR, NOW)
    ops = ExternalGroup("ops", "cn=ops,ou=groups,dc=x")
    # the same group in another spelling
    dev = ExternalGroup("dev", "CN=Dev,ou=groups,dc=x")

    await database.write(onboard, replace(ALICE, groups=(ops, dev)), ACTOR, NOW)
    both = await database.read(read_user_groups, user_id, GroupKind.LDAP)
    await database.write(onboard, replace(ALICE, groups=()), ACTOR, NOW)

    assert sorted(both.values()) == ["dev", "ops"]
    assert await database.read(read_user_groups, user_id, GroupKind.LDAP) == {}


async def test_source_that_says_nothing_of_groups_leaves_them(database: Database) -> None:
    user_id = await database.write(onboard, ALICE, ACTOR, NOW)

    await database.write(onboard, replace(ALICE, groups=None), ACTOR, NOW)

    assert await database.read(read_user_groups, user_id, GroupKind.LDAP)


async def test_administration_lasts_as_long_as_the_source_says(database: Database) -> None:
    accounts = Accounts(database)
    admin = replace(ALICE, is_admin=True)
    user_id = await database.write(onboard, admin, ACTOR, NOW)
    first = await accounts.find(user_id)
    await database.write(onboard, ALICE, ACTOR, NOW)
    second = await accounts.find(user_id)
    await database.write(onboard, admin, ACTOR, NOW)
    await database.write(forget_source_admins)
    third = await accounts.find(user_id)

    assert [found.is_sysadmin for found in (first, second, third) if found] == [True, False, False]


@pytest.mark.parametrize("name", ["alice", "ALICE", "Alice"])
async def test_name_of_a_local_account_is_refused(database: Database, name: str) -> None:
    await database.write(add_user, "alice", "hash", NOW, is_sysadmin=True)

    for identity in (ALICE, SUBJECT):
        with pytest.raises(NameTakenError):
            await database.write(onboard, replace(identity, username=name), ACTOR, NOW)


@pytest.mark.parametrize("name", ["robot$x", "anonymous", "Anonymous", "", "a:b", "a#b", " a", "x" * 256])
async def test_impossible_name_is_refused(database: Database, name: str) -> None:
    with pytest.raises(OnboardingRefusedError):
        await database.write(onboard, replace(ALICE, username=name), ACTOR, NOW)


async def test_name_never_leads_to_an_account_of_another_source(database: Database) -> None:
    await database.write(onboard, ALICE, ACTOR, NOW)

    with pytest.raises(NameTakenError):
        await database.write(onboard, SUBJECT, ACTOR, NOW)


async def test_name_never_leads_to_another_subject_of_a_provider(database: Database) -> None:
    await database.write(onboard, SUBJECT, ACTOR, NOW)

    with pytest.raises(NameTakenError):
        await database.write(onboard, replace(SUBJECT, external_id="s2https://x"), ACTOR, NOW)


async def test_subject_keeps_its_account_and_the_name_of_it(database: Database) -> None:
    user_id = await database.write(onboard, SUBJECT, ACTOR, NOW)

    assert await database.write(onboard, replace(SUBJECT, username="renamed"), ACTOR, NOW) == user_id

    details = await database.read(find_user_details, user_id)
    assert details is not None
    assert details.username == "alice"


async def test_entry_of_a_directory_may_move_or_be_renamed(database: Database) -> None:
    user_id = await database.write(onboard, ALICE, ACTOR, NOW)
    moved = replace(ALICE, external_id="uid=alice,ou=other,dc=x")

    assert await database.write(onboard, moved, ACTOR, NOW) == user_id
    assert await database.write(onboard, replace(moved, username="alicia"), ACTOR, NOW) == user_id

    details = await database.read(find_user_details, user_id)
    assert details is not None
    assert (details.username, details.external_id) == ("alicia", moved.external_id)


async def test_entry_is_never_moved_onto_another_account(database: Database) -> None:
    await database.write(onboard, ALICE, ACTOR, NOW)
    bob = replace(ALICE, username="bob", external_id="uid=bob,ou=people,dc=x")
    await database.write(onboard, bob, ACTOR, NOW)

    with pytest.raises(NameTakenError):
        await database.write(onboard, replace(bob, username="alice"), ACTOR, NOW)


async def test_account_that_was_deleted_and_made_again_has_another_fingerprint(database: Database) -> None:
    from homeport.db.users import delete_user

    accounts = Accounts(database)
    first = await accounts.find(await database.write(onboard, ALICE, ACTOR, NOW))
    assert first is not None
    await database.write(delete_user, first.user_id)
    second = await accounts.find(await database.write(onboard, ALICE, ACTOR, NOW))

    assert second is not None
    assert second.password_fingerprint != first.password_fingerprint
