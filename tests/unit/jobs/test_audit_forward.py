"""Forwarding loses no audit record, whatever happens to the receiver or to the process that sends."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection
from tests.receivers import SyslogReceiver, WebhookReceiver

from homeport.auth.audit_key import AuditKey
from homeport.auth.authority import ensure_authority, issue_server_certificate
from homeport.auth.configuration import ConfigurationReader, prepare_setting
from homeport.auth.sealing import Sealer
from homeport.auth.secret import Secret
from homeport.db.audit import AuditFilter, AuditRecord, add_records
from homeport.db.audit_search import list_records
from homeport.db.engine import Database
from homeport.db.settings import store_settings
from homeport.jobs.audit_purge import AuditPurge
from homeport.jobs.audit_syslog import SyslogForwarder
from homeport.jobs.audit_webhook import SIGNATURE_HEADER, TIMESTAMP_HEADER, WebhookForwarder, sign_body

pytestmark = pytest.mark.anyio

SEALER = Sealer(Secret("s" * 40))
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
PUSH = AuditRecord(
    recorded_at=datetime(2026, 5, 6, 7, 8, 9, 12, tzinfo=UTC),
    operation="push",
    outcome="success",
    principal="alice",
    auth_method="bearer",
    client_address="10.0.0.7",
    user_agent="docker/27",
    request_id="",
    project="library",
    repository="library/nginx",
)
HOSTILE = 'evil\n<104>1 2026-01-01T00:00:00Z h homeport 1 push - {"id":1}\r\x1b[2J\x9b31m\u202e "]\\'
TIMEOUT_S = 30


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less than in earnest."""
    monkeypatch.setattr("homeport.jobs.audit_syslog._SETTLE_S", 0.2)
    monkeypatch.setattr("homeport.jobs.audit_targets._FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr("homeport.jobs.audit_targets._LONGEST_PAUSE_S", 0.2)


@pytest.fixture
def receiver() -> Iterator[SyslogReceiver]:
    """Return a syslog server that listens."""
    started = SyslogReceiver().start()
    yield started
    started.stop()


@pytest.fixture
def webhook() -> Iterator[WebhookReceiver]:
    """Return a webhook that listens."""
    started = WebhookReceiver().start()
    yield started
    started.stop()


async def configure(database: Database, **values: str | bool | int) -> None:
    stored = {name: prepare_setting(name, value, SEALER) for name, value in values.items()}
    await database.write(store_settings, stored, LONG_AGO)


def forwarder(database: Database) -> SyslogForwarder:
    return SyslogForwarder(database, ConfigurationReader(database, SEALER))


def poster(database: Database) -> WebhookForwarder:
    return WebhookForwarder(database, ConfigurationReader(database, SEALER))


async def add(database: Database, first: int, count: int) -> None:
    operations = ("push", "login", "update_user", "pull")
    records = [
        replace(PUSH, request_id=str(number), operation=operations[number % 4], project=f"p{number % 5}")
        for number in range(first, first + count)
    ]
    await database.write(add_records, records)


async def run_until(run: SyslogForwarder | WebhookForwarder, is_done: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + TIMEOUT_S
    while not is_done():
        assert asyncio.get_running_loop().time() < deadline, "the records do not arrive"
        await run.run()
        await asyncio.sleep(0.02)


def ids(receiver: SyslogReceiver | WebhookReceiver) -> set[str]:
    return {str(document["request_id"]) for document in receiver.documents()}


def numbers(count: int) -> set[str]:
    return {str(number) for number in range(count)}


async def settle(run: SyslogForwarder) -> None:
    """Run until what was sent counts as arrived."""
    for _ in range(30):
        await run.run()
        await asyncio.sleep(0.02)


async def test_records_arrive_once_while_nothing_breaks(database: Database, receiver: SyslogReceiver) -> None:
    await configure(database, audit_log_forward_endpoint=receiver.endpoint)
    run = forwarder(database)
    await add(database, 0, 30)
    await run_until(run, lambda: ids(receiver) == numbers(30))
    await settle(run)
    await add(database, 30, 10)
    await run_until(run, lambda: ids(receiver) == numbers(40))
    await settle(run)

    assert len(receiver.messages) == 40
    document = receiver.documents()[0]
    assert {"id", "stream", "sequence", "hash", "recorded_at", "principal"} <= set(document)


async def test_receiver_that_is_away_gets_everything_later(
    database: Database, receiver: SyslogReceiver
) -> None:
    await configure(database, audit_log_forward_endpoint=receiver.endpoint)
    run = forwarder(database)
    sent = 0
    for _ in range(3):
        await add(database, sent, 20)
        sent += 20
        await run_until(run, lambda: ids(receiver) >= {str(sent - 1)})  # noqa: B023 - awaited at once
        receiver.stop()
        await add(database, sent, 20)
        sent += 20
        for _ in range(5):
            await run.run()
            await asyncio.sleep(0.02)
        receiver.start()
    await run_until(run, lambda: ids(receiver) == numbers(sent))


async def test_sender_that_is_killed_repeats_what_may_not_have_arrived(
    database: Database, receiver: SyslogReceiver
) -> None:
    await configure(database, audit_log_forward_endpoint=receiver.endpoint)
    first = forwarder(database)
    await add(database, 0, 20)
    await run_until(first, lambda: ids(receiver) == numbers(20))
    first.close()
    receiver.messages.clear()

    second = forwarder(database)
    await run_until(second, lambda: ids(receiver) == numbers(20))
    await settle(second)
    third = forwarder(database)
    receiver.messages.clear()
    await settle(third)

    assert receiver.messages == []


async def test_forwarding_over_tls_needs_the_right_authority(database: Database, tmp_path: Path) -> None:
    authority = ensure_authority(tmp_path / "ca")
    certificate, key = issue_server_certificate(authority, dict.fromkeys(["localhost"]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    receiver = SyslogReceiver(context).start()
    try:
        stranger = ensure_authority(tmp_path / "other")
        await configure(
            database,
            audit_log_forward_endpoint=receiver.endpoint,
            audit_log_forward_tls=True,
            audit_forward_ca_certificate=stranger.certificate_path.read_text(),
        )
        await add(database, 0, 5)
        run = forwarder(database)
        for _ in range(10):
            await run.run()
            await asyncio.sleep(0.05)
        assert receiver.messages == []

        await configure(database, audit_forward_ca_certificate=authority.certificate_path.read_text())
        await run_until(run, lambda: ids(receiver) == numbers(5))
        run.close()
    finally:
        receiver.stop()


async def test_hostile_texts_stay_inside_their_message(database: Database, receiver: SyslogReceiver) -> None:
    await configure(database, audit_log_forward_endpoint=receiver.endpoint)
    await database.write(add_records, [replace(PUSH, request_id="0", user_agent=HOSTILE, principal=HOSTILE)])
    run = forwarder(database)
    await run_until(run, lambda: len(receiver.messages) > 0)
    run.close()

    (message,) = receiver.messages
    assert all(0x20 <= byte < 0x7F for byte in message)
    assert receiver.documents()[0]["user_agent"] == HOSTILE


async def test_records_from_before_the_setting_are_not_sent(
    database: Database, receiver: SyslogReceiver
) -> None:
    old = replace(PUSH, recorded_at=LONG_AGO - timedelta(days=1), request_id="old")
    await database.write(add_records, [old, old])
    await configure(database, audit_log_forward_endpoint=receiver.endpoint)
    await add(database, 0, 8)
    run = forwarder(database)
    await run_until(run, lambda: ids(receiver) >= numbers(8))
    run.close()

    assert ids(receiver) == numbers(8)


async def test_webhook_gets_signed_batches_until_it_accepts_them(
    database: Database, webhook: WebhookReceiver
) -> None:
    await configure(database, audit_webhook_endpoint=webhook.endpoint, audit_webhook_secret="hush-hush")
    run = poster(database)
    await add(database, 0, 450)
    webhook.status = 503
    for _ in range(5):
        await run.run()
        await asyncio.sleep(0.05)
    assert webhook.requests == []
    webhook.status = 204
    await run_until(run, lambda: ids(webhook) == numbers(450))
    webhook.stop()
    await add(database, 450, 10)
    await run.run()
    webhook.start()
    await run_until(run, lambda: ids(webhook) == numbers(460))

    assert len(webhook.documents()) == 460
    for headers, body in webhook.requests:
        expected = sign_body("hush-hush", headers[TIMESTAMP_HEADER.lower()], body)
        assert headers[SIGNATURE_HEADER.lower()] == expected


async def test_purge_keeps_what_the_target_has_not_got(database: Database, webhook: WebhookReceiver) -> None:
    await configure(database, audit_webhook_endpoint=webhook.endpoint, audit_retention_change_days=1)
    await database.write(add_records, [replace(PUSH, request_id=str(number)) for number in range(12)])
    purge = AuditPurge(database, AuditKey(Secret("k" * 40)), ConfigurationReader(database, SEALER))

    assert await purge.run() == 0
    await run_until(poster(database), lambda: ids(webhook) == numbers(12))
    assert await purge.run() == 11

    def remaining(connection: Connection) -> list[str]:
        found = list_records(connection, AuditFilter(), limit=100)
        return sorted(record.operation for _, record in found)

    assert await database.read(remaining) == ["purge_audit", "push"]
