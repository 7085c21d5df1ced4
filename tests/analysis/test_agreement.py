from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from analysis.statistics.agreement import agrees, of_odd_map, paired_test, permutation_test
from analysis.statistics.decoding import first_step_above, lead


def test_older_records_do_not_say_that_their_map_is_odd_and_it_was():
    predicted = np.full(6, 20.0)
    assert of_odd_map(xr.DataArray(predicted))
    assert of_odd_map(xr.DataArray(predicted, attrs={"odd": np.int64(1)}))
    assert not of_odd_map(xr.DataArray(predicted, attrs={"odd": np.int64(0)}))


def test_the_first_step_above_a_threshold():
    curves = np.array([[0.1, 0.6, 0.4, 0.9], [0.1, 0.2, 0.3, 0.4]])
    assert first_step_above(curves, 0.5).tolist()[0] == 2
    assert np.isnan(first_step_above(curves, 0.5)[1])
    assert first_step_above(curves, np.array([0.8, 0.35])).tolist() == [4, 4]


def test_a_lead_is_paired_and_counts_those_that_never_pass():
    probe = np.array([[0.1, 0.6, 0.7, 0.9], [0.6, 0.7, 0.8, 0.9], [0.1, 0.2, 0.3, 0.4]])
    readout = np.array([[0.1, 0.1, 0.1, 0.9], [0.1, 0.1, 0.7, 0.9], [0.1, 0.1, 0.1, 0.4]])
    found = lead(probe, readout, 0.5)
    assert found.ahead.value == 2
    assert found.ahead.n == 2
    assert found.never == 1


def test_periods_agree_within_a_tenth_and_where_there_is_none():
    predicted = np.array([10.0, 10.0, np.nan, np.nan, 10.0])
    measured = np.array([10.9, 11.2, np.nan, 10.0, np.nan])
    assert agrees(predicted, measured).tolist() == [True, False, True, False, False]


def test_predictions_are_tested_against_those_of_other_networks():
    periods = 8 * 1.3 ** np.arange(8)
    right = agrees(1.02 * periods[:, None], periods)
    test, chance = permutation_test(right)
    assert test.greater == pytest.approx(1e-4) and test.less == 1
    assert chance == pytest.approx(1 / 8)
    assert permutation_test(agrees(np.full((8, 1), 10.0), np.full(8, 10.0)))[0].greater == 1  # one period fits all
    false_positives = [
        permutation_test(agrees(draw.choice(periods, (10, 1)), draw.choice(periods, 10)), draw)[0].greater <= 0.05
        for draw in map(np.random.default_rng, range(60))
    ]
    assert np.mean(false_positives) <= 0.1


def test_two_predictions_are_compared_where_only_one_is_right():
    right, other = np.array([True] * 14 + [False] * 6), np.array([True] * 4 + [False] * 14 + [True] * 2)
    test = paired_test(right, other)
    assert test.greater == pytest.approx(stats.binomtest(10, 12, 0.5, alternative="greater").pvalue)
    assert paired_test(right, right).greater == 1
