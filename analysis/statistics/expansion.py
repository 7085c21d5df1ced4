"""Does dimensionality expand and then shrink? A test that corrects for the search for the peak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.statistics.bands import FEWEST_NETWORKS, RESAMPLES, TooFewNetworks, largest_deviations, varies
from analysis.statistics.intervals import Estimate, OneSided, mean_interval, mean_test


@dataclass(frozen=True)
class Expansion:
    """Expansion then compression across networks.

    Attributes: `peak`, the index at which the mean curve is highest; `height` there; `rise` from the start to the peak and `fall`
    from the peak to the end, in the units of the curves, with each network's peak chosen by the others; `rise_beyond` and
    `fall_beyond`, how much more than in the `other` curves, None where there are none; `test` of all of them together: `greater`,
    corrected for the search for the peak, and `less`, that at every step one of them is too small; `share` of networks in which
    rise and fall are positive.
    """

    peak: int
    height: float
    rise: Estimate
    fall: Estimate
    rise_beyond: Estimate | None
    fall_beyond: Estimate | None
    test: OneSided
    share: float

    @property
    def p(self) -> float:
        """The p value of expansion then compression, one-sided."""
        return self.test.greater


def expansion_then_compression(
    curves: np.ndarray, level: float = 0.95, rng: np.random.Generator | int = 0, other: np.ndarray | None = None, least: float = 0.0
) -> Expansion:
    """Tests whether the expected curve of networks exceeds both its start and its end at some step in between.

    The statistic is max_t min(t statistic of D(t) - D(start), t statistic of D(t) - D(end)): both must hold at one step
    (intersection-union; Berger 1982). It is compared with the largest t statistic over *all* steps and contrasts under the null
    (`analysis.statistics.bands.largest_deviations`), which corrects for the choice of the step. Testing each network at its own
    maximum instead would find a peak in every flat curve. Choosing each network's peak from the other networks, as in
    cross-validation, rejects a plateau in 10% of studies of ten networks, because such choices are correlated; the sizes of rise
    and fall are estimated that way, since it does not flatter them, but they decide nothing.

    Parameters: `curves` `[n, T]`; rows with NaN are left out. `other` `[n, T]`, curves of the same networks without training: rise
    and fall must then also be larger than theirs, between the same steps. `least`, the smallest change of interest. Raises
    `TooFewNetworks` below 6 networks.
    """
    curves = np.asarray(curves, dtype=float)
    others = np.zeros_like(curves) if other is None else np.asarray(other, dtype=float)
    complete = ~np.isnan(curves).any(axis=1) & ~np.isnan(others).any(axis=1)
    curves, others = curves[complete], others[complete]
    n = len(curves)
    if n < FEWEST_NETWORKS:
        raise TooFewNetworks(n)
    compared = [curves] if other is None else [curves, curves - others]
    inner = np.concatenate(
        [[part[:, 1:-1] - part[:, :1], part[:, 1:-1] - part[:, -1:]] for part in compared]
    )  # [contrasts, n, T-2]
    peak = 1 + int(curves[:, 1:-1].mean(axis=0).argmax())
    left_out = (curves.sum(axis=0) - curves)[:, 1:-1].argmax(axis=1)  # each network's peak, chosen by the others
    at_peak = inner[:, np.arange(n), left_out]
    rise, fall, *beyond = [mean_interval(contrast, level) for contrast in at_peak]
    fails = [[mean_test(step, least).less for step in contrast.T] for contrast in inner]  # [contrasts, T-2]
    against = float(np.minimum(1, len(inner) * np.min(fails, axis=0)).max())  # at every step at least one must fail
    return Expansion(
        peak,
        float(curves[:, peak].mean()),
        rise,
        fall,
        beyond[0] if beyond else None,
        beyond[1] if beyond else None,
        OneSided(_all_at_one_step(inner - least, np.random.default_rng(rng)), against),
        float(np.mean((at_peak[0] > 0) & (at_peak[1] > 0))),
    )


def _all_at_one_step(contrasts: np.ndarray, rng: np.random.Generator) -> float:
    """The p value of the hypothesis that at no step all contrasts `[contrasts, n, T]` are positive."""
    n = contrasts.shape[1]
    means, spreads = contrasts.mean(axis=1), contrasts.std(axis=1, ddof=1)
    moving = varies(means, spreads)
    # Where all networks agree on a contrast, it has no error.
    certain = np.where(means > 0, np.inf, -np.inf)
    statistics = np.where(moving, np.sqrt(n) * means / np.where(moving, spreads, 1), certain)
    best = statistics.min(axis=0).max()
    values = np.concatenate([contrast[:, mask] for contrast, mask in zip(contrasts, moving, strict=True)], axis=1)
    null = largest_deviations(values, rng, one_sided=True) if moving.any() else np.zeros(RESAMPLES)
    return float((1 + np.sum(null >= best)) / (1 + len(null)))
