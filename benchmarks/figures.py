"""Medians, quartiles, percentiles and ratios. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from statistics import median, quantiles
from typing import NamedTuple


class Spread(NamedTuple):
    """A median and the quartiles around it."""

    low: float
    middle: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return median and quartiles.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values")
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return Spread(low, middle, high)


def ratios(mine: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return round by round how many times ``base`` ``mine`` is.

    Inside a round, so that whatever disturbed the machine then disturbed both. A contender
    that failed in a later round is compared over the rounds both have.
    """
    return [one / other for one, other in zip(mine, base, strict=False) if other > 0]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` (0.99 for p99) of the values do not exceed: one of them."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def middle(values: Sequence[float]) -> float:
    """Return the median."""
    return median(values)
