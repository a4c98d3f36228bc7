"""Making Docker, containerd, Podman or a whole system trust a registry's certificate: plan, then execute."""

import os
import re
import secrets
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath

from homeport.errors import HomeportError

_REGISTRY = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9_-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9_-]*[a-zA-Z0-9])?)*"
    r"|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?"
)
_COMMAND_TIMEOUT_S = 120
_CONTAINERD_CONFIG = PurePosixPath("/etc/containerd/config.toml")
_CONTAINERD_CERTS = PurePosixPath("/etc/containerd/certs.d")
_MAX_FILE_BYTES = 1024 * 1024


class TrustError(HomeportError):
    """A certificate cannot be installed or removed as asked."""


class TrustTarget(StrEnum):
    """What can be made to trust a registry's certificate."""

    DOCKER = "docker"
    CONTAINERD = "containerd"
    PODMAN = "podman"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class TrustedCertificate:
    """The one certificate that clients shall trust, as it stands in a file; it is no secret."""

    path: Path
    pem: bytes
    subject: str
    fingerprint_sha256: str
    begins_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class TrustRequest:
    """What shall trust the certificate (or, with `is_removal`, no longer), for which registry.

    `registry` is HOST or HOST:PORT as image references have it; `system` needs none. `may_replace` allows
    to overwrite or remove a file with other content.
    """

    target: TrustTarget
    registry: str | None = None
    is_removal: bool = False
    may_replace: bool = False


@dataclass(frozen=True, slots=True)
class AnchorStore:
    """How a family of systems takes a certificate into its trust store."""

    program: PurePosixPath
    directory: PurePosixPath
    add: tuple[str, ...]
    remove: tuple[str, ...]


ANCHOR_STORES = (
    AnchorStore(
        PurePosixPath("/usr/bin/update-ca-trust"),
        PurePosixPath("/etc/pki/ca-trust/source/anchors"),
        ("update-ca-trust", "extract"),
        ("update-ca-trust", "extract"),
    ),
    AnchorStore(
        PurePosixPath("/usr/sbin/update-ca-certificates"),
        PurePosixPath("/usr/local/share/ca-certificates"),
        ("update-ca-certificates",),
        ("update-ca-certificates", "--fresh"),
    ),
)


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file that makes a target trust the certificate."""

    path: PurePosixPath
    content: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Layout:
    """What must be there on a system for a target: files, then a command; `notes` tell what else to do."""

    files: tuple[WantedFile, ...]
    command: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Put the content at the path (mode 0644), with the directories above it."""

    path: Path
    content: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class KeepFile:
    """Nothing to do: the path already is as wanted."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class RemoveFile:
    """Remove the file, and its directory when that is empty then and belongs to this registry alone."""

    path: Path
    reason: str
    is_directory_ours: bool


@dataclass(frozen=True, slots=True)
class RunCommand:
    """Run a program and expect exit code 0."""

    arguments: tuple[str, ...]
    reason: str


TrustStep = WriteFile | KeepFile | RemoveFile | RunCommand


@dataclass(frozen=True, slots=True)
class TrustPlan:
    """The steps in their order, and what is left for a person to do."""

    steps: tuple[TrustStep, ...]
    notes: tuple[str, ...] = ()


def read_trusted_certificate(path: Path) -> TrustedCertificate:
    """Return the certificate of a PEM file that holds exactly one, and nothing secret beside it.

    Raises TrustError for another number of certificates or a private key in the file,
    ServerCertificateError when it cannot be read.
    """
    from cryptography.hazmat.primitives import hashes, serialization

    from homeport.auth.authority import read_certificates

    certificates = read_certificates(path)
    if len(certificates) != 1:
        raise TrustError(
            f"The file {path} holds {len(certificates)} certificates, but one authority is to be trusted.",
            hint="store the certificate of the authority in a file of its own and name it with --ca",
        )
    content = path.read_bytes()
    if b"PRIVATE KEY" in content:
        raise TrustError(
            f"The file {path} also holds a private key, which must not be handed out.",
            hint="store the certificate in a file of its own and name it with --ca",
        )
    certificate = certificates[0]
    return TrustedCertificate(
        path=path,
        pem=certificate.public_bytes(serialization.Encoding.PEM),
        subject=certificate.subject.rfc4514_string(),
        fingerprint_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        begins_at=certificate.not_valid_before_utc,
        expires_at=certificate.not_valid_after_utc,
    )


def plan_trust(request: TrustRequest, certificate: TrustedCertificate, root: Path) -> TrustPlan:
    """Return what to do on the system below `root`, which is read but not changed.

    Files that are there already are kept, so that a plan may be made and executed again. Raises
    TrustError when the target cannot be served there, or when a file with other content stands in the
    way and may not be replaced.
    """
    layout = _layout_for(request, certificate, root)
    existing = {file.path: _read_existing(_path_below(root, file.path)) for file in layout.files}
    if request.is_removal:
        return plan_removal(request, layout, existing, root)
    return plan_install(request, layout, existing, root)


def plan_install(
    request: TrustRequest, layout: Layout, existing: Mapping[PurePosixPath, bytes | None], root: Path
) -> TrustPlan:
    """Return the steps that bring the layout about, given what its files hold now (None: not there)."""
    steps: list[TrustStep] = []
    for file in layout.files:
        path, content = _joined(root, file.path), existing[file.path]
        if content == file.content:
            steps.append(KeepFile(path, "it is there already"))
        elif content is None:
            steps.append(WriteFile(path, file.content, file.reason))
        elif request.may_replace:
            steps.append(WriteFile(path, file.content, f"{file.reason} (replaces other content)"))
        else:
            raise TrustError(
                f"The file {path} exists with other content.",
                hint="look at it; --force replaces it (a registry whose authority was made anew needs that)",
            )
    if layout.command:
        steps.append(RunCommand(_command_below(root, layout.command), "takes the file into the trust store"))
    return TrustPlan(tuple(steps), layout.notes)


def plan_removal(
    request: TrustRequest, layout: Layout, existing: Mapping[PurePosixPath, bytes | None], root: Path
) -> TrustPlan:
    """Return the steps that take the layout back, given what its files hold now (None: not there)."""
    steps: list[TrustStep] = []
    for file in reversed(layout.files):
        path, content = _joined(root, file.path), existing[file.path]
        if content is None:
            steps.append(KeepFile(path, "it is not there"))
        elif content == file.content or request.may_replace:
            steps.append(
                RemoveFile(
                    path, "it was put there for this certificate", request.target is not TrustTarget.SYSTEM
                )
            )
        else:
            raise TrustError(
                f"The file {path} holds something else than `homeport trust` wrote there.",
                hint="look at it; --force removes it all the same",
            )
    if layout.command:
        steps.append(
            RunCommand(_command_below(root, layout.command), "takes the file out of the trust store")
        )
    return TrustPlan(tuple(steps))


def execute_trust(plan: TrustPlan) -> Iterator[TrustStep]:
    """Carry out the plan and yield each step once it is done.

    A step may be repeated: after a failure the same plan can be made and executed again. Raises
    TrustError with the reason at the first step that fails.
    """
    for step in plan.steps:
        match step:
            case WriteFile():
                _write_file(step)
            case RemoveFile():
                _remove_file(step)
            case RunCommand():
                _run_command(step)
            case KeepFile():
                pass
        yield step


def _layout_for(request: TrustRequest, certificate: TrustedCertificate, root: Path) -> Layout:
    if request.target is TrustTarget.SYSTEM:
        return system_layout(certificate, _find_anchor_store(root), is_removal=request.is_removal)
    registry = parse_registry(request.registry, request.target)
    match request.target:
        case TrustTarget.CONTAINERD:
            return containerd_layout(certificate, registry, _read_containerd_config(root))
        case TrustTarget.DOCKER:
            directory = PurePosixPath("/etc/docker/certs.d")
            note = "Docker reads the file at the next pull or push; it need not be restarted."
        case TrustTarget.PODMAN:
            directory = PurePosixPath("/etc/containers/certs.d")
            note = "Podman, Buildah, Skopeo and CRI-O read the file at the next pull or push."
    reason = f"trusts {certificate.subject} for {registry} alone"
    return Layout((WantedFile(directory / registry / "ca.crt", certificate.pem, reason),), notes=(note,))


def parse_registry(text: str | None, target: TrustTarget) -> str:
    """Return the registry as HOST or HOST:PORT; raises TrustError for anything else."""
    if text is None or not _REGISTRY.fullmatch(text):
        problem = "needs the registry" if text is None else f"cannot use {text!r} as the registry"
        raise TrustError(
            f"The target {target} {problem}.",
            hint="give HOST or HOST:PORT as image references have it, for example registry.example.com:8443",
        )
    return text


def system_layout(certificate: TrustedCertificate, store: AnchorStore, *, is_removal: bool) -> Layout:
    """Return the layout for the trust store of a system; the file's name says which certificate it is."""
    path = store.directory / f"homeport-{certificate.fingerprint_sha256[:12]}.crt"
    return Layout(
        (WantedFile(path, certificate.pem, f"trusts {certificate.subject} in every program of the system"),),
        command=store.remove if is_removal else store.add,
        notes=("Programs that run read the trust store when they start: restart Docker and containerd.",),
    )


def containerd_layout(certificate: TrustedCertificate, registry: str, config: str | None) -> Layout:
    """Return the layout for containerd, whose `config.toml` (None: there is none) is looked at, not changed.

    A `config_path` set there decides on the directory; where none is set, a note tells how.
    """
    configured, notes = _containerd_certs_directory(config)
    directory = (configured or _CONTAINERD_CERTS) / registry
    hosts = (
        f'server = "https://{registry}"\n'
        "\n"
        f'[host."https://{registry}"]\n'
        '  capabilities = ["pull", "resolve", "push"]\n'
        '  ca = "ca.crt"\n'
    )
    return Layout(
        (
            WantedFile(directory / "ca.crt", certificate.pem, f"the certificate {certificate.subject}"),
            WantedFile(directory / "hosts.toml", hosts.encode(), f"trusts ca.crt for {registry} alone"),
        ),
        notes=(*notes, f"With ctr, name the directory: ctr images pull --hosts-dir {directory.parent} ..."),
    )


def _containerd_certs_directory(config: str | None) -> tuple[PurePosixPath | None, tuple[str, ...]]:
    """Return the directory that `config_path` names, or None with a note that says how to set it."""
    try:
        parsed = tomllib.loads(config or "")
    except tomllib.TOMLDecodeError as error:
        return None, (f"{_CONTAINERD_CONFIG} is no TOML ({error}): check that its config_path is set.",)
    plugins = parsed.get("plugins")
    for plugin in plugins.values() if isinstance(plugins, dict) else ():
        registry = plugin.get("registry") if isinstance(plugin, dict) else None
        path = registry.get("config_path") if isinstance(registry, dict) else None
        if isinstance(path, str) and path.startswith("/"):
            return PurePosixPath(path.split(":", 1)[0]), ()
    section = (
        "io.containerd.cri.v1.images" if parsed.get("version", 2) == 3 else "io.containerd.grpc.v1.cri"  # noqa: PLR2004
    )
    note = (
        f"Kubernetes will not see this until {_CONTAINERD_CONFIG} says where to look. Add there:\n"
        f'    [plugins."{section}".registry]\n'
        f'      config_path = "{_CONTAINERD_CERTS}"\n'
        "and run: systemctl restart containerd"
    )
    return None, (note,)


def _find_anchor_store(root: Path) -> AnchorStore:
    for store in ANCHOR_STORES:
        if os.path.lexists(_joined(root, store.program)):
            return store
    raise TrustError(
        f"The system in {root} has neither update-ca-certificates nor update-ca-trust.",
        hint="install its package ca-certificates first",
    )


def _read_containerd_config(root: Path) -> str | None:
    content = _read_existing(_path_below(root, _CONTAINERD_CONFIG))
    return None if content is None else content.decode("utf-8", errors="replace")


def _joined(root: Path, path: PurePosixPath) -> Path:
    return root / path.relative_to("/")


def _path_below(root: Path, path: PurePosixPath) -> Path:
    """Return the path below the root; raises TrustError when a symbolic link leads it out of there."""
    joined = _joined(root, path)
    if not joined.resolve().is_relative_to(root.resolve()):
        raise TrustError(
            f"The path {joined} leads out of {root} through a symbolic link.",
            hint="run the command inside the image instead",
        )
    return joined


def _command_below(root: Path, arguments: tuple[str, ...]) -> tuple[str, ...]:
    return arguments if root.resolve() == Path("/") else ("chroot", str(root), *arguments)


def _read_existing(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refused(path, "read", error) from error


def _refused(path: Path, verb: str, error: OSError) -> TrustError:
    hint = "run it as root" if isinstance(error, PermissionError) else "look at what is there"
    return TrustError(f"The file {path} cannot be {verb}: {error.strerror}.", hint=hint)


def _write_file(step: WriteFile) -> None:
    temporary = step.path.with_name(f".{step.path.name}.{secrets.token_hex(8)}")
    try:
        step.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(step.content)
                os.fchmod(file.fileno(), 0o644)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(step.path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _refused(step.path, "written", error) from error


def _remove_file(step: RemoveFile) -> None:
    try:
        step.path.unlink(missing_ok=True)
        if step.is_directory_ours and step.path.parent.is_dir() and not any(step.path.parent.iterdir()):
            step.path.parent.rmdir()
    except OSError as error:
        raise _refused(step.path, "removed", error) from error


def _run_command(step: RunCommand) -> None:
    command = " ".join(step.arguments)
    try:
        result = subprocess.run(
            step.arguments,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_TIMEOUT_S,
        )
    except FileNotFoundError as error:
        raise TrustError(
            f"The program {step.arguments[0]} is not there.", hint=f"run by hand: {command}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise TrustError(
            f"`{command}` did not end within {_COMMAND_TIMEOUT_S} s.", hint="run it by hand to see why"
        ) from error
    if result.returncode != 0:
        output = (result.stderr or result.stdout).strip()[-500:] or "it said nothing"
        raise TrustError(
            f"`{command}` failed with exit code {result.returncode}: {output}", hint="run it as root"
        )
