"""Tables of the protocol: a case is seeded content and requests, each with the answer that it must get."""

import itertools
import os
import re
import string
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any
from urllib.parse import quote

from tests.conformance.content import Blob, Manifest
from tests.conformance.wire import Answer, Body, Headers, Registry

Wanted = str | re.Pattern[str] | frozenset[str] | None
Seed = tuple[Blob | Manifest, ...]

PROJECT = "conformance"
_READS = frozenset({"GET", "HEAD"})
_NO_CONTENT = frozenset({204, 304})


class Caller(Enum):
    """Who sends a request."""

    ADMIN = "the administrator, with Basic credentials"
    NOBODY = "no Authorization header at all"


NOBODY = Caller.NOBODY


@dataclass(frozen=True, slots=True)
class Step:
    """One request and the answer that it must get.

    In target and wanted headers `$repo`, `$other` and `$location` (the last one answered) are replaced, as
    are `$join` (the location, ready for a further parameter), `$id` (of the upload) and names for `save`.
    A wanted header that is None must be absent; a pattern must match the whole value; a set is a comma
    list in any order.
    """

    method: str
    target: str
    status: int
    send: Headers = ()
    body: Body = b""
    caller: Caller = Caller.ADMIN
    want: dict[str, Wanted] = field(default_factory=dict)
    content: bytes | None = None
    json: object = None
    codes: tuple[str, ...] = ()
    tags: tuple[str, ...] | None = None
    save: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A row: what holds, the requests in their order, and the content that is there before."""

    about: str
    steps: tuple[Step, ...]
    seed: Seed = ()
    seed_other: Seed = ()

    def __str__(self) -> str:
        return self.about

    @property
    def only_reads(self) -> bool:
        """Whether the case leaves its repository as it was."""
        return all(step.method in _READS for step in self.steps)


def case(about: str, *steps: Step, seed: Seed = (), other: Seed = ()) -> Case:
    """Return a row."""
    return Case(about, steps, seed, other)


def get(target: str, status: int = 200, **rest: Any) -> Step:
    """Return a GET step."""
    return Step("GET", target, status, **rest)


def head(target: str, status: int = 200, **rest: Any) -> Step:
    """Return a HEAD step."""
    return Step("HEAD", target, status, **rest)


def post(target: str, status: int, **rest: Any) -> Step:
    """Return a POST step."""
    return Step("POST", target, status, **rest)


def patch(target: str, status: int, body: Body, **rest: Any) -> Step:
    """Return a PATCH step."""
    return Step("PATCH", target, status, body=body, **rest)


def put(target: str, status: int, body: Body = b"", **rest: Any) -> Step:
    """Return a PUT step."""
    return Step("PUT", target, status, body=body, **rest)


def delete(target: str, status: int = 202, **rest: Any) -> Step:
    """Return a DELETE step."""
    return Step("DELETE", target, status, **rest)


def blobs(digest: str) -> str:
    """Return the target of a blob of the case's repository."""
    return f"/v2/$repo/blobs/{digest}"


def manifests(reference: str) -> str:
    """Return the target of a manifest of the case's repository."""
    return f"/v2/$repo/manifests/{reference}"


UPLOADS = "/v2/$repo/blobs/uploads/"


class Exam:
    """Runs cases against a registry; content that cases only read is pushed once."""

    _numbers = itertools.count(1)

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._seeded: dict[Seed, str] = {}

    def new_repository(self, seed: Seed = (), prefix: str = PROJECT) -> str:
        """Return the name of a repository that holds exactly the seed."""
        repository = f"{prefix}/r{os.getpid()}-{next(self._numbers)}"
        for item in seed:
            self.push(repository, item)
        return repository

    def shared_repository(self, seed: Seed) -> str:
        """Return the name of a repository that holds the seed and that nobody changes."""
        if seed not in self._seeded:
            self._seeded[seed] = self.new_repository(seed)
        return self._seeded[seed]

    def push(self, repository: str, item: Blob | Manifest) -> None:
        """Push one blob or manifest."""
        match item:
            case Blob():
                target = f"/v2/{repository}/blobs/uploads/?digest={item.digest}"
                answer = self.registry.ask_as_admin("POST", target, (), item.content)
            case Manifest():
                target = f"/v2/{repository}/manifests/{item.reference}"
                send = (("Content-Type", item.media_type),)
                answer = self.registry.ask_as_admin("PUT", target, send, item.content)
        assert answer.status == 201, (target, answer)

    def run(self, row: Case) -> None:
        """Run the steps in their order; an answer that differs from the wanted one fails the test."""
        make = self.shared_repository if row.only_reads else self.new_repository
        names = {"repo": make(row.seed), "other": make(row.seed_other) if row.seed_other else ""}
        for number, step in enumerate(row.steps, 1):
            self._run_step(_fill(step, names), names, f"step {number} of {row.about!r}")

    def _run_step(self, step: Step, names: dict[str, str], where: str) -> None:
        credentials = self.registry.admin if step.caller is Caller.ADMIN else ()
        answer = self.registry.ask(step.method, step.target, (*credentials, *step.send), step.body)
        shown = f"{where}: {step.method} {step.target}\n{answer}"
        assert answer.status == step.status, shown
        check_every_answer(step.method, answer, shown)
        for name, wanted in step.want.items():
            check_header(answer, name, wanted, shown)
        if step.codes:
            assert answer.codes() == list(step.codes), shown
        if step.tags is not None:
            assert answer.json()["tags"] == list(step.tags), shown
        if step.content is not None:
            assert answer.body == step.content, where
        if step.json is not None:
            assert answer.json() == step.json, shown
        location = answer.header("Location")
        if location is not None:
            names["location"] = location
            names["join"] = location + ("&" if "?" in location else "?")
            names["id"] = location.partition("?")[0].rpartition("/")[2]
            if step.save:
                names[step.save] = location


def _fill(step: Step, names: dict[str, str]) -> Step:
    want = {
        name: string.Template(wanted).safe_substitute(names) if isinstance(wanted, str) else wanted
        for name, wanted in step.want.items()
    }
    target = string.Template(step.target).safe_substitute(names)
    wanted = step.json
    if isinstance(wanted, dict) and isinstance(wanted.get("name"), str):
        wanted = {**wanted, "name": string.Template(wanted["name"]).safe_substitute(names)}
    return replace(step, target=target, want=want, json=wanted)


def check_header(answer: Answer, name: str, wanted: Wanted, shown: str) -> None:
    """Assert one header of an answer."""
    got = answer.header(name)
    if isinstance(wanted, re.Pattern):
        assert got is not None, f"{name} is absent\n{shown}"
        assert wanted.fullmatch(got), f"{name}: {got}\n{shown}"
    elif isinstance(wanted, frozenset):
        assert got is not None, f"{name} is absent\n{shown}"
        assert {part.strip() for part in got.split(",")} == wanted, f"{name}: {got}\n{shown}"
    else:
        assert got == wanted, f"{name}: {got} instead of {wanted}\n{shown}"


def check_every_answer(method: str, answer: Answer, shown: str) -> None:
    """Assert what holds for every answer below `/v2` (distribution-protocol.md, section 0)."""
    assert answer.header("Docker-Distribution-API-Version") == "registry/2.0", shown
    assert answer.header("Content-Encoding") is None, shown
    location = answer.header("Location")
    assert location is None or location.startswith("/"), shown
    if method == "HEAD":
        assert answer.body == b"", shown
    elif answer.status not in _NO_CONTENT:
        assert answer.header("Content-Length") == str(len(answer.body)), shown
    if answer.status >= 400 and method != "HEAD":
        assert answer.header("Content-Type") == "application/json", shown
        errors = answer.json()["errors"]
        assert errors, shown
        for entry in errors:
            assert set(entry) <= {"code", "message", "detail"}, shown
            assert isinstance(entry["code"], str), shown
            assert isinstance(entry["message"], str), shown


def escaped(text: str) -> str:
    """Return the text for use in a query, everything escaped."""
    return quote(text, safe="")
