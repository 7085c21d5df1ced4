"""Does dimensionality expand and then shrink? A test that corrects for the search for the peak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.statistics.bands import FEWEST_NETWORKS, RESAMPLES, TooFewNetworks, largest_deviations
from analysis.statistics.intervals import Estimate, mean_interval


@dataclass(frozen=True)
class Expansion:
    """Expansion then compression across networks.

    Attributes: `peak`, the index with the strongest evidence for both; `rise` D(peak) - D(start) and `fall` D(peak) - D(end), in
    the units of the curves, each with a pointwise t interval (descriptive only, since the index was chosen); `p` of both at once,
    corrected for that choice; `share` of networks in which both are positive at the peak.
    """

    peak: int
    rise: Estimate
    fall: Estimate
    p: float
    share: float


def expansion_then_compression(curves: np.ndarray, level: float = 0.95, rng: np.random.Generator | int = 0) -> Expansion:
    """Tests whether the expected curve of networks exceeds both its start and its end at some step in between.

    The statistic is max_t min(t statistic of D(t) - D(start), t statistic of D(t) - D(end)): both must hold at one step
    (intersection-union; Berger 1982). It is compared with the largest t statistic over *all* steps and both contrasts
    under the null (`analysis.statistics.bands.largest_deviations`), which corrects for the choice of the step. Testing each
    network at its own maximum instead would find a peak in every flat curve. Choosing each network's peak from the other networks,
    as in cross-validation, rejects a plateau in 10% of studies of ten networks, because such choices are correlated.

    Parameters: `curves` `[n, T]`; rows with NaN are left out. Raises `TooFewNetworks` below 6 networks.
    """
    curves = np.asarray(curves, dtype=float)
    curves = curves[~np.isnan(curves).any(axis=1)]
    n = len(curves)
    if n < FEWEST_NETWORKS:
        raise TooFewNetworks(n)
    inner = curves[:, 1:-1]
    contrasts = np.stack([inner - curves[:, :1], inner - curves[:, -1:]])  # [rise and fall, n, T-2]
    means, spreads = contrasts.mean(axis=1), contrasts.std(axis=1, ddof=1)
    moving = spreads > 1e-12 * np.maximum(np.abs(means), 1e-300)
    # Where all networks agree on a contrast, it has no error.
    certain = np.where(means > 0, np.inf, -np.inf)
    statistics = np.where(moving, np.sqrt(n) * means / np.where(moving, spreads, 1), certain)
    both = statistics.min(axis=0)
    best = int(both.argmax())
    values = np.concatenate([contrast[:, mask] for contrast, mask in zip(contrasts, moving, strict=True)], axis=1)
    null = largest_deviations(values, np.random.default_rng(rng), one_sided=True) if moving.any() else np.zeros(RESAMPLES)
    rise, fall = contrasts[:, :, best]
    return Expansion(
        best + 1,
        mean_interval(rise, level),
        mean_interval(fall, level),
        float((1 + np.sum(null >= both[best])) / (1 + len(null))),
        float(np.mean((rise > 0) & (fall > 0))),
    )
