"""Labelled arrays: every measured variable carries its dimensions, units, a description, and where the UI shows it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

COORDINATES = {
    "rows_shown": "rows of the image shown to the network",
    "blank_rows": "rows of zeros shown after the image",
    "shown": "rows of the image shown, none and all included",
    "blank": "rows of zeros shown after them",
    "time_step": "rows read so far",
    "digit": "true label",
    "epoch": "passes over the training images",
}


def labelled(
    name: str,
    values: np.ndarray | float,
    coordinates: Mapping[str, np.ndarray],
    description: str,
    units: str = "1",
    metric: str | None = None,
) -> xr.DataArray:
    """A variable of the record.

    `coordinates` maps each dimension, in order, to its labels. `metric`, where given, is the MLflow metric under which
    the variable is logged: a number as it is, an array against its first dimension, averaged over any others.
    """
    attributes = {"long_name": description, "units": units} | ({"metric": metric} if metric else {})
    array = xr.DataArray(values, dims=list(coordinates), coords=dict(coordinates), name=name, attrs=attributes)
    for dimension in coordinates:
        array[dimension].attrs["long_name"] = COORDINATES[dimension]
    return array
