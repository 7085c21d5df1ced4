"""When labels can be decoded from the hidden state: by a linear probe, and by the network's own readout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.statistics.intervals import Estimate, mean_interval


@dataclass(frozen=True)
class Lead:
    """The first time steps at which `probe` and `readout` pass a threshold, and how many steps the probe is `ahead`.

    `ahead` is the mean of the `lags`, one per network. Networks in which either curve never passes are left out of the lags and
    counted in `never`.
    """

    probe: Estimate
    readout: Estimate
    ahead: Estimate
    lags: np.ndarray
    never: int


def first_step_above(curves: np.ndarray, threshold: np.ndarray | float) -> np.ndarray:
    """The first step (from 1) at which each curve `[n, T]` exceeds its threshold; NaN where it never does."""
    above = curves > np.broadcast_to(np.asarray(threshold, dtype=float), (len(curves),))[:, None]
    return np.where(above.any(axis=1), above.argmax(axis=1) + 1.0, np.nan)


def lead(probe: np.ndarray, readout: np.ndarray, threshold: np.ndarray | float, level: float = 0.95) -> Lead:
    """Compares accuracies `[n, T]` of probes and readouts at a threshold, either common or one per network."""
    first, second = first_step_above(probe, threshold), first_step_above(readout, threshold)
    both = np.isfinite(first) & np.isfinite(second)
    lags = (second - first)[both]
    return Lead(mean_interval(first, level), mean_interval(second, level), mean_interval(lags, level), lags, int((~both).sum()))
