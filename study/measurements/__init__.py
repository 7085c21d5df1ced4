"""What is measured on each network: pure functions from a recording to labelled arrays, registered here.

To add a measurement, write a module in this folder with a function of a `Recording` that yields labelled arrays
(`study.schema.labelled`), and add one line to `MEASUREMENTS`. The arrays then appear in the record, in
the analysis dataset and, where they name a `metric`, as curves in the MLflow UI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import xarray as xr
from threadpoolctl import threadpool_limits

from study.measurements import attractors, dimensionality, early, eigenvalues, experiments, fixed_points, geometry, probes
from study.measurements.recording import Recording
from study.schema import MEASURED, labelled
from study.terminal.errors import InputError, quoted

# Each set holds those before it: what the paper reports; what a study measures unless told otherwise; everything.
SETS = ("paper", "standard", "full")


@dataclass(frozen=True)
class Measurement:
    """A function from a recording to labelled arrays, and the smallest of `SETS` it belongs to."""

    function: Callable[[Recording], Iterable[xr.DataArray]]
    part_of: Literal["paper", "standard", "full"]


# In this order: the surface rolls images out furthest, and the experiments are read off it.
MEASUREMENTS: dict[str, Measurement] = {
    "surface": Measurement(experiments.surface, "full"),
    "experiments": Measurement(experiments.accuracies, "paper"),
    "dimensionality": Measurement(dimensionality.pca90, "paper"),
    "geometry": Measurement(geometry.geometry, "standard"),
    "geometry_nulls": Measurement(geometry.nulls, "full"),
    "geometry_appended": Measurement(geometry.appended, "full"),
    "probes": Measurement(probes.accuracies, "standard"),
    "probe_controls": Measurement(probes.controls, "full"),
    "temporal_generalisation": Measurement(probes.generalisation, "full"),
    "early_classification": Measurement(early.early_classification, "standard"),
    "spectrum": Measurement(eigenvalues.recurrent_spectrum, "standard"),
    "attractors": Measurement(attractors.attractors, "standard"),
    "fixed_points": Measurement(fixed_points.fixed_points, "full"),
}


def of_set(name: str) -> list[str]:
    """The measurements of one of `SETS`."""
    return [measurement for measurement, one in MEASUREMENTS.items() if SETS.index(one.part_of) <= SETS.index(name)]


def known(names: Sequence[str]) -> list[str]:
    """The names as they are; raises `InputError` where one is no measurement."""
    if unknown := [name for name in names if name not in MEASUREMENTS]:
        raise InputError(f"no measurement {quoted(unknown[0])}: expected some of {', '.join(MEASUREMENTS)}")
    return list(names)


def measure(recording: Recording, names: Sequence[str] | None = None) -> xr.Dataset:
    """Measurements of one network (all, where none are named), as one dataset whose variables carry units and a description.

    The attribute `measured` names them, for those who read the record when there are more. A network whose weights are not all
    finite has no states to measure: `weights_dropped`, how many are not, is then all there is.
    """
    weights = torch.cat([weight.flatten() for weight in recording.network.state_dict().values()])
    dropped = int((~weights.isfinite()).sum())
    chosen = {name: one for name, one in MEASUREMENTS.items() if not dropped and (names is None or name in names)}
    with _one_plain_thread():
        arrays = [array for one in chosen.values() for array in one.function(recording)]
    arrays.append(labelled("weights_dropped", dropped, {}, "weights that are not finite"))
    return xr.Dataset({array.name: array for array in arrays}, attrs={MEASURED: " ".join(chosen)})


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
