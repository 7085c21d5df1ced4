"""The record of one network: its measurements, its training history and its provenance, as one netCDF file."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from study.config import NetworkConfig
from study.data.images import Order
from study.data.places import PROJECT
from study.files import durable, netcdf
from study.files.untrusted import Refused, one_line
from study.networks.kernels import KERNELS
from study.networks.network import RecurrentNetwork
from study.record import earlier_layout
from study.record.keys import record_key, training_key
from study.schema import (
    MEASURED,
    MEASUREMENT,
    SOURCE,
    SOURCES,
    by_source,
    measured_from_words,
    measurements_of,
    metric_name,
    role_of,
    with_source_names,
)

RECORD_VERSION = 6  # raised whenever the layout of a record changes; measurements have versions of their own
LIBRARIES = ("torch", "torchvision", "mlflow", "numpy", "scipy", "xarray", "h5netcdf", "safetensors")

WEIGHTS = "weights.safetensors"
MEASUREMENTS = "measurements.nc"

LARGEST_FILE = 4 * 2**30  # bytes of either: the weights of 30,000 units

WORDS = ("long_name", "units", "role", "metric", "missing", MEASUREMENT)  # attributes of variables that are texts
METRIC = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]*(/[A-Za-z0-9_][A-Za-z0-9_. -]*)*", re.ASCII)
LONGEST_WORDS, LARGEST_LABEL, ROUNDING = 1000, 2**31, 1e-6


@dataclass(frozen=True)
class NetworkRecord:
    """The record of one network.

    Attributes: its `config`, its trained `network` and its `measurements`, among them the training history
    (`train_loss` and `test_accuracy_by_epoch` over `epoch`); `started` and `ended` in seconds since 1970; `remeasured_from`, where
    the network is not new, but a stored one that was measured again: the id of its run; and the order in which it `reads` images.
    """

    config: NetworkConfig
    network: RecurrentNetwork
    measurements: xr.Dataset
    started: float
    ended: float
    remeasured_from: str = ""
    reads: Order = "rows"


@dataclass(frozen=True)
class Failure:
    """A network that has no record, and why."""

    config: NetworkConfig
    reason: str
    started: float
    ended: float


@cache
def versions() -> dict[str, str]:
    """The versions of Python, of the libraries that affect results, and of this code."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}, "commit": commit()}


def made_with(config: NetworkConfig) -> dict[str, str]:
    """The versions, and the kernels that a network is trained and measured with, in words."""
    here = "torch with CUDA" if config.device == "cuda" else KERNELS[config.kernels].in_words()
    return versions() | {"kernels": here}


@cache
def commit() -> str:
    """The code's git commit, with ``+changes`` where tracked files differ from it; ``unknown`` outside a checkout."""
    if not (PROJECT / ".git").exists():  # installed, perhaps inside another project's checkout
        return "unknown"
    try:
        run = ["git", "describe", "--always", "--abbrev=40", "--dirty=+changes", "--exclude=*"]
        return subprocess.run(run, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def provenance(result: NetworkRecord, data_digest: str) -> dict[str, str]:
    """Where a network's measurements come from, as attributes of their file; the worker that made them has added `versions`."""
    training = training_key(result.config, data_digest)
    measurements = result.measurements
    return {
        "training_key": training,
        "record_key": record_key(training, measured(measurements.attrs), result.config.blank_rows),
        "config": json.dumps(result.config.model_dump(mode="json")),
        "data_digest": data_digest,
        "record_version": str(RECORD_VERSION),
    }


def write_measurements(measurements: xr.Dataset, path: Path) -> None:
    """Writes netCDF-4 that any netCDF reader opens; integers stay integers, missing values are NaN."""
    durable.write(path, netcdf.written(measurements))


def read_measurements(path: Path) -> xr.Dataset:
    """Reads what `write_measurements` wrote, into memory.

    Raises `study.files.untrusted.Refused` where the file holds anything but a record; `OSError` where it is missing or
    unreachable.
    """
    record = netcdf.read(path)
    if earlier_layout.is_earlier(record.attrs):
        variables, attributes = earlier_layout.as_of_today({str(k): v for k, v in record.variables.items()}, record.attrs)
        labels = {name: variable for name, variable in variables.items() if variable.dims == (name,)}
        others = {name: variable for name, variable in variables.items() if name not in labels}
        record = with_source_names(xr.Dataset(others, labels, attributes))
    check(record.variables, record.attrs)
    return record


def check(variables: Mapping[Any, xr.Variable], attributes: Mapping[str, object]) -> None:
    """Raises `study.files.untrusted.Refused` where something in a record is not what `study.schema.labelled` makes of it.

    What is checked is what readers trust: that texts are texts, names of metrics such as MLflow takes, roles such as fit the
    dimensions, labels distinct whole numbers, and values finite where no attribute `missing` says what they mean, and within their
    limits.
    """
    if odd := [name for name, value in attributes.items() if not isinstance(value, str)]:
        raise Refused(f"holds an attribute, {odd[0]}, that is no text")
    try:
        measured_from_words(str(attributes.get(MEASURED, "")))
    except ValueError as error:
        raise Refused(str(error)) from None
    for name, variable in variables.items():
        _check_words(name, variable.attrs)
        _check_role(name, variable)
        _check_values(name, variable)
        if unlabelled := [dimension for dimension in variable.dims if dimension not in variables]:
            raise Refused(f"holds {name} over {unlabelled[0]}, which has no labels")


def _check_words(name: str, attributes: Mapping[str, object]) -> None:
    for word in WORDS:
        text = attributes.get(word, "")
        if not isinstance(text, str) or len(text) > LONGEST_WORDS:
            raise Refused(f"describes {name} by an attribute, {word}, that is no text, or a long one")
    if "metric" in attributes and not METRIC.fullmatch(str(attributes["metric"])[:250]):
        raise Refused(f"names a metric {one_line(attributes['metric'], 50)!r} for {name}")
    if "grows" in attributes and attributes["grows"] != 1:
        raise Refused(f"says of {name} in words of its own whether it grows")
    limits = [attributes[limit] for limit in ("valid_min", "valid_max") if limit in attributes]
    numbers = [limit for limit in limits if isinstance(limit, int | float | np.number) and np.isfinite(limit)]
    if limits and len(numbers) != 2:
        raise Refused(f"holds limits of {name} that are not two numbers")


def _check_role(name: str, variable: xr.Variable) -> None:
    role = variable.attrs.get("role", "detail")
    if role_of(variable) != role:
        raise Refused(f"gives {name} a role that it cannot have")
    if SOURCE in variable.dims[1:]:
        raise Refused(f"holds {name} over {SOURCE}, but not first")
    if SOURCE in variable.dims and name != SOURCE and len(measurements_of(variable)) not in (0, len(SOURCES)):
        raise Refused(f"does not say of each source of {name} what measured it")
    if role == "category" and not isinstance(variable.attrs.get("flag_meanings"), str):
        raise Refused(f"says of {name} that it is a category, and names none")


def _check_values(name: str, variable: xr.Variable) -> None:
    values = variable.values
    if values.dtype.kind == "f" and not (np.isfinite(values) | (np.isnan(values) & ("missing" in variable.attrs))).all():
        raise Refused(f"holds values of {name} that are not finite, and does not say what they mean")
    if "valid_min" in variable.attrs and values.size:
        least, most = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
        if least < variable.attrs["valid_min"] - ROUNDING or most > variable.attrs["valid_max"] + ROUNDING:
            raise Refused(f"holds values of {name} beyond its limits")
    if name == SOURCE and variable.dims == (SOURCE,):
        if values.tolist() not in (list(SOURCES), list(range(len(SOURCES)))):
            raise Refused(f"holds other labels along {SOURCE} than {', '.join(SOURCES)}")
    elif variable.dims == (name,) and (
        values.dtype.kind not in "iu"
        or len(np.unique(values)) < values.size
        or (values.size and max(abs(int(values.min())), abs(int(values.max()))) > LARGEST_LABEL)
    ):
        raise Refused(f"holds labels along {name} that are not distinct whole numbers")


def measured(attributes: Mapping[str, object]) -> dict[str, int]:
    """The measurements that a record holds, each with its version.

    Raises `ValueError` where it names them in words that cannot be read.
    """
    return measured_from_words(str(attributes.get(MEASURED, "")))


def step_metrics(measurements: xr.Dataset) -> dict[str, list[tuple[int, float]]]:
    """What MLflow shows of a network: its curves, numbers and categories as (step, value) points.

    A number is one point at 0. The step of a curve is the label along its first dimension; values are averaged over any others, and
    those that are not finite are left out. A variable with sources is one metric for each that it is measured of.
    """
    metrics = {}
    for array in measurements.data_vars.values():
        if role_of(array) == "detail":
            continue
        for source, part in by_source(array):
            if part.ndim == 0:
                points = [(0, float(part))]
            else:
                values = part.mean(part.dims[1:]).values
                points = [(int(step), float(value)) for step, value in zip(part[part.dims[0]].values, values, strict=True)]
            metrics[metric_name(array, source)] = [point for point in points if np.isfinite(point[1])]
    return metrics
