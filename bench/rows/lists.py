"""Row `lists`: pages of tags/list and _catalog in small and in very large registries."""

import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from urllib.parse import quote

import orjson
from bench.client import AnswerError, Connection
from bench.figures import Line, at_most, percentile, spread
from bench.fill import fill_docker_registry, fill_homeport, repository_name, tag_name, tagged_name
from bench.harness import Bench, Scale
from bench.servers import Server, docker_registry, homeport

ROW = "lists"

_KINDS = ("tags/list", "_catalog")
_PAGE = 100
_LARGE_PAGE = 1_000
_BUDGET_MS = 20.0
_FLAT = 1.5
_PEER_REQUESTS = 3

Figures = dict[str, list[float]]


def measure(bench: Bench) -> list[Line]:
    """Return the time of a page at each size, and whether the largest takes longer than the smallest."""
    with ExitStack() as running:
        own = [running.enter_context(server) for server in _homeports(bench)]
        peer_launch = docker_registry(bench.directory / "lists-docker-registry")
        # A folder for each tag and repository: as many as for Homeport would take minutes to make and remove.
        fill_docker_registry(peer_launch, bench.scale.peer_list_size, (bench.scale.peer_list_size,))
        peer = running.enter_context(Server(peer_launch))
        rounds = [_round(bench, own, peer) for _ in range(bench.scale.rounds)]
    figures = {key: [values[key] for values in rounds] for key in rounds[0]}
    return [line for kind in _KINDS for line in _lines(kind, bench.scale, figures)]


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
    for kind in _KINDS:
        # All tags live in the largest Homeport, whereas each number of repositories has its own.
        servers = own if kind == "_catalog" else [own[-1]] * len(sizes)
        with ExitStack() as open_lists:
            lists = [_List(server, kind, size) for server, size in zip(servers, sizes, strict=True)]
            large = _List(own[-1], kind, sizes[-1], page=_LARGE_PAGE)
            theirs = _List(peer, kind, bench.scale.peer_list_size)
            for one in (*lists, large, theirs):
                open_lists.enter_context(one.connection)
            times = _time_in_turn(lists, requests)
            figures[f"{kind} large page"] = statistics.median(*_time_in_turn([large], requests // 4))
            figures[f"{kind} peer"] = statistics.median(*_time_in_turn([theirs], _PEER_REQUESTS))
        for size, values in zip(sizes, times, strict=True):
            figures[f"{kind} {size}"] = statistics.median(values)
        figures[f"{kind} p99"] = percentile(times[-1], 99)
    return figures


class _List:
    """A list of a server, so many entries long, that is asked for page by page."""

    def __init__(self, server: Server, kind: str, size: int, *, page: int = _PAGE) -> None:
        self.connection = Connection(server.port)
        self._size = size
        self._page = page
        if kind == "_catalog":
            self._headers = server.authorization("registry:catalog:*")
            self._path, self._name, self._key = "/v2/_catalog", repository_name, "repositories"
        else:
            repository = tagged_name(size)
            self._headers = server.authorization(f"repository:{repository}:pull")
            self._path, self._name, self._key = f"/v2/{repository}/tags/list", tag_name, "tags"

    def time_page(self, share: float) -> float:
        """Return the milliseconds that the page takes which begins after this share of the list.

        Raises AnswerError when the page is not full.
        """
        number = int(share * max(0, self._size - self._page))
        last = f"&last={quote(self._name(number - 1), safe='')}" if number else ""
        target = f"{self._path}?n={self._page}{last}"
        begin = time.perf_counter()
        answer = self.connection.request("GET", target, self._headers)
        elapsed_s = time.perf_counter() - begin
        expected = min(self._page, self._size)
        if answer.status != 200 or len(orjson.loads(answer.body)[self._key]) < expected:
            raise AnswerError(f"GET {target}: {answer.status} {answer.body[:200]!r}")
        return elapsed_s * 1000


def _time_in_turn(lists: Sequence[_List], requests: int) -> list[list[float]]:
    """Return the milliseconds of so many pages of each list; the lists take turns, page by page."""
    chosen = random.Random(requests)  # noqa: S311 - the same places in every run
    times = [[one.time_page(share) for one in lists] for share in (chosen.random() for _ in range(requests))]
    return [list(values) for values in zip(*times, strict=True)]


def _lines(kind: str, scale: Scale, figures: Figures) -> list[Line]:
    sizes = scale.list_sizes
    largest = sizes[-1]
    own = spread(figures[f"{kind} {largest}"])
    others = {f"homeport at {size:,}": spread(figures[f"{kind} {size}"]) for size in sizes[:-1]}
    what = f"{kind}, {_PAGE} of {largest:,}"
    peer = {f"docker-registry at {scale.peer_list_size:,}": spread(figures[f"{kind} peer"])}
    return [
        Line(ROW, what, "ms", own, peer, at_most(_BUDGET_MS, is_ratio=False)),
        Line(ROW, f"{what}, p99", "ms", spread(figures[f"{kind} p99"]), {}),
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
