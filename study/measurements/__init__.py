"""What is measured on each network: pure functions from a recording to labelled arrays, registered here.

To add a measurement, write a module in this folder with a function of a `Recording` that yields labelled arrays
(`study.measurements.labels.labelled`), and add one line to `MEASUREMENTS`. The arrays then appear in the record, in
the analysis dataset and, where they name a `metric`, as curves in the MLflow UI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
import xarray as xr

from study.measurements import dimensionality, experiments
from study.measurements.recording import Recording

MEASUREMENTS: dict[str, Callable[[Recording], Iterable[xr.DataArray]]] = {
    "experiments": experiments.accuracies,
    "dimensionality": dimensionality.pca90,
}


def measure(recording: Recording) -> xr.Dataset:
    """Every registered measurement of one network, as one dataset whose variables carry units and a description."""
    with _one_plain_thread():
        arrays = [array for function in MEASUREMENTS.values() for array in function(recording)]
    return xr.Dataset({array.name: array for array in arrays})


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
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)
