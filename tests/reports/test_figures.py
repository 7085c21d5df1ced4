"""Figures of what a study has, and of what it has not."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
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


def _with_a_spectrum(dataset: xr.Dataset) -> xr.Dataset:
    draw, grid = np.random.default_rng(0), (dataset.sizes["hidden_size"], dataset.sizes["seed"])
    over = ("hidden_size", "seed")
    parts = {f"eigenvalue_{part}": ((*over, "mode"), draw.standard_normal((*grid, 6))) for part in ("real", "imaginary")}
    by_epoch = {f"{name}_by_epoch": ((*over, "epoch_from_0", "mode"), draw.standard_normal((*grid, 3, 6))) for name in list(parts)}
    lyapunov = (*over, "exponent"), -np.sort(draw.random((*grid, 6)))
    counted = {"mode": np.arange(1, 7), "exponent": np.arange(1, 7), "epoch_from_0": np.arange(3)}
    return dataset.assign(parts | by_epoch | {"lyapunov": lyapunov, "spectral_radius": (over, np.ones(grid))}).assign_coords(
        counted
    )


def test_a_spectrum_that_does_not_exist_is_not_drawn_and_without_a_period_there_is_no_panel_of_periods():
    dataset = _with_a_spectrum(made_study(4))
    whole = drawn(of_dataset(dataset))["spectrum"]
    assert len(whole.drawing.axes) == 3 * dataset.sizes["hidden_size"]
    still = dataset.copy(deep=True)
    still["period_state"] = still.period_state.where(False).assign_attrs(missing="the state stands still")
    still["accuracy_appended"] = still.accuracy_appended * 0 + 0.5
    without_periods = drawn(of_dataset(still))["spectrum"]
    assert len(without_periods.drawing.axes) == 2 * dataset.sizes["hidden_size"]
    assert "No network oscillates." in without_periods.caption
    none = dataset.copy(deep=True)
    none["eigenvalue_real"] = none.eigenvalue_real.where(False).assign_attrs(missing="the map has no derivative at its rest state")
    assert "spectrum" not in drawn(of_dataset(none))
    plt.close("all")
