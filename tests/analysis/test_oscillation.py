from __future__ import annotations

import numpy as np
import pytest

from analysis.statistics.oscillation import oscillation, periodicity_test
from benchmarks.error_rates import LENGTH, called_periodic, red_noise


@pytest.mark.parametrize("phi", [0.0, *(pytest.param(phi, marks=pytest.mark.slow) for phi in (0.5, 0.9, 0.97))])
def test_red_noise_is_seldom_called_an_oscillation(phi):
    false = sum(called_periodic(phi, None, seed) for seed in range(300)) / 300
    assert false <= 0.06 + 2 * 0.0137


@pytest.mark.parametrize("period", [10, *(pytest.param(period, marks=pytest.mark.slow) for period in (4, 20))])
def test_an_oscillation_at_half_the_noise_s_strength_is_found(period):
    assert sum(called_periodic(0.5, period, seed) for seed in range(100)) >= 93  # 0.95, less a standard error


@pytest.mark.parametrize("period", [4, 10, 20])
def test_the_period_is_the_sinusoid_s(period):
    rng = np.random.default_rng(12)
    wave = np.sqrt(2) * np.sin(2 * np.pi * np.arange(LENGTH) / period)
    periods = [periodicity_test(red_noise(0.5, rng) + 0.5 * wave, rng).period for _ in range(20)]
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


def test_the_mean_spectrum_peaks_where_networks_of_all_amplitudes_do():
    rng, time = np.random.default_rng(1), np.arange(501)
    curves = 0.4 + np.geomspace(0.01, 0.3, 6)[:, None] * np.sin(2 * np.pi * time / 12 + rng.uniform(0, 6, (6, 1)))
    curves += 0.002 * rng.standard_normal(curves.shape)
    found = oscillation(np.concatenate([curves, np.full((1, 501), 0.1)]))
    assert 1 / found.frequencies[found.mean_spectrum.argmax()] == pytest.approx(12, rel=0.02)
    assert found.mean_spectrum == pytest.approx(found.spectra[:6].mean(axis=0))
    table = found.periods(np.arange(7))
    assert table.period[:6].to_numpy() == pytest.approx(12, rel=0.02)
    assert table.oscillates.tolist() == [True] * 6 + [False]
