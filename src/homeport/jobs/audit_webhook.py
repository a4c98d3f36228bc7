"""Forwards audit records to a webhook: signed batches of JSON, each until it was answered with success."""

import hashlib
import hmac
import json
import time

import aiohttp
import structlog

from homeport.auth.configuration import Configuration, ConfigurationReader
from homeport.control.audit_formats import as_document
from homeport.db.audit_forward import (
    ChainedRecord,
    read_waiting,
    store_positions,
)
from homeport.db.engine import Database
from homeport.jobs.audit_targets import WEBHOOK, Backoff, ForwardError, begin, trust_of

log: structlog.stdlib.BoundLogger = structlog.get_logger()

SIGNATURE_HEADER = "X-Homeport-Signature"
TIMESTAMP_HEADER = "X-Homeport-Timestamp"

_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
_BATCH = 200
_BATCHES_PER_RUN = 50
_SUCCESS = range(200, 300)


def sign_body(secret: str, timestamp: str, body: bytes) -> str:
    """Return the signature: HMAC-SHA256 over the timestamp, a full stop and the body."""
    message = timestamp.encode() + b"." + body
    return "sha256=" + hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def webhook_body(records: list[ChainedRecord]) -> bytes:
    """Return a batch as JSON: the records with their ids and places in the chain."""
    documents = [
        as_document(each.record_id, each.record)
        | {"stream": each.stream, "sequence": each.sequence, "hash": each.hash}
        for each in records
    ]
    return json.dumps({"records": documents}, separators=(",", ":")).encode()


class WebhookForwarder:
    """Posts every record to the configured URL at least once, in order within each stream."""

    def __init__(self, database: Database, configuration: ConfigurationReader) -> None:
        self._database = database
        self._configuration = configuration
        self._backoff = Backoff()
        self._endpoint = ""

    async def run(self) -> None:
        """Post what waits, as far as the receiver takes it; failures are logged and tried again later."""
        configuration = await self._configuration.read()
        if configuration.audit_webhook_endpoint != self._endpoint:
            self._endpoint = configuration.audit_webhook_endpoint
            self._backoff.succeed()
        if not self._endpoint or self._backoff.is_pausing:
            return
        try:
            await self._forward(configuration)
        except (ForwardError, OSError, TimeoutError, aiohttp.ClientError) as error:
            pause = self._backoff.fail()
            reason = str(error) or type(error).__name__
            log.warning("audit_forward_failed", target=WEBHOOK, error=reason, retry_s=round(pause, 1))

    async def _forward(self, configuration: Configuration) -> None:
        positions = await begin(self._database, WEBHOOK)
        waiting = await self._database.read(read_waiting, positions, _BATCH)
        if not waiting:
            return
        connector = aiohttp.TCPConnector(ssl=trust_of(configuration))
        async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
            for _ in range(_BATCHES_PER_RUN):
                await self._post(session, configuration, webhook_body(waiting))
                self._backoff.succeed()
                moved = {each.stream: each.sequence for each in waiting}
                await self._database.write(store_positions, WEBHOOK, moved)
                positions |= moved
                waiting = await self._database.read(read_waiting, positions, _BATCH)
                if not waiting:
                    break

    async def _post(self, session: aiohttp.ClientSession, configuration: Configuration, body: bytes) -> None:
        timestamp = str(int(time.time()))
        headers = {"Content-Type": "application/json", TIMESTAMP_HEADER: timestamp}
        secret = configuration.audit_webhook_secret.reveal()
        if secret:
            headers[SIGNATURE_HEADER] = sign_body(secret, timestamp, body)
        async with session.post(
            self._endpoint, data=body, headers=headers, allow_redirects=False
        ) as response:
            if response.status not in _SUCCESS:
                raise ForwardError(f"the webhook answered {response.status}")
