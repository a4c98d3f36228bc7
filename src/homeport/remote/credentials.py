"""Credentials for registries, from Docker's and Podman's auth files (containers-auth.json(5))."""

import asyncio
import base64
import binascii
import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from homeport.errors import HomeportError
from homeport.oci.reference import DEFAULT_REGISTRY
from homeport.remote.errors import UsageError

DOCKER_HUB_KEY = "https://index.docker.io/v1/"
MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_HELPER_BYTES = 64 * 1024
HELPER_TIMEOUT_S = 30.0

_DOCKER_HUB_HOSTS = frozenset({DEFAULT_REGISTRY, "index.docker.io", "registry-1.docker.io"})
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HELPER_ABSENT = b"credentials not found in native keychain"
_TOKEN_USER = "<token>"  # noqa: S105 - the user name that marks an identity token


class CredentialsError(HomeportError):
    """Credentials are configured but cannot be read."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name with a password, or an identity token (OAuth2 refresh token)."""

    username: str
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    def basic(self) -> str:
        """Return the value of a Basic Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def parse_credentials(text: str) -> Credentials:
    """Return the credentials that `USER:PASSWORD` spells, or raise UsageError."""
    username, colon, password = text.partition(":")
    if not colon or not username:
        raise UsageError("the credentials are not of the form USER:PASSWORD")
    return Credentials(username, password)


@dataclass(frozen=True, slots=True)
class AuthFiles:
    """The auth files to ask, in order; files that are absent count as empty."""

    paths: tuple[Path, ...]

    @staticmethod
    def of_environment(environment: Mapping[str, str]) -> "AuthFiles":
        """Return the files that Podman and Docker would read (containers-auth.json(5), docker config).

        `$REGISTRY_AUTH_FILE` stands alone; else the run-time file of Podman, the one in the user's
        configuration, and Docker's.
        """
        explicit = environment.get("REGISTRY_AUTH_FILE")
        if explicit:
            return AuthFiles((Path(explicit),))
        home = Path(environment.get("HOME") or Path.home())
        runtime = environment.get("XDG_RUNTIME_DIR")
        podman = Path(runtime) / "containers" if runtime else Path("/run/containers") / str(os.getuid())
        config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
        docker = Path(environment.get("DOCKER_CONFIG") or home / ".docker")
        return AuthFiles(
            (
                podman / "auth.json",
                config / "containers" / "auth.json",
                docker / "config.json",
            )
        )

    async def find(self, registry: str, repository: str = "") -> Credentials | None:
        """Return the credentials for the repository, None when no file has any.

        In each file the longest matching key wins (`host/project/name`, `host/project`, `host`); for a
        key, a helper in `credHelpers` comes before the entry in `auths`; `credsStore` is asked last.
        Raises CredentialsError for a file that is no JSON object and for a helper that fails.
        """
        for path in self.paths:
            document = await asyncio.to_thread(_load, path)
            if document is None:
                continue
            found = await _find_in(document, path, registry, repository)
            if found is not None:
                return found
        return None


def _load(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except OSError as error:
        raise CredentialsError(f"the auth file {path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise CredentialsError(f"the auth file {path} is larger than {MAX_FILE_BYTES} bytes")
    if not content.strip():
        return None
    document = None
    with contextlib.suppress(orjson.JSONDecodeError):
        document = orjson.loads(content)
    if not isinstance(document, dict):
        raise CredentialsError(f"the auth file {path} is not a JSON object", hint="repair or remove it")
    return document


async def _find_in(
    document: Mapping[str, Any], path: Path, registry: str, repository: str
) -> Credentials | None:
    helpers = _mapping(document, "credHelpers")
    auths = _mapping(document, "auths")
    for key in _keys(registry, repository):
        helper = helpers.get(key)
        if isinstance(helper, str) and helper:
            found = await _ask_helper(helper, key)
            if found is not None:
                return found
        for entry in _entries(auths, key):
            found = _from_entry(entry, path, key)
            if found is not None:
                return found
    store = document.get("credsStore")
    if isinstance(store, str) and store:
        return await _ask_helper(store, DOCKER_HUB_KEY if registry in _DOCKER_HUB_HOSTS else registry)
    return None


def _mapping(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _keys(registry: str, repository: str) -> list[str]:
    """Return the keys to look up, longest first."""
    parts = repository.split("/") if repository else []
    keys = ["/".join([registry, *parts[:length]]) for length in range(len(parts), 0, -1)]
    if registry in _DOCKER_HUB_HOSTS:
        return [*keys, DOCKER_HUB_KEY, *sorted(_DOCKER_HUB_HOSTS)]
    return [*keys, registry]


def _entries(auths: Mapping[str, Any], key: str) -> Sequence[Any]:
    """Return the entries for the key itself, then those of URLs of its host (`https://host/v2/`)."""
    found = [auths[key]] if key in auths else []
    if "/" not in key:
        found += [entry for name, entry in auths.items() if name != key and _host_of(name) == key]
    return found


def _host_of(name: str) -> str | None:
    """Return the host of a key that is a URL, None for other keys."""
    scheme, separator, rest = name.partition("://")
    return rest.partition("/")[0] if separator and scheme in {"http", "https"} else None


def _from_entry(entry: object, path: Path, key: str) -> Credentials | None:
    if not isinstance(entry, dict):
        return None
    username, password = entry.get("username"), entry.get("password")
    encoded = entry.get("auth")
    if isinstance(encoded, str) and encoded:
        try:
            text = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise CredentialsError(
                f"the entry {key!r} of the auth file {path} is damaged", hint=f"log in to {key} again"
            ) from error
        username, _, password = text.partition(":")
        password = password.strip("\x00")
    token = entry.get("identitytoken")
    name = username if isinstance(username, str) else ""
    if isinstance(token, str) and token:
        return Credentials(name, identity_token=token)
    if name and isinstance(password, str):
        return Credentials(name, password)
    return None


async def _ask_helper(helper: str, server: str) -> Credentials | None:
    """Ask a credential helper (docker-credential-helpers protocol, `get`); None when it has none."""
    if not _HELPER_NAME.fullmatch(helper):
        raise CredentialsError(f"{helper[:64]!r} is no name of a credential helper")
    program = f"docker-credential-{helper}"
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "get",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise CredentialsError(
            f"the credential helper {program} cannot be started: {error.strerror}",
            hint="install it, or give the credentials as an option",
        ) from error
    try:
        async with asyncio.timeout(HELPER_TIMEOUT_S):
            output, _ = await process.communicate(server.encode())
    except TimeoutError as error:
        raise CredentialsError(
            f"the credential helper {program} did not answer in {HELPER_TIMEOUT_S:.0f} s"
        ) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        if _HELPER_ABSENT in output:
            return None
        raise CredentialsError(f"the credential helper {program} failed for {server}")
    return _from_helper(output, program)


def _from_helper(output: bytes, program: str) -> Credentials | None:
    answer = None
    if len(output) <= MAX_HELPER_BYTES:
        with contextlib.suppress(orjson.JSONDecodeError):
            answer = orjson.loads(output)
    if not isinstance(answer, dict):
        raise CredentialsError(f"the credential helper {program} gave no usable answer")
    username, secret = answer.get("Username"), answer.get("Secret")
    if not isinstance(username, str) or not isinstance(secret, str) or not secret:
        return None
    if username == _TOKEN_USER:
        return Credentials("", identity_token=secret)
    return Credentials(username, secret)
