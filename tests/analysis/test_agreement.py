from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from analysis.statistics.agreement import of_odd_map, period_agreement
from analysis.statistics.decoding import first_step_above, lead


def test_a_period_and_its_half_agree_and_others_do_not():
    predicted = np.array([20.0, 20, 20, 20, np.nan, 20])
    measured = np.array([20.5, 10.2, 14.0, 7.0, 20.0, np.nan])
    found = period_agreement(predicted, measured)
    assert found.n == 4
    assert found.share.value == 0.5
    assert found.half.value == 0.25


def test_half_a_period_does_not_agree_where_the_map_is_not_odd():
    predicted, measured = np.full(6, 20.0), np.array([20.5, 10.0, 10.2, 20.0, 19.0, 10.0])
    assert period_agreement(predicted, measured).share.value == 1
    found = period_agreement(predicted, measured, odd=False)
    assert found.share.value == 0.5
    assert found.half.value == 0
    assert of_odd_map(xr.DataArray(predicted))
    assert of_odd_map(xr.DataArray(predicted, attrs={"odd": np.int64(1)}))
    assert not of_odd_map(xr.DataArray(predicted, attrs={"odd": np.int64(0)}))


def test_half_a_period_of_less_than_two_rows_is_seen_as_its_alias():
    assert period_agreement(np.full(6, 2.5), np.full(6, 5.0)).half.value == 1
    assert period_agreement(np.full(6, 2.0), np.full(6, 2.0)).share.value == 1


def test_the_turn_is_the_difference_of_angles_a_row():
    found = period_agreement(np.full(8, 10.0), np.full(8, 10.5))
    assert found.turn.value == pytest.approx(2 * np.pi * (1 / 10.5 - 1 / 10))
    assert period_agreement(np.array([np.nan]), np.array([3.0])).n == 0


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
