"""Rows `blob-get` and `crowd`: one client on a large blob, and many clients on a smaller one at once."""

import time
from collections.abc import Mapping
from pathlib import Path

from bench.client import AnswerError, Connection
from bench.content import write_random
from bench.crowd import download_at_once
from bench.figures import Line, at_least, at_most, percentile
from bench.harness import MIB, Bench
from bench.processes import cpu_seconds
from bench.pushing import push_file, push_scope
from bench.servers import Server

BLOB_ROW = "blob-get"
CROWD_ROW = "crowd"
_REPOSITORY = "bench/downloads"


def measure_blob(bench: Bench) -> list[Line]:
    """Return the speed of a single download and the processor time that it costs the server."""
    target = _put_everywhere(bench, bench.directory / "large.bin", bench.scale.blob_bytes)
    servers = (bench.own, bench.peer, bench.nginx)

    def measure(server: Server) -> Mapping[str, float]:
        speed, cpu_s = _download(bench, server, target(server), is_discarded=False)
        discarded_speed, _ = _download(bench, server, target(server), is_discarded=True)
        return {"speed": speed, "cpu_s": cpu_s, "discarded_speed": discarded_speed}

    for server in servers:
        measure(server)
    result = bench.compare(BLOB_ROW, servers, measure)
    size = f"{bench.scale.blob_bytes // MIB} MiB"
    return [
        result.line("speed", f"blob GET, {size}", "MiB/s", at_least(0.9)),
        result.line("cpu_s", f"blob GET, {size}, server CPU", "s", at_most(1.3)),
        result.line("discarded_speed", f"blob GET, {size}, client drops it in the kernel", "MiB/s"),
    ]


def measure_crowd(bench: Bench) -> list[Line]:
    """Return what many clients get together, and the time of the slowest but one percent."""
    target = _put_everywhere(bench, bench.directory / "crowd.bin", bench.scale.crowd_bytes)
    clients = bench.scale.crowd_clients

    def measure(server: Server) -> Mapping[str, float]:
        headers = server.authorization(push_scope(_REPOSITORY))
        cpu_before = cpu_seconds(server.pid)
        times = download_at_once(server.port, target(server), headers, clients)
        return {
            "speed": clients * bench.scale.crowd_bytes / MIB / max(times),
            "p99_s": percentile(times, 99),
            "cpu_s": cpu_seconds(server.pid) - cpu_before,
        }

    result = bench.compare(CROWD_ROW, (bench.own, bench.peer, bench.nginx), measure)
    what = f"{clients} clients x {bench.scale.crowd_bytes // MIB} MiB"
    return [
        result.line("speed", f"{what}", "MiB/s", at_least(1)),
        result.line("p99_s", f"{what}, p99 client", "s", at_most(1)),
        result.line("cpu_s", f"{what}, server CPU", "s"),
    ]


class _Target:
    """Where each server has the blob."""

    def __init__(self, digest: str, nginx: Server, file: Path) -> None:
        self._digest = digest
        self._nginx = nginx
        self._file = file

    def __call__(self, server: Server) -> str:
        if server is self._nginx:
            return f"/{self._file.name}"
        return f"/v2/{_REPOSITORY}/blobs/{self._digest}"


def _put_everywhere(bench: Bench, path: Path, size_bytes: int) -> _Target:
    digest = write_random(path, size_bytes)
    for server in (bench.own, bench.peer):
        push_file(server, _REPOSITORY, path, digest)
    served = bench.nginx_files / path.name
    path.rename(served)
    return _Target(digest, bench.nginx, served)


def _download(bench: Bench, server: Server, target: str, *, is_discarded: bool) -> tuple[float, float]:
    """Return MiB per second and the server's processor seconds per download."""
    headers = server.authorization(push_scope(_REPOSITORY))
    downloads, expected = bench.scale.downloads, bench.scale.blob_bytes
    cpu_before, begin = cpu_seconds(server.pid), time.perf_counter()
    with Connection(server.port) as connection:
        for _ in range(downloads):
            actual = connection.download(target, headers, is_discarded=is_discarded)
            if actual != expected:
                raise AnswerError(f"a download has {actual} bytes instead of {expected}")
    elapsed_s = time.perf_counter() - begin
    return downloads * expected / MIB / elapsed_s, (cpu_seconds(server.pid) - cpu_before) / downloads
