"""Forwards audit records as syslog messages (RFC 5424) over TCP or TLS, with octet counting."""

import asyncio
import fcntl
import json
import os
import re
import socket
import struct
import termios
import time
from dataclasses import dataclass

import structlog

from homeport.auth.configuration import Configuration, ConfigurationReader
from homeport.control.audit_formats import as_document
from homeport.db.audit_forward import (
    ChainedRecord,
    read_waiting,
    store_positions,
)
from homeport.db.engine import Database
from homeport.jobs.audit_targets import SYSLOG, Backoff, ForwardError, begin, trust_of

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_CONNECT_TIMEOUT_S = 10.0
_SEND_TIMEOUT_S = 30.0
# TCP tells nobody that a program has read what it was sent: what was sent counts as there when the peer's
# system has acknowledged it and the connection has lived on for this long
_SETTLE_S = 2.0
_BATCH = 500
_BATCHES_PER_RUN = 40
_MAX_IN_FLIGHT = 50

_FACILITY_AUDIT = 13
_WARNING, _INFORMATIONAL = 4, 6
_NOT_PRINTABLE = re.compile(r"[^!-~]")


def syslog_frame(chained: ChainedRecord, hostname: str, process_id: int) -> bytes:
    """Return the record as one message with its length in front; the message's text is JSON in ASCII."""
    record = chained.record
    severity = _INFORMATIONAL if record.outcome == "success" else _WARNING
    document = as_document(chained.record_id, record)
    document |= {"stream": chained.stream, "sequence": chained.sequence, "hash": chained.hash}
    message = (
        f"<{_FACILITY_AUDIT * 8 + severity}>1 {record.recorded_at.strftime('%Y-%m-%dT%H:%M:%S.%fZ')}"
        f" {_name(hostname, 255)} homeport {process_id} {_name(record.operation, 32)} -"
        f" {json.dumps(document, separators=(',', ':'))}"
    ).encode("ascii")
    return b"%d %b" % (len(message), message)


def _name(text: str, length: int) -> str:
    return _NOT_PRINTABLE.sub("_", text)[:length] or "-"


class _Connection(asyncio.Protocol):
    """A connection that is only written to; it knows when the peer is gone."""

    def __init__(self) -> None:
        self.is_lost = False
        self._transport: asyncio.Transport | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        plain = transport.get_extra_info("socket")
        if plain is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def eof_received(self) -> bool:
        self.is_lost = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.is_lost = True
        self._may_write.set()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    async def send(self, content: bytes) -> None:
        if self._transport is None or self.is_lost:
            raise ForwardError("the syslog receiver closed the connection")
        self._transport.write(content)
        try:
            async with asyncio.timeout(_SEND_TIMEOUT_S):
                await self._may_write.wait()
        except TimeoutError:
            raise ForwardError("the syslog receiver does not read") from None
        if self.is_lost:
            raise ForwardError("the syslog receiver closed the connection")

    @property
    def is_acknowledged(self) -> bool:
        """Whether the peer's system has confirmed every byte."""
        if self._transport is None or self._transport.get_write_buffer_size():
            return False
        plain = self._transport.get_extra_info("socket")
        if plain is None or plain.fileno() < 0:
            return False
        unsent = struct.unpack("i", fcntl.ioctl(plain.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
        return bool(unsent == 0)

    def abort(self) -> None:
        self.is_lost = True
        if self._transport is not None:
            self._transport.abort()


@dataclass(frozen=True, slots=True)
class _Sent:
    """What was sent and is not known to have arrived."""

    at: float
    positions: dict[int, int]


class SyslogForwarder:
    """Keeps a connection to the configured receiver and sends it every record at least once.

    After a break, records of the last seconds before it are sent again: their ids tell.
    """

    def __init__(self, database: Database, configuration: ConfigurationReader) -> None:
        self._database = database
        self._configuration = configuration
        self._backoff = Backoff()
        self._connection: _Connection | None = None
        self._address: tuple[object, ...] | None = None
        self._sent: dict[int, int] = {}
        self._in_flight: list[_Sent] = []
        self._hostname = socket.gethostname()

    async def run(self) -> None:
        """Send what waits, as far as the receiver takes it; failures are logged and tried again later."""
        configuration = await self._configuration.read()
        address = (
            configuration.audit_log_forward_endpoint,
            configuration.audit_log_forward_tls,
            configuration.audit_forward_ca_certificate,
        )
        if address != self._address:
            self.close()
            self._backoff.succeed()
            self._address = address
        if not configuration.audit_log_forward_endpoint or self._backoff.is_pausing:
            return
        try:
            await self._forward(configuration)
        except (ForwardError, OSError) as error:
            self.close()
            pause = self._backoff.fail()
            log.warning("audit_forward_failed", target=SYSLOG, error=str(error), retry_s=round(pause, 1))

    def close(self) -> None:
        """Drop the connection; what is not known to have arrived is sent again later."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None
        self._in_flight.clear()

    async def _forward(self, configuration: Configuration) -> None:
        if self._connection is None:
            self._connection = await _connect(configuration)
            self._sent = await begin(self._database, SYSLOG)
        connection = self._connection
        await self._settle(connection)
        for _ in range(_BATCHES_PER_RUN):
            if len(self._in_flight) >= _MAX_IN_FLIGHT:
                break
            waiting = await self._database.read(read_waiting, self._sent, _BATCH)
            if not waiting:
                break
            frames = b"".join(syslog_frame(each, self._hostname, os.getpid()) for each in waiting)
            await connection.send(frames)
            self._sent = self._sent | {each.stream: each.sequence for each in waiting}
            self._in_flight.append(_Sent(time.monotonic(), self._sent))

    async def _settle(self, connection: _Connection) -> None:
        """Remember what has arrived; raises ForwardError when the receiver is gone or stuck."""
        if connection.is_lost:
            raise ForwardError("the syslog receiver closed the connection")
        now = time.monotonic()
        if not connection.is_acknowledged:
            if self._in_flight and now - self._in_flight[0].at > _SEND_TIMEOUT_S:
                raise ForwardError("the syslog receiver does not acknowledge")
            return
        settled = [sent for sent in self._in_flight if now - sent.at >= _SETTLE_S]
        if settled:
            await self._database.write(store_positions, SYSLOG, settled[-1].positions)
            del self._in_flight[: len(settled)]
            self._backoff.succeed()


async def _connect(configuration: Configuration) -> _Connection:
    host, _, port = configuration.audit_log_forward_endpoint.rpartition(":")
    name = host.strip("[]")
    context = trust_of(configuration) if configuration.audit_log_forward_tls else None
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            _, connection = await loop.create_connection(
                _Connection, name, int(port), ssl=context, server_hostname=name if context else None
            )
    except TimeoutError:
        raise ForwardError("the syslog receiver cannot be reached in time") from None
    return connection
