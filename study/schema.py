"""Labelled arrays: every measured variable carries its dimensions, units, a description, and where the UI shows it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import xarray as xr

MEASURED = "measured"  # the attribute of a record that names its measurements, each with its version
MEASUREMENT = "measurement"  # the attribute of a variable that names the measurement it is of
MEASURED_WORDS = re.compile(r"[a-z]\w*(:[1-9]\d{0,5})?( [a-z]\w*(:[1-9]\d{0,5})?)*", re.ASCII)
COORDINATES = {
    "rows_shown": "rows of the image shown to the network",
    "blank_rows": "rows of zeros shown after the image",
    "blank_rows_sampled": "rows of zeros shown after the image, some of them",
    "shown": "rows of the image shown, none and all included",
    "blank": "rows of zeros shown after them",
    "time_step": "rows read so far",
    "probe_step": "rows read when the probe learned",
    "scored_step": "rows read, blank ones after the image included, when the probe is scored",
    "digit": "true label",
    "half": "images of even and of odd number",
    "group": "a random group of images, as many as of one digit",
    "confidence": "percent, the probe's, at which the network stops",
    "epoch": "passes over the training images",
    "epoch_from_0": "passes over the training images, 0 before training",
    "mode": "eigenvalues of R, the largest modulus first",
    "exponent": "Lyapunov exponents, the largest first",
    "fixed_point": "fixed points, the smallest norm first",
}


def labelled(
    name: str,
    values: np.ndarray | float,
    coordinates: Mapping[str, np.ndarray],
    description: str,
    units: str = "1",
    metric: str | None = None,
    missing: str | None = None,
    share: bool = False,
    **attributes: object,
) -> xr.DataArray:
    """A variable of the record.

    `coordinates` maps each dimension, in order, to its labels. `metric`, where given, is the MLflow metric under which
    the variable is logged: a number as it is, an array against its first dimension, averaged over any others. `missing` says what
    it means where a value is NaN; without it none may be. A `share` lies between 0 and 1. Further `attributes` are kept with the
    variable.
    """
    if missing is None and not np.isfinite(values).all():
        raise ValueError(f"{name} holds values that are not finite, and does not say what they mean")
    optional = {"metric": metric, "missing": missing}
    if share:
        attributes |= {"valid_min": 0.0, "valid_max": 1.0}
    attributes = {"long_name": description, "units": units} | {k: v for k, v in optional.items() if v} | attributes
    array = xr.DataArray(values, dims=list(coordinates), coords=dict(coordinates), name=name, attrs=attributes)
    for dimension in set(coordinates) & set(COORDINATES):
        array[dimension].attrs["long_name"] = COORDINATES[dimension]
    return array


def measured_in_words(versions: Mapping[str, int]) -> str:
    """Measurements and their versions as one text, such as ``experiments probes:2``: no number is version 1."""
    return " ".join(name if version == 1 else f"{name}:{version}" for name, version in versions.items())


def measured_from_words(text: str) -> dict[str, int]:
    """The inverse of `measured_in_words`; raises `ValueError` where the text is something else."""
    if not (text == "" or MEASURED_WORDS.fullmatch(text)):
        raise ValueError("names measurements in words that cannot be read")
    parts = [word.partition(":") for word in text.split(" ") if word]
    return {name: int(version or 1) for name, _, version in parts}
