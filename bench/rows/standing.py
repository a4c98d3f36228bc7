"""Rows `memory-idle`, `memory-loaded` and `start`: what a server costs before it does anything."""

import time
from collections.abc import Mapping

from bench.figures import Line, at_most, spread
from bench.fill import fill_homeport
from bench.harness import Bench
from bench.processes import memory
from bench.servers import Launch, Server, docker_registry, homeport

IDLE_ROW = "memory-idle"
LOADED_ROW = "memory-loaded"
START_ROW = "start"

_IDLE_AFTER_S = 5.0
_MEMORY_BUDGET_MB = 250
_START_BUDGET_S = 2.0


def measure_idle(bench: Bench) -> list[Line]:
    """Return the memory of servers that started a few seconds ago and did nothing."""
    time.sleep(_IDLE_AFTER_S)
    return _memory_lines(bench, IDLE_ROW, "idle memory")


def measure_loaded(bench: Bench) -> list[Line]:
    """Return the memory of the servers after the rows that ran before."""
    time.sleep(_IDLE_AFTER_S)
    return _memory_lines(bench, LOADED_ROW, "memory after load")


def measure_start(bench: Bench) -> list[Line]:
    """Return the seconds from the start of the process until it answers."""
    largest = bench.scale.list_sizes[-1]
    fill_homeport(bench.large, largest, bench.scale.list_sizes)
    rounds = [_start_all(bench, number) for number in range(bench.scale.rounds)]
    figures = {key: spread([values[key] for values in rounds]) for key in rounds[0]}
    budget = at_most(_START_BUDGET_S, is_ratio=False)
    peer = {"docker-registry": figures["peer"]}
    return [
        Line(START_ROW, "start to ready, new data", "s", figures["new"], peer, budget),
        Line(START_ROW, "start to ready, again", "s", figures["again"], peer, budget),
        Line(START_ROW, f"start to ready, {largest:,} repositories", "s", figures["large"], {}, budget),
    ]


def _start_all(bench: Bench, number: int) -> Mapping[str, float]:
    own = homeport(bench.directory / f"start-{number}")
    peer = docker_registry(bench.directory / f"start-docker-registry-{number}")
    return {
        "new": _start(own),
        "again": _start(own),
        "peer": _start(peer),
        "large": _start(bench.large),
    }


def _start(launch: Launch) -> float:
    with Server(launch) as server:
        return server.ready_after_s


def _memory_lines(bench: Bench, row: str, what: str) -> list[Line]:
    own, peer = memory(bench.own.pid), memory(bench.peer.pid)
    megabyte = 1_000_000
    return [
        Line(
            row,
            f"{what}, {own.processes} processes, shared pages once (PSS)",
            "MB",
            spread([own.pss_bytes / megabyte]),
            {bench.peer.name: spread([peer.pss_bytes / megabyte])},
            at_most(_MEMORY_BUDGET_MB, is_ratio=False) if row == IDLE_ROW else None,
        ),
        Line(
            row,
            f"{what}, shared pages in each (RSS)",
            "MB",
            spread([own.rss_bytes / megabyte]),
            {bench.peer.name: spread([peer.rss_bytes / megabyte])},
        ),
    ]
