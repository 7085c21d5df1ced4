from __future__ import annotations

import numpy as np
import pytest

from study.spectrum import dominant_period, lag_one_correlation, normalised_periodogram


@pytest.mark.parametrize("period", [4, 9, 20])
def test_the_period_of_a_sinusoid_in_noise(period):
    rng, time = np.random.default_rng(0), np.arange(451)
    series = np.sin(2 * np.pi * time / period) + 0.3 * rng.standard_normal(451)
    assert float(dominant_period(series)) == pytest.approx(period, rel=0.03)


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
