"""The composition root: builds the server from its parts, and nothing else does."""

import asyncio
import getpass
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from homeport import __version__
from homeport.auth.access_tokens import AccessTokens, TokenAudience
from homeport.auth.accounts import Accounts
from homeport.auth.audit_key import AuditKey
from homeport.auth.authentication import Authenticator
from homeport.auth.authority import AUTHORITY_CERTIFICATE, authority_directory
from homeport.auth.bootstrap import change_password, ensure_admin
from homeport.auth.certificates import CertificateLogin
from homeport.auth.cleaning import delete_outlived
from homeport.auth.configuration import Configuration, ConfigurationReader
from homeport.auth.issuers import IssuerKeys, IssuerSettings
from homeport.auth.ldap import LdapDirectory
from homeport.auth.ldap_login import LdapLogin
from homeport.auth.login_event import LoginEvent, RequestFacts
from homeport.auth.network import NetworkGuard
from homeport.auth.oidc_login import OidcLogin
from homeport.auth.oidc_provider import OidcProvider
from homeport.auth.password_login import PasswordLogin
from homeport.auth.passwords import Passwords
from homeport.auth.refresh_tokens import RefreshTokens
from homeport.auth.sealing import Sealer, load_instance_secret
from homeport.auth.secret import Secret
from homeport.auth.sessions import Sessions
from homeport.auth.signing_keys import SigningKeys
from homeport.auth.token_service import TokenService
from homeport.auth.workload import WorkloadLogin
from homeport.blobs.directory import DirectoryStore
from homeport.blobs.store import BlobStore
from homeport.config import Settings
from homeport.control.browser_login import BrowserLogin
from homeport.control.oidc import AccountParts, OidcSignIn
from homeport.db.actor import Actor, Target
from homeport.db.audit import AuditFilter, AuditRecord
from homeport.db.engine import Database, open_database
from homeport.db.login_failures import forget_login_failures
from homeport.db.repositories import ensure_project
from homeport.db.signing_keys import StoredSigningKey, list_signing_keys
from homeport.db.upgrade import HEAD, current_revision, upgrade_database
from homeport.errors import HomeportError
from homeport.jobs.audit_chores import AuditTools, audit_chores
from homeport.jobs.journals import drain_journals
from homeport.jobs.robots import look_after_robots
from homeport.jobs.worker import Chore, run_chores
from homeport.registry.content import SmallContent
from homeport.registry.delete import Deleter
from homeport.registry.inspection import InspectionListener, InspectionOptions, Report, inspect
from homeport.registry.journal import PullJournal
from homeport.registry.listing import Lister
from homeport.registry.pull import Puller
from homeport.registry.push import Pusher
from homeport.registry.recorder import Recorder
from homeport.registry.uploads import Uploads
from homeport.rules.users import check_password
from homeport.runtime import DirectoryLock, Program, Supervisor, is_listening, reserve_address
from homeport.telemetry import Metrics, configure_logs, prepare_metrics
from homeport.web.api import health, token
from homeport.web.api.callers import Callers
from homeport.web.api.services import ServerFacts, Services
from homeport.web.forwarded import Forwarding
from homeport.web.site import AsgiApp, Site
from homeport.web.v2.access import Access, HouseRules
from homeport.web.v2.app import RegistryApp
from homeport.web.v2.blobs import Blobs
from homeport.web.v2.lists import Lists
from homeport.web.v2.manifests import Manifests
from homeport.web.v2.uploads import UploadHandlers

_JOBS_GRACE_S = 15.0
_JOBS_NICENESS = 5  # clients come first
_JOURNALS_PAUSE_S = 0.5
_EXPIRY_PAUSE_S = 60.0
_CLEANING_PAUSE_S = 600.0
_PUBLIC_PROJECT = "library"
_SERVICE = "homeport"


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of the certificate chain and its key."""

    certificate: Path
    key: Path


def run_server(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run the server until SIGTERM or SIGINT; raises HomeportError when it cannot start.

    `announce` is told what the operator must see: a made-up password once, and when clients can connect.
    """
    configure_logs(is_terminal=sys.stderr.isatty())
    lock = DirectoryLock(settings.data)
    try:
        host, port = settings.address
        tls = None
        if settings.role != "jobs":
            host, port = reserve_address(host, port)
            tls = _prepare_tls(settings, host)
        made_up = asyncio.run(_prepare_database(settings))
        if made_up is not None:
            announce(f"The first password of the user admin is {made_up} (shown only now)")
        prepare_metrics(settings.data / "run" / "metrics")
        programs = []
        if settings.role != "jobs":
            web = partial(_run_web, settings, host, port, tls)
            programs.append(Program("web", web, settings.workers, 1, settings.drain_timeout_s))
        if settings.role != "web":
            programs.append(Program("jobs", partial(_run_jobs, settings), 1, 0, _JOBS_GRACE_S))
        _import_early()
        supervisor = Supervisor(
            programs,
            is_ready=lambda: settings.role == "jobs" or is_listening(host, port),
            on_ready=lambda: announce(_ready_line(settings, host, port)),
        )
        supervisor.run()
    finally:
        lock.release()


def _ready_line(settings: Settings, host: str, port: int) -> str:
    if settings.role == "jobs":
        return "Homeport's jobs process is ready"
    scheme = "http" if settings.effective_tls == "off" else "https"
    name = settings.hostname or host
    shown = f"[{name}]" if ":" in name else name
    return f"Homeport is ready at {settings.external_url or f'{scheme}://{shown}:{port}'}"


def _import_early() -> None:
    """Import what the children need before they are forked, so that they share it."""
    import granian.server.embed
    import uvloop

    del granian, uvloop


def _prepare_tls(settings: Settings, host: str) -> Tls | None:
    from homeport.auth.authority import (
        check_server_certificate,
        ensure_authority,
        issue_server_certificate,
    )

    if settings.effective_tls == "off":
        return None
    if settings.effective_tls == "auto":
        authority = ensure_authority(authority_directory(settings.data))
        names = dict.fromkeys(
            name for name in (settings.hostname, host, "localhost", "127.0.0.1", "::1") if name
        )
        return Tls(*issue_server_certificate(authority, names))
    certificate, _, key = settings.effective_tls.partition(",")
    return Tls(*check_server_certificate(Path(certificate), Path(key)))


async def _prepare_database(settings: Settings) -> str | None:
    """Bring the schema up to date, make what a new server needs, return a made-up admin password."""
    database = open_database(settings.effective_database_url, settings.data / "run")
    await database.open()
    try:
        await upgrade_database(database)
        await database.write(ensure_project, _PUBLIC_PROJECT, datetime.now(UTC), is_public=True)
        if settings.role != "jobs":
            await SigningKeys(database, _sealer(settings)).signing_key()
        given = settings.admin_password
        return await ensure_admin(database, Secret(given.get_secret_value()) if given else None)
    finally:
        await database.close()


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    """Open the database for the time of the context."""
    database = open_database(settings.effective_database_url, settings.data / "run")
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[BlobStore]:
    """Open the blob store for the time of the context."""
    store: BlobStore = DirectoryStore(settings.storage_directory)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@dataclass(frozen=True, slots=True)
class Resources:
    """What a web worker holds open."""

    database: Database
    store: BlobStore
    journal: PullJournal
    metrics: Metrics


def build_site(settings: Settings, resources: Resources) -> Site:
    """Return the ASGI application of one web worker."""
    database, store, metrics = resources.database, resources.store, resources.metrics
    forwarding = Forwarding(settings.proxy_networks, settings.external_url)
    recorder = Recorder(database)
    accounts = Accounts(database)
    audience = TokenAudience(_SERVICE, _SERVICE, timedelta(seconds=settings.token_ttl_s))
    sealer, passwords = _sealer(settings), Passwords()
    defaults = Configuration(token_expiration=max(1, settings.token_ttl_s // 60))
    configuration = ConfigurationReader(database, sealer, defaults)
    keys = SigningKeys(database, sealer)
    tokens = AccessTokens(keys, audience, configuration=configuration)
    issuers = IssuerSettings(settings.issuer_networks, settings.workload_http, settings.workload_ca)
    workloads = WorkloadLogin(database, accounts, IssuerKeys(issuers))
    directory = LdapDirectory()
    ldap = LdapLogin(database, configuration, directory)
    login = PasswordLogin(database, accounts, passwords, workloads=workloads, ldap=ldap)
    authenticator = Authenticator(database, accounts, tokens, login)
    network = NetworkGuard(database)
    certificates = CertificateLogin(database, settings.client_ca)
    house = HouseRules(configuration, network, certificates)
    access = Access(authenticator, forwarding, recorder, house)
    puller = Puller(database, store)
    deleter = Deleter(database)
    pusher = Pusher(database, SmallContent(store), allows_sparse=settings.sparse_indexes)
    manifests = Manifests(access, puller, pusher, deleter, resources.journal)
    manifests.max_bytes = settings.manifest_max_bytes
    registry = RegistryApp(
        database,
        access,
        (
            manifests,
            Blobs(access, puller, deleter, store, metrics),
            UploadHandlers(access, puller, Uploads(database, store), metrics),
            Lists(access, puller, Lister(database)),
        ),
        metrics,
        body_timeout_s=settings.body_timeout_s,
    )
    service = TokenService(
        database, login, tokens, RefreshTokens(database, accounts, _SERVICE), partial(_record_login, recorder)
    )
    routes = token.routes(service, partial(_request_facts, forwarding))
    checks: dict[str, health.Check] = {
        "database": partial(database.read, current_revision),
        "storage": store.check,
    }
    sessions = Sessions(database, accounts, configuration)
    browser_login = BrowserLogin(database, login, sessions)
    oidc = OidcSignIn(
        AccountParts(database, accounts, passwords, sealer),
        OidcLogin(configuration, OidcProvider(), sealer),
        browser_login,
    )
    services = Services(
        database=database,
        store=store,
        callers=Callers(authenticator, sessions, forwarding, recorder, certificates),
        sessions=sessions,
        login=login,
        directory=directory,
        browser_login=browser_login,
        oidc=oidc,
        forwarding=forwarding,
        network=network,
        recorder=recorder,
        passwords=passwords,
        sealer=sealer,
        issuers=issuers,
        keys=keys,
        configuration=configuration,
        puller=puller,
        deleter=deleter,
        facts=ServerFacts(
            version=__version__,
            data=settings.data,
            storage=settings.storage_directory,
            external_url=settings.external_url,
            ca_certificate=_authority_certificate(settings),
        ),
    )
    return Site(registry, [*routes, *health.routes(checks)], partial(_build_api, services))


def _build_api(services: Services) -> AsgiApp:
    from homeport.web.api.application import build_api

    return build_api(services)


def _authority_certificate(settings: Settings) -> Path | None:
    """Return the own CA's certificate when clients meet it."""
    if settings.effective_tls != "auto":
        return None
    return authority_directory(settings.data) / AUTHORITY_CERTIFICATE


def _request_facts(forwarding: Forwarding, scope: MutableMapping[str, Any]) -> RequestFacts:
    headers = dict(scope["headers"])
    return RequestFacts(
        client_address=forwarding.client_address(scope, headers),
        user_agent=headers.get(b"user-agent", b"").decode("latin-1"),
        request_id=os.urandom(8).hex(),
    )


async def _record_login(recorder: Recorder, event: LoginEvent) -> None:
    facts = event.facts
    actor = Actor(
        event.principal_name, event.auth_method, facts.client_address, facts.user_agent, facts.request_id
    )
    record = actor.record("login", Target(), outcome=event.outcome, detail=event.detail or None)
    await recorder.record(record)


def _run_web(settings: Settings, host: str, port: int, tls: Tls | None) -> None:
    import uvloop

    uvloop.run(_serve_web(settings, host, port, tls))


async def _serve_web(settings: Settings, host: str, port: int, tls: Tls | None) -> None:
    from granian.constants import HTTPModes, Interfaces, SSLProtocols
    from granian.http import HTTP1Settings, HTTP2Settings
    from granian.server.embed import Server

    async with opened(settings) as database, opened_store(settings) as store:
        journal = PullJournal(journal_directory(settings), is_synced=settings.audit_sync)
        metrics = Metrics()
        server = Server(
            build_site(settings, Resources(database, store, journal, metrics)),
            address=host,
            port=port,
            interface=Interfaces.ASGINL,
            # looking for HTTP/2 on a plain port has no time limit: silent connections would pile up
            http=HTTPModes.auto if tls else HTTPModes.http1,
            websockets=False,
            log_enabled=False,
            backlog=2048,
            backpressure=4096,
            runtime_threads=1,
            runtime_blocking_threads=16,
            http1_settings=HTTP1Settings(header_read_timeout=30_000),
            http2_settings=HTTP2Settings(
                initial_stream_window_size=4 * 1024 * 1024,
                initial_connection_window_size=16 * 1024 * 1024,
                max_headers_size=64 * 1024,
            ),
            ssl_cert=tls.certificate if tls else None,
            ssl_key=tls.key if tls else None,
            ssl_protocol_min=SSLProtocols.tls12,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.stop)
        try:
            async with asyncio.TaskGroup() as group:
                flusher = group.create_task(metrics.flush_regularly())
                await server.serve()
                flusher.cancel()
        finally:
            journal.close()


def _run_jobs(settings: Settings) -> None:
    os.nice(_JOBS_NICENESS)
    asyncio.run(_serve_jobs(settings))


async def _serve_jobs(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with opened(settings) as database, opened_store(settings) as store:
        journals = journal_directory(settings)
        upload_ttl = timedelta(seconds=settings.upload_ttl_s)
        await run_chores(
            [
                Chore("journals", lambda: drain_journals(database, journals), _JOURNALS_PAUSE_S),
                Chore(
                    "uploads", lambda: store.expire_uploads(datetime.now(UTC) - upload_ttl), _EXPIRY_PAUSE_S
                ),
                Chore("robots", lambda: look_after_robots(database, datetime.now(UTC)), _EXPIRY_PAUSE_S),
                Chore("sign-ins", lambda: delete_outlived(database, datetime.now(UTC)), _EXPIRY_PAUSE_S),
                *audit_chores(
                    database,
                    AuditKey(_instance_secret(settings)),
                    ConfigurationReader(database, _sealer(settings)),
                    settings.data,
                ),
            ],
            stop,
        )


def journal_directory(settings: Settings) -> Path:
    """Return where the pull journals of this server are."""
    return settings.data / "journal"


@asynccontextmanager
async def opened_existing(settings: Settings) -> AsyncIterator[Database]:
    """Open the database of a server that ran before, for a command beside it.

    Raises HomeportError when there is no server's data where the settings point.
    """
    if not settings.database_url and not (settings.data / "homeport.db").exists():
        raise HomeportError(
            f"there is no Homeport data in {settings.data}", hint="name the directory with --data"
        )
    async with opened(settings) as database:
        if await database.read(current_revision) != HEAD:
            raise HomeportError(
                "the database does not have this version's schema",
                hint="start the server once: homeport serve",
            )
        yield database


@asynccontextmanager
async def opened_audit(settings: Settings) -> AsyncIterator[AuditTools]:
    """Open the audit records for a command, with everything that the journals hold."""
    async with opened_existing(settings) as database:
        await drain_journals(database, journal_directory(settings), waits=True)
        yield AuditTools(database, AuditKey(_instance_secret(settings)), settings.data)


async def read_audit(settings: Settings, wanted: AuditFilter, limit: int) -> list[tuple[int, AuditRecord]]:
    """Return up to `limit` audit records, the newest first."""
    async with opened_audit(settings) as tools:
        return await tools.list(wanted, limit)


async def inspect_data(settings: Settings, listener: InspectionListener, *, reads_content: bool) -> Report:
    """Check all that a running or stopped server keeps, and change nothing."""
    options = InspectionOptions(reads_content, datetime.now(UTC) - timedelta(seconds=settings.upload_ttl_s))
    async with opened_existing(settings) as database:
        # Not opened: that would make directories, where a missing one is to be found missing.
        store = DirectoryStore(settings.storage_directory)
        try:
            return await inspect(database, store, options, listener)
        finally:
            await store.close()


async def rotate_signing_key(settings: Settings) -> str:
    """Sign new access tokens with a new key and return its id; the change is in the audit records."""
    async with opened_existing(settings) as database:
        kid = await SigningKeys(database, _sealer(settings)).rotate()
        actor = Actor(getpass.getuser(), "local", "", "homeport keys rotate", os.urandom(8).hex())
        await Recorder(database).record(actor.record("rotate_key", Target(reference=kid)))
        return kid


async def set_user_password(settings: Settings, username: str, password: Secret) -> None:
    """Give a local user a new password; the change is in the audit records.

    What wrong passwords slowed down is forgotten too. Raises HomeportError.
    """
    check_password(password.reveal())
    async with opened_existing(settings) as database:
        passwords = Passwords()
        try:
            is_changed = await change_password(database, passwords, username, password)
        finally:
            passwords.close()
        if not is_changed:
            raise HomeportError(f"there is no local user {username!r}")
        await database.write(forget_login_failures, username)
        actor = Actor(getpass.getuser(), "local", "", "homeport user set-password", os.urandom(8).hex())
        record = actor.record("update_user", Target(reference=username), detail="password")
        await Recorder(database).record(record)


async def read_signing_keys(settings: Settings) -> list[StoredSigningKey]:
    """Return the keys that access tokens are signed and verified with."""
    async with opened_existing(settings) as database:
        return await database.read(list_signing_keys)


def _sealer(settings: Settings) -> Sealer:
    return Sealer(_instance_secret(settings))


def _instance_secret(settings: Settings) -> Secret:
    secret = settings.secret_key
    given = Secret(secret.get_secret_value()) if secret is not None else None
    return load_instance_secret(settings.data / "secrets", given)
