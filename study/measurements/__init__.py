"""The measurements of a network: pure functions from a recording to labelled arrays, registered here.

To add a measurement, write a function of a `Recording` that yields labelled arrays (`study.schema.labelled`), and add one line to
`MEASUREMENTS`, or call `register_measurement` in a module of your own. The arrays then appear in the record and in the analysis
dataset; their role (see `study.schema`) says whether they appear in the MLflow UI, among the bands or among the trends. Networks
that were stored before are measured on their stored weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, overload

import torch
import xarray as xr
from threadpoolctl import threadpool_limits

from study.measurements import (
    attractors,
    dimensionality,
    early,
    early_cluster,
    eigenvalues,
    experiments,
    fixed_points,
    geometry,
    interventions,
    modes,
    probes,
)
from study.measurements.of_module import Data, recording_of
from study.measurements.recording import Extent, Recording, nothing_more
from study.networks.network import Lacking
from study.schema import (
    CLASS_NAMES,
    FEATURES,
    LEFT_OUT,
    MEASURED,
    NETWORK,
    labelled,
    measured_in_words,
    with_measurement,
    with_sources_of_both,
)
from study.terminal.errors import InputError, quoted

# Each set includes those before it: what the paper reports; the default of a study; everything.
SETS = ("paper", "standard", "full")
NAME = re.compile("[a-z][a-z0-9_]*", re.ASCII)
DROPPED, OVERFLOWED = "weights_dropped", "images_overflowed"
OWN = "expected a name of its own, or another source"
TAKEN = {DROPPED, OVERFLOWED, "hidden_size", "seed", "run_id"}  # the last three by the dataset of a study


@dataclass(frozen=True)
class Measurement:
    """A way to measure a network.

    Attributes: the `function` from a recording to labelled arrays; `part_of`, the smallest of `SETS` it belongs to; its `version`,
    raised whenever the function would make other arrays of the same recording; `reads_blank_rows`, whether the arrays depend on
    `Recording.blank_rows`; `memory`, the most bytes it takes at once beside the states on the test images and some copies of one
    step's: it decides how many networks are measured at a time.
    """

    function: Callable[[Recording], Iterable[xr.DataArray]]
    part_of: Literal["paper", "standard", "full"]
    version: int = 1
    reads_blank_rows: bool = True
    memory: Callable[[Extent], int] = nothing_more


# The surface comes first: it rolls images out furthest, and the experiments are lines on it.
MEASUREMENTS: dict[str, Measurement] = {
    "surface": Measurement(experiments.surface, "full", reads_blank_rows=False),
    "experiments": Measurement(experiments.accuracies, "paper", version=2),
    "dimensionality": Measurement(dimensionality.pca90, "paper", version=2, reads_blank_rows=False),
    "dimensionality_null": Measurement(dimensionality.null, "standard", reads_blank_rows=False, memory=dimensionality.null_memory),
    "geometry": Measurement(geometry.geometry, "standard", version=2, reads_blank_rows=False),
    "geometry_nulls": Measurement(geometry.nulls, "full", reads_blank_rows=False, memory=geometry.nulls_memory),
    "geometry_appended": Measurement(geometry.appended, "full"),
    "probes": Measurement(probes.accuracies, "standard", reads_blank_rows=False, memory=probes.memory),
    "probe_of_pixels": Measurement(probes.of_pixels, "standard", reads_blank_rows=False),
    "probe_controls": Measurement(probes.controls, "full", version=2, reads_blank_rows=False, memory=probes.controls_memory),
    "temporal_generalisation": Measurement(probes.generalisation, "full", reads_blank_rows=False, memory=probes.memory),
    "early_classification": Measurement(early.early_classification, "standard", reads_blank_rows=False, memory=probes.memory),
    "early_cluster": Measurement(
        early_cluster.early_cluster, "standard", version=2, reads_blank_rows=False, memory=early_cluster.memory
    ),
    "spectrum": Measurement(eigenvalues.recurrent_spectrum, "standard", reads_blank_rows=False),
    "attractors": Measurement(attractors.attractors, "standard", version=2, reads_blank_rows=False),
    "modes": Measurement(modes.from_weights, "standard", reads_blank_rows=False),
    "orbit_modes": Measurement(modes.of_orbit, "standard", reads_blank_rows=False),
    "dynamic_modes": Measurement(modes.dynamic_modes, "standard", reads_blank_rows=False),
    "interventions": Measurement(interventions.interventions, "full", reads_blank_rows=False),
    "compression": Measurement(interventions.compression, "full", reads_blank_rows=False),
    "fixed_points": Measurement(fixed_points.fixed_points, "full", reads_blank_rows=False),
}


def register_measurement(
    name: str,
    function: Callable[[Recording], Iterable[xr.DataArray]],
    part_of: Literal["paper", "standard", "full"] = "standard",
    version: int = 1,
    reads_blank_rows: bool = True,
    memory: Callable[[Extent], int] = nothing_more,
) -> None:
    """Adds a measurement to those that studies make.

    For the parameters see `Measurement`. Raise the `version` with every change of what the function yields: stored
    networks are then measured again, with this measurement only. Raises `InputError` where the name is taken, or a parameter is not
    accepted."""
    if not NAME.fullmatch(name):
        raise InputError(f"measurement {quoted(name)}: expected a name of lower-case letters, digits and _, such as my_measurement")
    if part_of not in SETS:
        raise InputError(f"measurement {name}: part_of={quoted(part_of)}; expected one of {', '.join(SETS)}")
    if not isinstance(version, int) or version < 1:
        raise InputError(f"measurement {name}: version={quoted(version)}; expected an integer of at least 1")
    if name in MEASUREMENTS:
        raise InputError(f"measurement {name}: this name is taken; expected another name")
    MEASUREMENTS[name] = Measurement(function, part_of, version, reads_blank_rows, memory)


def names_in_set(name: str) -> list[str]:
    """The measurements of one of `SETS`."""
    return [measurement for measurement, one in MEASUREMENTS.items() if SETS.index(one.part_of) <= SETS.index(name)]


def versions_of(names: Iterable[str]) -> dict[str, int]:
    """The present version of each of some measurements."""
    return {name: MEASUREMENTS[name].version for name in names}


def memory(extent: Extent, names: Iterable[str]) -> int:
    """The most bytes that some measurements of one network take at once, the states on the test images among them."""
    return extent.states() + extent.step() + max((MEASUREMENTS[name].memory(extent) for name in names), default=0)


def known(names: Sequence[str]) -> list[str]:
    """The names, unchanged; raises `InputError` where one is not a measurement."""
    if unknown := [name for name in names if name not in MEASUREMENTS]:
        raise InputError(f"no measurement {quoted(unknown[0])}: expected some of {', '.join(MEASUREMENTS)}")
    return list(names)


@overload
def measure(module: Recording, data: Sequence[str] | None = None) -> xr.Dataset: ...
@overload
def measure(
    module: object, data: Data, only: Sequence[str] | None = None, *, blank_rows: int = 500, seed: int = 0, untrained: object = None
) -> xr.Dataset: ...
@torch.no_grad()
def measure(
    module: object,
    data: Any = None,
    only: Sequence[str] | None = None,
    *,
    blank_rows: int = 500,
    seed: int = 0,
    untrained: object = None,
) -> xr.Dataset:
    """Measurements of one network (all, where none are named), as one dataset whose variables carry units and a description.

    The network is any object with a step, a readout and a state size, or an `nn.Module` of one recurrent and one linear layer
    (`study.networks.modules` says what they must be); `data` are the images it is shown (`study.data.given.images_of`). `only`
    names measurements; `blank_rows` is the longest run of blank rows; `seed` that of the untrained network with which PyTorch's
    layers are compared; `untrained` the same kind of object before training. Or the network and its images are a `Recording`, and
    the second argument names the measurements.

    The attribute `measured` names the measurements with their versions, that of a variable, `measurement`, the one it is of: for
    those who read the record when there are more. Several may make one variable, each of other sources. `left_out`, a JSON object,
    gives for each measurement that cannot be made of this network the reason. A network whose weights are not all finite has no
    states to measure: `weights_dropped`, how many are not, is then all there is. Likewise `images_overflowed`: the images whose
    states overflow while they are read, as they may if the cell is not bounded.

    Raises `InputError` where network or data are not accepted, and where a measurement yields a variable that something else has.
    """
    if isinstance(module, Recording):
        return _of_recording(module, data if only is None else only)
    names = known([only] if isinstance(only, str) else list(only)) if only is not None else None
    recording = recording_of(module, data, blank_rows, seed, untrained)
    return _of_recording(recording, names).assign_attrs({NETWORK: recording.network.cell.description})


def _of_recording(recording: Recording, names: Sequence[str] | None) -> xr.Dataset:
    """The measurements of a recording."""
    dropped = sum(int((~weight.isfinite()).sum()) for weight in recording.network.state_dict().values())
    arrays: dict[str, xr.DataArray] = {}
    left_out: dict[str, str] = {}
    overflowed = 0
    with _one_plain_thread():
        if not dropped and not recording.network.cell.bounded:
            overflowed = int((~recording.states.isfinite().all(dim=2).all(dim=0)).sum())
            arrays[OVERFLOWED] = labelled(OVERFLOWED, overflowed, {}, "test images whose states are too large to be numbers")
        whole = not dropped and not overflowed
        chosen = {name: one for name, one in MEASUREMENTS.items() if whole and (names is None or name in names)}
        for name, one in chosen.items():
            try:
                made = list(one.function(recording))
            except Lacking as lacking:
                left_out[name] = str(lacking)
                continue
            for array in made:
                variable, array = str(array.name), with_measurement(array, name)
                try:
                    arrays[variable] = with_sources_of_both(arrays[variable], array) if variable in arrays else array
                except ValueError:
                    raise InputError(f"measurement {name} yields {quoted(variable)}, which is taken; {OWN}") from None
                if variable in TAKEN:
                    raise InputError(f"measurement {name} yields {quoted(variable)}, which is taken; {OWN}")
    arrays[DROPPED] = labelled(DROPPED, dropped, {}, "weights that are not finite")
    test = recording.test
    of_images = {CLASS_NAMES: json.dumps(test.names), FEATURES: str(test.shape.features)}
    attributes = {MEASURED: measured_in_words(versions_of(name for name in chosen if name not in left_out))} | of_images
    return xr.Dataset(arrays, attrs=attributes | ({LEFT_OUT: json.dumps(left_out)} if left_out else {}))


@contextmanager
def _one_plain_thread() -> Iterator[None]:
    """Measures on one thread, so that the bits do not depend on the number of cores, and takes floats below 1e-38 as 0.

    Under blank rows a contracting network falls to 0 through denormal numbers, on which arithmetic is some fifteen
    times slower; no readout can tell them from 0.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)
