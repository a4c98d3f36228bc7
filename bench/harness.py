"""Runs a measurement on the servers in turn, round by round, and gathers the figures."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Budget, Line, Spread, spread
from bench.processes import settle
from bench.profiler import Profiler
from bench.servers import Launch, Server

MIB = 1024 * 1024

_MIN_ROUNDS = 2
_MAX_COMPARISON_S = 75.0

Measurement = Callable[[Server], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured: rounds, sizes in bytes, counts, durations."""

    rounds: int
    wrk_s: int
    blob_bytes: int
    downloads: int
    crowd_clients: int
    crowd_bytes: int
    images: int
    skopeo_images: int
    list_sizes: tuple[int, ...]
    peer_list_size: int
    list_requests: int
    audit_requests: int


FULL = Scale(
    rounds=5,
    wrk_s=4,
    blob_bytes=512 * MIB,
    downloads=3,
    crowd_clients=100,
    crowd_bytes=64 * MIB,
    images=8,
    skopeo_images=2,
    list_sizes=(100, 1_000, 100_000),
    peer_list_size=10_000,
    list_requests=300,
    audit_requests=3_200,
)

QUICK = Scale(
    rounds=2,
    wrk_s=2,
    blob_bytes=256 * MIB,
    downloads=1,
    crowd_clients=100,
    crowd_bytes=16 * MIB,
    images=2,
    skopeo_images=1,
    list_sizes=(100, 1_000, 20_000),
    peer_list_size=2_000,
    list_requests=100,
    audit_requests=640,
)


@dataclass(frozen=True, slots=True)
class Bench:
    """What every row needs: the running servers, a directory on the disk, the scale, the profiler.

    `own` is Homeport, `peer` is docker-registry; `nginx_files` is the directory that nginx serves, `large` a
    Homeport of many repositories that is not running.
    """

    scale: Scale
    directory: Path
    own: Server
    peer: Server
    nginx: Server
    nginx_files: Path
    large: Launch
    profiler: Profiler

    def compare(self, row: str, servers: Sequence[Server], measure: Measurement) -> "Comparison":
        """Measure the servers in turn, each once per round, Homeport first, the others being at rest.

        On a machine so busy that the rounds take too long, there are fewer of them, but at least two.
        """
        rounds: list[dict[str, Mapping[str, float]]] = []
        begin = time.monotonic()
        for number in range(self.scale.rounds):
            if number >= _MIN_ROUNDS and time.monotonic() - begin > _MAX_COMPARISON_S:
                break
            figures: dict[str, Mapping[str, float]] = {}
            for server in servers:
                for other in servers:
                    settle(other.pid)
                if server is self.own and number == 0:
                    with self.profiler.watch(row, server.pid):
                        figures[server.name] = measure(server)
                else:
                    figures[server.name] = measure(server)
            rounds.append(figures)
        return Comparison(row, servers[0].name, rounds)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The figures of all rounds, by server."""

    row: str
    own_name: str
    rounds: Sequence[Mapping[str, Mapping[str, float]]]

    def line(self, key: str, what: str, unit: str, budget: Budget | None = None) -> Line:
        """Return the line of one figure."""
        values = {name: self._spread(name, key) for name in self.rounds[0] if key in self.rounds[0][name]}
        return Line(self.row, what, unit, values.pop(self.own_name), values, budget)

    def own(self, key: str) -> Spread:
        """Return a figure of Homeport, or of what was measured in its turn."""
        return self._spread(self.own_name, key)

    def _spread(self, name: str, key: str) -> Spread:
        return spread([figures[name][key] for figures in self.rounds])
