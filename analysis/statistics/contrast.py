"""How a number changes over groups of networks that differ in one setting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from analysis.statistics.intervals import Estimate, OneSided


def slope(x: np.ndarray, groups: Sequence[np.ndarray], bound: float = 0.0, level: float = 0.95) -> tuple[Estimate, OneSided]:
    """The slope of the means of `groups` of networks on `x` `[k]`, with its interval, and its test against a bound.

    It is the linear contrast with the same weight for each group, whatever its number of networks; each group has its own variance
    (Welch 1947; degrees of freedom after Satterthwaite 1946). NaN with fewer than two groups, or fewer than two networks in one.
    """
    n, nan = sum(map(len, groups)), float("nan")
    if len(groups) < 2 or not np.ptp(x) or min(map(len, groups)) < 1:
        return Estimate(nan, nan, nan, n), OneSided(nan, nan)
    weights = (x - np.mean(x)) / np.sum((x - np.mean(x)) ** 2)
    value = float(weights @ [group.mean() for group in groups])
    if min(map(len, groups)) < 2:
        return Estimate(value, nan, nan, n), OneSided(nan, nan)
    errors = weights**2 * [group.var(ddof=1) / len(group) for group in groups]
    error = float(np.sqrt(errors.sum()))
    if error == 0:  # no group varies
        return Estimate(value, value, value, n), OneSided(float(value <= bound), float(value >= bound))
    degrees = float(errors.sum() ** 2 / np.sum(errors**2 / [len(group) - 1 for group in groups]))
    half = float(stats.t.ppf((1 + level) / 2, degrees)) * error
    t = (value - bound) / error
    return Estimate(value, value - half, value + half, n), OneSided(float(stats.t.sf(t, degrees)), float(stats.t.cdf(t, degrees)))
