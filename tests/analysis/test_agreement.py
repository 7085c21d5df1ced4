from __future__ import annotations

import numpy as np
import pytest

from analysis.accessibility import first_step_above, lead
from analysis.agreement import PHASES, period_agreement, phase_aligned


def test_a_period_and_its_half_agree_and_others_do_not():
    predicted = np.array([20.0, 20, 20, 20, np.nan, 20])
    measured = np.array([20.5, 10.2, 14.0, 7.0, 20.0, np.nan])
    found = period_agreement(predicted, measured)
    assert found.n == 4
    assert found.share.value == 0.5
    assert found.half.value == 0.25


def test_half_a_period_of_less_than_two_rows_is_seen_as_its_alias():
    assert period_agreement(np.full(6, 2.5), np.full(6, 5.0)).half.value == 1
    assert period_agreement(np.full(6, 2.0), np.full(6, 2.0)).share.value == 1


def test_the_turn_is_the_difference_of_angles_a_row():
    found = period_agreement(np.full(8, 10.0), np.full(8, 10.5))
    assert found.turn.value == pytest.approx(2 * np.pi * (1 / 10.5 - 1 / 10))
    assert period_agreement(np.array([np.nan]), np.array([3.0])).n == 0


def test_a_phase_taken_from_other_images_raises_no_peak_out_of_noise():
    rng = np.random.default_rng(0)
    raised = np.mean([phase_aligned(rng.standard_normal((450, 2)), 10.0) for _ in range(200)], axis=0)
    assert np.abs(raised).max() < 4 * np.sqrt(1 / (450 / PHASES) / 2 / 200)  # four standard errors
    naive = []
    for _ in range(200):
        noise = rng.standard_normal(450)
        naive.append(phase_aligned(np.stack([noise, noise], axis=1), 10.0))
    assert np.mean(naive, axis=0)[0] > 0.05  # what the same images would tell


def test_a_wave_is_aligned_to_its_peak():
    rows = np.arange(450)
    wave = 0.3 + 0.2 * np.cos(2 * np.pi * rows / 9.7 + 2)
    found = phase_aligned(np.stack([wave, wave], axis=1), 9.7)
    assert int(found.argmax()) == 0
    assert found.max() == pytest.approx(0.5, abs=0.015)
    assert found[PHASES // 2] == pytest.approx(0.1, abs=0.015)


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
