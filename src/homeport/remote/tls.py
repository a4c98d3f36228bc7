"""TLS towards registries: system authorities, an extra one, and certs.d directories per host."""

import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from homeport.remote.errors import CertificateError


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How to verify servers. `directories` hold one folder per host (containers-certs.d(5))."""

    ca_file: Path | None = None
    insecure: bool = False
    directories: tuple[Path, ...] = ()

    @staticmethod
    def of_environment(
        environment: Mapping[str, str], *, ca_file: Path | None = None, insecure: bool = False
    ) -> "TlsOptions":
        """Return the options with the certs.d directories that Podman and Docker read."""
        home = Path(environment.get("HOME") or Path.home())
        config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
        return TlsOptions(
            ca_file=ca_file,
            insecure=insecure,
            directories=(
                config / "containers" / "certs.d",
                Path("/etc/containers/certs.d"),
                config / "docker" / "certs.d",
                Path("/etc/docker/certs.d"),
            ),
        )


class TlsContexts:
    """The TLS contexts of one run, each made once, at the first connection that needs it."""

    def __init__(self, options: TlsOptions) -> None:
        self.options = options
        self._common: ssl.SSLContext | None = None

    def for_registry(self, registry: str) -> ssl.SSLContext:
        """Return the context for connections to the registry (`host` or `host:port`).

        `*.crt` in its certs.d folders are authorities, `NAME.cert` with `NAME.key` is the client's
        certificate. Raises CertificateError for files that cannot be used.
        """
        files = self._files(registry)
        if not files:
            return self.for_others()
        context = self._new_context()
        for file in files:
            if file.suffix == ".crt":
                _load_authority(context, file)
            else:
                _load_client(context, file)
        return context

    def for_others(self) -> ssl.SSLContext:
        """Return the context for hosts without a certs.d folder."""
        if self._common is None:
            self._common = self._new_context()
        return self._common

    def _new_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self.options.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.options.ca_file is not None:
            _load_authority(context, self.options.ca_file)
        return context

    def _files(self, registry: str) -> list[Path]:
        if "/" in registry or registry.startswith("."):
            return []
        found: list[Path] = []
        for directory in self.options.directories:
            with contextlib.suppress(OSError):
                files = sorted((directory / registry).iterdir())
                found.extend(file for file in files if file.suffix in {".crt", ".cert"})
        return found


def _load_authority(context: ssl.SSLContext, file: Path) -> None:
    try:
        context.load_verify_locations(cafile=file)
    except (OSError, ssl.SSLError) as error:
        raise CertificateError(
            f"the certificate authority {file} cannot be used: {error.strerror or error}",
            hint="give a PEM file of CA certificates",
        ) from error


def _load_client(context: ssl.SSLContext, file: Path) -> None:
    key = file.with_suffix(".key")
    try:
        context.load_cert_chain(file, key)
    except (OSError, ssl.SSLError) as error:
        raise CertificateError(
            f"the client certificate {file} with {key.name} cannot be used: {error.strerror or error}"
        ) from error
