"""Row `lists`: pages of tags/list and _catalog in small and in very large registries."""

import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack

import orjson
from bench.client import AnswerError, Connection
from bench.figures import Line, at_most, percentile, spread
from bench.fill import fill_docker_registry, fill_homeport, repository_name, tag_name, tagged_name
from bench.harness import Bench
from bench.servers import Server, docker_registry, homeport

ROW = "lists"

_PAGE = 100
_LARGE_PAGE = 1_000
_BUDGET_MS = 20.0
_FLAT = 1.5
# A folder for each tag and repository: at 100,000, making and removing them would take minutes.
_PEER_SIZE = 10_000
_PEER_REQUESTS = 3

Figures = dict[str, list[float]]


def measure(bench: Bench) -> list[Line]:
    """Return the time of a page at each size, and whether the largest takes longer than the smallest."""
    sizes = bench.scale.list_sizes
    with ExitStack() as running:
        own = [running.enter_context(server) for server in _homeports(bench)]
        peer_launch = docker_registry(bench.directory / "lists-docker-registry")
        fill_docker_registry(peer_launch, _PEER_SIZE, (_PEER_SIZE,))
        peer = running.enter_context(Server(peer_launch))
        rounds = [_round(bench, own, peer) for _ in range(bench.scale.rounds)]
    figures = {key: [values[key] for values in rounds] for key in rounds[0]}
    return [line for kind in ("tags/list", "_catalog") for line in _lines(kind, sizes, figures)]


def _homeports(bench: Bench) -> Iterator[Server]:
    *small, largest = bench.scale.list_sizes
    for size in small:
        launch = homeport(bench.directory / f"lists-{size}")
        fill_homeport(launch, size, ())
        yield Server(launch)
    fill_homeport(bench.large, largest, bench.scale.list_sizes)
    yield Server(bench.large)


def _round(bench: Bench, own: Sequence[Server], peer: Server) -> Mapping[str, float]:
    sizes, requests = bench.scale.list_sizes, bench.scale.list_requests
    figures: dict[str, float] = {}
    for size, server in zip(sizes, own, strict=True):
        # All tags live in the largest Homeport, whereas each number of repositories has its own.
        for kind, chosen in (("tags/list", own[-1]), ("_catalog", server)):
            times = _time_pages(chosen, kind, size, requests)
            figures[f"{kind} {size}"] = statistics.median(times)
            figures[f"{kind} {size} p99"] = percentile(times, 99)
    for kind in ("tags/list", "_catalog"):
        large = _time_pages(own[-1], kind, sizes[-1], requests // 4, page=_LARGE_PAGE)
        figures[f"{kind} large page"] = statistics.median(large)
        figures[f"{kind} peer"] = statistics.median(_time_pages(peer, kind, _PEER_SIZE, _PEER_REQUESTS))
    return figures


def _time_pages(server: Server, kind: str, size: int, requests: int, *, page: int = _PAGE) -> list[float]:
    """Return the milliseconds of each request for a page at a random place."""
    if kind == "_catalog":
        headers = server.authorization("registry:catalog:*")
        path, name, key = "/v2/_catalog", repository_name, "repositories"
    else:
        headers = server.authorization(f"repository:{tagged_name(size)}:pull")
        path, name, key = f"/v2/{tagged_name(size)}/tags/list", tag_name, "tags"
    times: list[float] = []
    with Connection(server.port) as connection:
        for number in _places(size, page, requests):
            target = f"{path}?n={page}{_last(name, number)}"
            begin = time.perf_counter()
            answer = connection.request("GET", target, headers)
            times.append((time.perf_counter() - begin) * 1000)
            if answer.status != 200 or len(orjson.loads(answer.body)[key]) < min(page, size):
                raise AnswerError(f"{server.name}: GET {target}: {answer.status} {answer.body[:200]!r}")
    return times


def _places(size: int, page: int, requests: int) -> list[int]:
    chosen = random.Random(size)  # noqa: S311 - the same places in every run
    return [chosen.randint(0, max(0, size - page)) for _ in range(requests)]


def _last(name: Callable[[int], str], number: int) -> str:
    return f"&last={name(number - 1).replace('/', '%2F')}" if number else ""


def _lines(kind: str, sizes: tuple[int, ...], figures: Figures) -> list[Line]:
    largest = sizes[-1]
    own = spread(figures[f"{kind} {largest}"])
    others = {f"homeport at {size:,}": spread(figures[f"{kind} {size}"]) for size in sizes[:-1]}
    what = f"{kind}, {_PAGE} of {largest:,}"
    peer = {f"docker-registry at {_PEER_SIZE:,}": spread(figures[f"{kind} peer"])}
    return [
        Line(ROW, what, "ms", own, peer, at_most(_BUDGET_MS, is_ratio=False)),
        Line(ROW, f"{what}, p99", "ms", spread(figures[f"{kind} {largest} p99"]), {}),
        Line(ROW, f"{what}, growth since {sizes[0]:,}", "ms", own, others, at_most(_FLAT)),
        Line(
            ROW,
            f"{kind}, {_LARGE_PAGE:,} of {largest:,}",
            "ms",
            spread(figures[f"{kind} large page"]),
            {},
            at_most(_BUDGET_MS, is_ratio=False),
        ),
    ]
