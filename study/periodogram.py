"""Periodograms of accuracy curves, relative to red noise."""

from __future__ import annotations

import numpy as np
from scipy.fft import next_fast_len, rfft, rfftfreq

ACCURACY_TRANSIENT = 50  # blank rows left out, during which the state approaches its orbit
PADDING = 4  # zero padding, times the length: a period between two Fourier frequencies then loses 3% of its power, not 59%
LOWEST_CYCLES = 3  # an oscillation must complete at least this many cycles
MOST_HARMONICS = 6  # the largest peak is taken for at most this harmonic
SHORTEST = 4 * LOWEST_CYCLES  # rows; a shorter series has too few frequencies to separate a peak from the background


def normalised_periodogram(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The periodogram of each series, divided by the spectrum of red noise with the same lag-one correlation.

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
    """The period, in rows, of the oscillation with the largest peak in each periodogram of `[..., N]`; NaN if constant."""
    frequencies, ratio = normalised_periodogram(series)
    return np.where(ratio.max(axis=-1) > 0, fundamental_period(frequencies, ratio), np.nan)


def fundamental_period(frequencies: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """The period of the strongest oscillation, or of a clear subharmonic of it, from what `normalised_periodogram` returns.

    A curve of narrow spikes can have its largest peak at a harmonic. The period may therefore be up to `MOST_HARMONICS` times that
    of the largest peak, if the spectrum extends that far and has a clear peak there: one that red noise exceeds at any of the
    independent frequencies with a probability of at most 5% (exponentially distributed ratios, Bonferroni).
    """
    strongest = frequencies[np.argmax(ratio, axis=-1)]
    clear = np.log(len(frequencies) / PADDING / 0.05)
    reach = PADDING / 2 * (frequencies[1] - frequencies[0])  # half the distance between independent frequencies
    times = np.ones_like(strongest)
    for order in range(2, MOST_HARMONICS + 1):
        near = np.abs(frequencies - strongest[..., None] / order) <= reach
        peak = np.where(near, ratio, 0).max(axis=-1) > clear
        times = np.where(peak & (strongest / order >= frequencies[0]), order, times)
    return times / strongest
