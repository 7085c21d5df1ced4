"""Many networks' record files as one labelled dataset, and a cache of it: 1,000 networks are read in seconds."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import xarray as xr

from analysis.dataset import provenance
from analysis.dataset.provenance import Place
from study.data.places import CACHE
from study.files import durable, netcdf
from study.files.untrusted import Refused, one_line
from study.record import earlier_layout
from study.record.network_record import RECORD_VERSION, check, measured, read_measurements
from study.schema import DIMENSIONS, OF_IMAGES, SOURCE, with_source_names
from study.terminal.errors import StudyError

Layout = tuple[tuple[Hashable, ...], tuple]  # of a variable: its dimensions, and its labels where it labels one

FOLDER = CACHE / "datasets-of-studies"
KEPT = 20  # cached datasets
SHOWN = 5  # networks named one by one in a variable's attribute
GRID = {"hidden_size", "seed", "run_id"}  # names reserved for the dataset
# Variables that findings and figures use by name, with their dimensions. A record has all or none of a group, and all of the first.
GROUPS: tuple[dict[str, tuple[str, ...]], ...] = (
    {
        "test_accuracy": (),
        "accuracy_blanked": ("rows_shown",),
        "accuracy_truncated": ("rows_shown",),
        "accuracy_appended": ("blank_rows",),
        "pca90": ("time_step",),
        "pca90_by_label": ("time_step", "label"),
        "peak_dimension": (),
    },
    {"accuracy_appended_by_half": ("blank_rows", "half"), "predicted": ("blank_rows", "label")},
    {"dimension90": (SOURCE, "time_step"), "dimension90_by_label": (SOURCE, "time_step", "label")},
    {"early_class_agreement": (SOURCE,), "neighbour_agreement": ("time_step", "label")},
    {"early_class": (), "early_cluster_agreement": (SOURCE, "time_step"), "early_cluster_kept": (SOURCE, "time_step")},
    {"probe_accuracy": (SOURCE, "time_step"), "readout_accuracy": ("time_step",)},
    {"early_accuracy": ("confidence",), "early_rows": ("confidence",)},
    {
        "twonn_by_group": (SOURCE, "time_step", "group"),
        "twonn_by_label": (SOURCE, "time_step", "label"),
        "participation_ratio": (SOURCE, "time_step"),
    },
    {"eigenvalue_real": ("mode",), "eigenvalue_imaginary": ("mode",), "spectral_radius": (), "period_predicted": ()},
    {
        "mode_period": ("neutral_mode",),
        "mode_energy": ("neutral_mode",),
        "mode_modulus": ("neutral_mode",),
        "mode_tie": (),
        "modes_stable": (),
        "period_quasilinear": (),
        "period_selected": (),
        "saturated_real": ("saturated_mode",),
        "saturated_imaginary": ("saturated_mode",),
    },
    {"eigenvalue_real_by_epoch": ("epoch_from_0", "mode"), "eigenvalue_imaginary_by_epoch": ("epoch_from_0", "mode")},
    {
        "modes_by_epoch": ("epoch_sampled",),
        "participation_peak_by_epoch": ("epoch_sampled",),
        "participation_last_by_epoch": ("epoch_sampled",),
    },
    {
        "intact_outcome": ("outcome",),
        "without_mode_outcome": ("neutral_mode", "outcome"),
        "unread_mode_outcome": ("neutral_mode", "outcome"),
        "slower_mode_outcome": ("neutral_mode", "outcome"),
        "without_plane_outcome": ("neutral_mode", "plane", "outcome"),
        "unread_plane_outcome": ("neutral_mode", "plane", "outcome"),
    },
    {
        "attractor_kind": (),
        "attractor_recurrence": (),
        "attractor_share": (),
        "lyapunov": ("exponent",),
        "lyapunov_error": ("exponent",),
        "period_state": (),
    },
    {"accuracy": ("shown", "blank")},
    {"temporal_generalisation": ("probe_step", "scored_step")},
)


@dataclass(frozen=True)
class Record:
    """One network's record: its `variables`, including dimension labels, and its `attributes`."""

    file: Path
    variables: dict[str, xr.Variable]
    attributes: dict[str, str]

    @property
    def measurements(self) -> dict[str, int]:
        """The measurements by name, with their versions."""
        return measured(self.attributes)


def stack(
    files: Mapping[Place, Path],
    sizes: Sequence[int],
    seeds: Sequence[int],
    needed: Iterable[str] = (),
    expected: Iterable[str] = (),
) -> tuple[xr.Dataset, dict[Place, str]]:
    """Records over (`hidden_size`, `seed`, ...) as float64, NaN where there is none, and the reasons of those left out.

    `files` names the record of each network. Where a dimension grows with the hidden size, smaller networks are filled up with NaN.
    Left out is a record that cannot be read, that lacks one of the `needed` variables, that is no record as this code writes it, or
    whose dimensions and labels are not those of most others.

    A variable may stand in some records only: those of networks that were measured before it was thought of. Its attribute
    `missing` then says of which networks, and the dataset's attribute `not_measured`, JSON, maps each such measurement, and each
    `expected` one that all lack, to the networks without it. What made which network is in the attribute `versions`
    (`analysis.dataset.provenance`).
    """
    read, bad = {}, {}
    order = sorted(files, key=lambda place: (-place[0], place[1]))  # largest size first: it determines the shape

    def keep_those(test: Callable[[Place], object]) -> None:
        for place in [place for place in order if place not in bad]:
            try:
                test(place)
            except (OSError, ValueError) as error:
                bad[place] = f"its record cannot be read ({one_line(error)})"

    def read_one(place: Place) -> None:
        read[place] = _read(files[place], place[0], set(needed))

    keep_those(read_one)
    most = _most([read[place] for place in order if place not in bad])
    keep_those(lambda place: _agrees(read[place], most))
    words: dict[str, dict] = {}

    def describe(place: Place) -> None:
        record = read[place]
        if not set(record.variables) <= set(words):
            described = read_measurements(record.file).variables
            words.update({str(name): variable.attrs for name, variable in described.items() if name not in words})
        check({name: variable._replace(attrs=words[name]) for name, variable in record.variables.items()}, record.attributes)

    keep_those(describe)
    kept = {place: read[place] for place in order if place not in bad}
    variables = _room(kept.values(), words, (len(sizes), len(seeds)))
    for place, record in kept.items():
        index = sizes.index(place[0]), seeds.index(place[1])
        for name in set(record.variables) & set(variables):
            values = record.variables[name].values
            variables[name].values[index + tuple(slice(0, length) for length in values.shape)] = values
    coordinates = {
        "hidden_size": ("hidden_size", list(sizes), {"long_name": "hidden units"}),
        "seed": ("seed", list(seeds), {"long_name": "seed"}),
    }
    for record in kept.values():
        coordinates |= {
            name: variable._replace(attrs=words[name])
            for name, variable in record.variables.items()
            if variable.dims == (name,) and name not in coordinates
        }
    dataset = with_source_names(xr.Dataset(variables, coordinates))
    made = {place: provenance.made_by(record.attributes) for place, record in kept.items()}
    return dataset.assign_attrs(
        not_measured=json.dumps(_note_missing(dataset, kept, set(expected))),
        versions=provenance.gathered(made),
        data_digest=one_line(most["data set's digest"], 64) if kept else "",
        **{name: next((one.attributes[name] for one in kept.values() if name in one.attributes), "") for name in OF_IMAGES},
    ), bad


def _read(file: Path, hidden_size: int, needed: set[str]) -> Record:
    """A record; raises `ValueError` where this code would not have written it."""
    variables, attributes = netcdf.parts(file, described=False)  # their words are the same in all
    if earlier_layout.is_earlier(attributes):
        variables, attributes = earlier_layout.as_of_today(variables, attributes)
    elif (version := str(attributes.get("record_version", "unknown"))) != str(RECORD_VERSION):
        raise Refused(f"its record version is {one_line(version, 12)} where {RECORD_VERSION} is expected")
    record = Record(file, variables, attributes)
    measured(attributes)  # which refuses a text that names none
    if taken := (GRID & set(variables)) | (GRID & {str(name) for variable in variables.values() for name in variable.dims}):
        raise Refused(f"it has a variable or a dimension called {min(taken)}")
    if missing := needed - set(variables):
        raise Refused(f"it lacks {min(missing)}")
    for group in GROUPS:
        if (there := set(group) & set(variables)) and (missing := set(group) - there) and (needed or group is not GROUPS[0]):
            raise Refused(f"it has {min(there)} and lacks {min(missing)}")
        for name in there:
            if variables[name].dims != group[name]:
                raise Refused(f"{name} is over {_list(variables[name].dims)}, not over {_list(group[name])}")
    for name, kind in DIMENSIONS.items():
        if name not in variables:
            continue
        if kind.first is not None and not _counts(variables[name].values, kind.first, kind.least):
            raise Refused(f"the labels along {name} do not count from {kind.first} on, to {kind.least} at least")
        if kind.grows and variables[name].size > hidden_size:
            raise Refused(f"there are {variables[name].size} along {name}, more than the {hidden_size} hidden units")
    if odd := [name for name in needed if not np.isfinite(variables[name].values).all()]:
        raise Refused(f"{min(odd)} holds values that are not finite")
    return record


def _counts(labels: np.ndarray, first: int, least: int) -> bool:
    return labels.ndim == 1 and labels.size >= least and np.array_equal(labels, np.arange(first, first + labels.size))


def _shapes(record: Record) -> dict[str, str | Layout]:
    """What records in one dataset must have in common: dimensions, labels, versions of measurements, the data set."""
    shapes: dict[str, str | Layout] = {"data set's digest": str(record.attributes.get("data_digest", "unknown"))}
    shapes |= {f"version of the measurement {name}": str(version) for name, version in record.measurements.items()}
    for name, variable in record.variables.items():
        labels = tuple(variable.values.tolist()) if variable.dims == (name,) and "grows" not in variable.attrs else ()
        shapes[name] = variable.dims, labels
    return shapes


def _most(records: Sequence[Record]) -> dict[str, str | Layout]:
    """The most frequent value of each property that records must have in common; of ties, the first."""
    counts: dict[str, Counter] = {}
    for record in records:
        for name, shape in _shapes(record).items():
            counts.setdefault(name, Counter())[shape] += 1
    return {name: counter.most_common(1)[0][0] for name, counter in counts.items()}


def _agrees(record: Record, most: Mapping[str, str | Layout]) -> None:
    """Raises `ValueError` where a record differs from most others."""
    for name, shape in _shapes(record).items():
        if shape == most[name]:
            continue
        expected = most[name]
        if isinstance(shape, str) or isinstance(expected, str):
            raise Refused(f"its {name} is {one_line(shape, 12)} where {one_line(expected, 12)} is expected")
        if shape[0] != expected[0]:
            raise Refused(f"{name} is over {_list(shape[0])}, in most other networks over {_list(expected[0])}")
        raise Refused(f"its labels along {name} are not those of most other networks")


def _list(names: Iterable[Hashable]) -> str:
    return ", ".join(map(str, names)) or "no dimension"


def _room(records: Iterable[Record], words: Mapping[str, dict], grid: tuple[int, int]) -> dict[str, xr.Variable]:
    """Variables with room for each network, all NaN; raises `StudyError` where there is not enough memory."""
    shapes: dict[str, tuple[tuple, tuple[int, ...]]] = {}
    for record in records:
        for name, variable in record.variables.items():
            if variable.dims != (name,):
                room = shapes.get(name, (variable.dims, variable.shape))[1]
                shapes[name] = variable.dims, tuple(map(max, room, variable.shape))
    size, available = 8 * sum(int(np.prod((*grid, *shape))) for _, shape in shapes.values()), psutil.virtual_memory().available
    if size > available:
        raise StudyError(
            f"a dataset of {grid[0] * grid[1]:,} networks takes {size / 2**30:,.1f} GiB of memory, and "
            f"{available / 2**30:,.1f} GiB are free: analyse it on a larger machine, or as studies of fewer networks"
        )
    return {
        name: xr.Variable(("hidden_size", "seed", *dimensions), np.full((*grid, *shape), np.nan), dict(words[name]))
        for name, (dimensions, shape) in shapes.items()
    }


def _note_missing(dataset: xr.Dataset, records: Mapping[Place, Record], expected: set[str]) -> dict[str, list[str]]:
    """Notes in each variable which records lack it, and why; returns the networks without each measurement."""
    made = {place: set(record.measurements) for place, record in records.items()}
    for name, variable in dataset.data_vars.items():
        without = [place for place in records if name not in records[place].variables]
        if not without:
            continue
        of_it = set.intersection(*(made[place] for place in records if place not in without)) - set.union(
            *(made[place] for place in without)
        )
        cause = f"measured without {_list(sorted(of_it))}" if of_it else "measured by other code"
        some = ", ".join(map(in_words, without[:SHOWN])) + (f" and {len(without) - SHOWN} more" if len(without) > SHOWN else "")
        told = [variable.attrs["missing"]] if "missing" in variable.attrs else []
        variable.attrs["missing"] = "; or ".join([*told, f"the network is one of {len(without)} that were {cause} ({some})"])
    every = set.union(expected, *made.values()) if made else set()
    return {name: without for name in sorted(every) if (without := [in_words(place) for place in made if name not in made[place]])}


def in_words(place: Place) -> str:
    """A network in words."""
    return f"H={place[0]} seed={place[1]}"


def cache_key(marks: object) -> str:
    """The cache name of the dataset that `marks` (plain JSON) identify."""
    return hashlib.sha256(json.dumps(marks, sort_keys=True).encode()).hexdigest()


def cached(key: str) -> xr.Dataset | None:
    """The dataset stored under a key; None where there is none, or it cannot be read."""
    path = FOLDER / f"{key}.nc"
    try:
        dataset = netcdf.read(path, psutil.virtual_memory().available)
        path.touch()
    except (OSError, ValueError):
        return None
    return dataset


def keep(key: str, dataset: xr.Dataset) -> None:
    """Stores a dataset under a key, and removes the least recently used ones."""
    durable.write(FOLDER / f"{key}.nc", netcdf.written(dataset))
    for old in sorted(FOLDER.glob("*.nc"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        old.unlink(missing_ok=True)
