from __future__ import annotations

import numpy as np
import pytest

from analysis.oscillation import oscillation, periodicity_test


def red_noise(rng, phi, length=451):
    series = rng.standard_normal(length + 200)
    for t in range(1, len(series)):
        series[t] += phi * series[t - 1]
    return series[200:] / series[200:].std()


@pytest.mark.parametrize("phi", [0.0, 0.9, 0.97])
def test_red_noise_is_seldom_called_an_oscillation(phi):
    rng = np.random.default_rng(11)
    false = sum(periodicity_test(red_noise(rng, phi), rng).p <= 0.05 for _ in range(200))
    assert false / 200 <= 0.05 + 2.6 * 0.0154


@pytest.mark.parametrize("period", [4, 10, 20])
def test_an_oscillation_at_half_the_noise_s_strength_is_found(period):
    rng = np.random.default_rng(12)
    found, periods = 0, []
    for _ in range(40):
        wave = 0.5 * np.sqrt(2) * np.sin(2 * np.pi * np.arange(451) / period + rng.uniform(0, 6))
        test = periodicity_test(red_noise(rng, 0.5) + wave, rng)
        found += test.p <= 0.05
        periods.append(test.period)
    assert found >= 38
    assert np.median(periods) == pytest.approx(period, rel=0.05)


def test_the_amplitude_is_the_sinusoid_s():
    wave = 0.2 * np.sin(2 * np.pi * np.arange(400) / 8)
    assert periodicity_test(wave + 0.01 * np.random.default_rng(0).standard_normal(400)).amplitude == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize("blank_rows", [1, 40, 53, 60])
def test_curves_too_short_to_tell_do_not_oscillate(blank_rows):
    found = oscillation(np.random.default_rng(0).random((3, blank_rows + 1)))
    assert not found.oscillates.any()
    assert [test.p for test in found.tests] == [1.0] * 3


def test_constant_curves_and_tiny_ripples_do_not_oscillate():
    time = np.arange(501)
    curves = np.stack([np.full(501, 0.1), 0.5 + 0.0005 * np.sin(time), 0.5 + 0.2 * np.sin(time)])
    found = oscillation(curves)
    assert found.oscillates.tolist() == [False, False, True]
    assert found.tests[0].p == 1
