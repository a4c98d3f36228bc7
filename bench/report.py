"""The results on paper: a table for people, JSON for programs."""

import os
import platform
import subprocess
from collections.abc import Sequence
from typing import Any

from bench.figures import Budget, Line, Spread

_NAME_WIDTH = 25


def format_lines(lines: Sequence[Line], own_name: str) -> str:
    """Return the lines as text: what, the ratio and its verdict, then each server's figures."""
    return "\n".join(_format_line(line, own_name) for line in lines)


def summary(lines: Sequence[Line]) -> str:
    """Return one sentence on the budgets."""
    judged = [line for line in lines if line.is_met is not None]
    missed = [line.what for line in judged if not line.is_met]
    kept = f"{len(judged) - len(missed)} of {len(judged)} budgets met"
    return f"{kept}; missed: {'; '.join(missed)}" if missed else kept


def as_document(lines: Sequence[Line], machine: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return everything as JSON values: the machine, the settings, and all rounds of all figures."""
    return {"machine": machine, "settings": settings, "lines": [_as_json(line) for line in lines]}


def describe_machine() -> dict[str, Any]:
    """Return what the absolute figures depend on."""
    return {
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "docker-registry": _first_line("docker-registry", "--version"),
        "nginx": _first_line("nginx", "-v"),
        "wrk": _first_line("wrk", "--version"),
        "skopeo": _first_line("skopeo", "--version"),
    }


def _first_line(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return (result.stdout + result.stderr).partition("\n")[0]


def _format_line(line: Line, own_name: str) -> str:
    verdict = {None: "", True: "  pass", False: "  MISS"}[line.is_met]
    parts = [f"{line.what} [{line.unit}]"]
    budget = line.budget
    if budget is not None:
        parts.append(f"    budget {_format_budget(budget, line.unit)}{verdict}")
    if line.ratio is not None:
        parts.append(f"    {'ratio':<{_NAME_WIDTH}} {_format_spread(line.ratio)}")
    for name, values in ({own_name: line.own} | line.peers).items():
        parts.append(f"    {name:<{_NAME_WIDTH}} {_format_spread(values)}")
    return "\n".join(parts) + "\n"


def _format_budget(budget: Budget, unit: str) -> str:
    return f"{budget.bound.value} {budget.limit:g}{'x' if budget.is_ratio else ' ' + unit}"


def _format_spread(spread: Spread) -> str:
    if len(spread.values) == 1:
        return _format_number(spread.median)
    return " - ".join(_format_number(value) for value in (spread.minimum, spread.median, spread.maximum))


def _format_number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _as_json(line: Line) -> dict[str, Any]:
    budget = line.budget
    return {
        "row": line.row,
        "what": line.what,
        "unit": line.unit,
        "own": _spread_json(line.own),
        "peers": {name: _spread_json(values) for name, values in line.peers.items()},
        "ratio": _spread_json(line.ratio) if line.ratio else None,
        "budget": _format_budget(budget, line.unit) if budget else None,
        "is_met": line.is_met,
    }


def _spread_json(spread: Spread) -> dict[str, Any]:
    return {
        "minimum": spread.minimum,
        "median": spread.median,
        "maximum": spread.maximum,
        "rounds": spread.values,
    }
