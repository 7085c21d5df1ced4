from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from study.record.network_record import read_measurements, step_metrics, write_measurements
from study.schema import labelled


def _measured() -> xr.Dataset:
    steps, labels = {"time_step": np.arange(1, 4)}, {"label": np.arange(2)}
    counts = np.array([[1, 3], [2, 2], [0, 4]])
    arrays = [
        labelled("curve", np.array([0.5, np.nan, 0.25]), steps, "a curve", role="curve", metric="curve/whole", missing="unknown"),
        labelled("by_label", counts, steps | labels, "by label", units="components", role="curve", metric="curve/mean"),
        labelled("number", 7, {}, "a number", role="number"),
        labelled("silent", 1.5, {}, "not shown"),
        labelled("kind", 1, {}, "a kind", role="category", flag_meanings="one other"),
        labelled(
            "compared",
            np.array([[0.5, 0.25, 0.75], [0.0, 0.125, 0.25]]),
            {"source": ["trained", "pixels"]} | steps,
            "a curve and what it is compared with",
            role="curve",
        ),
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
        "kind": [(0, 1.0)],
        "compared": [(1, 0.5), (2, 0.25), (3, 0.75)],
        "compared_pixels": [(1, 0.0), (2, 0.125), (3, 0.25)],
    }


@pytest.mark.parametrize(
    ("coordinates", "words", "says"),
    [
        ({}, {"role": "curve"}, "cannot have the role curve"),
        ({"time_step": [1, 2]}, {"role": "number"}, "cannot have the role number"),
        ({"source": ["trained", "pixels"]}, {"role": "curve"}, "cannot have the role curve"),
        ({}, {"role": "hero"}, "cannot have the role hero"),
        ({}, {"role": "category"}, "flag_meanings"),
        ({}, {"role": "number", "flag_meanings": "a b"}, "flag_meanings"),
        ({}, {"metric": "mine/number"}, "a detail has no metric"),
        ({"time_step": [1], "source": ["trained"]}, {}, "its first dimension must be source"),
        ({"source": ["trained", "guessed"]}, {}, "with labels among trained"),
        ({"source": ["trained", "trained"]}, {}, "with labels among trained"),
    ],
)
def test_what_does_not_fit_together_is_refused(coordinates, words, says):
    shape = [len(labels) for labels in coordinates.values()]
    with pytest.raises(ValueError, match=says):
        labelled("mine", np.zeros(shape), coordinates, "mine", **words)
