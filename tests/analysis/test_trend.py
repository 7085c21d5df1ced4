from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.trend import holm, planned_pairs, size_trend

SIZES = np.repeat([50, 100, 200], 10)


def test_a_trend_has_its_slope_and_a_small_p():
    values = 3 * np.log2(SIZES) + np.random.default_rng(0).standard_normal(30)
    trend = size_trend(SIZES, values)
    assert trend.slope == pytest.approx(3, abs=0.5)
    assert trend.p < 0.001
    assert trend.n == 30


def test_the_slope_is_scipy_s_over_pairs_of_different_size():
    values = np.random.default_rng(1).standard_normal(30)
    assert size_trend(SIZES, values).slope == pytest.approx(stats.theilslopes(values, np.log2(SIZES)).slope)


def test_no_trend_is_seldom_called_one():
    rng = np.random.default_rng(2)
    false = sum(size_trend(SIZES, rng.standard_normal(30), rng).p <= 0.05 for _ in range(60)) / 60
    assert false <= 0.05 + 2.6 * 0.028


def test_one_size_has_no_trend():
    assert np.isnan(size_trend(np.full(9, 50), np.arange(9.0)).p)
    assert np.isnan(size_trend(SIZES, np.full(30, np.nan)).slope)


def test_holm_is_the_step_down_procedure():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]).tolist() == []


def test_pairs_of_sizes_differ_where_they_do():
    rng = np.random.default_rng(3)
    found = planned_pairs({50: rng.standard_normal(10), 100: rng.standard_normal(10), 200: 5 + rng.standard_normal(10)})
    assert [pair.sizes for pair in found] == [(50, 100), (50, 200), (100, 200)]
    assert [pair.p_adjusted < 0.05 for pair in found] == [False, True, True]
    assert found[1].estimate == pytest.approx(5, abs=1)
    same, other = planned_pairs({50: np.ones(6), 100: np.ones(7), 200: np.full(6, 2.0)})[:2]
    assert (same.p_adjusted, other.p_adjusted) == (1, 0)
