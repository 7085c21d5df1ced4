"""Simultaneous confidence bands over whole curves, with networks as the unit of replication."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

FEWEST_NETWORKS = 6  # refused below: a bootstrap over 5 networks has 16 distinct sign patterns
FEW_NETWORKS = 10  # warned of below
RESAMPLES = 9_999
BLOCK = 1_000  # resamples held in memory at once


class TooFewNetworks(ValueError):
    """Fewer networks than a band can be drawn from."""

    def __init__(self, n: int):
        super().__init__(f"{n} network{'s' * (n != 1)}: at least {FEWEST_NETWORKS} are needed for a band")
        self.n = n


@dataclass(frozen=True)
class Band:
    """A mean curve and a band that covers the whole of the expected curve with probability `level`.

    Attributes: `mean`, `lower`, `upper` `[P]`, on the scale of the curves; `critical`, the sup-t critical value (a
    pointwise band would use about 2); `n` networks; `level`; `method`, in words.
    """

    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    critical: float
    n: int
    level: float
    method: str


def simultaneous_band(
    curves: np.ndarray, level: float = 0.95, method: str = "raw", rng: np.random.Generator | int = 0
) -> Band:
    """A simultaneous (sup-t) band for the expected curve of networks.

    The critical value is the `level` quantile of the largest studentised deviation over the curve, simulated by a
    Rademacher multiplier bootstrap of the residuals (Chernozhukov, Chetverikov & Kato 2013; Montiel Olea &
    Plagborg-Moller 2019, algorithm 2), with the variance recomputed in every resample.

    Parameters: `curves` `[n, P]`, one row a network; `method` ``"raw"``, or ``"logit"`` for shares in [0, 1] (the band
    is built for the logit and mapped back; `mean` is then the mapped-back mean of logits, and a share of 0 or 1 counts
    as half an image in 10,000); `rng`, a generator or a seed.

    Rows that hold NaN are left out. Points where all networks agree have no width. Raises `TooFewNetworks` below 6
    rows, `ValueError` for another method or shape.
    """
    curves = np.asarray(curves, dtype=np.float64)
    if curves.ndim != 2:
        raise ValueError(f"curves have the shape {curves.shape}: expected (networks, points)")
    if method not in ("raw", "logit"):
        raise ValueError(f"method={method}: expected raw or logit")
    curves = curves[~np.isnan(curves).any(axis=1)]
    n = len(curves)
    if n < FEWEST_NETWORKS:
        raise TooFewNetworks(n)
    values = logit(np.clip(curves, 0.5e-4, 1 - 0.5e-4)) if method == "logit" else curves
    mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
    moving = spread > 1e-12 * np.maximum(np.abs(mean), 1e-300)
    critical = _critical_value(values[:, moving], level, np.random.default_rng(rng)) if moving.any() else 0.0
    half = np.where(moving, critical * spread / np.sqrt(n), 0.0)
    back = expit if method == "logit" else np.asarray
    return Band(back(mean), back(mean - half), back(mean + half), critical, n, level, f"sup-t, {method} scale")


def _critical_value(values: np.ndarray, level: float, rng: np.random.Generator) -> float:
    return float(np.quantile(largest_deviations(values, rng), level))


def largest_deviations(values: np.ndarray, rng: np.random.Generator, one_sided: bool = False) -> np.ndarray:
    """The null distribution of the largest t statistic over a curve.

    Parameters: `values` `[n, P]`, none of whose columns is constant; `one_sided` leaves the sign of the statistic on.
    Returns max_t sqrt(n) |m*| / sqrt(v*) `[RESAMPLES]` over sign flips g of the scaled residuals R:
    m* = g'R/n, v* = (mean(R^2) - m*^2) n/(n-1).
    """
    n = len(values)
    residuals = (values - values.mean(axis=0)) * np.sqrt(n / (n - 1))
    squares = np.mean(residuals**2, axis=0)
    largest = []
    for start in range(0, RESAMPLES, BLOCK):
        signs = rng.choice((-1.0, 1.0), size=(min(BLOCK, RESAMPLES - start), n))
        means = signs @ residuals / n
        variances = (squares - means**2) * n / (n - 1)
        # Signs that undo a column's own make its resampled variance 0, up to rounding: no evidence either way.
        usable = variances > 1e-12 * squares
        ratio = np.sqrt(n) * np.divide(means, np.sqrt(np.where(usable, variances, 1)), where=usable,
                                       out=np.zeros_like(means))
        largest.append((ratio if one_sided else np.abs(ratio)).max(axis=1))
    return np.concatenate(largest)
