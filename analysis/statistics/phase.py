"""One cycle of the accuracy, averaged over networks that are out of phase with each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from analysis.statistics.bands import FEWEST_NETWORKS, Band, simultaneous_band
from analysis.statistics.oscillation import Oscillation
from study.periodogram import TRANSIENT

PHASES = 16  # of a cycle, at which accuracy is averaged


@dataclass(frozen=True)
class Cycle:
    """The accuracy over a cycle of the networks that oscillate, each about its own mean and with its peak at phase 0.

    Attributes: `seeds` `[m]` of these networks; `curves` `[m, PHASES]`; the `band` of their mean, None where m is too small.
    """

    seeds: np.ndarray
    curves: np.ndarray
    band: Band | None


def cycle(networks: xr.Dataset, found: Oscillation, level: float = 0.95) -> Cycle | None:
    """The cycle of the networks of one hidden size, from each half of their images aligned by the other (`phase_aligned`); None
    where none oscillates."""
    if "accuracy_appended_by_half" not in networks:
        return None
    halves = networks.accuracy_appended_by_half.transpose("seed", "blank_rows", "half").values[:, TRANSIENT:]
    kept = found.oscillates & np.isfinite(halves).all(axis=(1, 2))
    seeds, halves, periods = networks.seed.values[kept], halves[kept], found.confirmed_periods[kept]
    if not len(seeds):
        return None
    curves = np.stack([phase_aligned(own, period) for own, period in zip(halves, periods, strict=True)])
    curves -= curves.mean(axis=1, keepdims=True)
    enough = len(curves) >= FEWEST_NETWORKS
    return Cycle(seeds, curves, simultaneous_band(curves, level, "beta", rng=int(networks.hidden_size)) if enough else None)


def phase_aligned(halves: np.ndarray, period: float) -> np.ndarray:
    """One period of a network's accuracy, averaged over its cycles, at the phase that other images tell.

    Parameters: `halves` `[N, 2]`, the accuracy over blank rows of each half of the images; `period` in rows. Each half is shifted
    so that the peak of the *other* half's fitted sinusoid lies at phase 0, and averaged by phase; the mean of both is returned,
    `[16]` phases from 0 to 1. A phase fitted on the same images would raise a peak out of noise; this one cannot. Rows count for
    the phases near them, less with distance, up to a sixteenth of a cycle or the distance of one row.
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
