"""One cycle of the accuracy, averaged over networks that are out of phase with each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from analysis.statistics.bands import FEWEST_NETWORKS, Band, simultaneous_band
from analysis.statistics.oscillation import Oscillation
from study.harmonics import ACCURACY_TRANSIENT

PHASES = 16  # of a cycle, at which accuracy is averaged


@dataclass(frozen=True)
class Cycle:
    """One cycle of the accuracy of each network that oscillates, about its own mean and with its peak at phase 0.

    Attributes: `seeds` `[m]` of these networks; `curves` `[m, PHASES]`; the `band` of their mean, None where m is too small.
    """

    seeds: np.ndarray
    curves: np.ndarray
    band: Band | None


def cycle(sample: xr.Dataset, result: Oscillation, level: float = 0.95) -> Cycle | None:
    """The cycle of the networks of one hidden size, each half of the images aligned by the other half (`phase_aligned`); None where
    no network oscillates."""
    if "accuracy_appended_by_half" not in sample:
        return None
    halves = sample.accuracy_appended_by_half.transpose("seed", "blank_rows", "half").values[:, ACCURACY_TRANSIENT:]
    kept = result.oscillates & np.isfinite(halves).all(axis=(1, 2))
    seeds, halves, periods = sample.seed.values[kept], halves[kept], result.confirmed_periods[kept]
    if not len(seeds):
        return None
    curves = np.stack([phase_aligned(own, period) for own, period in zip(halves, periods, strict=True)])
    curves -= curves.mean(axis=1, keepdims=True)
    enough = len(curves) >= FEWEST_NETWORKS
    return Cycle(seeds, curves, simultaneous_band(curves, level, "beta", rng=int(sample.hidden_size)) if enough else None)


def phase_aligned(halves: np.ndarray, period: float) -> np.ndarray:
    """One period of a network's accuracy, averaged over its cycles, with a phase that is fitted on other images.

    Parameters: `halves` `[N, 2]`, the accuracy over blank rows for each half of the images; `period` in rows. Each half is shifted
    so that the peak of the sinusoid fitted to the *other* half lies at phase 0, and averaged by phase; returned is the mean of
    both, at `[16]` phases from 0 to 1. A phase fitted on the same images would create a peak out of noise; this one cannot. A row
    contributes to the phases near it, with triangular weights that reach a sixteenth of a cycle or one row, whichever is more.
    """
    rows, phases = np.arange(len(halves)), np.arange(PHASES) / PHASES
    turn = np.exp(-2j * np.pi * rows / period)
    reach = max(1 / PHASES, 1 / period)
    aligned = []
    for own, other in ((0, 1), (1, 0)):
        peak = np.angle(np.sum((halves[:, other] - halves[:, other].mean()) * turn))
        distance = np.abs((rows / period + peak / (2 * np.pi) - phases[:, None] + 0.5) % 1 - 0.5)
        weights = np.maximum(0, 1 - distance / reach)
        aligned.append(weights @ halves[:, own] / weights.sum(axis=1))
    return np.mean(aligned, axis=0)
