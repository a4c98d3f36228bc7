"""Figures, their spread over the rounds, and the budgets they are held against."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Spread:
    """Values of the rounds in their order, and how far they lie apart."""

    values: tuple[float, ...]

    @property
    def minimum(self) -> float:
        """The smallest value."""
        return min(self.values)

    @property
    def median(self) -> float:
        """The value in the middle, which budgets are held against."""
        return statistics.median(self.values)

    @property
    def maximum(self) -> float:
        """The largest value."""
        return max(self.values)


class Bound(Enum):
    """On which side of its limit a figure must lie."""

    AT_LEAST = "at least"
    AT_MOST = "at most"
    EXACTLY = "exactly"


@dataclass(frozen=True, slots=True)
class Budget:
    """A promise of DESIGN.md on a figure, or on its ratio to docker-registry's."""

    bound: Bound
    limit: float
    is_ratio: bool = True

    def is_met(self, spread: Spread) -> bool:
        """Tell whether the median keeps the promise."""
        match self.bound:
            case Bound.AT_LEAST:
                return spread.median >= self.limit
            case Bound.AT_MOST:
                return spread.median <= self.limit
            case Bound.EXACTLY:
                return spread.minimum == spread.maximum == self.limit


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of Homeport (`own`), the same of its peers, and what it is held against.

    The first peer is the one that ratios are taken with, round by round. A line without budget informs.
    """

    row: str
    what: str
    unit: str
    own: Spread
    peers: dict[str, Spread]
    budget: Budget | None = None

    @property
    def ratio(self) -> Spread | None:
        """Own figure over the first peer's in the same round, or None without a peer."""
        for peer in self.peers.values():
            if len(peer.values) == len(self.own.values):
                pairs = zip(self.own.values, peer.values, strict=True)
                return Spread(tuple(own / other if other else math.inf for own, other in pairs))
            break
        return None

    @property
    def is_met(self) -> bool | None:
        """Whether the budget is met, or None when there is none."""
        if self.budget is None:
            return None
        spread = self.ratio if self.budget.is_ratio else self.own
        return spread is not None and self.budget.is_met(spread)


def at_least(limit: float, *, is_ratio: bool = True) -> Budget:
    """Return the budget of a figure that should be large."""
    return Budget(Bound.AT_LEAST, limit, is_ratio)


def at_most(limit: float, *, is_ratio: bool = True) -> Budget:
    """Return the budget of a figure that should be small."""
    return Budget(Bound.AT_MOST, limit, is_ratio)


def exactly(limit: float, *, is_ratio: bool = True) -> Budget:
    """Return the budget of a figure that must have this value in every round."""
    return Budget(Bound.EXACTLY, limit, is_ratio)


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of the values."""
    return Spread(tuple(values))
