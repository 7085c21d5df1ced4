from __future__ import annotations

import numpy as np
import pytest

from study.periodogram import dominant_period, lag_one_correlation, normalised_periodogram


@pytest.mark.parametrize("period", [4, 9, 20])
def test_the_period_of_a_sinusoid_in_noise(period):
    rng, time = np.random.default_rng(0), np.arange(451)
    series = np.sin(2 * np.pi * time / period) + 0.3 * rng.standard_normal(451)
    assert float(dominant_period(series)) == pytest.approx(period, rel=0.03)


@pytest.mark.parametrize(("width", "second", "strongest"), [(6, 0, 1), (3, 0.55, 2), (1.2, 0.3, 4)])
def test_the_period_of_spikes_is_that_after_which_they_return(width, second, strongest):
    """A broad one a cycle, or two of unequal height, and so narrow that their largest peak over red noise is a harmonic."""
    period, rng, time = 19.5, np.random.default_rng(0), np.arange(451)

    def spikes(shift: float) -> np.ndarray:
        return np.exp(-(((((time - shift) / period + 0.5) % 1 - 0.5) * period / width) ** 2))

    series = spikes(3) + second * spikes(3 + period / 2) + 0.05 * rng.standard_normal(451)
    frequencies, ratio = normalised_periodogram(series)
    assert frequencies[ratio.argmax()] * period == pytest.approx(strongest, rel=0.03)
    assert float(dominant_period(series)) == pytest.approx(period, rel=0.03)


def test_a_period_is_not_doubled_by_noise():
    rng, time = np.random.default_rng(2), np.arange(451)
    series = np.sin(2 * np.pi * time / 9) + 0.5 * rng.standard_normal((300, 451))
    assert np.mean(np.abs(dominant_period(series) / 9 - 1) < 0.03) > 0.99


def test_a_constant_series_has_no_period():
    assert np.isnan(dominant_period(np.full(451, 0.1)))


def test_red_noise_is_flat_once_normalised():
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((400, 600))
    for t in range(1, 600):
        noise[:, t] += 0.8 * noise[:, t - 1]
    ratio = normalised_periodogram(noise[:, 150:])[1].mean(axis=0)
    assert lag_one_correlation(noise).mean() == pytest.approx(0.8, abs=0.02)
    assert ratio[:20].mean() == pytest.approx(1, abs=0.15)
    assert ratio[-20:].mean() == pytest.approx(1, abs=0.15)
