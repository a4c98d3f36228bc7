"""skopeo, buildah and podman with configuration, credentials and storage of their own."""

import base64
import json
from pathlib import Path

from tests.programs import Shell, make_shell, require_root
from tests.reader import Registry


class ContainerTools:
    """The programs that build on containers/image, as a person sets them up for one registry.

    TLS is checked against the registry's own authority, which stands in `certs.d`; plain HTTP is allowed for
    this registry alone, in `registries.conf`. All of it lies below the home directory given.
    """

    def __init__(self, home: Path, registry: Registry) -> None:
        self.registry = registry
        self.configuration = home / ".config" / "containers"
        self.authority = self.configuration / "certs.d" / registry.host / "ca.crt"
        self.accounts = home / "auth.json"
        self.shell: Shell = make_shell(
            home,
            REGISTRY_AUTH_FILE=str(self.accounts),
            CONTAINERS_STORAGE_CONF=str(self.configuration / "storage.conf"),
            CONTAINERS_CONF=str(self.configuration / "containers.conf"),
            BUILDAH_ISOLATION="chroot",
        )

    def prepare(self, *more: str) -> "ContainerTools":
        """Write the configuration; `more` are lines at the end of `registries.conf`."""
        insecure = str(not self.registry.tls).lower()
        storage = self.shell.directory / "storage"
        self.configuration.mkdir(parents=True)
        self._write(
            "registries.conf",
            *("unqualified-search-registries = []", "[[registry]]"),
            *(f'location = "{self.registry.host}"', f"insecure = {insecure}", *more),
        )
        self._write("containers.conf", "[engine]", 'events_logger = "file"', 'cgroup_manager = "cgroupfs"')
        self._write(
            "storage.conf",
            *("[storage]", 'driver = "vfs"', f'runroot = "{storage}/run"', f'graphroot = "{storage}/graph"'),
        )
        self._write("policy.json", '{"default":[{"type":"insecureAcceptAnything"}]}')
        if self.registry.ca:
            self.authority.parent.mkdir(parents=True)
            self.authority.write_bytes(self.registry.ca.read_bytes())
        self.log_in()
        return self

    def log_in(self) -> None:
        """Store the registry's account, as `login` does."""
        account = f"{self.registry.user}:{self.registry.password}".encode()
        accounts = {"auths": {self.registry.host: {"auth": base64.b64encode(account).decode()}}}
        self.accounts.write_text(json.dumps(accounts))

    def log_out(self) -> None:
        """Forget the registry's account."""
        self.accounts.write_text('{"auths":{}}')

    def skopeo(self, *arguments: str | Path) -> str:
        """Run skopeo."""
        return self.shell.run("skopeo", *arguments)

    def buildah(self, *arguments: str | Path) -> str:
        """Run buildah on storage of its own."""
        require_root()
        return self.shell.run("buildah", *arguments)

    def podman(self, *arguments: str | Path, stdin: str = "") -> str:
        """Run podman on storage of its own."""
        require_root()
        return self.shell.run("podman", *arguments, stdin=stdin)

    def name(self, repository: str, reference: str = "latest") -> str:
        """Return an image's name at the registry."""
        separator = "@" if ":" in reference else ":"
        return f"{self.registry.host}/{repository}{separator}{reference}"

    def remote(self, repository: str, reference: str = "latest") -> str:
        """Return an image's name at the registry, as skopeo wants it."""
        return f"docker://{self.name(repository, reference)}"

    def _write(self, name: str, *lines: str) -> None:
        (self.configuration / name).write_text("\n".join(lines) + "\n")
