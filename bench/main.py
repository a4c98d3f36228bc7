"""Command line of the benchmark: starts the servers, runs the rows, prints what came out."""

import argparse
import dataclasses
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import orjson
from bench.client import AnswerError
from bench.figures import Line
from bench.harness import FULL, QUICK, Bench, Scale
from bench.profiler import Profiler, find_py_spy
from bench.report import as_document, describe_machine, format_lines, summary
from bench.rows import audit, downloads, lists, manifests, standing, uploads
from bench.servers import Server, ServerFailedError, docker_registry, homeport, nginx

_RESULTS = Path(__file__).resolve().parent / "results"
_PROGRAMS = ("docker-registry", "nginx", "wrk", "skopeo")

# The order matters: memory before any load, then the load, memory again, and what starts its own servers.
_ROWS: dict[str, Callable[[Bench], list[Line]]] = {
    standing.IDLE_ROW: standing.measure_idle,
    manifests.ROW: manifests.measure,
    audit.ROW: audit.measure,
    downloads.BLOB_ROW: downloads.measure_blob,
    downloads.CROWD_ROW: downloads.measure_crowd,
    uploads.BLOB_ROW: uploads.measure_blob,
    uploads.IMAGE_ROW: uploads.measure_image,
    uploads.SKOPEO_ROW: uploads.measure_skopeo,
    standing.LOADED_ROW: standing.measure_loaded,
    lists.ROW: lists.measure,
    standing.START_ROW: standing.measure_start,
}
_NEEDS_HOMEPORT = frozenset({audit.ROW, lists.ROW, standing.START_ROW})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns 0 when it ran, whatever it found, and 1 when it could not."""
    options = _parse(arguments)
    missing = [program for program in _PROGRAMS if not _find(program)]
    if missing:
        print(f"not installed: {', '.join(missing)}; Debian has them all", file=sys.stderr)
        return 1
    scale = dataclasses.replace(QUICK if options.quick else FULL)
    if options.rounds:
        scale = dataclasses.replace(scale, rounds=options.rounds)
    begin = time.monotonic()
    machine = describe_machine()
    print(f"{machine['cpus']} processors, load average before the start {machine['load_average']:.1f}\n")
    try:
        lines = _run(options, scale)
    except (AnswerError, ServerFailedError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(f"{summary(lines)}. {time.monotonic() - begin:.0f} s.")
    if options.json:
        document = as_document(lines, machine, dataclasses.asdict(scale))
        options.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure Homeport beside docker-registry and nginx.")
    parser.add_argument("--only", action="append", choices=list(_ROWS), help="run this row; may be repeated")
    parser.add_argument("--rounds", type=int, help="rounds of each comparison")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller amounts: a first look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to this file")
    parser.add_argument(
        "--profile",
        action="append",
        choices=list(_ROWS),
        default=[],
        help="profile Homeport in the first round of this row; slows that round",
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="measure docker-registry against a second one: how far ratios are from 1 is noise",
    )
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace, scale: Scale) -> list[Line]:
    rows = options.only or list(_ROWS)
    if options.calibrate:
        rows = [row for row in rows if row not in _NEEDS_HOMEPORT]
    if options.profile and not (find_py_spy() or shutil.which("perf")):
        print("neither py-spy nor perf is installed: no profile", file=sys.stderr)
    lines: list[Line] = []
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=_disk())))
        bench = _start(stack, directory, scale, options)
        for row, measure in _ROWS.items():
            if row in rows:
                measured = measure(bench)
                print(format_lines(measured, bench.own.name), flush=True)
                lines += measured
    return lines


def _start(stack: ExitStack, directory: Path, scale: Scale, options: argparse.Namespace) -> Bench:
    own = homeport(directory / "homeport")
    if options.calibrate:
        own = dataclasses.replace(docker_registry(directory / "itself"), name="itself")
    proxy = nginx(directory / "nginx")
    return Bench(
        scale,
        directory,
        stack.enter_context(Server(own)),
        stack.enter_context(Server(docker_registry(directory / "docker-registry"))),
        stack.enter_context(Server(proxy)),
        proxy.home / "files",
        homeport(directory / "large"),
        Profiler(_RESULTS, frozenset(options.profile)),
    )


def _disk() -> Path:
    """Return a directory on the file system of the checkout, which a temporary directory may not be."""
    _RESULTS.mkdir(exist_ok=True)
    return _RESULTS


def _find(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
