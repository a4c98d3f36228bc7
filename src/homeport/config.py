"""Settings: from options, the environment (`HOMEPORT_*`) and `homeport.toml`, in this order."""

import ipaddress
import os
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from homeport.errors import HomeportError

CONFIG_FILE = "homeport.toml"


class SettingsError(HomeportError):
    """A setting has a value that cannot be used."""


class Settings(BaseSettings):
    """Every setting of a server; each has a default, so none is needed."""

    model_config = SettingsConfigDict(env_prefix="HOMEPORT_", extra="forbid", frozen=True)

    data: Path = Field(Path("homeport-data"), description="directory of everything that the server keeps")
    listen: str = Field(
        "127.0.0.1:8080", description="address and port to listen on; port 0 picks a free one"
    )
    workers: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)), ge=1, le=256, description="web worker processes"
    )
    role: Literal["all", "web", "jobs"] = Field("all", description="which processes to run")
    database_url: str = Field(
        "",
        repr=False,
        description="sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME; empty: in the data directory",
    )
    storage: str = Field("", description="dir:PATH; empty: the data directory")
    external_url: str = Field("", description="URL that clients use, when a proxy stands in front")
    hostname: str = Field("", description="name in the certificate; alone it turns TLS on with the own CA")
    tls: str = Field("", description="auto (own CA), off, or CERT,KEY; empty: auto with a hostname, else off")
    admin_password: SecretStr | None = Field(
        None, description="first password of the user admin; empty: made up and printed once"
    )
    secret_key: SecretStr | None = Field(
        None, description="seals the keys in the database; empty: a file in the data directory"
    )
    trusted_proxies: str = Field(
        "", description="comma-separated networks whose X-Forwarded-* headers are believed"
    )
    workload_networks: str = Field(
        "",
        description="comma-separated private networks where token issuers of workloads may be asked for keys",
    )
    workload_ca: Path | None = Field(
        None, description="authorities to trust when token issuers are asked, beside the system's: a PEM file"
    )
    workload_http: bool = Field(
        default=False, description="allow token issuers on this machine over plain HTTP, for tests"
    )
    client_ca: Path | None = Field(
        None,
        description="PEM file: authorities of client certificates that trusted proxies pass on",
    )
    token_ttl_s: int = Field(1800, ge=60, le=86400, description="life of an access token in seconds")
    audit_sync: bool = Field(
        default=False, description="flush the pull journal to the disk before each answer"
    )
    sparse_indexes: bool = Field(
        default=False, description="accept an index although some of its manifests are not in the repository"
    )
    body_timeout_s: float = Field(60.0, gt=0, description="longest pause in a request's body, in seconds")
    upload_ttl_s: int = Field(604_800, ge=60, description="life of an unfinished upload in seconds")
    drain_timeout_s: float = Field(
        60.0, ge=0, description="how long running transfers may take to end after SIGTERM, in seconds"
    )
    manifest_max_bytes: int = Field(
        4 * 1024 * 1024, ge=4 * 1024 * 1024, le=64 * 1024 * 1024, description="largest manifest, in bytes"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: options, environment, file."""
        del dotenv_settings, file_secret_settings
        path = Path(os.environ.get("HOMEPORT_CONFIG", CONFIG_FILE))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=path)

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, value: str) -> str:
        split_listen(value)
        return value

    @field_validator("tls")
    @classmethod
    def _check_tls(cls, value: str) -> str:
        if value not in {"", "auto", "off"} and len(value.split(",")) != 2:  # noqa: PLR2004 - a pair
            raise ValueError("must be auto, off or CERT,KEY")
        return value

    @field_validator("trusted_proxies", "workload_networks")
    @classmethod
    def _check_proxies(cls, value: str) -> str:
        _networks(value)
        return value

    @field_validator("external_url")
    @classmethod
    def _check_external_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/")

    @field_validator("storage")
    @classmethod
    def _check_storage(cls, value: str) -> str:
        if value and not value.startswith("dir:"):
            raise ValueError("must be dir:PATH; other stores are not implemented yet")
        return value

    @cached_property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        return split_listen(self.listen)

    @property
    def effective_tls(self) -> str:
        """`auto`, `off` or `CERT,KEY`, with the defaults applied."""
        return self.tls or ("auto" if self.hostname else "off")

    @property
    def effective_database_url(self) -> str:
        """The database's URL, with the default applied."""
        return self.database_url or f"sqlite:///{self.data.absolute() / 'homeport.db'}"

    @property
    def storage_directory(self) -> Path:
        """Where the directory store keeps its content."""
        return Path(self.storage.removeprefix("dir:")) if self.storage else self.data

    @property
    def proxy_networks(self) -> "tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]":
        """Networks whose forwarding headers are believed."""
        return _networks(self.trusted_proxies)

    @property
    def issuer_networks(self) -> "tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]":
        """Private networks where token issuers may be."""
        return _networks(self.workload_networks)


def split_listen(value: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, `[V6]:PORT` or `:PORT`; raises ValueError."""
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004 - the largest port
        raise ValueError("must be HOST:PORT, for example 0.0.0.0:8080")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - ":8080" asks for every address


def _networks(value: str) -> "tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]":
    return tuple(ipaddress.ip_network(part.strip()) for part in value.split(",") if part.strip())


def load_settings(**options: object) -> Settings:
    """Return the settings; options that are None were not given. Raises SettingsError naming each culprit."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_input=False)
        )
        raise SettingsError(
            f"the settings cannot be used: {problems}",
            hint=f"see `homeport serve --help`, the HOMEPORT_* environment and {CONFIG_FILE}",
        ) from None
