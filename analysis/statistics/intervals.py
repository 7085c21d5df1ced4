"""Intervals and tests for single numbers across networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

ROUNDING = 1e-14  # relative


@dataclass(frozen=True)
class Estimate:
    """A number estimated from `n` networks, with the limits of its interval; NaN where there are too few for one."""

    value: float
    lower: float
    upper: float
    n: int


def mean_interval(values: np.ndarray, level: float = 0.95) -> Estimate:
    """Student's t interval of the mean of `values` `[n]`, NaN left out."""
    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    n = len(values)
    if n < 2:
        return Estimate(float(values.mean()) if n else np.nan, np.nan, np.nan, n)
    half = stats.t.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return Estimate(float(values.mean()), float(values.mean() - half), float(values.mean() + half), n)


def share_interval(successes: int, n: int, level: float = 0.95) -> Estimate:
    """Wilson's (1927) interval of a share of `n` networks."""
    if not n:
        return Estimate(np.nan, np.nan, np.nan, 0)
    interval = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    return Estimate(successes / n, float(interval.low), float(interval.high), n)


def greater_than(values: np.ndarray, bound: float = 0.0) -> float:
    """The one-sided p value of a t test that the mean of `values` `[n]` lies above `bound`, NaN left out.

    Where all networks agree, up to rounding, p is 0 if their value lies above the bound, else 1. NaN below 2 networks.
    """
    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return float("nan")
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values))
    if error <= ROUNDING * max(abs(mean), abs(bound)):
        return 0.0 if mean > bound else 1.0
    return float(stats.t.sf((mean - bound) / error, len(values) - 1))


@dataclass(frozen=True)
class OneSided:
    """Two p values of one comparison with a bound: `greater`, of the hypothesis that the truth is not above it, which is small
    where it is above; and `less`, the reverse."""

    greater: float
    less: float

    def reversed(self) -> OneSided:
        """The comparison for which it is good to lie below the bound."""
        return OneSided(self.less, self.greater)


def mean_test(values: np.ndarray, bound: float = 0.0) -> OneSided:
    """Student's t test of the mean of `values` `[n]` against a bound, NaN left out; where all networks agree, p is 0 or 1."""
    values = np.asarray(values, dtype=float)
    return OneSided(greater_than(values, bound), greater_than(-values, -bound))


def share_test(successes: int, n: int, bound: float = 0.5) -> OneSided:
    """The exact binomial test of a share of `n` networks against a bound."""
    if not n:
        return OneSided(float("nan"), float("nan"))
    greater, less = (float(stats.binomtest(successes, n, bound, alternative=side).pvalue) for side in ("greater", "less"))
    return OneSided(greater, less)
