"""Records of earlier layouts, read as if they had been written today.

In the first of them what a variable is of was glued to its name (`probe_pixels`), only those with a `metric` were shown, the
readout's accuracy at each step was told as a gap, and no variable named its measurement. In the second, too, labels were called
digits, since all images showed some (`pca90_by_digit`), and the class that separates early was the sixes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from study.files.untrusted import Refused
from study.schema import DIMENSIONS, MEASURED, MEASUREMENT, NOBODY, NOT_OF_SOURCE, SOURCE, SOURCES, measured_in_words

GLUED_VERSION, DIGITS_VERSION = "4", "5"  # of records before variables had sources, and before labels were called so
SIXES = 6.0
Variables = dict[str, xr.Variable]

WHOLE = ("participation_ratio", "participation_ratio_corrected", "between_class_share")
PARTS = ("participation_ratio", "participation_ratio_corrected", "pca90_matched", "twonn", "twonn_dropped")
GEOMETRY = (*WHOLE, *(f"{name}_by_{part}" for name in PARTS for part in ("digit", "group")))
# Variables that have sources now: what they were called, of each source.
GLUED: dict[str, dict[str, str]] = {
    **{name: {"trained": name, "untrained": f"{name}_untrained", "row": f"{name}_input"} for name in GEOMETRY},
    "sixes_agreement": {"trained": "sixes_agreement"} | {source: f"sixes_agreement_{source}" for source in ("untrained", "pixels")},
    "probe_accuracy": {"trained": "probe_accuracy"} | {source: f"probe_{source}" for source in ("untrained", "permuted", "pixels")},
}
# The measurement of a variable by its former name: of these patterns the first that fits. The history of the training has none.
MADE_BY = {
    r"weights_dropped|.*_by_epoch|train_loss": "",
    r"accuracy": "surface",
    r"accuracy_(blanked|truncated|appended|appended_by_half)|predicted|test_accuracy|period": "experiments",
    r"pca90|pca90_by_digit|peak_dimension": "dimensionality",
    r".*_appended": "geometry_appended",
    r"sixes_agreement.*|neighbour_agreement": "geometry",
    r"probe_(accuracy|gap)": "probes",
    r"probe_(untrained|pixels|permuted)": "probe_controls",
    r".*_(untrained|input)": "geometry_nulls",
    "|".join(GEOMETRY): "geometry",
    r"temporal_generalisation": "temporal_generalisation",
    r"early_(accuracy|rows)": "early_classification",
    r"eigenvalue_(real|imaginary)|spectral_radius|period_predicted": "spectrum",
    r"fixed_point.*": "fixed_points",
    r"attractor.*|lyapunov.*|period_state|period_recurrence|(basin|phase)_tells_digit": "attractors",
}
WITH_DIGITS = re.compile(
    rf"digit|sixes_agreement|(basin|phase)_tells_digit|({'|'.join(PARTS)})_by_digit(_appended)?|(pca90|dimension90)_by_digit"
)


def is_earlier(attributes: Mapping[str, object]) -> bool:
    """Whether the attributes of a record, or of a dataset of records, say that it is of an earlier layout."""
    return str(attributes.get("record_version")) in (GLUED_VERSION, DIGITS_VERSION)


def as_of_today(variables: Mapping[str, xr.Variable], attributes: Mapping[str, Any]) -> tuple[Variables, dict[str, Any]]:
    """The variables and attributes of a record of an earlier layout in that of today.

    Its `record_version` stays: it says how the file is written. Raises `Refused` where the variables are not those of that layout.
    """
    if attributes.get("record_version") == GLUED_VERSION:
        variables, attributes = _with_sources(variables, attributes)
    return _with_early_class(_with_labels(variables)), dict(attributes)


def dataset_of_today(dataset: xr.Dataset) -> xr.Dataset:
    """A dataset of records, for example one opened from netCDF, by the names of today."""
    if not is_earlier(dataset.attrs):
        return dataset
    variables = _with_early_class(_with_labels({str(name): variable for name, variable in dataset.variables.items()}))
    labels = {_name_today(str(name)) for name in dataset.coords}
    parts = ({name: variable for name, variable in variables.items() if (name in labels) == kind} for kind in (False, True))
    return xr.Dataset(*parts, attrs=dataset.attrs)


def _with_labels(variables: Mapping[str, xr.Variable]) -> Variables:
    """The variables by the names of today."""
    today: Variables = {}
    for former, variable in variables.items():
        name, attributes = _name_today(former), dict(variable.attrs)
        if name != former and name in variables:
            raise Refused(f"holds {name}, which records of its version have not")
        if name != former and "metric" in attributes:
            attributes["metric"] = attributes["metric"].replace("digit", "label").replace("sixes_step_4", "early_class")
        dimensions = [_name_today(str(dimension)) for dimension in variable.dims]
        today[name] = xr.Variable(dimensions, variable.values, attributes, variable.encoding)
    return today


def _with_early_class(variables: Variables) -> Variables:
    """The variables with the class that separates early, where its cluster was measured: always the sixes."""
    cluster = variables.get("early_cluster_agreement")
    if cluster is None or "early_class" in variables:
        return variables
    words = {
        "long_name": "the class that separates early",
        "units": "1",
        "role": "detail",
        "missing": cluster.attrs.get("missing", ""),
    }
    described = words | {MEASUREMENT: "early_cluster"} if cluster.attrs else {}
    there = cluster.notnull().any(cluster.dims[-2:])  # of a record, or of each network of a dataset
    return variables | {"early_class": xr.Variable(there.dims, np.where(there, SIXES, np.nan), described)}


def _name_today(former: str) -> str:
    known = WITH_DIGITS.fullmatch(former)
    return former.replace("digit", "label").replace("sixes", "early_class") if known else former


def _with_sources(variables: Mapping[str, xr.Variable], attributes: Mapping[str, Any]) -> tuple[Variables, dict[str, Any]]:
    """Those of the first layout in the second."""
    former = dict(variables)
    measured = {made_by(name): 1 for name in former if name not in DIMENSIONS and made_by(name)}
    today: Variables = {}
    for name, by_source in GLUED.items():
        parts = {source: former.pop(old) for source, old in by_source.items() if old in former}
        if parts:
            today[name] = _stacked(name, parts, [made_by(by_source[source]) if source in parts else NOBODY for source in SOURCES])
    if today:
        today[SOURCE] = xr.Variable(SOURCE, np.arange(len(SOURCES)), {"long_name": DIMENSIONS[SOURCE].words})
    if "probe_gap" in former and "probe_accuracy" in today:
        today["readout_accuracy"] = _readout(former.pop("probe_gap"), today["probe_accuracy"])
    if taken := set(today) & set(former):
        raise Refused(f"holds {min(taken)}, which records of its version have not")
    for name, variable in former.items():
        is_label = variable.dims == (name,)
        words = _of_dimension(name, variable) if is_label else _described(name, variable)
        today[name] = xr.Variable(variable.dims, variable.values, words)
    return today, dict(attributes) | {MEASURED: attributes.get(MEASURED, measured_in_words(measured))}


def made_by(name: str) -> str:
    """The measurement of a variable by its former name; empty for the history of the training and what nobody knows."""
    return next((measurement for pattern, measurement in MADE_BY.items() if re.fullmatch(pattern, name)), "")


def _stacked(name: str, parts: Mapping[str, xr.Variable], measurements: list[str]) -> xr.Variable:
    shapes = {(part.dims, part.shape) for part in parts.values()}
    if len(shapes) > 1 or SOURCE in next(iter(shapes))[0]:
        raise Refused(f"holds {name} and what it is compared with over different dimensions")
    [(dimensions, shape)] = shapes
    values = np.full((len(SOURCES), *shape), np.nan)
    for source, part in parts.items():
        values[SOURCES.index(source)] = part.values
    attributes = _described(name, next(iter(parts.values())))
    if attributes:  # read without the words otherwise
        missing = "; or ".join(filter(None, (attributes.get("missing"), NOT_OF_SOURCE)))
        attributes |= {"missing": missing, MEASUREMENT: " ".join(measurements)}
    return xr.Variable((SOURCE, *dimensions), values, attributes)


def _readout(gap: xr.Variable, probe: xr.Variable) -> xr.Variable:
    if probe.dims[1:] != gap.dims or probe.shape[1:] != gap.shape:
        raise Refused("holds probe_gap and probe_accuracy over different dimensions")
    words = {"long_name": "accuracy of the readout applied at this step", "metric": "readout/accuracy"}
    described = _described("probe_accuracy", gap)
    attributes = described | words | {"role": "curve", "valid_min": 0.0, "valid_max": 1.0} if described else {}
    return xr.Variable(gap.dims, probe.values[SOURCES.index("trained")] - gap.values, attributes)


def _described(name: str, variable: xr.Variable) -> dict[str, Any]:
    """A variable's attributes with its role and its measurement; none where it was read without them."""
    attributes = dict(variable.attrs)
    if not attributes:
        return attributes
    if "metric" not in attributes:
        role = "detail"
    elif "flag_meanings" in attributes:
        role = "category"
    else:
        role = "curve" if variable.dims else "number"
    return attributes | {"role": role} | ({MEASUREMENT: made_by(name)} if made_by(name) else {})


def _of_dimension(name: str, variable: xr.Variable) -> dict[str, Any]:
    return dict(variable.attrs) | ({"grows": 1} if name in DIMENSIONS and DIMENSIONS[name].grows else {})
