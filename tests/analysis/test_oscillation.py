from __future__ import annotations

import numpy as np
import pytest

from analysis.statistics.oscillation import oscillation, periodicity_test
from benchmarks.error_rates import (
    BESIDE,
    PASSING,
    SHAPES_OF_WAVES,
    called_lasting,
    called_periodic,
    damped,
    each,
    found,
    narrow_band,
    rate,
    right_period,
)

QUICK = ("white noise", "AR(1), phi = 0.9, and white noise of 50% of its RMS", "AR(2), real roots 0.98 and 0.9", "one step")


@pytest.mark.parametrize("noise", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in BESIDE])
def test_noise_is_seldom_called_an_oscillation(noise):
    assert rate(300, called_periodic, BESIDE[noise]) <= 0.06 + 2 * 0.0137


@pytest.mark.parametrize("noise", list(PASSING)[:3])
def test_an_oscillation_that_dies_or_loses_its_phase_does_not_last(noise):
    assert rate(200, called_lasting, PASSING[noise]) <= 0.05 + 2 * 0.0154


def test_what_dies_loses_its_amplitude_and_what_wanders_its_phase():
    rng = np.random.default_rng(3)
    assert np.median([periodicity_test(damped(rng)).sustained for _ in range(20)]) < 0.3
    assert np.median([periodicity_test(narrow_band(0.97, rng)).coherence for _ in range(20)]) < 0.8


@pytest.mark.parametrize(("phi", "period"), [(0.5, 2), (0.5, 4), (0.5, 10), (0.5, 12.3), (0.9, 16)])
def test_an_oscillation_at_half_the_noise_s_strength_is_found(phi, period):
    assert rate(100, found, phi, period, 0.5) >= 0.93  # 0.95, less a standard error


@pytest.mark.parametrize("period", [4, 10, 20])
def test_the_period_is_the_sinusoid_s(period):
    right = [one for one in each(60, right_period, "sinusoid", period, 0.5) if one is not None]
    assert len(right) >= 50
    assert np.mean(right) >= 0.93  # 0.95, less a standard error


@pytest.mark.parametrize("shape", SHAPES_OF_WAVES)
@pytest.mark.parametrize("period", [8, 16, 37, 60])
def test_the_period_is_that_after_which_the_curve_repeats(shape, period):
    right = [one for one in each(60, right_period, shape, period, 3.0) if one is not None]
    assert len(right) == 60
    assert np.mean(right) >= 0.93  # 0.95, less a standard error


@pytest.mark.parametrize("sign", [1, -1])
def test_a_curve_that_alternates_has_a_period_of_two_rows(sign):
    series = 0.5 + 0.1 * sign * (-1.0) ** np.arange(451)
    found = periodicity_test(series)
    assert (found.period, found.persistent, found.oscillates) == (2.0, True, True)
    assert found.amplitude == pytest.approx(0.1)


def test_a_series_is_one_row_of_numbers():
    for wrong in (np.zeros((3, 100)), np.array([0.0, np.nan] * 50), np.float64(1)):
        with pytest.raises(ValueError, match="expected one dimension, and finite numbers only"):
            periodicity_test(wrong)


def test_a_test_is_the_same_each_time_and_hardly_depends_on_its_null():
    series = np.sin(np.arange(200)) + np.random.default_rng(5).standard_normal(200) * 2.2
    assert periodicity_test(series, rng=3) == periodicity_test(series, rng=3)
    values = [periodicity_test(series, rng=np.random.default_rng(seed)).p for seed in range(4)]
    assert np.ptp(values) <= 4 * np.sqrt(np.mean(values) * (1 - np.mean(values)) / 1999)


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
