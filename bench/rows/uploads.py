"""Rows `blob-push`, `image-push` and `skopeo-push`: what pushing costs."""

import dataclasses
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from bench.client import Connection
from bench.content import make_image, renew, write_layout, write_random
from bench.figures import Line, at_least
from bench.harness import MIB, Bench
from bench.processes import cpu_seconds
from bench.pushing import push_image, push_scope, send_file
from bench.servers import Server

BLOB_ROW = "blob-push"
IMAGE_ROW = "image-push"
SKOPEO_ROW = "skopeo-push"

_LAYERS = 20
_LAYER_BYTES = 32 * 1024
_PARALLEL = 5


def measure_blob(bench: Bench) -> list[Line]:
    """Return the speed of a monolithic push of new content and its processor time."""
    path = bench.directory / "push.bin"
    write_random(path, bench.scale.blob_bytes)

    def measure(server: Server) -> Mapping[str, float]:
        bare_speed = _write_bare(path, bench.directory / "bare.bin") if server is bench.own else 0.0
        digest = renew(path)
        headers = server.authorization(push_scope("bench/uploads"))
        cpu_before = cpu_seconds(server.pid)
        with Connection(server.port) as connection:
            begin = time.perf_counter()
            send_file(connection, "bench/uploads", headers, path, digest)
            elapsed_s = time.perf_counter() - begin
            cpu_s = cpu_seconds(server.pid) - cpu_before
            connection.request("DELETE", f"/v2/bench/uploads/blobs/{digest}", headers)
        return {"speed": bench.scale.blob_bytes / MIB / elapsed_s, "cpu_s": cpu_s, "bare_speed": bare_speed}

    result = bench.compare(BLOB_ROW, (bench.own, bench.peer), measure)
    path.unlink()
    what = f"blob push, {bench.scale.blob_bytes // MIB} MiB monolithic"
    line = result.line("speed", what, "MiB/s", at_least(2))
    return [
        dataclasses.replace(line, peers={**line.peers, "no server": result.own("bare_speed")}),
        result.line("cpu_s", f"{what}, server CPU", "s"),
    ]


def _write_bare(source: Path, target: Path) -> float:
    """Hash, write and flush the file as a store must, without a server, and return MiB per second."""
    begin = time.perf_counter()
    digest, size_bytes = hashlib.sha256(), 0
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(MIB):
            digest.update(chunk)
            size_bytes += writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    elapsed_s = time.perf_counter() - begin
    target.unlink()
    return size_bytes / MIB / elapsed_s


def measure_image(bench: Bench) -> list[Line]:
    """Return how many images of small layers are pushed in a second, on five connections and on one."""
    numbers = count()

    def measure(server: Server) -> Mapping[str, float]:
        figures: dict[str, float] = {}
        for connections, key in ((_PARALLEL, "parallel"), (1, "single")):
            images = [make_image(_LAYERS, _LAYER_BYTES) for _ in range(bench.scale.images)]
            cpu_before, begin = cpu_seconds(server.pid), time.perf_counter()
            for image in images:
                push_image(server, "bench/images", f"t{next(numbers)}", image, connections)
            figures[key] = bench.scale.images / (time.perf_counter() - begin)
            figures[f"{key}_cpu_ms"] = (cpu_seconds(server.pid) - cpu_before) * 1000 / bench.scale.images
        return figures

    result = bench.compare(IMAGE_ROW, (bench.own, bench.peer), measure)
    what = f"push, {_LAYERS} layers of {_LAYER_BYTES // 1024} KiB"
    return [
        result.line("parallel", f"{what}, {_PARALLEL} connections", "images/s", at_least(2)),
        result.line("single", f"{what}, one connection", "images/s", at_least(2)),
        result.line("single_cpu_ms", f"{what}, one connection, server CPU an image", "ms"),
    ]


def measure_skopeo(bench: Bench) -> list[Line]:
    """Return the seconds that `skopeo copy` of such an image takes, its own start included."""
    numbers = count()

    def measure(server: Server) -> Mapping[str, float]:
        elapsed_s = 0.0
        for _ in range(bench.scale.skopeo_images):
            layout = bench.directory / "layout"
            write_layout(make_image(_LAYERS, _LAYER_BYTES), layout)
            begin = time.perf_counter()
            _copy_with_skopeo(layout, server, f"s{next(numbers)}")
            elapsed_s += time.perf_counter() - begin
            shutil.rmtree(layout)
        return {"rate": bench.scale.skopeo_images / elapsed_s}

    result = bench.compare(SKOPEO_ROW, (bench.own, bench.peer), measure)
    return [result.line("rate", f"skopeo copy, {_LAYERS} layers", "images/s")]


def _copy_with_skopeo(layout: Path, server: Server, tag: str) -> None:
    login = server.launch.credentials
    options = ["--dest-creds", ":".join(login)] if login else []
    subprocess.run(
        [
            *("skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", *options),
            f"oci:{layout}:latest",
            f"docker://127.0.0.1:{server.port}/bench/skopeo:{tag}",
        ],
        check=True,
        timeout=120,
    )
