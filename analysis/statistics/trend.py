"""How a number changes with the hidden size, and which sizes differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

PERMUTATIONS = 9_999
BLOCK = 500  # permutations held in memory at once
LARGE = 60  # networks; above, Kendall's statistic is practically normal


@dataclass(frozen=True)
class Trend:
    """The change of a number per doubling of the hidden size: `slope`, and the two-sided `p` of the hypothesis of no trend, over
    `n` networks.
    """

    slope: float
    p: float
    n: int


def size_trend(sizes: np.ndarray, values: np.ndarray, rng: np.random.Generator | int = 0) -> Trend:
    """The Theil-Sen slope of `values` `[n]` on log2 of hidden `sizes` `[n]` (Sen 1968), with a permutation test of Kendall's
    statistic.

    The slope is the median over all pairs of networks of different size. NaN where there is one size, or fewer than three networks.
    Networks of two sizes with the same seed are not paired: their initial weights have nothing in common.
    """
    kept = ~np.isnan(values)
    x, y = np.log2(np.asarray(sizes, dtype=float)[kept]), np.asarray(values, dtype=float)[kept]
    n = len(y)
    if n < 3 or len(np.unique(x)) < 2:
        return Trend(np.nan, np.nan, n)
    first, second = np.nonzero(x[:, None] < x)
    slope = float(np.median((y[second] - y[first]) / (x[second] - x[first])))
    if n > LARGE:
        return Trend(slope, float(stats.kendalltau(x, y).pvalue), n)
    rng, ranks = np.random.default_rng(rng), stats.rankdata(y)

    def concordance(rows: np.ndarray) -> np.ndarray:  # concordant minus discordant pairs
        return np.abs(np.sign(rows[:, second] - rows[:, first]).sum(axis=1))

    blocks = (np.tile(ranks, (min(BLOCK, PERMUTATIONS - start), 1)) for start in range(0, PERMUTATIONS, BLOCK))
    null = np.concatenate([concordance(rng.permuted(block, axis=1)) for block in blocks])
    return Trend(slope, float((1 + np.sum(null >= concordance(ranks[None]))) / (1 + PERMUTATIONS)), n)


@dataclass(frozen=True)
class Difference:
    """Two hidden sizes compared: `estimate`, the mean of the second minus that of the first, and its p, adjusted over the pairs."""

    sizes: tuple[int, int]
    estimate: float
    p_adjusted: float


def planned_pairs(by_size: dict[int, np.ndarray]) -> list[Difference]:
    """Welch's t test of every pair of hidden sizes, p values adjusted by Holm (1979); NaN left out."""
    groups = {size: values[~np.isnan(values)] for size, values in by_size.items()}
    pairs = [(a, b) for a, b in combinations(sorted(groups), 2) if min(len(groups[a]), len(groups[b])) > 1]
    p = [_welch(groups[a], groups[b]) for a, b in pairs]
    adjusted = holm(p)
    return [
        Difference(pair, float(groups[pair[1]].mean() - groups[pair[0]].mean()), one)
        for pair, one in zip(pairs, adjusted, strict=True)
    ]


def _welch(first: np.ndarray, second: np.ndarray) -> float:
    """The two-sided p value of Welch's (1947) t test; where neither group varies, 1 if their values are equal, else 0."""
    if np.ptp(first) == np.ptp(second) == 0:
        return float(first[0] == second[0])
    numbers = [number for group in (first, second) for number in (group.mean(), group.std(ddof=1), len(group))]
    return float(stats.ttest_ind_from_stats(*numbers, equal_var=False).pvalue)


def holm(p: Sequence[float]) -> np.ndarray:
    """P values adjusted for the family-wise error rate (Holm 1979)."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(values[order] * (len(values) - np.arange(len(values)))))
    return adjusted
