from __future__ import annotations

import numpy as np
import xarray as xr

from study.record.network_record import read_measurements, step_metrics, write_measurements
from study.schema import labelled


def _measured() -> xr.Dataset:
    steps, digits = {"time_step": np.arange(1, 4)}, {"digit": np.arange(2)}
    counts = np.array([[1, 3], [2, 2], [0, 4]])
    arrays = [
        labelled("curve", np.array([0.5, np.nan, 0.25]), steps, "a curve", metric="curve/whole", missing="unknown"),
        labelled("by_digit", counts, steps | digits, "by digit", units="components", metric="curve/mean"),
        labelled("number", 7, {}, "a number", metric="number"),
        labelled("silent", 1.5, {}, "not shown"),
    ]
    return xr.Dataset({array.name: array for array in arrays})


def test_a_record_survives_its_file(tmp_path):
    write_measurements(_measured(), tmp_path / "m.nc")
    assert read_measurements(tmp_path / "m.nc").identical(_measured())


def test_step_metrics_are_what_the_variables_ask_for():
    assert step_metrics(_measured()) == {
        "curve/whole": [(1, 0.5), (3, 0.25)],  # NaN is left out
        "curve/mean": [(1, 2.0), (2, 2.0), (3, 2.0)],
        "number": [(0, 7.0)],
    }
