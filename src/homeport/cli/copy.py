"""`homeport copy`: copy an image between registries, OCI layouts and Docker archives."""

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homeport.errors import HomeportError

if TYPE_CHECKING:
    from homeport.remote.copy import CopyProgress, CopyResult
    from homeport.remote.graph import Selection
    from homeport.remote.location import Location
    from homeport.remote.places import PlaceOptions
    from homeport.remote.plan import CopyPlan
    from homeport.remote.registry import RegistryOptions

EXIT_FAILED, EXIT_USAGE, EXIT_PARTLY, EXIT_REFUSED = 1, 2, 3, 4
EXIT_INTERRUPTED = 130

_PLACE = "[docker://]HOST/NAME:TAG, oci:DIR[:TAG|@DIGEST] or docker-archive:FILE[:NAME:TAG]"


def copy(
    source: Annotated[str, typer.Argument(metavar="SRC", help=_PLACE)],
    destination: Annotated[str, typer.Argument(metavar="DST", help="as SRC")],
    *,
    platform: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OS/ARCH[/VARIANT]",
            help="copy the image for this platform, alone, under the tag; more than one needs --sparse",
        ),
    ] = None,
    sparse: Annotated[
        bool,
        typer.Option(
            "--sparse",
            help="with --platform: keep the index and its digest, but copy only these platforms; "
            "for registries that take an index with missing parts",
        ),
    ] = False,
    referrers: Annotated[
        bool, typer.Option("--referrers", help="copy signatures, SBOMs and all else that refers to the image")
    ] = False,
    src_creds: Annotated[
        str | None,
        typer.Option(
            metavar="USER:PASSWORD", envvar="HOMEPORT_SRC_CREDS", help="default: Docker's and Podman's files"
        ),
    ] = None,
    dest_creds: Annotated[
        str | None,
        typer.Option(
            metavar="USER:PASSWORD", envvar="HOMEPORT_DEST_CREDS", help="default: Docker's and Podman's files"
        ),
    ] = None,
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="trust this CA (PEM) too")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="allow plain HTTP and certificates that cannot be verified")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="transfers at a time")] = 8,
    retries: Annotated[int, typer.Option(min=0, max=100, help="how often a failed request is repeated")] = 5,
    recheck: Annotated[
        bool, typer.Option("--recheck", help="look for every blob, also of manifests that are there")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would be done")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> None:
    """Copy an image or artifact. Digests stay as they are; nothing is tagged before all of it is there.

    An index is copied with all its platforms unless --platform is given. What the destination has is
    skipped, what its registry has elsewhere is mounted, broken transfers go on where they stopped.

    Exit codes: 0 done, 1 failed, 2 usage, 3 only referrers failed, 4 refused by a registry.

    Example: homeport copy nginx:stable registry.example.com/library/nginx:stable
    """
    try:
        selection = _selection(platform or [], sparse=sparse, referrers=referrers)
        registry = _registry_options(ca, insecure=insecure, retries=retries)
        job = _Copy(
            source=_parse(source),
            destination=_parse(destination),
            source_options=_options(src_creds, registry),
            destination_options=_options(dest_creds, registry),
            selection=selection,
            jobs=jobs,
            recheck=recheck,
        )
        code = _run(job, dry_run=dry_run, as_json=as_json)
    except HomeportError as error:
        _print_error(error, as_json=as_json)
        raise typer.Exit(_exit_code(error)) from error
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        print("homeport: interrupted; nothing was tagged", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from error
    raise typer.Exit(code)


@dataclass(frozen=True, slots=True)
class _Copy:
    """What the command line asks for."""

    source: "Location"
    destination: "Location"
    source_options: "PlaceOptions"
    destination_options: "PlaceOptions"
    selection: "Selection"
    jobs: int
    recheck: bool

    @property
    def names(self) -> dict[str, str]:
        """Both places as the result shows them."""
        return {"source": str(self.source), "destination": str(self.destination)}


def _selection(platforms: list[str], *, sparse: bool, referrers: bool) -> "Selection":
    from homeport.oci.platform import parse_platform
    from homeport.remote.graph import Selection

    selection = Selection(tuple(parse_platform(text) for text in platforms), sparse, referrers)
    selection.check()
    return selection


def _parse(text: str) -> "Location":
    from homeport.remote.location import parse_location

    return parse_location(text)


def _registry_options(ca: Path | None, *, insecure: bool, retries: int) -> "RegistryOptions":
    from homeport.remote.registry import RegistryOptions
    from homeport.remote.retry import RetryPolicy
    from homeport.remote.tls import TlsContexts, TlsOptions

    tls = TlsOptions.of_environment(os.environ, ca_file=ca, insecure=insecure)
    return RegistryOptions(tls=TlsContexts(tls), retry=RetryPolicy(attempts=retries + 1))


def _options(creds: str | None, registry: "RegistryOptions") -> "PlaceOptions":
    from homeport.remote.credentials import AuthFiles, parse_credentials
    from homeport.remote.places import PlaceOptions

    return PlaceOptions(
        registry=registry,
        credentials=parse_credentials(creds) if creds else None,
        auth_files=AuthFiles.of_environment(os.environ),
    )


def _run(job: _Copy, *, dry_run: bool, as_json: bool) -> int:
    """Run the copy and print what came of it; returns the exit code."""
    from rich.console import Console

    from homeport.cli.progress import show_progress

    with show_progress(Console(stderr=True), quiet=as_json or dry_run) as progress:
        plan, result = asyncio.run(_copy(job, progress, dry_run=dry_run))
    if result is None:
        print(
            _json({"dry_run": True, **job.names, **_plan_fields(plan)}) if as_json else _plan_text(job, plan)
        )
        return 0
    print(_json({**job.names, **_result_fields(result)}) if as_json else _result_text(job, result))
    for digest, reason in result.failed_referrers:
        print(f"homeport: the referrer {digest} was not copied: {reason}", file=sys.stderr)
    return EXIT_PARTLY if result.failed_referrers else 0


async def _copy(
    job: _Copy, progress: "CopyProgress", *, dry_run: bool
) -> "tuple[CopyPlan, CopyResult | None]":
    from homeport.remote.copy import CopyRequest, ImageCopier
    from homeport.remote.origins import BlobOrigins
    from homeport.remote.places import Registries, name_of, open_destination, open_source

    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with (
        Registries(job.source_options) as source_registries,
        Registries(job.destination_options) as destination_registries,
        open_source(job.source, source_registries) as source,
        open_destination(
            job.destination, destination_registries, default_name=name_of(job.source)
        ) as destination,
    ):
        copier = ImageCopier(source.place, destination.place, BlobOrigins())
        request = CopyRequest(
            reference=source.reference,
            tag=destination.tag,
            digest=destination.digest,
            selection=job.selection,
            parallel=job.jobs,
            recheck=job.recheck,
        )
        plan = await copier.plan(request)
        return plan, None if dry_run else await copier.execute(plan, progress, job.jobs)


def _exit_code(error: HomeportError) -> int:
    from homeport.oci.platform import PlatformInvalidError
    from homeport.oci.reference import ReferenceInvalidError
    from homeport.remote.errors import RefusedError, UsageError
    from homeport.remote.location import LocationInvalidError

    match error:
        case UsageError() | LocationInvalidError() | ReferenceInvalidError() | PlatformInvalidError():
            return EXIT_USAGE
        case RefusedError():
            return EXIT_REFUSED
        case _:
            return EXIT_FAILED


def _print_error(error: HomeportError, *, as_json: bool) -> None:
    if as_json:
        print(_json({"error": str(error), "hint": error.hint}))
    print(f"homeport: {error}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)


def _result_fields(result: "CopyResult") -> dict[str, Any]:
    return {
        "digest": str(result.digest),
        "media_type": result.media_type,
        "copied": {"blobs": result.copied_blobs, "bytes": result.copied_bytes},
        "mounted": {"blobs": result.mounted_blobs, "bytes": result.mounted_bytes},
        "skipped": {"blobs": result.skipped_blobs, "bytes": result.skipped_bytes},
        "manifests": result.written_manifests,
        "duration_s": round(result.duration_s, 3),
        "failed_referrers": [
            {"digest": str(digest), "reason": reason} for digest, reason in result.failed_referrers
        ],
    }


def _result_text(job: _Copy, result: "CopyResult") -> str:
    from homeport.cli.progress import count_text, size_text

    parts = [
        f"{count_text(blobs, 'blob')} {done} ({size_text(size_bytes)})"
        for blobs, size_bytes, done in (
            (result.copied_blobs, result.copied_bytes, "copied"),
            (result.mounted_blobs, result.mounted_bytes, "mounted"),
            (result.skipped_blobs, result.skipped_bytes, "already there"),
        )
        if blobs
    ]
    parts.append(f"{count_text(result.written_manifests, 'manifest')} written")
    return (
        f"Copied {job.source} to {job.destination} in {result.duration_s:.1f} s\n"
        f"  {result.digest}\n"
        f"  {', '.join(parts)}"
    )


def _plan_fields(plan: "CopyPlan") -> dict[str, Any]:
    from homeport.remote.plan import BlobAction

    counts = {
        name: {"blobs": plan.count(action), "bytes": plan.size_bytes(action)}
        for name, action in (
            ("copy", BlobAction.COPY),
            ("mount", BlobAction.MOUNT),
            ("skip", BlobAction.SKIP),
        )
    }
    return {
        "digest": str(plan.root.digest),
        "media_type": plan.root.media_type,
        **counts,
        "manifests": plan.manifests_to_write,
        "referrers": len(plan.referrers),
        "omitted": [str(child.digest) for child in plan.omitted],
        "steps": [
            {
                "digest": str(blob.descriptor.digest),
                "bytes": blob.descriptor.size_bytes,
                "action": blob.action.name.lower(),
                "reason": blob.action.value,
            }
            for blob in plan.all_blobs
        ],
    }


def _plan_text(job: _Copy, plan: "CopyPlan") -> str:
    from homeport.cli.progress import count_text, size_text
    from homeport.remote.plan import BlobAction

    lines = [f"Would copy {job.source} to {job.destination}", f"  {plan.root.digest}"]
    for blob in plan.all_blobs:
        origin = f" ({blob.origin})" if blob.action is BlobAction.MOUNT else ""
        size = size_text(blob.descriptor.size_bytes)
        lines.append(f"  {blob.action.name.lower():5} {blob.descriptor.digest} {size:>9}{origin}")
    totals = [
        f"{count_text(plan.count(action), 'blob')} to {action.name.lower()} "
        f"({size_text(plan.size_bytes(action))})"
        for action in BlobAction
    ]
    lines.append(f"  {', '.join(totals)}, {count_text(plan.manifests_to_write, 'manifest')} to write")
    if plan.omitted:
        lines.append(f"  {count_text(len(plan.omitted), 'manifest')} of the index left out")
    return "\n".join(lines)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
