"""Periodograms of accuracy curves, judged against red noise."""

from __future__ import annotations

import numpy as np
from scipy.fft import next_fast_len, rfft, rfftfreq

TRANSIENT = 50  # blank rows left out: the state is still falling onto its orbit there
PADDING = 4  # times the length: a period between two Fourier frequencies then loses 3% of its power, not 59%
LOWEST_CYCLES = 3  # an oscillation has to come round at least this often to be called one
SHORTEST = 4 * LOWEST_CYCLES  # rows: a shorter series has too few frequencies to tell a peak from its background


def normalised_periodogram(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The periodogram of each series over that of red noise with the same lag-one correlation.

    Parameters: `series` `[..., N]`, already without its transient. Returns frequencies `[F]` in cycles per row, from
    `LOWEST_CYCLES`/N to 1/2, and the ratio `[..., F]`, near 1 (exponentially distributed) for red noise and large at
    the frequency of an oscillation; 0 where a series is constant. The red noise is an AR(1) process fitted by
    Yule-Walker (Torrence & Compo 1998, equation 16).
    """
    length = series.shape[-1]
    centred = series - series.mean(axis=-1, keepdims=True)
    variance = np.mean(centred**2, axis=-1, keepdims=True)
    moving = variance > 1e-24
    safe = np.where(moving, variance, 1.0)
    phi = lag_one_correlation(series)[..., None]
    padded = next_fast_len(PADDING * length, real=True)
    frequencies = rfftfreq(padded)
    power = np.abs(rfft(centred, padded, axis=-1)) ** 2 / (length * safe)
    red = (1 - phi**2) / (1 + phi**2 - 2 * phi * np.cos(2 * np.pi * frequencies))
    kept = frequencies >= LOWEST_CYCLES / length
    return frequencies[kept], np.where(moving, power / red, 0.0)[..., kept]


def lag_one_correlation(series: np.ndarray) -> np.ndarray:
    """The lag-one autocorrelation of each series `[..., N]` (Yule-Walker, so always inside (-1, 1)); 0 if constant."""
    centred = series - series.mean(axis=-1, keepdims=True)
    energy = np.sum(centred**2, axis=-1)
    product = np.sum(centred[..., 1:] * centred[..., :-1], axis=-1)
    return np.divide(product, energy, out=np.zeros_like(energy), where=energy > 1e-24 * series.shape[-1])


def dominant_period(series: np.ndarray) -> np.ndarray:
    """The period, in rows, at the largest peak of each normalised periodogram `[..., N]`; NaN where constant."""
    frequencies, ratio = normalised_periodogram(series)
    period = 1 / frequencies[np.argmax(ratio, axis=-1)]
    return np.where(ratio.max(axis=-1) > 0, period, np.nan)
