"""Do predicted periods agree with measured ones, more often than others would?"""

from __future__ import annotations

import numpy as np
import xarray as xr

from analysis.statistics.intervals import OneSided, share_test

TOLERANCE = 0.1  # relative: periods that differ by less agree
PERMUTATIONS = 9999


def agrees(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Whether periods in rows agree within `TOLERANCE`, after broadcasting. NaN stands for no oscillation: two of them agree."""
    near = np.abs(predicted / measured - 1) <= TOLERANCE
    both = np.isfinite(predicted) & np.isfinite(measured)
    return np.asarray(np.where(both, near, np.isnan(predicted) & np.isnan(measured)))


def permutation_test(right: np.ndarray, rng: np.random.Generator | int = 0) -> tuple[OneSided, float]:
    """The test that predictions are right of their own networks more often than of others, and how often they are right of others.

    `right` `[n, n]` tells whether the prediction for network i is right of network j. The statistic is the number of networks whose
    own prediction is right; the null is that of `PERMUTATIONS` random assignments of predictions to networks.
    """
    rng = np.random.default_rng(rng)
    n = len(right)
    own = int(np.trace(right))
    permuted = np.array([right[np.arange(n), rng.permutation(n)].sum() for _ in range(PERMUTATIONS)])
    greater, less = ((1 + int(np.sum(which))) / (1 + PERMUTATIONS) for which in (permuted >= own, permuted <= own))
    return OneSided(greater, less), float(right.mean()) if n else float("nan")


def paired_test(right: np.ndarray, other: np.ndarray) -> OneSided:
    """The exact test that one prediction is right of more networks `[n]` than another (McNemar 1947): of those of which only one is
    right, half would be the one's."""
    only, other_only = int(np.sum(right & ~other)), int(np.sum(other & ~right))
    return share_test(only, only + other_only) if only + other_only else OneSided(1.0, 1.0)


def of_odd_map(predicted: xr.DataArray) -> bool:
    """Whether the predicted periods belong to an odd blank map, as records say; older records do not say it, and all were odd."""
    return str(predicted.attrs.get("odd", 1)) != "0"
