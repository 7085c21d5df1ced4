"""Many networks' record files as one labelled dataset, and a cache of it: 1,000 networks are read in seconds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from analysis import provenance
from study import durable
from study.data import CACHE
from study.record import RECORD_VERSION, read_measurements

Place = tuple[int, int]  # a hidden size and a seed
FOLDER = CACHE / "datasets-of-studies"
KEPT = 20  # cached datasets
GROWING = {"mode", "exponent"}  # dimensions as long as there are hidden units, or up to a bound


def stack(files: dict[Place, Path], sizes: Sequence[int], seeds: Sequence[int]) -> tuple[xr.Dataset, dict[Place, str]]:
    """Records over (`hidden_size`, `seed`, ...) as float64, NaN where there is none, and the reasons of those left out.

    What made which network is in the attribute `versions` (`analysis.provenance`).

    `files` names the record of each network. A variable may stand in some records only. Where a dimension grows with the hidden
    size (`GROWING`), smaller networks are filled up with NaN. A record that cannot be read, or whose variables have another shape
    than those of the first, is left out.
    """
    variables: dict[str, xr.Variable] = {}
    coordinates: dict[str, xr.DataArray] = {}
    bad, made = {}, {}
    first: dict[str, str] = {"record_version": str(RECORD_VERSION)}
    for place, file in sorted(files.items(), key=lambda item: (-item[0][0], item[0][1])):  # the largest size makes room for all
        index = (sizes.index(place[0]), seeds.index(place[1]))
        try:
            with h5py.File(file) as record:  # xarray takes thirty times as long to open it
                _of_one_kind(record.attrs, first)
                making = provenance.made_by(record.attrs)
                names = [name for name in record if record[name].attrs.get("CLASS") != b"DIMENSION_SCALE"]
                if not set(names) <= set(variables):
                    _add_variables(read_measurements(file), variables, coordinates, (len(sizes), len(seeds)))
                values = {name: record[name][()] for name in names}
            corners = {name: _corner(variables[name], name, np.shape(value)) for name, value in values.items()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            bad[place] = f"its record cannot be read ({str(error).splitlines()[0][:200]})"
            continue
        for name, value in values.items():
            variables[name].values[index + corners[name]] = value
        made[place] = making
    grid = {name: (name, list(values), {"long_name": words})
            for name, values, words in (("hidden_size", sizes, "hidden units"), ("seed", seeds, "seed"))}
    attributes = {"versions": provenance.gathered(made), "data_digest": first.get("data_digest", "")}
    return xr.Dataset(variables, coordinates | grid, attributes), bad


def _of_one_kind(attributes: Mapping[str, str], first: dict[str, str]) -> None:
    """Raises `ValueError` where a record is of another version, or of other data than the `first`, which is noted."""
    for name, words in (("record_version", "record version"), ("data_digest", "data set's digest")):
        value = str(attributes.get(name, "unknown"))
        if value != first.setdefault(name, value):
            raise ValueError(f"its {words} is {value[:12]} where {first[name][:12]} is expected")


def _corner(variable: xr.Variable, name: str, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Where a network's array of a shape goes in the variable; raises `ValueError` where it does not fit."""
    expected = variable.shape[2:]
    fits = len(shape) == len(expected) and all(
        have == room or (have < room and dimension in GROWING)
        for have, room, dimension in zip(shape, expected, variable.dims[2:], strict=True))
    if not fits:
        raise ValueError(f"{name} has the shape {shape}, other networks' {expected}")
    return tuple(slice(0, length) for length in shape)


def _add_variables(record: xr.Dataset, variables: dict[str, xr.Variable], coordinates: dict[str, xr.DataArray],
                   grid: tuple[int, int]) -> None:
    """Makes room for what a record has and those before it had not."""
    coordinates.update({str(name): record[name] for name in record.coords if name not in coordinates})
    for name, array in record.data_vars.items():
        if name not in variables:
            values = np.full((*grid, *array.shape), np.nan)
            variables[str(name)] = xr.Variable(("hidden_size", "seed", *array.dims), values, array.attrs)


def cache_key(marks: object) -> str:
    """The name in the cache of what `marks` (plain JSON) identifies."""
    return hashlib.sha256(json.dumps(marks, sort_keys=True).encode()).hexdigest()


def cached(key: str) -> xr.Dataset | None:
    """The dataset stored under a key; None where there is none, or it cannot be read."""
    path = FOLDER / f"{key}.nc"
    try:
        dataset = xr.load_dataset(path, engine="h5netcdf")
        path.touch()
    except (OSError, ValueError, KeyError):
        return None
    return dataset


def keep(key: str, dataset: xr.Dataset) -> None:
    """Stores a dataset under a key, and drops those used longest ago."""
    durable.write(FOLDER / f"{key}.nc", bytes(dataset.to_netcdf(engine="h5netcdf")))
    for old in sorted(FOLDER.glob("*.nc"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        old.unlink(missing_ok=True)
