"""Simultaneous confidence bands over whole curves, with networks as the unit of replication."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

FEWEST_NETWORKS = 6  # below, no band: a bootstrap over 5 networks has 16 distinct sign patterns
FEW_NETWORKS = 10  # below, a warning, and no band for the median: it would cover less than it says (0.83 for 0.92 with 8)
RESAMPLES = 9_999
BLOCK = 1_000  # resamples held in memory at once
# A sample of strongly skewed curves holds too little of the long tail for any resampling to know it. Where the skewness of the
# sample, averaged over the curve, is beyond the first number, the tails are divided by the second: bands of 95% then cover
# 0.93-0.97 of such curves in simulations of 10 and 20 networks (`benchmarks.error_rates`), instead of 0.82-0.89.
SKEWED, CALIBRATED = 0.8, 5
TIED = 0.1  # least share of the sample's variance that weights may leave where many networks have equal values, as counts do
METHODS = {"raw": "sup-t, raw scale", "logit": "sup-t, logit scale", "beta": "sup-t, Beta-weighted"}


class TooFewNetworks(ValueError):
    """There are fewer networks than a band needs."""

    def __init__(self, n: int, fewest: int = FEWEST_NETWORKS):
        super().__init__(f"{n} network{'s' * (n != 1)}: at least {fewest} are needed for a band")
        self.n = n


@dataclass(frozen=True)
class Band:
    """A mean curve and a band that covers the whole expected curve with probability `level`.

    Attributes: `mean`, `lower`, `upper` `[P]`, on the scale of the curves; `critical`, the sup-t critical value (a pointwise band
    would use about 2; where the limits are not symmetric, the mean of the two values); `n` networks; `level`; `method`, in words.
    """

    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    critical: float
    n: int
    level: float
    method: str


def simultaneous_band(curves: np.ndarray, level: float = 0.95, method: str = "raw", rng: np.random.Generator | int = 0) -> Band:
    """A simultaneous (sup-t) band for the expected curve of networks.

    The critical value is the `level` quantile of the largest studentised deviation over the curve, simulated by a
    Rademacher multiplier bootstrap of the residuals (Chernozhukov, Chetverikov & Kato 2013; Montiel Olea &
    Plagborg-Moller 2019, algorithm 2), with the variance recomputed in every resample.

    Parameters: `curves` `[n, P]`, one row per network; `method` ``"raw"``, ``"logit"`` for shares in [0, 1] (the band
    is built for the logit and mapped back; `mean` is then the mapped-back mean of logits, and a share of 0 or 1 counts
    as half an image in 10,000), or ``"beta"`` for skewed curves (see `skewed_deviations` and `SKEWED`: the limits then lie at
    different distances from the mean), as curves of real studies are; `rng`, a generator or a seed.

    Rows with NaN are left out. The band has no width where all networks agree, although other networks may differ there. Raises
    `TooFewNetworks` below 6 rows, `ValueError` for another method or shape.
    """
    if method not in METHODS:
        raise ValueError(f"method={method}: expected one of: {', '.join(METHODS)}")
    curves = _complete(curves, FEWEST_NETWORKS)
    n = len(curves)
    values = logit(np.clip(curves, 0.5e-4, 1 - 0.5e-4)) if method == "logit" else curves
    mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
    moving = varies(mean, spread)
    below, above = _critical_values(values[:, moving], level, method, np.random.default_rng(rng)) if moving.any() else (0.0, 0.0)
    error = np.where(moving, spread / np.sqrt(n), 0.0)
    back = expit if method == "logit" else np.asarray
    return Band(back(mean), back(mean - below * error), back(mean + above * error), (below + above) / 2, n, level, METHODS[method])


@dataclass(frozen=True)
class MedianBand:
    """The median curve of networks, and a band that covers the whole curve of population medians.

    Attributes: `median`, `lower`, `upper` `[P]`; `depth`, so that the limits at each point are the values of the networks that are
    the depth-th from below and from above; `n` networks; `level`, the probability of covering the whole curve: less than was asked
    for where even the lowest and the highest network (depth 1) do not reach it.
    """

    median: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    depth: int
    n: int
    level: float


def median_band(curves: np.ndarray, level: float = 0.95, rng: np.random.Generator | int = 0) -> MedianBand:
    """A simultaneous band for the median curve of networks: for outliers, heavy tails and what else makes a mean a poor summary.

    At one point, how many networks lie below the population's median is binomial with one half, whatever the distribution; the
    limits are therefore order statistics (Thompson 1936), and the band is the same on any monotonic scale. For the whole curve, the
    depth is the largest at which the signs of the networks' deviations from the sample's median, flipped at random network by
    network, leave fewer than that many networks on one side at any point in at most 1 - `level` of the resamples.

    Parameters: `curves` `[n, P]`, one row per network, rows with NaN left out; `rng`, a generator or a seed. Raises
    `TooFewNetworks` below `FEW_NETWORKS` rows, `ValueError` for another shape.
    """
    curves = _complete(curves, FEW_NETWORKS)
    n, ordered = len(curves), np.sort(curves, axis=0)
    # Of an odd number, without the network in the middle, so that this one lies on a side, too.
    centre = np.median(np.delete(ordered, n // 2, axis=0) if n % 2 else ordered, axis=0)
    fewest = _fewest_on_a_side(curves - centre, np.random.default_rng(rng))
    reached = np.array([np.mean(fewest >= depth) for depth in range(1, n // 2 + 1)])
    depth = max(1, int(np.sum(reached >= level)))
    return MedianBand(
        np.median(ordered, axis=0), ordered[depth - 1], ordered[n - depth], depth, n, min(level, float(reached[depth - 1]))
    )


def varies(mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Where networks differ by more than rounding."""
    return spread > 1e-12 * np.maximum(np.abs(mean), 1e-300)


def _complete(curves: np.ndarray, fewest: int) -> np.ndarray:
    """The curves `[n, P]` of networks without NaN, checked to be at least `fewest`."""
    curves = np.asarray(curves, dtype=np.float64)
    if curves.ndim != 2:
        raise ValueError(f"curves have the shape {curves.shape}: expected (networks, points)")
    curves = curves[~np.isnan(curves).any(axis=1)]
    if len(curves) < fewest:
        raise TooFewNetworks(len(curves), fewest)
    return curves


def _fewest_on_a_side(deviations: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How many networks lie on the emptier side at the point where they are fewest `[RESAMPLES]`, of deviations `[n, P]` whose
    signs are flipped network by network. A deviation of 0 counts on both sides: an order statistic that is the median covers it."""
    above, below = (deviations >= 0).astype(np.float32), (deviations <= 0).astype(np.float32)
    fewest = []
    for start in range(0, RESAMPLES, BLOCK):
        kept = rng.integers(0, 2, (min(BLOCK, RESAMPLES - start), len(deviations))).astype(np.float32)
        sides = kept @ above + (1 - kept) @ below, kept @ below + (1 - kept) @ above
        fewest.append(np.minimum(*sides).min(axis=1))
    return np.concatenate(fewest)


@dataclass(frozen=True)
class Fan:
    """The spread between networks, which does not narrow with more networks: `quantiles` `[Q]` and their `values` `[Q, P]`."""

    quantiles: np.ndarray
    values: np.ndarray
    n: int


def quantile_fan(curves: np.ndarray, quantiles: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)) -> Fan:
    """Pointwise quantiles of curves `[n, P]` across networks, rows with NaN left out; this is not a confidence band."""
    curves = np.asarray(curves, dtype=np.float64)
    curves = curves[~np.isnan(curves).any(axis=1)]
    values = np.quantile(curves, quantiles, axis=0) if len(curves) else np.full((len(quantiles), curves.shape[1]), np.nan)
    return Fan(np.asarray(quantiles), values, len(curves))


def _critical_values(values: np.ndarray, level: float, method: str, rng: np.random.Generator) -> tuple[float, float]:
    """How many standard errors the limits lie below and above the mean."""
    if method != "beta":
        critical = float(np.quantile(largest_deviations(values, rng), level))
        return critical, critical
    highest, lowest = skewed_deviations(values, rng)
    tails = (1 - level) / _calibration(values)
    return float(np.quantile(highest, 1 - tails / 2)), -float(np.quantile(lowest, tails / 2))


def _calibration(values: np.ndarray) -> float:
    """What the tails of the Beta-weighted null are divided by, for `values` `[n, P]` without constant columns."""
    residuals = values - values.mean(axis=0)
    residuals /= np.abs(residuals).max(axis=0)
    skewness = np.mean(residuals**3, axis=0) / np.mean(residuals**2, axis=0) ** 1.5
    return CALIBRATED if abs(skewness.mean()) > SKEWED else 1.0


def below_anywhere(curves: np.ndarray, rng: np.random.Generator | int = 0) -> float:
    """The p value of the hypothesis that the expected curve of networks is nowhere below 0, one-sided.

    The null is that of the Beta-weighted band (`skewed_deviations`).
    Parameters: `curves` `[n, P]`; rows with NaN are left out. Raises `TooFewNetworks` below 6 rows.
    """
    curves = _complete(curves, FEWEST_NETWORKS)
    mean, spread = curves.mean(axis=0), curves.std(axis=0, ddof=1)
    moving = varies(mean, spread)
    if (mean[~moving] < 0).any():
        return 0.0
    if not moving.any():
        return 1.0
    lowest = (np.sqrt(len(curves)) * mean[moving] / spread[moving]).min()
    null = skewed_deviations(curves[:, moving], np.random.default_rng(rng))[1]
    return min(1.0, float((1 + np.sum(null <= lowest)) / (1 + len(null)) * _calibration(curves[:, moving])))


def skewed_deviations(values: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The null distributions of the largest and the smallest t statistic over a curve, for skewed distributions.

    Parameters: `values` `[n, P]`, without constant columns. Networks are weighted by draws from Beta(1/2, 3/2), whose first three
    central moments, relative to the mean, agree with those of resampling, including skewness (Liu 1988 on wild bootstraps). Mean
    and variance are recomputed under the weights. Where at most half of the values are distinct, weights may almost remove the few
    networks that differ; the tiny variance would then make any mean significant, so it is kept at `TIED` times that of the sample
    or more.
    """
    n = len(values)
    distinct = 1 + np.count_nonzero(np.diff(np.sort(values, axis=0), axis=0), axis=0)
    residuals = (values - values.mean(axis=0)) * np.sqrt(n / (n - 1))
    squares = residuals**2
    least = np.where(distinct <= n / 2, TIED, 1e-9) * squares.mean(axis=0)
    highest, lowest = [], []
    for start in range(0, RESAMPLES, BLOCK):
        weights = rng.beta(0.5, 1.5, size=(min(BLOCK, RESAMPLES - start), n))
        weights /= weights.sum(axis=1, keepdims=True)
        means = weights @ residuals
        variances = np.maximum((weights @ squares - means**2) * n / (n - 1), least)
        ratio = np.sqrt(n) * means / np.sqrt(variances)
        highest.append(ratio.max(axis=1))
        lowest.append(ratio.min(axis=1))
    return np.concatenate(highest), np.concatenate(lowest)


def largest_deviations(values: np.ndarray, rng: np.random.Generator, one_sided: bool = False) -> np.ndarray:
    """The null distribution of the largest t statistic over a curve.

    Parameters: `values` `[n, P]`, without constant columns; `one_sided` keeps the sign of the statistic.
    Returns max_t sqrt(n) |m*| / sqrt(v*) `[RESAMPLES]` over sign flips g of the scaled residuals R:
    m* = g'R/n, v* = (mean(R^2) - m*^2) n/(n-1).
    """
    n = len(values)
    residuals = values - values.mean(axis=0)
    scaled = residuals / np.sqrt(np.mean(residuals**2, axis=0)) / n
    largest = []
    for start in range(0, RESAMPLES, BLOCK):
        signs = rng.choice((-1.0, 1.0), size=(min(BLOCK, RESAMPLES - start), n))
        shares = signs @ scaled  # m* / sqrt(mean(R^2)), in [-1, 1]: the statistic is monotonic in it, so its maximum is enough
        # Signs that cancel a column's own signs make its resampled variance 0, up to rounding: no evidence either way.
        shares[np.abs(shares) > 1 - 5e-13] = 0
        highest = (shares if one_sided else np.abs(shares)).max(axis=1)
        largest.append(np.sqrt(n - 1) * highest / np.sqrt(1 - highest**2))
    return np.concatenate(largest)
