"""Does accuracy oscillate under blank rows? Each network is tested by itself: phases differ, so a mean would say nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import signal, stats

from study.periodogram import ACCURACY_TRANSIENT, SHORTEST, fundamental_period, lag_one_correlation, normalised_periodogram

SURROGATES = 999
SMALLEST_AMPLITUDE = 0.005  # half a percentage point: a smaller oscillation does not count, however significant


@dataclass(frozen=True)
class Periodicity:
    """The test of one series.

    Attributes: `period` in rows, of the strongest oscillation or of a clear subharmonic of it; `p` of the largest peak under
    red noise; `amplitude` of the sinusoid fitted at that peak, in units of the series; `peak`, the largest ratio of the
    periodogram to the red spectrum; `phi` of the fitted AR(1) process.
    """

    period: float
    p: float
    amplitude: float
    peak: float
    phi: float


def periodicity_test(series: np.ndarray, rng: np.random.Generator | int = 0) -> Periodicity:
    """Tests whether a series oscillates more regularly than red noise would.

    The statistic is the largest ratio of the periodogram to the spectrum of a fitted AR(1) process. Its null
    distribution comes from simulated AR(1) series of the same length and correlation, with the fit redone on each: the
    fit absorbs part of every peak, which tables such as Fisher's g ignore.

    Parameters: `series` `[N]`, without its transient (`ACCURACY_TRANSIENT` blank rows); `rng`, a generator or a seed.
    A series that is constant, or shorter than `study.periodogram.SHORTEST`, has no period (NaN) and p = 1.
    """
    series = np.asarray(series, dtype=float)
    if len(series) < SHORTEST or np.ptp(series) == 0:
        return Periodicity(np.nan, 1.0, 0.0, 0.0, 0.0)
    rng = np.random.default_rng(rng)
    frequencies, ratio = normalised_periodogram(series)
    phi = float(lag_one_correlation(series))
    null = normalised_periodogram(_red_noise(phi, len(series), rng))[1].max(axis=-1)
    p = (1 + int(np.sum(null >= ratio.max()))) / (1 + SURROGATES)
    period = float(fundamental_period(frequencies, ratio))
    return Periodicity(period, p, _amplitude(series, frequencies[ratio.argmax()]), float(ratio.max()), phi)


def _red_noise(phi: float, length: int, rng: np.random.Generator) -> np.ndarray:
    """Stationary AR(1) series `[SURROGATES, length]` with unit innovations.

    The Yule-Walker estimate is biased towards 0 by about (1 + 4 phi)/N (Marriott & Pope 1954); the bias is removed, so that
    the surrogates are as red as the series.
    """
    phi = min((length * phi + 1) / (length - 4), 1 - 1 / length)
    noise = rng.standard_normal((SURROGATES, length))
    noise[:, 0] /= np.sqrt(1 - phi**2)
    return signal.lfilter([1], [1, -phi], noise, axis=1)


def _amplitude(series: np.ndarray, frequency: float) -> float:
    """The amplitude of the best-fitting sinusoid of a frequency in cycles per row."""
    angle = 2 * np.pi * frequency * np.arange(len(series))
    design = np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle)], axis=1)
    _, cosine, sine = np.linalg.lstsq(design, series, rcond=None)[0]
    return float(np.hypot(cosine, sine))


@dataclass(frozen=True)
class Oscillation:
    """The periodicity of several networks' curves.

    Attributes, all in the order of the networks: `tests`, one per network; `adjusted`, their p values adjusted over networks
    (Benjamini & Hochberg 1995); `oscillates`, whether a network passes the adjusted test at 5% and has at least the smallest
    amplitude; `spectra` `[n, F]`, the power spectra (periodograms relative to red noise) at `frequencies` `[F]` in cycles per row,
    both empty where the curves are too short.
    """

    tests: list[Periodicity]
    adjusted: np.ndarray
    oscillates: np.ndarray
    frequencies: np.ndarray
    spectra: np.ndarray

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
                "oscillates": self.oscillates,
            }
        )


def oscillation(curves: np.ndarray, rng: np.random.Generator | int = 0) -> Oscillation:
    """Tests the accuracy curves `[n, K+1]` of n networks over 0 .. K blank rows, each after the transient."""
    rng, settled = np.random.default_rng(rng), _settled(curves)
    tests = [periodicity_test(series, child) for series, child in zip(settled, rng.spawn(len(settled)), strict=True)]
    return oscillation_by_tests(curves, tests)


def oscillation_by_tests(curves: np.ndarray, tests: list[Periodicity]) -> Oscillation:
    """The result for curves `[n, K+1]` whose tests, by far the slowest part, are known already."""
    settled = _settled(curves)
    p = np.array([test.p for test in tests])
    adjusted = stats.false_discovery_control(p) if len(p) else p
    large_enough = np.array([test.amplitude >= SMALLEST_AMPLITUDE for test in tests], dtype=bool)
    long_enough = len(settled) and settled.shape[1] >= SHORTEST
    frequencies, spectra = normalised_periodogram(settled) if long_enough else (np.empty(0), np.empty((len(settled), 0)))
    return Oscillation(tests, adjusted, (adjusted < 0.05) & large_enough, frequencies, spectra)


def _settled(curves: np.ndarray) -> np.ndarray:
    return np.asarray(curves, dtype=float)[:, ACCURACY_TRANSIENT:]
