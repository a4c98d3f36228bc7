"""`homeport trust`: print the certificate that clients must trust, or install it for them."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from homeport.migrate.trust import (
    KeepFile,
    RemoveFile,
    RunCommand,
    TrustedCertificate,
    TrustError,
    TrustPlan,
    TrustRequest,
    TrustStep,
    TrustTarget,
    WriteFile,
    execute_trust,
    parse_registry,
    plan_trust,
    read_trusted_certificate,
)

_ACTIONS = {WriteFile: "write", KeepFile: "keep", RemoveFile: "remove", RunCommand: "run"}
_DONE = {WriteFile: "wrote", KeepFile: "kept", RemoveFile: "removed", RunCommand: "ran"}


def trust(
    target: Annotated[
        TrustTarget | None,
        typer.Argument(help="who shall trust it; without: print the certificate", show_default=False),
    ] = None,
    registry: Annotated[
        str | None,
        typer.Argument(
            metavar="[HOST:PORT]",
            help="the registry as image references have it (docker, containerd, podman)",
            show_default=False,
        ),
    ] = None,
    *,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="data directory of the server  [default: homeport-data]"),
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="take this certificate instead (PEM)")
    ] = None,
    root: Annotated[
        Path,
        typer.Option(metavar="DIR", help="install into the system below this directory, as for an image"),
    ] = Path("/"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would be written and run")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="take the certificate back")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="replace or remove files with other content")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print the certificate of Homeport's own authority, or make clients trust it.

    docker writes below /etc/docker/certs.d, containerd below /etc/containerd/certs.d,
    podman (for Buildah, Skopeo and CRI-O, too) below /etc/containers/certs.d, and
    system uses the trust store of Debian, Ubuntu, Alpine, RHEL or Fedora.
    Running it again changes nothing.

    \b
    Example:
      homeport trust > ca.crt
      homeport trust docker registry.example.com:8443 --ca ca.crt --dry-run
    """  # noqa: D301 - \b keeps the example's lines
    _check_usage(target, registry, is_installing=dry_run or remove or force or root != Path("/"))
    certificate = _read_certificate(data, ca)
    if target is None:
        _print_certificate(certificate, as_json=as_json)
        return
    request = TrustRequest(target, registry, is_removal=remove, may_replace=force)
    plan = plan_trust(request, certificate, root)
    if not as_json:
        _print_text(plan, is_dry_run=dry_run)
        return
    if not dry_run:
        for _ in execute_trust(plan):
            pass
    _print_json(request, plan, certificate, is_dry_run=dry_run)


def _check_usage(target: TrustTarget | None, registry: str | None, *, is_installing: bool) -> None:
    if target is None:
        if is_installing:
            raise typer.BadParameter("name a target: docker, containerd, podman or system")
    elif target is not TrustTarget.SYSTEM:
        try:
            parse_registry(registry, target)
        except TrustError as error:
            raise typer.BadParameter(f"{error} {error.hint}") from error


def _read_certificate(data: Path | None, ca: Path | None) -> TrustedCertificate:
    from homeport.auth.authority import AUTHORITY_CERTIFICATE, authority_directory
    from homeport.config import load_settings

    if ca is not None:
        return read_trusted_certificate(ca)
    directory = authority_directory(load_settings(data=data).data)
    path = directory / AUTHORITY_CERTIFICATE
    if not path.exists():
        raise TrustError(
            f"There is no certificate authority in {directory}.",
            hint="start the server once with --tls auto, name its --data directory, or give a file with --ca",
        )
    return read_trusted_certificate(path)


def _print_certificate(certificate: TrustedCertificate, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**_certificate_facts(certificate), "pem": certificate.pem.decode()}, indent=2))
        return
    print(certificate.pem.decode(), end="")
    typer.echo(
        f"{certificate.subject}\nvalid until {certificate.expires_at:%Y-%m-%d}\n"
        f"SHA-256 fingerprint {certificate.fingerprint_sha256}",
        err=True,
    )


def _certificate_facts(certificate: TrustedCertificate) -> dict[str, str]:
    return {
        "path": str(certificate.path),
        "subject": certificate.subject,
        "fingerprint_sha256": certificate.fingerprint_sha256,
        "not_before": certificate.begins_at.isoformat(),
        "not_after": certificate.expires_at.isoformat(),
    }


def _print_text(plan: TrustPlan, *, is_dry_run: bool) -> None:
    for step in plan.steps if is_dry_run else execute_trust(plan):
        verb = (_ACTIONS if is_dry_run else _DONE)[type(step)]
        what = " ".join(step.arguments) if isinstance(step, RunCommand) else str(step.path)
        print(f"{verb} {what}: {step.reason}", flush=True)
        if is_dry_run and isinstance(step, WriteFile):
            print("".join(f"    {line}\n" for line in step.content.decode().splitlines()), end="")
    for note in plan.notes:
        print(f"note: {note}")


def _print_json(
    request: TrustRequest, plan: TrustPlan, certificate: TrustedCertificate, *, is_dry_run: bool
) -> None:
    print(
        json.dumps(
            {
                "target": request.target,
                "registry": request.registry,
                "dry_run": is_dry_run,
                "certificate": _certificate_facts(certificate),
                "steps": [_step_facts(step) for step in plan.steps],
                "notes": list(plan.notes),
            },
            indent=2,
        )
    )


def _step_facts(step: TrustStep) -> dict[str, Any]:
    facts: dict[str, Any] = {"action": _ACTIONS[type(step)]}
    match step:
        case WriteFile():
            facts |= {"path": str(step.path), "mode": "0644", "content": step.content.decode()}
        case KeepFile() | RemoveFile():
            facts |= {"path": str(step.path)}
        case RunCommand():
            facts |= {"command": list(step.arguments)}
    return {**facts, "reason": step.reason}
