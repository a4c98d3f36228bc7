"""Asks an LDAP directory: finds users and groups, checks passwords; in threads, within time limits."""

import asyncio
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from homeport.auth.ldap_names import DistinguishedName, both, escape_value, parse_dn
from homeport.auth.ldap_settings import LdapGroups, LdapServer, LdapSettings
from homeport.auth.secret import Secret
from homeport.errors import HomeportError

if TYPE_CHECKING:
    import ldap3

T = TypeVar("T")

MAX_FOUND = 500
MAX_GROUPS = 500
MAX_GROUP_DEPTH = 10

_THREADS = 8
_MAX_WAITING = 128
_SCOPES = {0: "BASE", 1: "LEVEL", 2: "SUBTREE"}
_SUCCESS, _TIME_LIMIT, _SIZE_LIMIT, _NO_SUCH_OBJECT = 0, 3, 4, 32
# invalidCredentials, and what directories say of locked, expired or otherwise refused accounts
_REFUSED = frozenset({19, 48, 49, 50, 53})
_PATIENCE = 4  # connecting, searching, binding and groups each have the configured time


class DirectoryError(HomeportError):
    """The directory could not be asked, or refuses to be searched; the message says why."""


@dataclass(frozen=True, slots=True)
class LdapGroup:
    """A group, by its distinguished name."""

    dn: str
    name: str


@dataclass(frozen=True, slots=True)
class LdapUser:
    """A user as the directory knows it. `username` is the name in the directory's own spelling."""

    dn: str
    username: str
    realname: str
    email: str
    groups: tuple[LdapGroup, ...] = ()
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class _Entry:
    dn: str
    attributes: Mapping[str, tuple[str, ...]]

    def values(self, name: str) -> tuple[str, ...]:
        return self.attributes.get(name.lower(), ())

    def first(self, *names: str) -> str:
        return next((values[0] for name in names if (values := self.values(name))), "")


class LdapDirectory:
    """Asks the directory that the settings of each call name.

    At most eight questions are under way in a process at a time. Every method raises DirectoryError when the
    directory does not answer in time, its certificate is not good or it refuses the search account.
    Referrals are not followed.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="ldap")
        self._slots = asyncio.Semaphore(_THREADS)
        self._waiting = 0

    async def ping(self, settings: LdapSettings) -> None:
        """Connect and sign in as the search account."""
        await self._run(settings, _ping)

    async def authenticate(self, settings: LdapSettings, username: str, password: Secret) -> LdapUser | None:
        """Return the only user of that name, with its groups, if this is its password; else None."""
        if not username or not password.reveal():
            return None  # a bind without a password succeeds for everybody
        return await self._run(settings, _authenticate, username, password)

    async def find_users(self, settings: LdapSettings, username: str) -> list[LdapUser]:
        """Return the users of that name, or all for an empty name; at most MAX_FOUND, without groups."""
        return await self._run(settings, _find_users, username)

    async def find_groups(self, settings: LdapSettings, *, name: str = "", dn: str = "") -> list[LdapGroup]:
        """Return the groups with that in their names, or the one of a distinguished name."""
        return await self._run(settings, _find_groups, name, dn)

    async def _run(self, settings: LdapSettings, question: Callable[..., T], *arguments: object) -> T:
        if self._waiting >= _MAX_WAITING:
            raise DirectoryError("too many questions wait for the directory")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(self._threads, _ask, question, settings, *arguments)
        asked.add_done_callback(lambda _: self._slots.release())
        try:
            async with asyncio.timeout(_PATIENCE * settings.server.timeout_s):
                return await asyncio.shield(asked)
        except TimeoutError:
            asked.add_done_callback(lambda future: future.cancelled() or future.exception())
            raise DirectoryError("the directory takes too long to answer") from None


def _ask(question: Callable[..., T], settings: LdapSettings, *arguments: object) -> T:
    from ldap3.core.exceptions import LDAPException

    try:
        return question(settings, *arguments)
    except (LDAPException, OSError) as error:
        raise DirectoryError(f"the directory cannot be asked: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]


@contextmanager
def _connected(server: LdapServer, user: str, password: Secret) -> "Iterator[ldap3.Connection]":
    """Give a connection on which nothing but connecting, and TLS, has happened."""
    import ldap3

    target = ldap3.Server(
        server.host,
        server.port,
        use_ssl=server.uses_ldaps,
        tls=_tls(server),
        connect_timeout=server.timeout_s,
        get_info=ldap3.NONE,
    )
    connection = ldap3.Connection(
        target,
        user=user or None,
        # bytes go as they are: preparing them is up to the directory
        password=password.reveal().encode() if user else None,
        authentication=ldap3.SIMPLE if user else ldap3.ANONYMOUS,
        receive_timeout=server.timeout_s,
        auto_referrals=False,
        check_names=False,
        read_only=True,
    )
    try:
        connection.open()
        if server.uses_start_tls:
            connection.start_tls()
        yield connection
    finally:
        connection.strategy.close()


def _tls(server: LdapServer) -> "ldap3.Tls":
    import ldap3

    context = ssl.create_default_context(cadata=server.ca or None)
    if not server.verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE

    class VerifiedTls(ldap3.Tls):  # type: ignore[misc] # ldap3 has no types
        """Leaves certificate and name to the ssl module, which checks both in the handshake."""

        def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:  # noqa: FBT001, FBT002, ARG002 - as ldap3 calls it
            connection.socket = context.wrap_socket(connection.socket, server_hostname=server.host)

    return VerifiedTls()


@contextmanager
def _searching(settings: LdapSettings) -> "Iterator[ldap3.Connection]":
    with _connected(settings.server, settings.search_dn, settings.search_password) as connection:
        if not connection.bind():
            description = connection.result["description"]
            raise DirectoryError(f"the directory refuses the search account: {description}")
        yield connection


def _ping(settings: LdapSettings) -> None:
    with _searching(settings):
        pass


def _authenticate(settings: LdapSettings, username: str, password: Secret) -> LdapUser | None:
    with _searching(settings) as connection:
        entries = _search_users(connection, settings, username, limit=2)
        if len(entries) != 1 or not entries[0].dn:
            return None
        entry = entries[0]
        if not _is_password(settings, entry.dn, password):
            return None
        return _with_groups(connection, settings, entry)


def _is_password(settings: LdapSettings, dn: str, password: Secret) -> bool:
    with _connected(settings.server, dn, password) as connection:
        if connection.bind():
            return True
        if connection.result["result"] in _REFUSED:
            return False
        raise DirectoryError(f"the directory cannot sign in: {connection.result['description']}")


def _find_users(settings: LdapSettings, username: str) -> list[LdapUser]:
    with _searching(settings) as connection:
        entries = _search_users(connection, settings, username, limit=MAX_FOUND)
        return [_user(settings, entry) for entry in entries if entry.first(settings.uid)]


def _find_groups(settings: LdapSettings, name: str, dn: str) -> list[LdapGroup]:
    groups = settings.groups
    with _searching(settings) as connection:
        if dn:
            found = _read_group(connection, groups, dn)
            return [] if found is None else [_group(groups, found)]
        part = f"*{escape_value(name)}*" if name else "*"
        wanted = both(groups.filter, f"({groups.name_attribute}={part})")
        attributes = [groups.name_attribute]
        query = _Query(groups.base_dn or settings.base_dn, wanted, groups.scope, attributes, MAX_FOUND)
        return [_group(groups, entry) for entry in _search(connection, query)]


def _search_users(
    connection: "ldap3.Connection", settings: LdapSettings, username: str, *, limit: int
) -> list[_Entry]:
    value = escape_value(username) if username else "*"
    wanted = both(settings.filter, f"({settings.uid}={value})")
    names = {settings.uid, "cn", "displayName", "mail", "email", settings.groups.membership_attribute}
    return _search(connection, _Query(settings.base_dn, wanted, settings.scope, sorted(names), limit))


@dataclass(frozen=True, slots=True)
class _Query:
    base: str
    filter: str
    scope: int
    attributes: Sequence[str]
    limit: int


def _search(connection: "ldap3.Connection", query: _Query) -> list[_Entry]:
    connection.search(
        query.base,
        query.filter,
        search_scope=_SCOPES[query.scope],
        attributes=list(query.attributes),
        size_limit=query.limit,
        time_limit=connection.receive_timeout,
    )
    code = connection.result["result"]
    if code == _NO_SUCH_OBJECT:
        return []
    if code not in {_SUCCESS, _SIZE_LIMIT}:
        raise DirectoryError(f"the directory refuses the search: {connection.result['description']}")
    found = [item for item in connection.response or () if item["type"] == "searchResEntry"]
    return [_entry(item) for item in found[: query.limit]]


def _entry(item: Mapping[str, Any]) -> _Entry:
    attributes = {
        name.lower(): tuple(text for value in values if (text := value.decode("utf-8", "replace")))
        for name, values in item["raw_attributes"].items()
    }
    return _Entry(item["dn"], attributes)


def _user(settings: LdapSettings, entry: _Entry) -> LdapUser:
    username = entry.first(settings.uid)
    return LdapUser(
        entry.dn, username, entry.first("displayname", "cn") or username, entry.first("mail", "email")
    )


def _group(groups: LdapGroups, entry: _Entry) -> LdapGroup:
    return LdapGroup(entry.dn, entry.first(groups.name_attribute) or entry.dn)


def _with_groups(connection: "ldap3.Connection", settings: LdapSettings, entry: _Entry) -> LdapUser:
    """Return the user with its groups and those that they are in, by the membership attribute alone."""
    groups = settings.groups
    waiting = list(entry.values(groups.membership_attribute))
    seen: set[DistinguishedName] = set()
    found: list[LdapGroup] = []
    base = parse_dn(groups.base_dn)
    for _ in range(MAX_GROUP_DEPTH):
        nested: list[str] = []
        for dn in waiting:
            name = parse_dn(dn)
            if name in seen or len(seen) >= MAX_GROUPS:
                continue
            seen.add(name)
            group = None
            if groups.base_dn and name.is_below(base):
                group = _read_group(connection, groups, dn)
            if group is not None:
                found.append(_group(groups, group))
                nested += group.values(groups.membership_attribute)
        waiting = nested
    user = _user(settings, entry)
    is_admin = bool(groups.admin_dn) and parse_dn(groups.admin_dn) in seen
    return LdapUser(user.dn, user.username, user.realname, user.email, tuple(found), is_admin)


def _read_group(connection: "ldap3.Connection", groups: LdapGroups, dn: str) -> _Entry | None:
    attributes = [groups.name_attribute, groups.membership_attribute]
    found = _search(connection, _Query(dn, groups.filter, 0, attributes, 1))
    return found[0] if found else None
