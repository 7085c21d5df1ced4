"""Figures of what a study has, and of what it has not."""

from __future__ import annotations

import matplotlib.pyplot as plt
from made import made_study

from analysis.study_analysis import of_dataset
from reports.figures import drawn


def test_a_study_without_a_network_so_far_has_no_figures():
    dataset = made_study(3, missing=3)[["run_id"]].drop_vars(["rows_shown", "time_step"], errors="ignore")
    assert set(dataset.sizes) == {"hidden_size", "seed"}
    assert drawn(of_dataset(dataset)) == {}


def test_figures_say_what_was_measured_and_leave_out_the_rest():
    figures = drawn(of_dataset(made_study(8)))
    assert {"truncation", "oscillation", "dimensionality", "decoding"} <= set(figures)
    assert "surface" not in figures
    assert set(figures["decoding"].numbers.variable) == {"probe_accuracy", "readout_accuracy"}
    assert set(figures["decoding"].numbers.source) == {"trained", "pixels"}
    assert not plt.get_fignums()  # none is left open
