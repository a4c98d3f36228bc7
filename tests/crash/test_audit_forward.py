"""The jobs process, killed again and again, forwards every audit record to a receiver that comes and goes."""

import os
import signal
import time
from pathlib import Path

import pytest
from tests.api.client import Api
from tests.crash.processes import children_of
from tests.receivers import SyslogReceiver, WebhookReceiver
from tests.servers import HomeportServer

ROUNDS = 4
TIMEOUT_S = 60


@pytest.mark.timeout(240)
def test_forwarding_survives_kills(tmp_path: Path) -> None:
    syslog, webhook = SyslogReceiver().start(), WebhookReceiver().start()
    server = HomeportServer(tmp_path, workers=1)
    try:
        server.start()
        api = Api(server.url, server.user, server.password)
        settings = {
            "audit_log_forward_endpoint": syslog.endpoint,
            "audit_webhook_endpoint": webhook.endpoint,
            "audit_webhook_secret": "hush-hush",
        }
        assert api.put("/configurations", settings).status == 200
        expected: set[str] = set()
        for number in range(ROUNDS):
            if number % 2:
                syslog.stop()
                webhook.stop()
            for attempt in range(10):
                query = f"request_id={number}-{attempt}"
                assert api.get(f"/auditlog-exts/export?q={query}").status == 200
                expected.add(f"jsonl {query}")
            time.sleep(0.7 * number)
            kill_jobs(server)
            if number % 2:
                syslog.start()
                webhook.start()
        wait_for(syslog, expected)
        wait_for(webhook, expected)
        assert any(document["operation"] == "update_configuration" for document in syslog.documents())
        assert "hush-hush" not in repr(syslog.documents())
    finally:
        server.stop()
        syslog.stop()
        webhook.stop()


def kill_jobs(server: HomeportServer) -> None:
    """Kill the jobs process; the supervisor starts another."""
    nice = [pid for pid in children_of(server.pid) if os.getpriority(os.PRIO_PROCESS, pid) > 0]
    for pid in nice:
        os.kill(pid, signal.SIGKILL)
    assert nice, "there is no jobs process"
    deadline = time.monotonic() + TIMEOUT_S
    while not any(
        os.getpriority(os.PRIO_PROCESS, pid) > 0 for pid in children_of(server.pid) if pid not in nice
    ):
        assert time.monotonic() < deadline, "the jobs process does not come back"
        time.sleep(0.05)


def wait_for(receiver: SyslogReceiver | WebhookReceiver, expected: set[str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not expected <= {str(document.get("detail")) for document in receiver.documents()}:
        assert time.monotonic() < deadline, "records are missing"
        time.sleep(0.1)
