"""Does accuracy oscillate under blank rows? Each network is tested by itself: phases differ, so a mean would say nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

from study.harmonics import ACCURACY_TRANSIENT, LOWEST_CYCLES, SHORTEST, Spectrum, fundamental_period, lines, spectrum

SIGNIFICANT = 0.05
SURROGATES = 1999
LONGEST_SIMULATED = 1000  # rows; the null of a longer series is that of this length, with as many more chances to find a line
SMALLEST_AMPLITUDE = 0.005  # half a percentage point: a smaller oscillation does not count, however significant
SUSTAINED = 0.5  # late amplitude over early one: halfway between an oscillation that lasts, 1, and one that has died, 0
COHERENT = 0.9  # in simulations, sinusoids that a test finds reach it, and noise with a broad peak does not


@dataclass(frozen=True)
class Periodicity:
    """The test of one series.

    Attributes: `period` in rows, of the oscillation that explains the lines of the spectrum, NaN where there is none; `p` of the
    best evidence for a sinusoid under noise; `amplitude` of the largest sinusoid fitted at a line or at the peak of the power, in
    units of the series; `sustained`, its amplitude in the last third of the series over that in the first; `coherence`, how well it
    keeps its phase (1: perfectly).
    """

    period: float
    p: float
    amplitude: float
    sustained: float
    coherence: float

    @property
    def persistent(self) -> bool:
        """Whether the oscillation keeps at least half of its amplitude, and its phase: a damped wave loses the one, noise with a
        broad spectral peak the other."""
        return self.sustained >= SUSTAINED and self.coherence >= COHERENT

    @property
    def oscillates(self) -> bool:
        """Whether a sinusoid is there beyond chance, at 5%, and persists."""
        return self.p <= SIGNIFICANT and self.persistent


NO_PERIODICITY = Periodicity(np.nan, 1.0, 0.0, 0.0, 0.0)


def periodicity_test(series: np.ndarray, rng: np.random.Generator | int = 0) -> Periodicity:
    """Tests whether a series holds a sinusoid that its noise does not explain, and whether the oscillation persists.

    The statistic is the best evidence at any frequency, by the multitaper harmonic F test (`study.harmonics.spectrum`; Thomson
    1982), which compares each frequency with its neighbourhood in the same series: noise of any smooth spectrum is a null, not red
    noise alone. What the search over frequencies takes is found from `SURROGATES` series of white noise of the same length, put
    through the same steps.

    Parameters: `series` `[N]`, without its transient (`ACCURACY_TRANSIENT` blank rows); `rng`, a generator or a seed, of the white
    noise. A series that is constant, or shorter than `study.harmonics.SHORTEST`, has no period (NaN) and p = 1.

    Raises `ValueError` where the series is not one row of finite numbers.
    """
    series = np.asarray(series, dtype=float)
    if series.ndim != 1 or not np.isfinite(series).all():
        raise ValueError(f"a series of shape {series.shape}: expected one dimension, and finite numbers only")
    if len(series) < SHORTEST or np.ptp(series) == 0:
        return NO_PERIODICITY
    found = spectrum(series)
    return _tested(series, found, _null(len(series), rng))


def _tested(series: np.ndarray, found: Spectrum, null: np.ndarray) -> Periodicity:
    """The test of a series whose spectrum is known, and `null`, the sorted evidence in white noise of at most its length."""
    p = (1 + int(np.searchsorted(null, found.log_p.min(), "right"))) / (1 + len(null))
    if len(series) > LONGEST_SIMULATED:
        p = -np.expm1(len(series) / LONGEST_SIMULATED * np.log1p(-min(p, 1 - 1e-12)))
    # A wave that dies is no line, but the largest peak of the power.
    frequencies = [*lines(found)[:, 0].tolist(), float(found.frequencies[found.power.argmax()])]
    amplitude, frequency = max((abs(_fitted(series, frequency)), frequency) for frequency in frequencies)
    period = fundamental_period(found) if p <= SIGNIFICANT else np.nan
    return Periodicity(period, p, amplitude, _sustained(series, frequency), _coherence(series, frequency))


def _null(length: int, rng: np.random.Generator | int) -> np.ndarray:
    """The best evidence `[SURROGATES]`, as the logarithm of p, that white noise of this length shows, sorted."""
    length = min(length, LONGEST_SIMULATED)
    return _drawn(length, rng) if isinstance(rng, np.random.Generator) else _drawn_once(length, rng)


@lru_cache(16)
def _drawn_once(length: int, seed: int) -> np.ndarray:
    return _drawn(length, np.random.default_rng(seed))


def _drawn(length: int, rng: np.random.Generator) -> np.ndarray:
    block = max(1, 100_000 // length)  # series held in memory at once
    parts = [min(block, SURROGATES - start) for start in range(0, SURROGATES, block)]
    return np.sort(np.concatenate([spectrum(rng.standard_normal((part, length))).log_p.min(axis=1) for part in parts]))


def _fitted(series: np.ndarray, frequency: float, start: int = 0) -> complex:
    """The best-fitting sinusoid of a frequency in cycles per row: its amplitude, and its phase at row 0, as a complex number.

    The `series` begins at row `start`. A straight line is fitted with it, so that a drift does not count as amplitude.
    """
    rows = start + np.arange(len(series))
    angle = 2 * np.pi * frequency * rows
    design = np.stack([np.ones_like(angle), rows - rows.mean(), np.cos(angle), np.sin(angle)], axis=1)
    *_, cosine, sine = np.linalg.lstsq(design, series, rcond=1e-9)[0]
    return complex(cosine, -sine)


def _sustained(series: np.ndarray, frequency: float) -> float:
    """The amplitude in the last third of a series over that in the first."""
    third = len(series) // 3
    early, late = abs(_fitted(series[:third], frequency)), abs(_fitted(series[-third:], frequency))
    return late / early if early > 0 else 0.0


def _coherence(series: np.ndarray, frequency: float) -> float:
    """The mean over windows of three cycles, or a tenth of the series, of the fitted sinusoid: its amplitude over the mean one."""
    window = min(len(series), max(int(np.ceil(LOWEST_CYCLES / frequency)), len(series) // 10))
    starts = np.linspace(0, len(series) - window, max(1, len(series) // window)).round().astype(int)
    parts = np.array([_fitted(series[start : start + window], frequency, start) for start in starts])
    total = np.abs(parts).sum()
    return float(abs(parts.sum()) / total) if total > 0 else 0.0


@dataclass(frozen=True)
class Oscillation:
    """The periodicity of several networks' curves.

    Attributes, all in the order of the networks: `tests`, one per network; `adjusted`, their p values adjusted over networks
    (Benjamini & Hochberg 1995); `oscillates`, whether a network passes the adjusted test at 5%, has at least the smallest
    amplitude, and persists; `spectra` `[n, F]`, the power relative to the background, at `frequencies` `[F]` in cycles per row,
    both empty where the curves are too short.
    """

    tests: list[Periodicity]
    adjusted: np.ndarray
    frequencies: np.ndarray
    spectra: np.ndarray

    @property
    def significant(self) -> np.ndarray:
        """Whether each network passes the adjusted test."""
        return self.adjusted <= SIGNIFICANT

    @property
    def large(self) -> np.ndarray:
        """Whether each network's oscillation has at least the smallest amplitude that counts."""
        return np.array([test.amplitude >= SMALLEST_AMPLITUDE for test in self.tests], dtype=bool)

    @property
    def persistent(self) -> np.ndarray:
        """Whether each network's oscillation keeps its amplitude and its phase."""
        return np.array([test.persistent for test in self.tests], dtype=bool)

    @property
    def oscillates(self) -> np.ndarray:
        """Whether each network passes all three."""
        return self.significant & self.large & self.persistent

    @property
    def confirmed_periods(self) -> np.ndarray:
        """The period `[n]` of each network that oscillates, NaN for the others."""
        return np.where(self.oscillates, [test.period for test in self.tests], np.nan)

    @property
    def moving_spectra(self) -> np.ndarray:
        """The power spectra `[m, F]` of networks whose accuracy changes at all; a constant curve has none."""
        return self.spectra[self.spectra.any(axis=1)]

    @property
    def mean_spectrum(self) -> np.ndarray:
        """The mean `[F]` of these power spectra, all with equal weight, whatever the amplitude."""
        moving = self.moving_spectra
        return moving.mean(axis=0) if len(moving) else np.zeros_like(self.frequencies)

    def periods(self, seeds: np.ndarray) -> pd.DataFrame:
        """A table with one row per network, labelled by `seeds` `[n]`."""
        return pd.DataFrame(
            {
                "seed": seeds,
                "period": [test.period for test in self.tests],
                "p": [test.p for test in self.tests],
                "p_adjusted": self.adjusted,
                "amplitude": [test.amplitude for test in self.tests],
                "late_over_early_amplitude": [test.sustained for test in self.tests],
                "coherence": [test.coherence for test in self.tests],
                "oscillates": self.oscillates,
            }
        )


def oscillation(curves: np.ndarray, rng: np.random.Generator | int = 0) -> Oscillation:
    """Tests the accuracy curves `[n, K+1]` of n networks over 0 .. K blank rows, each after the transient, against one null."""
    settled = _settled(curves)
    if settled.shape[1] < SHORTEST or not len(settled):
        return oscillation_by_tests(curves, [NO_PERIODICITY] * len(settled))
    found, null = [spectrum(series) for series in settled], _null(settled.shape[1], rng)
    return _together(
        [_tested(*pair, null) if np.ptp(pair[0]) else NO_PERIODICITY for pair in zip(settled, found, strict=True)], found
    )


def oscillation_by_tests(curves: np.ndarray, tests: list[Periodicity]) -> Oscillation:
    """The result for curves `[n, K+1]` whose tests are known already."""
    settled = _settled(curves)
    return _together(tests, [spectrum(series) for series in settled] if settled.shape[1] >= SHORTEST else [])


def _together(tests: list[Periodicity], found: list[Spectrum]) -> Oscillation:
    p = np.array([test.p for test in tests])
    adjusted = stats.false_discovery_control(p) if len(p) else p
    if not found:
        return Oscillation(tests, adjusted, np.empty(0), np.empty((len(tests), 0)))
    return Oscillation(tests, adjusted, found[0].frequencies, np.stack([one.power for one in found]))


def _settled(curves: np.ndarray) -> np.ndarray:
    return np.asarray(curves, dtype=float)[:, ACCURACY_TRANSIENT:]
