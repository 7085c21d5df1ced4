from __future__ import annotations

import numpy as np
import pytest

from analysis.claims.finding import by_tests
from analysis.claims.power import for_band, for_mean, for_share
from analysis.statistics.bands import simultaneous_band
from analysis.statistics.intervals import mean_interval, share_test
from benchmarks.error_rates import skewed_curves, smooth_curves


def test_the_number_for_a_mean_has_the_power_it_promises():
    n = for_mean(0.5, 1.0, 0.0).networks
    rng = np.random.default_rng(0)
    decided = np.mean([mean_interval(0.5 + rng.standard_normal(n)).lower > 0 for _ in range(2000)])
    assert 0.77 <= decided <= 0.84
    assert for_mean(0.5, 0.0, 0.0).networks == 6
    assert for_mean(0.5, 1.0, 0.5).networks is None


def test_the_number_for_a_share_has_the_power_it_promises():
    n = for_share(0.75).networks
    rng = np.random.default_rng(1)
    decided = np.mean([by_tests([share_test(int(rng.binomial(n, 0.75)), n)], n)[0] == "supported" for _ in range(2000)])
    assert 0.77 <= decided <= 0.9
    assert for_share(0.5).networks is None
    assert for_share(1.0).networks == 6
    assert for_share(0.2).networks is not None


def test_the_number_for_a_band_is_that_of_the_band_a_study_draws():
    pilot = skewed_curves(10, 28, np.random.default_rng(3))
    band = simultaneous_band(pilot, method="beta")
    width = float((band.upper - band.lower).max())
    assert for_band(pilot, 1.05 * width).networks <= 10
    assert for_band(pilot, 0.8 * width).networks > 10


def test_a_narrower_band_needs_more_networks():
    pilot = smooth_curves(10, 28, np.random.default_rng(2))
    wide, narrow = for_band(pilot, 2.2).networks, for_band(pilot, 1.1).networks
    assert wide == pytest.approx(20, abs=10)
    assert 3 * wide <= narrow <= 7 * wide
    assert for_band(pilot, 1e-6).networks is None
    assert for_band(np.ones((6, 3)), 1.0).networks == 6
