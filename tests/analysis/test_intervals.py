from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.intervals import greater_than, mean_interval, share_interval


def test_t_interval_against_the_textbook():
    estimate = mean_interval(np.array([1.0, 2.0, 3.0, np.nan]))
    assert (estimate.value, estimate.n) == (2.0, 3)
    assert estimate.upper - 2 == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)
    assert np.isnan(mean_interval(np.array([1.0])).lower)


def test_wilson_interval_against_the_textbook():
    estimate = share_interval(8, 10)
    assert (estimate.lower, estimate.upper) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert np.isnan(share_interval(0, 0).value)


def test_one_sided_p():
    assert greater_than(np.array([1.0, 2.0, 3.0])) < 0.05
    assert greater_than(np.array([1.0, 1.0]), 0.5) == 0.0
    assert greater_than(np.array([0.1, 0.1 + 1e-17, 0.3 - 0.2]), 0.05) == 0.0
    values = np.array([1.0, 2.5, 3.0, -1.0])
    assert greater_than(values, 0.5) == pytest.approx(stats.ttest_1samp(values, 0.5, alternative="greater").pvalue)
    assert greater_than(np.array([1.0, 1.0]), 2.0) == 1.0
