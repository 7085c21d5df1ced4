"""The record of one network: its measurements, its training history and its provenance, as one netCDF file."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import xarray as xr

from study import durable
from study.config import NetworkConfig
from study.network import RecurrentNetwork

RECORD_VERSION = 4  # raised whenever the same configuration would be recorded differently
LIBRARIES = ("torch", "torchvision", "mlflow", "numpy", "scipy", "xarray", "h5netcdf", "safetensors")

WEIGHTS = "weights.safetensors"
MEASUREMENTS = "measurements.nc"


@dataclass(frozen=True)
class NetworkRecord:
    """What is kept of one network.

    Attributes: its `config`, its trained `network` and its `measurements`, among them the training history
    (`train_loss` and `test_accuracy_by_epoch` over `epoch`); `started` and `ended` in seconds since 1970.
    """

    config: NetworkConfig
    network: RecurrentNetwork
    measurements: xr.Dataset
    started: float
    ended: float


@dataclass(frozen=True)
class Failure:
    """A network that has no record, and why."""

    config: NetworkConfig
    reason: str
    started: float
    ended: float


def network_key(config: NetworkConfig, data_digest: str) -> str:
    """The identity of a network: sha256 of its canonical configuration, the data digest and the record version."""
    return _key(config.model_dump(mode="json"), data_digest)


def regime_key(config: NetworkConfig, data_digest: str) -> str:
    """The identity of what networks of all seeds and hidden sizes share."""
    return _key(config.model_dump(mode="json", exclude={"seed", "hidden_size"}), data_digest)


def _key(configuration: dict, data_digest: str) -> str:
    canonical = json.dumps(configuration, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{canonical}\n{data_digest}\n{RECORD_VERSION}".encode()).hexdigest()


@cache
def versions() -> dict[str, str]:
    """The versions of Python, of the libraries that decide a result, and of this code."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}, "commit": commit()}


@cache
def commit() -> str:
    """The code's git commit, with ``+changes`` where tracked files differ from it; ``unknown`` outside a checkout."""
    folder = Path(__file__).parent
    try:
        run = ["git", "describe", "--always", "--abbrev=40", "--dirty=+changes", "--exclude=*"]
        return subprocess.run(run, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def provenance(config: NetworkConfig, data_digest: str) -> dict[str, str]:
    """Where a network's measurements come from, as attributes of their file."""
    return {"network_key": network_key(config, data_digest), "config": json.dumps(config.model_dump(mode="json")),
            "versions": json.dumps(versions()), "data_digest": data_digest, "record_version": str(RECORD_VERSION)}


def write_measurements(measurements: xr.Dataset, path: Path) -> None:
    """Writes netCDF-4 that any netCDF reader opens; integers stay integers, missing values are NaN.

    Made in memory first: the HDF5 library cannot be trusted to give up cleanly on a full disk.
    """
    durable.write(path, bytes(measurements.to_netcdf(engine="h5netcdf")))


def read_measurements(path: Path) -> xr.Dataset:
    """Reads what `write_measurements` wrote, into memory."""
    return xr.load_dataset(path, engine="h5netcdf")


def step_metrics(measurements: xr.Dataset) -> dict[str, list[tuple[int, float]]]:
    """The variables that name a `metric`, as (step, value) points; a variable without dimensions is one point at 0.

    The step is the label along the first dimension; values are averaged over any others and non-finite ones dropped.
    """
    metrics = {}
    for array in measurements.data_vars.values():
        if "metric" not in array.attrs:
            continue
        if array.ndim == 0:
            points = [(0, float(array))]
        else:
            values = array.mean(array.dims[1:]).values
            points = [(int(step), float(value)) for step, value in zip(array[array.dims[0]].values, values, strict=True)]
        metrics[array.attrs["metric"]] = [point for point in points if np.isfinite(point[1])]
    return metrics
