"""User accounts: who may see, make, change and delete them."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection

from homeport.auth.bootstrap import FIRST_ADMIN
from homeport.auth.cli_secrets import open_cli_secret, seal_cli_secret
from homeport.auth.configuration import ConfigurationReader
from homeport.auth.errors import AuthenticationError, LoginSlowedDownError
from homeport.auth.password_login import PasswordLogin
from homeport.auth.passwords import PasswordChecksBusyError, Passwords
from homeport.auth.sealing import Sealer
from homeport.auth.secret import Secret
from homeport.control.errors import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    PreconditionError,
    UnauthenticatedError,
)
from homeport.db.actor import Actor, Target
from homeport.db.audit import add_records
from homeport.db.engine import Database
from homeport.db.repositories import find_project_facts_by_id
from homeport.db.users import (
    UserDetails,
    UserProfile,
    change_password_hash,
    delete_user,
    find_user_by_id,
    find_user_details,
    has_email,
    insert_user,
    list_users,
    lock_sysadmins,
    search_users,
    set_auditor,
    set_sysadmin,
    store_cli_secret,
    update_profile,
)
from homeport.rules.listing import ListQuery
from homeport.rules.permissions import (
    Principal,
    PrincipalKind,
    may_in_project,
    may_in_system,
)
from homeport.rules.roles import KNOWN_PROJECT_PERMISSIONS, KNOWN_SYSTEM_PERMISSIONS
from homeport.rules.users import UserInvalidError, check_password, check_profile, check_username

_PROJECT_SCOPE = re.compile(r"/project/([0-9]{1,18})/?", re.ASCII)
_SYSTEM_SCOPES = {"/system", "/system/"}
_RESERVED_NAMES = {"anonymous"}


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user as the API is asked to make it."""

    username: str
    password: Secret
    profile: UserProfile


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """What to change in a profile; None leaves a field as it is."""

    email: str | None = None
    realname: str | None = None
    comment: str | None = None


class Users:
    """Local accounts and those that LDAP or an OpenID provider vouches for.

    A caller who is no system administrator never gets at the account of one, however it was given rights on
    users: that would be a way to become one.
    """

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        sealer: Sealer,
        configuration: ConfigurationReader,
        login: PasswordLogin,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._sealer = sealer
        self._configuration = configuration
        self._login = login

    async def list_page(self, query: ListQuery) -> tuple[list[UserDetails], int]:
        """Return the users of the query's page and how many there are. Raises QueryInvalidError."""
        return await self._database.read(list_users, query)

    async def search(self, part: str, query: ListQuery) -> tuple[list[tuple[int, str]], int]:
        """Return ids and names of users whose names contain the part, and how many there are."""
        return await self._database.read(search_users, part, query)

    async def find(self, principal: Principal, user_id: int) -> UserDetails:
        """Return the user. Raises ForbiddenError, for users that do not exist too, and NotFoundError."""
        if not _is_self(principal, user_id) and not may_in_system(principal, "user:read"):
            raise ForbiddenError("you may only read your own profile")
        found = await self._database.read(find_user_details, user_id)
        if found is None:
            raise _unknown(user_id)
        return found

    async def find_current(self, principal: Principal) -> tuple[UserDetails, Secret | None]:
        """Return the caller's own account and, if it has one, the secret for its programs.

        Raises PreconditionError when the caller is no user, but a robot.
        """
        if principal.kind is not PrincipalKind.USER or principal.user_id is None:
            raise PreconditionError("the caller is no user", hint="sign in as one; robots have no profile")
        found = await self.find(principal, principal.user_id)
        sealed = found.sealed_cli_secret
        return found, None if sealed is None else open_cli_secret(self._sealer, found.id, sealed)

    async def create(self, principal: Principal, actor: Actor, new: NewUser) -> int:
        """Make an ordinary user and return its id.

        Anybody may do it for themselves while self-registration is on. Raises UnauthenticatedError,
        ForbiddenError, BadRequestError, and ConflictError when name or email are taken.
        """
        configuration = await self._configuration.read()
        if configuration.auth_mode != "db_auth":
            raise ForbiddenError(f"no accounts are made in authentication mode {configuration.auth_mode}")
        if not may_in_system(principal, "user:create"):
            if not principal.is_anonymous:
                raise ForbiddenError("only administrators make accounts for others")
            if not configuration.self_registration:
                raise UnauthenticatedError("self-registration is off", hint="ask an administrator")
        try:
            check_username(new.username)
            check_password(new.password.reveal())
            check_profile(**asdict(new.profile))
        except UserInvalidError as error:
            raise BadRequestError(str(error), hint=error.hint) from None
        if new.username.lower() in _RESERVED_NAMES or new.username.startswith(
            configuration.robot_name_prefix
        ):
            raise BadRequestError("the user name is reserved", hint="choose another name")
        password_hash = await self._hash(new.password)
        return await self._database.write(_create, actor, new, password_hash)

    async def change_profile(
        self, principal: Principal, actor: Actor, user_id: int, change: ProfileChange
    ) -> None:
        """Change what a local user tells of itself. Raises ForbiddenError, NotFoundError, BadRequestError."""
        _require_right(principal, user_id, "user:update")
        await self._database.write(_change_profile, principal, actor, user_id, change)

    async def set_sysadmin(
        self, principal: Principal, actor: Actor, user_id: int, *, is_sysadmin: bool
    ) -> None:
        """Make the user a system administrator or an ordinary one; administrators do it, not to themselves.

        Raises ForbiddenError and NotFoundError.
        """
        if not principal.is_sysadmin:
            raise ForbiddenError("only system administrators make system administrators")
        if _is_self(principal, user_id) and not is_sysadmin:
            raise ForbiddenError("you cannot take your own rights away", hint="ask another administrator")
        await self._database.write(_set_sysadmin, actor, user_id, is_sysadmin=is_sysadmin)

    async def set_auditor(
        self, principal: Principal, actor: Actor, user_id: int, *, is_auditor: bool
    ) -> None:
        """Let the user read everything in the system, beyond Harbor; system administrators do it.

        Raises ForbiddenError and NotFoundError.
        """
        if not principal.is_sysadmin:
            raise ForbiddenError("only system administrators make auditors")
        await self._database.write(_set_auditor, actor, user_id, is_auditor=is_auditor)

    async def change_password(
        self, principal: Principal, actor: Actor, user_id: int, passwords: tuple[Secret, Secret]
    ) -> None:
        """Give a local user a new password (the old one and the new one are given).

        Whoever changes its own must know the old one; wrong ones count as failed sign-ins. Every session and
        token of the user ends. Raises ForbiddenError, NotFoundError, BadRequestError, LoginSlowedDownError.
        """
        old, new = passwords
        _require_right(principal, user_id, "user:update")
        user = await self._database.read(find_user_by_id, user_id)
        details = await self._database.read(find_user_details, user_id)
        if user is None or details is None:
            raise _unknown(user_id)
        _require_power(principal, details)
        _require_local(details)
        if _is_self(principal, user_id):
            await self._check_old_password(actor, user.username, old)
        try:
            check_password(new.reveal())
        except UserInvalidError as error:
            raise BadRequestError(str(error)) from None
        async with self._turn():
            is_same = await self._passwords.is_right(user.password_hash, new)
            password_hash = await self._passwords.hash(new)
        if is_same:
            raise BadRequestError("the new password is the old one", hint="choose another one")
        await self._database.write(_change_password, principal, actor, user_id, password_hash)

    async def set_cli_secret(self, principal: Principal, actor: Actor, user_id: int, secret: Secret) -> None:
        """Set the secret that programs of a user of an OpenID provider sign in with; the old one ends.

        Raises ForbiddenError, NotFoundError, PreconditionError for other users, BadRequestError.
        """
        if not _is_self(principal, user_id) and not principal.is_sysadmin:
            raise ForbiddenError("you may only set your own secret")
        found = await self._database.read(find_user_details, user_id)
        if found is None:
            raise _unknown(user_id)
        if found.source != "oidc":
            raise PreconditionError("only users of an OpenID provider have such a secret")
        try:
            check_password(secret.reveal())
        except UserInvalidError as error:
            raise BadRequestError(str(error)) from None
        secret_hash = await self._hash(secret)
        sealed = seal_cli_secret(self._sealer, user_id, secret)
        await self._database.write(_set_cli_secret, actor, found, secret_hash, sealed)

    async def delete(self, principal: Principal, actor: Actor, user_id: int) -> None:
        """Delete the user; its name is free again, its sessions, tokens and memberships end.

        Raises ForbiddenError (for oneself, the first administrator and the last one too) and NotFoundError.
        """
        if not may_in_system(principal, "user:delete"):
            raise ForbiddenError("you may not delete users")
        if _is_self(principal, user_id):
            raise ForbiddenError("you cannot delete yourself", hint="ask another administrator")
        await self._database.write(_delete, principal, actor, user_id)

    async def permissions(
        self, principal: Principal, scope: str, *, is_relative: bool
    ) -> list[tuple[str, str]]:
        """Return what the caller may do in a scope, `/system` or `/project/ID`, as resources and actions.

        The resources are complete paths, or with `is_relative` the part below the scope. Nothing is in a
        scope that does not exist or that the caller does not know.
        """
        project_scope = _PROJECT_SCOPE.fullmatch(scope)
        allowed: set[str] = set()
        if scope in _SYSTEM_SCOPES:
            allowed = {each for each in KNOWN_SYSTEM_PERMISSIONS if may_in_system(principal, each)}
        elif project_scope is not None:
            facts = await self._database.read(find_project_facts_by_id, int(project_scope[1]))
            if facts is not None:
                allowed = {
                    each for each in KNOWN_PROJECT_PERMISSIONS if may_in_project(principal, facts, each)
                }
        prefix = "" if is_relative else scope.rstrip("/")
        pairs = (each.split(":", 1) for each in sorted(allowed))
        return [(_resource(prefix, resource), action) for resource, action in pairs]

    async def _hash(self, secret: Secret) -> str:
        async with self._turn():
            return await self._passwords.hash(secret)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with self._passwords.turn():
                yield
        except PasswordChecksBusyError:
            message = "too many passwords wait to be checked"
            raise LoginSlowedDownError(message, account="", retry_after_s=2) from None

    async def _check_old_password(self, actor: Actor, username: str, old: Secret) -> None:
        try:
            await self._login.sign_in(username, old, actor.client_address)
        except AuthenticationError:
            record = actor.record(
                "update_user",
                Target(reference=username),
                outcome="failure",
                detail="the old password is wrong",
            )
            await self._database.write(add_records, [record])
            raise ForbiddenError("the old password is wrong") from None


def _create(connection: Connection, actor: Actor, new: NewUser, password_hash: str) -> int:
    if has_email(connection, new.profile.email):
        raise ConflictError("the email is used by another user")
    user_id = insert_user(connection, new.username, password_hash, new.profile, datetime.now(UTC))
    if user_id is None:
        raise ConflictError("the user name is taken")
    _record(connection, actor, "create_user", new.username)
    return user_id


def _change_profile(
    connection: Connection, principal: Principal, actor: Actor, user_id: int, change: ProfileChange
) -> None:
    found = _find(connection, user_id)
    _require_power(principal, found)
    _require_local(found)
    given = {name: value for name, value in asdict(change).items() if value is not None}
    profile = replace(found.profile, **given)
    if profile == found.profile:
        return
    try:
        check_profile(**asdict(profile))
    except UserInvalidError as error:
        raise BadRequestError(str(error), hint=error.hint) from None
    if profile.email != found.email and has_email(connection, profile.email, besides=user_id):
        raise BadRequestError("the email is used by another user")
    update_profile(connection, user_id, profile, datetime.now(UTC))
    target = Target(reference=found.username)
    before, after = asdict(found.profile), asdict(profile)
    add_records(connection, [actor.record("update_user", target, before=before, after=after)])


def _set_sysadmin(connection: Connection, actor: Actor, user_id: int, *, is_sysadmin: bool) -> None:
    sysadmins = lock_sysadmins(connection)
    found = _find(connection, user_id)
    if found.is_sysadmin == is_sysadmin:
        return
    if not is_sysadmin and not sysadmins - {user_id}:
        raise _last_sysadmin()
    set_sysadmin(connection, user_id, datetime.now(UTC), is_sysadmin=is_sysadmin)
    target = Target(reference=found.username)
    before, after = {"sysadmin_flag": not is_sysadmin}, {"sysadmin_flag": is_sysadmin}
    add_records(connection, [actor.record("update_user", target, before=before, after=after)])


def _set_auditor(connection: Connection, actor: Actor, user_id: int, *, is_auditor: bool) -> None:
    found = _find(connection, user_id)
    if found.is_auditor == is_auditor:
        return
    set_auditor(connection, user_id, datetime.now(UTC), is_auditor=is_auditor)
    target = Target(reference=found.username)
    before, after = {"auditor_flag": not is_auditor}, {"auditor_flag": is_auditor}
    add_records(connection, [actor.record("update_user", target, before=before, after=after)])


def _change_password(
    connection: Connection, principal: Principal, actor: Actor, user_id: int, password_hash: str
) -> None:
    found = _find(connection, user_id)
    _require_power(principal, found)
    change_password_hash(connection, user_id, password_hash, datetime.now(UTC))
    _record(connection, actor, "update_user", found.username, "password")


def _set_cli_secret(
    connection: Connection, actor: Actor, found: UserDetails, secret_hash: str, sealed: bytes
) -> None:
    if not store_cli_secret(connection, found.id, secret_hash, sealed, datetime.now(UTC)):
        raise _unknown(found.id)
    _record(connection, actor, "update_user", found.username, "cli_secret")


def _delete(connection: Connection, principal: Principal, actor: Actor, user_id: int) -> None:
    sysadmins = lock_sysadmins(connection)
    found = _find(connection, user_id)
    _require_power(principal, found)
    if found.username == FIRST_ADMIN:
        raise ForbiddenError("the first administrator cannot be deleted", hint="give it another password")
    if not sysadmins - {user_id}:
        raise _last_sysadmin()
    delete_user(connection, user_id)
    _record(connection, actor, "delete_user", found.username)


def _find(connection: Connection, user_id: int) -> UserDetails:
    found = find_user_details(connection, user_id)
    if found is None:
        raise _unknown(user_id)
    return found


def _record(
    connection: Connection, actor: Actor, operation: str, username: str, detail: str | None = None
) -> None:
    add_records(connection, [actor.record(operation, Target(reference=username), detail=detail)])


def _is_self(principal: Principal, user_id: int) -> bool:
    # a robot's id is no user's
    return principal.kind is PrincipalKind.USER and principal.user_id == user_id


def _require_right(principal: Principal, user_id: int, permission: str) -> None:
    if not _is_self(principal, user_id) and not may_in_system(principal, permission):
        raise ForbiddenError("you may only change your own account")


def _require_power(principal: Principal, found: UserDetails) -> None:
    is_powerful = found.is_sysadmin or found.is_admin_in_source
    if is_powerful and not principal.is_sysadmin and not _is_self(principal, found.id):
        raise ForbiddenError("only system administrators change accounts of system administrators")


def _require_local(found: UserDetails) -> None:
    if found.source != "local":
        raise ForbiddenError(f"the account is kept by {found.source}", hint="change it there")


def _resource(prefix: str, resource: str) -> str:
    if resource == ".":
        return prefix or "."
    return f"{prefix}/{resource}" if prefix else resource


def _unknown(user_id: int) -> NotFoundError:
    return NotFoundError(f"there is no user {user_id}")


def _last_sysadmin() -> ForbiddenError:
    return ForbiddenError("this is the last system administrator", hint="make another one first")
