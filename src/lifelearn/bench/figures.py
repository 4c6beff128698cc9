"""Figures of a bench: a value with its counts and its 95 % interval. Pure functions of numbers.

Shares have Wilson's interval (Wilson 1927; Brown, Cai and DasGupta 2001 recommend it for small counts),
means and medians the bootstrap's percentiles with a fixed seed, so that a report can be repeated to the digit.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence

from lifelearn.learning.types import Value

Z = 1.959964  # the normal distribution's 97.5th percentile
RESAMPLES = 2000


class Figure(Value):
    """`value` is n of `of` for a share; for a mean or a median, `n` and `of` are the number of measurements.

    low, high: the 95 % interval. All are None where nothing was measured.
    """

    value: float | None
    n: float
    of: int
    low: float | None
    high: float | None


NOTHING = Figure(value=None, n=0, of=0, low=None, high=None)


def share(outcomes: Sequence[bool]) -> Figure:
    """The share of true outcomes, which are independent of each other."""
    return clustered([[outcome] for outcome in outcomes])


def clustered(groups: Sequence[Sequence[bool]]) -> Figure:
    """The share of true outcomes over all groups; groups are independent, outcomes within one are not.

    The interval takes the number of groups for the sample's size: wider than if every outcome counted.
    """
    groups = [group for group in groups if group]
    of, n = sum(len(group) for group in groups), sum(sum(group) for group in groups)
    if not of:
        return NOTHING
    low, high = wilson(n / of, len(groups))
    return Figure(value=n / of, n=n, of=of, low=low, high=high)


def wilson(value: float, size: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share `value` among `size` independent trials."""
    square = Z * Z / size
    centre = (value + square / 2) / (1 + square)
    half = Z / (1 + square) * math.sqrt(value * (1 - value) / size + square / (4 * size))
    return max(0.0, centre - half), min(1.0, centre + half)


def mean(values: Sequence[float]) -> Figure:
    """The arithmetic mean."""
    return _bootstrapped(values, statistics.fmean)


def median(values: Sequence[float]) -> Figure:
    """The median."""
    return _bootstrapped(values, statistics.median)


def _bootstrapped(values: Sequence[float], statistic: Callable[[Sequence[float]], float]) -> Figure:
    if not values:
        return NOTHING
    rng = random.Random(0)
    drawn = sorted(statistic(rng.choices(values, k=len(values))) for _ in range(RESAMPLES))
    low, high = drawn[int(0.025 * RESAMPLES)], drawn[int(0.975 * RESAMPLES) - 1]
    return Figure(value=statistic(values), n=len(values), of=len(values), low=low, high=high)
