"""Row `manifest-get`: a manifest by tag, 32 keep-alive clients, as fast as wrk can ask."""

import re
import subprocess
from collections.abc import Mapping

from bench.client import AnswerError
from bench.content import make_image
from bench.figures import Line, at_least
from bench.harness import Bench
from bench.processes import cpu_seconds, settle
from bench.pushing import push_image, push_scope
from bench.servers import Server

ROW = "manifest-get"
_REPOSITORY = "bench/manifests"
CLIENTS = 32

_ACCEPT = (
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json"
)
_REQUESTS = re.compile(r"(\d+) requests in ")
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_P99 = re.compile(r"99%\s+([\d.]+)(us|ms|s)")
_TO_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def measure(bench: Bench) -> list[Line]:
    """Return requests per second and their 99th percentile."""
    image = make_image(10, 1024)
    for server in (bench.own, bench.peer):
        push_image(server, _REPOSITORY, "latest", image, 1)

    def run(server: Server) -> Mapping[str, float]:
        cpu_before = cpu_seconds(server.pid)
        figures = run_wrk(server, _REPOSITORY, bench.scale.wrk_s)
        settle(server.pid)
        cpu_us = (cpu_seconds(server.pid) - cpu_before) * 1e6
        return {**figures, "cpu_us": cpu_us / figures["requests"]}

    result = bench.compare(ROW, (bench.own, bench.peer), run)
    return [
        result.line("rate", f"manifest GET by tag, {CLIENTS} clients", "requests/s", at_least(10)),
        result.line("p99_ms", "manifest GET by tag, 99th percentile", "ms"),
        result.line("cpu_us", "manifest GET by tag, server CPU a request, journal drained", "us"),
    ]


def run_wrk(server: Server, repository: str, duration_s: int) -> Mapping[str, float]:
    """Ask for the repository's tag `latest` for so long; raises AnswerError when any answer is not 200."""
    headers = {**server.authorization(push_scope(repository)), "Accept": _ACCEPT}
    options = [option for name, value in headers.items() for option in ("-H", f"{name}: {value}")]
    url = f"http://127.0.0.1:{server.port}/v2/{repository}/manifests/latest"
    report = subprocess.run(
        ["wrk", "-t1", f"-c{CLIENTS}", f"-d{duration_s}s", "--latency", *options, url],
        capture_output=True,
        text=True,
        check=True,
        timeout=duration_s + 30,
    ).stdout
    rate, requests, p99 = _RATE.search(report), _REQUESTS.search(report), _P99.search(report)
    if rate is None or requests is None or p99 is None or "Non-2xx" in report or "Socket errors" in report:
        raise AnswerError(f"wrk against {server.name} reports:\n{report}")
    return {
        "rate": float(rate[1]),
        "p99_ms": float(p99[1]) * _TO_MS[p99[2]],
        "requests": float(requests[1]),
    }
