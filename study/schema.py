"""What a variable of the record is: its role, its dimensions and labels, its units, what it is of, and what a missing value means.

The role decides what becomes of a variable everywhere else:

==========  ===============================================  ===================================================================
role        values                                           what follows
==========  ===============================================  ===================================================================
`curve`     along its first dimension                        step metrics in the MLflow UI; a confidence band per hidden size
`number`    one per network                                  a metric in the MLflow UI; a trend over hidden sizes
`category`  one of a few kinds per network, as an index      a metric in the MLflow UI; the share of networks of each kind
`detail`    any                                              nothing: it is kept for those who ask for it by name
==========  ===============================================  ===================================================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from study.terminal.visible import visible

Role = Literal["curve", "number", "category", "detail"]
ROLES: tuple[Role, ...] = get_args(Role)

MEASURED = "measured"  # the attribute of a record that names its measurements, each with its version
MEASUREMENT = "measurement"  # the attribute of a variable that names its measurement
MEASURED_WORDS = re.compile(r"[a-z]\w*(:[1-9]\d{0,5})?( [a-z]\w*(:[1-9]\d{0,5})?)*", re.ASCII)

CLASS_NAMES = "class_names"  # the attribute of a record that names the classes of its images: a JSON list
FEATURES = "features"  # the attribute that says how many numbers a row has
LEFT_OUT = "left_out"  # the attribute that says why measurements were not made of a network: a JSON object, a reason for each
NETWORK = "network"  # the attribute that describes a network measured from Python
OF_IMAGES = (CLASS_NAMES, FEATURES)
LONGEST_NAME = 60  # characters of the name of a class

SOURCE = "source"
# What a variable with this dimension can be of. It has a value for each, NaN where it is not measured of it.
Source = Literal["trained", "untrained", "permuted", "pixels", "row"]
SOURCES: tuple[Source, ...] = get_args(Source)
NOT_OF_SOURCE = "it is not measured of this source"
# In the attribute `measurement` of a variable with sources, which has a word for each: a source that it is not measured of, and one
# that it is measured of, before `measure` says by what.
NOBODY, SOMEBODY = "-", "*"


@dataclass(frozen=True)
class Dimension:
    """A dimension of the record: its `words`; the `first` of its labels, which are counted through, and how many there are at
    `least`; whether it `grows` with the hidden size, so that networks of different sizes have different lengths."""

    words: str
    first: int | None = None
    least: int = 1
    grows: bool = False


DIMENSIONS = {
    SOURCE: Dimension(
        "trained: the network; untrained: the network of the same seed before training; permuted: a probe that learned permuted "
        "labels; pixels: all image rows read so far; row: the image row read last"
    ),
    "rows_shown": Dimension("rows of the image shown to the network", 1),
    "blank_rows": Dimension("rows of zeros shown after the image", 0, 2),
    "blank_rows_sampled": Dimension("rows of zeros shown after the image, some of them"),
    "shown": Dimension("rows of the image shown, none and all included", 0),
    "blank": Dimension("rows of zeros shown after them", 0),
    "time_step": Dimension("rows read so far", 1),
    "probe_step": Dimension("rows read when the probe learned", 1),
    "scored_step": Dimension("rows read, blank ones after the image included, when the probe is scored", 1),
    "label": Dimension("true label", 0),
    "half": Dimension("images of even and of odd number", 0, 2),
    "group": Dimension("a random group of images, as many as of one class", 0),
    "confidence": Dimension("percent, the probe's, at which the network stops"),
    "epoch": Dimension("passes over the training images", 1),
    "epoch_from_0": Dimension("passes over the training images, 0 before training", 0),
    "epoch_sampled": Dimension("passes over the training images: 0, the powers of two, and the last"),
    "mode": Dimension("eigenvalues of R, the largest modulus first", 1, grows=True),
    "neutral_mode": Dimension("modes that saturation leaves at modulus 1, the one with most energy first", 1),
    "saturated_mode": Dimension("eigenvalues of D R, the largest modulus first", 1, grows=True),
    "plane": Dimension("random subspaces beside a mode", 1),
    "outcome": Dimension(
        "1: test accuracy; 2: accuracy lost by one blank row; 3: standard deviation of the accuracy under blank rows", 1
    ),
    "dmd_mode": Dimension("modes of a linear map fitted to the states, the one with most energy first", 1),
    "exponent": Dimension("Lyapunov exponents, the largest first", 1, grows=True),
    "fixed_point": Dimension("fixed points, the smallest norm first"),
}


def labelled(
    name: str,
    values: np.ndarray | float,
    coordinates: Mapping[str, Any],
    description: str,
    units: str = "1",
    role: Role = "detail",
    metric: str | None = None,
    missing: str | None = None,
    share: bool = False,
    grows: Collection[str] = (),
    **attributes: object,
) -> xr.DataArray:
    """A variable of the record.

    `coordinates` maps each dimension, in order, to its labels. A dimension `source`, which must be the first, is labelled by some
    of `SOURCES`; the others become NaN. The `role` is explained above; `metric` is the name in MLflow of what has one, the
    variable's own where none is given. A curve is logged against its first dimension (after `source`), averaged over any others.
    `missing` says what it means where a value is NaN; without it none may be. A `share` lies between 0 and 1. `grows` names
    dimensions of a measurement's own that are longer in larger networks. Further `attributes` are kept with the variable; a
    `category` has `flag_meanings`, the words for its values 0, 1, ..., separated by spaces.

    Raises `ValueError` where these do not fit together.
    """
    if missing is None and not np.isfinite(values).all():
        raise ValueError(f"{name} holds values that are not finite, and does not say what they mean")
    if not _fits(role, coordinates):
        raise ValueError(f"{name} over {', '.join(coordinates) or 'no dimension'} cannot have the role {role}")
    if (role == "category") != ("flag_meanings" in attributes) or (role == "detail" and metric):
        raise ValueError(f"{name}: a category, and nothing else, has flag_meanings; a detail has no metric")
    if SOURCE in coordinates:
        given = [str(source) for source in coordinates[SOURCE]]
        values = _of_all_sources(name, np.asarray(values), list(coordinates), given)
        coordinates = {**coordinates, SOURCE: np.array(SOURCES)}
        missing = "; or ".join(filter(None, (missing, NOT_OF_SOURCE)))
        attributes[MEASUREMENT] = " ".join(SOMEBODY if source in given else NOBODY for source in SOURCES)
    words: dict[str, object] = {"long_name": description, "units": units, "role": role}
    if role != "detail":
        words["metric"] = metric or name
    if missing:
        words["missing"] = missing
    if share:
        words |= {"valid_min": 0.0, "valid_max": 1.0}
    array = xr.DataArray(values, dims=list(coordinates), coords=dict(coordinates), name=name, attrs=words | attributes)
    for dimension in coordinates:
        if dimension in DIMENSIONS:
            array[dimension].attrs["long_name"] = DIMENSIONS[dimension].words
        if dimension in grows or (dimension in DIMENSIONS and DIMENSIONS[dimension].grows):
            array[dimension].attrs["grows"] = 1
    return array


def _fits(role: object, dimensions: Collection[Hashable]) -> bool:
    own = set(dimensions) - {SOURCE}
    return role == "detail" or (role == "curve" and bool(own)) or (role in ("number", "category") and not own)


def role_of(variable: xr.DataArray | xr.Variable, grid: Collection[str] = ()) -> Role:
    """A variable's role, where its dimensions allow it; `grid` names those that are not its own, such as `seed` in a dataset.

    What a person computes from a variable keeps its words, so that a mean over a curve still calls itself one: it is a detail.
    """
    role = variable.attrs.get("role", "detail")
    return role if _fits(role, set(variable.dims) - set(grid)) and (role == "detail" or "metric" in variable.attrs) else "detail"


def _of_all_sources(name: str, values: np.ndarray, dimensions: list[str], given: list[str]) -> np.ndarray:
    """Values over the sources `given` as values over all of them."""
    if dimensions[0] != SOURCE or not set(given) <= set(SOURCES) or len(set(given)) < len(given):
        raise ValueError(f"{name}: its first dimension must be {SOURCE}, with labels among {', '.join(SOURCES)}")
    every = np.full((len(SOURCES), *values.shape[1:]), np.nan)
    every[[SOURCES.index(source) for source in given]] = values
    return every


def with_source_names(dataset: xr.Dataset) -> xr.Dataset:
    """A dataset whose sources have their names, where they are numbered."""
    if SOURCE in dataset.variables and dataset[SOURCE].dtype.kind in "iu":
        return dataset.assign_coords({SOURCE: (SOURCE, np.array(SOURCES), dataset[SOURCE].attrs)})
    return dataset


def of_source(array: xr.DataArray, source: str = SOURCES[0]) -> xr.DataArray:
    """What a variable is of one source; a variable without sources is of the trained network."""
    return array.sel({SOURCE: source}, drop=True) if SOURCE in array.dims else array


def by_source(array: xr.DataArray) -> Iterator[tuple[str, xr.DataArray]]:
    """The parts of a variable, by the source they are of, as far as they hold values; one part, of ``trained``, where it has no
    dimension `source`."""
    if SOURCE not in array.dims:
        yield SOURCES[0], array
        return
    for source in map(str, array[SOURCE].values):
        part = of_source(array, source)
        if part.notnull().any():
            yield source, part


def with_source(name: str, source: str) -> str:
    """A name, of a metric or in words, of one source: that of the trained network has no addition."""
    return name if source == SOURCES[0] else f"{name}_{source}"


def metric_name(array: xr.DataArray, source: str) -> str:
    """The name in MLflow of a variable of one source."""
    return with_source(array.attrs["metric"], source)


def with_measurement(array: xr.DataArray, measurement: str) -> xr.DataArray:
    """A variable that names the measurement it is of; one with sources names one for each, ``-`` where it is not measured."""
    words = measurements_of(array) if SOURCE in array.dims else [SOMEBODY]
    return array.assign_attrs({MEASUREMENT: " ".join(measurement if word == SOMEBODY else word for word in words)})


def measurements_of(array: xr.DataArray | xr.Variable) -> list[str]:
    """The measurements that a variable names: one, or a word for each source; none where it is of no measurement."""
    return str(array.attrs.get(MEASUREMENT, "")).split()


def with_sources_of_both(array: xr.DataArray, other: xr.DataArray) -> xr.DataArray:
    """A variable with the sources of both; raises `ValueError` where both have one of them, or their dimensions differ."""
    pairs = list(zip(measurements_of(array), measurements_of(other), strict=True))
    if SOURCE not in array.dims or array.dims != other.dims or any(NOBODY not in pair for pair in pairs):
        raise ValueError(f"{array.name} is there twice")
    if any(not array[dimension].equals(other[dimension]) for dimension in array.dims):
        raise ValueError(f"{array.name} is there with two kinds of labels")
    values = array.values.copy()
    for place, (first, _) in enumerate(pairs):
        if first == NOBODY:
            values[place] = other.values[place]
    names = " ".join(second if first == NOBODY else first for first, second in pairs)
    return array.copy(data=values).assign_attrs({MEASUREMENT: names})


def without(array: xr.DataArray, outdated: Collection[str]) -> xr.DataArray | None:
    """A variable without what some measurements made of it; None where nothing is left."""
    names = measurements_of(array)
    left = [name if name not in outdated else NOBODY for name in names]
    if left == names:
        return array
    if SOURCE not in array.dims or set(left) == {NOBODY}:
        return None
    values = array.values.copy()
    values[[name == NOBODY for name in left]] = np.nan
    return array.copy(data=values).assign_attrs({MEASUREMENT: " ".join(left)})


def class_names(attributes: Mapping[Any, Any], classes: int) -> tuple[str, ...]:
    """The names of so many classes that a record, or a dataset of records, gives them in its attributes; else their numbers."""
    try:
        names = json.loads(str(attributes.get(CLASS_NAMES, "")))
    except (ValueError, RecursionError):
        names = None
    if isinstance(names, list) and len(names) == classes and all(isinstance(name, str) and name.strip() for name in names):
        return tuple(visible(name, LONGEST_NAME) for name in names)
    return tuple(map(str, range(classes)))


def measured_in_words(versions: Mapping[str, int]) -> str:
    """Measurements and their versions as one text, such as ``experiments probes:2``: no number is version 1."""
    return " ".join(name if version == 1 else f"{name}:{version}" for name, version in versions.items())


def measured_from_words(text: str) -> dict[str, int]:
    """The inverse of `measured_in_words`; raises `ValueError` where the text is something else."""
    if not (text == "" or MEASURED_WORDS.fullmatch(text)):
        raise ValueError("names measurements in words that cannot be read")
    parts = [word.partition(":") for word in text.split(" ") if word]
    return {name: int(version or 1) for name, _, version in parts}
