"""How a number changes with the hidden size, and which sizes differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

PERMUTATIONS = 9_999


@dataclass(frozen=True)
class Trend:
    """The change of a number with each doubling of the hidden size: `slope`, and the two-sided `p` of no trend, over `n`
    networks.
    """

    slope: float
    p: float
    n: int


def size_trend(sizes: np.ndarray, values: np.ndarray, rng: np.random.Generator | int = 0) -> Trend:
    """The Theil-Sen slope of `values` `[n]` on log2 of hidden `sizes` `[n]` (Sen 1968), and Kendall's statistic against
    permutations.

    The slope is the median over all pairs of networks of different size. NaN where there is one size, or fewer than three networks.
    A seed shared by two sizes is no pairing: their initial weights have nothing in common.
    """
    kept = ~np.isnan(values)
    x, y = np.log2(np.asarray(sizes, dtype=float)[kept]), np.asarray(values, dtype=float)[kept]
    n = len(y)
    if n < 3 or len(np.unique(x)) < 2:
        return Trend(np.nan, np.nan, n)
    rise, run = y[:, None] - y, x[:, None] - x
    slope = float(np.median((rise[run > 0]) / run[run > 0]))
    # Pairs in order less pairs against it: only the order of the values matters, so ranks are permuted.
    direction, ranks = np.sign(run), stats.rankdata(y)
    rng = np.random.default_rng(rng)
    observed = abs(_concordance(ranks[None], direction)[0])
    null = np.concatenate([
        np.abs(_concordance(rng.permuted(np.tile(ranks, (min(500, PERMUTATIONS - start), 1)), axis=1), direction))
        for start in range(0, PERMUTATIONS, 500)]) if n <= 200 else None
    if null is None:  # the statistic is normal long before
        return Trend(slope, float(stats.kendalltau(x, y).pvalue), n)
    return Trend(slope, float((1 + np.sum(null >= observed)) / (1 + PERMUTATIONS)), n)


def _concordance(ranks: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The sum over pairs of the signs of rank differences along `direction` `[n, n]`, for rows of `ranks` `[m, n]`."""
    return np.einsum("mij,ij->m", np.sign(ranks[:, :, None] - ranks[:, None, :]), direction) / 2


@dataclass(frozen=True)
class Difference:
    """Two hidden sizes compared: `estimate`, the mean of the second less that of the first, and its p adjusted over the pairs."""

    sizes: tuple[int, int]
    estimate: float
    p_adjusted: float


def planned_pairs(by_size: dict[int, np.ndarray]) -> list[Difference]:
    """Welch's t test of every pair of hidden sizes, p values adjusted by Holm (1979); NaN left out."""
    groups = {size: values[~np.isnan(values)] for size, values in by_size.items()}
    pairs = [(a, b) for a, b in combinations(sorted(groups), 2) if min(len(groups[a]), len(groups[b])) > 1]
    p = [_welch(groups[a], groups[b]) for a, b in pairs]
    adjusted = holm(p)
    return [Difference(pair, float(groups[pair[1]].mean() - groups[pair[0]].mean()), one)
            for pair, one in zip(pairs, adjusted, strict=True)]


def _welch(first: np.ndarray, second: np.ndarray) -> float:
    """The two-sided p value of Welch's (1947) t test; where neither group varies, 1 if they are the same, else 0."""
    if np.ptp(first) == np.ptp(second) == 0:
        return float(first[0] == second[0])
    numbers = [number for group in (first, second) for number in (group.mean(), group.std(ddof=1), len(group))]
    return float(stats.ttest_ind_from_stats(*numbers, equal_var=False).pvalue)


def holm(p: Sequence[float]) -> np.ndarray:
    """P values adjusted for the family-wise error rate (Holm 1979)."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))))
    return adjusted
