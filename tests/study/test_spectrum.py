from __future__ import annotations

import numpy as np
import pytest

from study.harmonics import clear_period, spectrum


@pytest.mark.parametrize("period", [4, 9, 20])
def test_the_period_of_a_sinusoid_in_noise(period):
    rng, time = np.random.default_rng(0), np.arange(451)
    series = np.sin(2 * np.pi * time / period) + 0.3 * rng.standard_normal(451)
    assert clear_period(series) == pytest.approx(period, rel=0.03)


@pytest.mark.parametrize(("width", "second", "strongest"), [(6, 0, 1), (3, 0.55, 2), (1.2, 0.3, 4)])
def test_the_period_of_spikes_is_that_after_which_they_return(width, second, strongest):
    """A broad one a cycle, or two of unequal height, and so narrow that their largest peak over the background is a harmonic."""
    period, rng, time = 19.5, np.random.default_rng(0), np.arange(451)

    def spikes(shift: float) -> np.ndarray:
        return np.exp(-(((((time - shift) / period + 0.5) % 1 - 0.5) * period / width) ** 2))

    series = spikes(3) + second * spikes(3 + period / 2) + 0.05 * rng.standard_normal(451)
    found = spectrum(series)
    assert found.frequencies[found.power.argmax()] * period == pytest.approx(strongest, rel=0.03)
    assert clear_period(series) == pytest.approx(period, rel=0.03)


def test_a_period_is_not_doubled_by_noise():
    rng, time = np.random.default_rng(2), np.arange(451)
    series = np.sin(2 * np.pi * time / 9) + 0.5 * rng.standard_normal((300, 451))
    assert np.mean([abs(clear_period(one) / 9 - 1) < 0.03 for one in series]) > 0.99


def test_a_constant_series_has_no_period():
    assert np.isnan(clear_period(np.full(451, 0.1)))


@pytest.mark.parametrize("series", [np.arange(451.0), 0.9 ** np.arange(451), 0.1 + 1e-9 * np.arange(451)])
def test_what_a_line_or_its_own_past_predicts_has_no_period(series):
    assert np.isnan(clear_period(series))


def test_noise_has_no_period():
    noise = np.random.default_rng(0).standard_normal((100, 451)).cumsum(axis=1)
    assert np.mean([np.isnan(clear_period(one)) for one in noise]) > 0.9


def test_the_harmonic_f_test_has_its_distribution():
    """In white noise, p is uniform at a frequency; at 1/2, where the transform is real, as well."""
    found = spectrum(np.random.default_rng(7).standard_normal((4000, 64)))
    for place in (len(found.frequencies) // 2, -1):
        single = np.exp(found.log_p[:, place])
        assert np.mean(single < 0.05) == pytest.approx(0.05, abs=0.02)  # the best of the widths, which differ little here


def test_a_spectrum_needs_a_few_rows():
    with pytest.raises(ValueError, match="at least 12"):
        spectrum(np.zeros(11))


def test_red_noise_is_flat_once_normalised():
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((400, 600))
    for t in range(1, 600):
        noise[:, t] += 0.8 * noise[:, t - 1]
    ratio = spectrum(noise[:, 150:]).power.mean(axis=0)
    assert ratio[:20].mean() == pytest.approx(1, abs=0.15)
    assert ratio[-20:].mean() == pytest.approx(1, abs=0.15)
