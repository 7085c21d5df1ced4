"""Oscillations of a series: how strong the evidence for a sinusoid is at each frequency, and the period of the lines found.

The test is Thomson's (1982, section IX) harmonic F test. It compares the power of a sinusoid with that of its neighbourhood in the
same series, so that the noise need not be red, nor of any other parametric form: a smooth spectrum is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.fft import next_fast_len, rfft, rfftfreq

ACCURACY_TRANSIENT = 50  # blank rows left out, during which the state approaches its orbit
PADDING = 4  # zero padding, times the length: a period between two Fourier frequencies then loses 5% of its power, not 59%
LOWEST_CYCLES = 3  # an oscillation must complete at least this many cycles
SHORTEST = 4 * LOWEST_CYCLES  # rows; a shorter series has too few frequencies to separate a line from the background

# Half-widths of the neighbourhood, in units of 1/N, for series of `FITTED` rows; shorter ones get narrower ones in proportion. The
# wide ones have more power, the narrow one tells apart the lines of slow oscillations.
HALF_WIDTHS = (6.0, 14.0, 20.0)
NARROWEST, FITTED = 2.5, 451
LINE = 0.01  # the chance that noise has a line, were only the N/2 frequencies tried that are independent
WEAKEST = 0.05  # of the power of the strongest line: weaker ones do not decide the period
SAME = 0.3  # of 1/N: a line this near to a multiple of a frequency is in harmony with it
MOST_TIMES = 60  # the strongest line is at most this multiple of the fundamental
MOST = 0.6  # of the lines must be multiples of a fundamental that is not the strongest of them
NEEDED = 1.2  # nats by which such a fundamental must explain the lines better


@dataclass(frozen=True)
class Spectrum:
    """What a series, or several, show at each of `frequencies` `[F]` in cycles per row, from `LOWEST_CYCLES`/N to 1/2.

    Attributes: `log_p` `[..., F]`, the natural logarithm of the p value of the harmonic F test at that frequency alone, 0 where the
    series is constant or a straight line; `power` `[..., F]`, the periodogram relative to the background, near 1 for noise;
    `length`, that of the whitened series.
    """

    frequencies: np.ndarray
    log_p: np.ndarray
    power: np.ndarray
    length: int


def spectrum(series: np.ndarray) -> Spectrum:
    """The evidence for a sinusoid in each series `[..., N]`, already without its transient, at each frequency.

    The series is first whitened (`whitened`), so that its spectrum is nearly smooth over the width of the tapers; a sinusoid stays
    a sinusoid. With K orthogonal tapers (Slepian), F = (K-1) |a|^2 sum(u^2) / sum(|y - a u|^2), of 2 and 2K-2 degrees of freedom,
    where y are the transforms of the tapered series, u those of the tapers at 0, and a the fitted amplitude (Thomson 1982, equation
    13.10); at 1/2, where the transform is real, of 1 and K-1. Of three widths of the neighbourhood the best evidence counts.

    Raises `ValueError` below `SHORTEST` rows.
    """
    series = np.asarray(series, dtype=float)
    if series.shape[-1] < SHORTEST:
        raise ValueError(f"{series.shape[-1]} rows: at least {SHORTEST} are needed for a spectrum")
    flat = series.reshape(-1, series.shape[-1])
    white, moving = whitened(flat)
    length = white.shape[-1]
    padded = next_fast_len(PADDING * length, real=True)
    padded += padded % 2  # so that 1/2 is among the frequencies
    frequencies = rfftfreq(padded)
    kept = frequencies >= LOWEST_CYCLES / length
    evidence = np.zeros((len(flat), int(kept.sum())))
    for half_width in {max(NARROWEST, width * min(1.0, length / FITTED)) for width in HALF_WIDTHS}:
        evidence = np.minimum(evidence, _log_p(white, half_width, padded)[:, kept])
    power = np.abs(rfft(white, padded)) ** 2 / (length * np.maximum(white.var(axis=-1, keepdims=True), 1e-300))
    shape = (*series.shape[:-1], -1)
    return Spectrum(
        frequencies[kept],
        np.where(moving[:, None], evidence, 0.0).reshape(shape),
        np.where(moving[:, None], power[:, kept], 0.0).reshape(shape),
        length,
    )


def whitened(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each series `[M, N]` less what its past rows and a straight line predict, `[M, N-2]`, and whether anything is left `[M]`.

    The prediction is that of an AR(1) process, or of an AR(2) process with real roots where Akaike's criterion prefers it (fitted
    by Yule-Walker). Complex roots would fit, and remove, the oscillation that is looked for.
    """
    length = series.shape[-1]
    centred = series - series.mean(axis=-1, keepdims=True)
    energy = np.sum(centred**2, axis=-1)
    moving = energy > 1e-24 * length
    safe = np.where(moving, energy, 1.0)
    first, second = (np.sum(centred[:, lag:] * centred[:, :-lag], axis=-1) / safe for lag in (1, 2))
    rest = np.maximum(1 - first**2, 1e-12)
    b2 = np.clip((second - first**2) / rest, -1 + 1e-9, 1 - 1e-9)
    b1 = first * (1 - second) / rest
    better = (length * np.log1p(-(b2**2)) + 2 < 0) & (b1**2 + 4 * b2 >= 0)
    b1, b2 = np.where(better, b1, first)[:, None], np.where(better, b2, 0.0)[:, None]
    innovations = centred[:, 2:] - b1 * centred[:, 1:-1] - b2 * centred[:, :-2]
    time = np.arange(length - 2) - (length - 3) / 2
    innovations = innovations - innovations.mean(axis=-1, keepdims=True)
    innovations = innovations - (innovations @ time / (time @ time))[:, None] * time
    return innovations, moving & (np.sum(innovations**2, axis=-1) > 1e-20 * energy)  # what is predicted exactly leaves rounding


@lru_cache(8)
def _tapers(length: int, half_width: float) -> tuple[np.ndarray, np.ndarray]:
    """Slepian's tapers `[K, N]` of a half-width in units of 1/N, and their sums `[K]`."""
    from scipy.signal import windows  # half a second, with scipy.stats, of every command otherwise

    tapers = windows.dpss(length, half_width, int(2 * half_width - 1))
    sums = tapers.sum(axis=1)
    sums[1::2] = 0  # those of the odd tapers, up to rounding
    return tapers, sums


def _log_p(series: np.ndarray, half_width: float, padded: int) -> np.ndarray:
    """The logarithm of the p value of the harmonic F test of each series `[M, N]`, at the frequencies of a padded transform."""
    tapers, sums = _tapers(series.shape[-1], half_width)
    degrees = len(tapers) - 1
    harmonic = np.abs(rfft(series * (sums @ tapers), padded)) ** 2 / (sums @ sums)
    total = np.zeros_like(harmonic)
    for taper in tapers:
        total += np.abs(rfft(series * taper, padded)) ** 2
    rest = np.maximum(np.maximum(total - harmonic, 1e-12 * total), 1e-280)
    log_p = -degrees * np.log1p(harmonic / rest)
    log_p[:, -1] = _log_p_real(harmonic[:, -1] / rest[:, -1], degrees)
    return log_p


def _log_p_real(ratio: np.ndarray, degrees: int) -> np.ndarray:
    """The same at 1/2, where the transform is real: twice the upper tail of Student's t of square ratio times degrees."""
    from scipy.stats import t  # 0.2 s, of every command otherwise

    return np.minimum(0.0, np.log(2) + t.logsf(np.sqrt(ratio * degrees), degrees))


def clear_period(series: np.ndarray) -> float:
    """The period, in rows, of a series `[N]` that has a line; NaN where noise would show as much in `LINE` of all cases."""
    found = spectrum(series)
    return fundamental_period(found) if found.log_p.min() < _enough(found) else float("nan")


def fundamental_period(found: Spectrum) -> float:
    """The period, in rows, of the oscillation that explains the lines of one series' spectrum.

    A curve of narrow spikes has a line at each harmonic, and the strongest need not be the first. The fundamental is the strongest
    line, or a whole fraction of it of which most lines are multiples, so many more than of the strongest that it cannot well be
    chance: each line within `SAME`/N of a multiple of f speaks for f by log(f N / 2 `SAME`), since a line anywhere would hit one
    with the inverse of that probability. Lines with less than `WEAKEST` of the strongest one's power do not count.
    """
    frequencies, power = lines(found).T
    strongest = frequencies[power.argmax()]
    frequencies = frequencies[power >= WEAKEST * power.max()]
    near, least = SAME / found.length, LOWEST_CYCLES / found.length

    def multiples(of: float) -> int:
        return int(np.sum(np.abs(frequencies - np.maximum(1, np.round(frequencies / of)) * of) <= near))

    def evidence(of: float) -> float:
        return multiples(of) * np.log(of / (2 * near))

    best, fundamental = evidence(strongest) + NEEDED, strongest
    for candidate in strongest / np.arange(2, MOST_TIMES + 1):
        if candidate >= least and evidence(candidate) > best and multiples(candidate) >= MOST * len(frequencies):
            best, fundamental = evidence(candidate), candidate
    return float(1 / fundamental)


def _enough(found: Spectrum) -> float:
    return float(np.log(LINE / (found.length / 2)))


def lines(found: Spectrum) -> np.ndarray:
    """The lines of one series' spectrum, as rows of frequency and power, at least 1.5/N apart, those with the best evidence first.

    They are the peaks of the evidence that noise would seldom reach (`LINE`), and the highest peak in any case.
    """
    evidence, frequencies, power = found.log_p, found.frequencies, found.power
    beside = np.r_[np.inf, evidence, np.inf]
    peaks = np.flatnonzero((evidence <= beside[:-2]) & (evidence <= beside[2:]))
    found_so_far: list[tuple[float, float]] = []
    for place in peaks[np.argsort(evidence[peaks], kind="stable")]:
        if found_so_far and evidence[place] >= _enough(found):
            break
        # Where the power is largest, a fraction of 1/N away.
        around = np.flatnonzero(np.abs(frequencies - frequencies[place]) <= 0.5 / found.length)
        top = int(around[power[around].argmax()])
        if all(abs(frequencies[top] - other) >= 1.5 / found.length for other, _ in found_so_far):
            found_so_far.append((_peak(frequencies, power, top), float(power[top])))
    return np.array(found_so_far)


def _peak(frequencies: np.ndarray, power: np.ndarray, top: int) -> float:
    """The frequency of a peak, placed by the parabola through its logarithm."""
    if not 0 < top < len(power) - 1:
        return float(frequencies[top])
    left, centre, right = np.log(np.maximum(power[top - 1 : top + 2], 1e-300))
    curvature = left - 2 * centre + right
    shift = float(np.clip(0.5 * (left - right) / curvature, -0.5, 0.5)) if curvature < 0 else 0.0
    return float(frequencies[top] + shift * (frequencies[1] - frequencies[0]))
