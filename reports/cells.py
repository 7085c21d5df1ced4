"""The cell of a study in words, as far as it is known here: a stored study may name any."""

from __future__ import annotations

import xarray as xr

from analysis.dataset.runs import configuration
from study.networks.cells import CELLS, TANH


def layer(name: str) -> str:
    """What completes "one recurrent layer of ..."."""
    return CELLS[name].description if name in CELLS else f"the cell {name[:40]}, which is not registered here"


def jacobian(name: str) -> str:
    """The matrix whose eigenvalues make the spectrum."""
    return "the recurrent weights R" if name == TANH.name else "the Jacobian at rest"


def spectrum_words(dataset: xr.Dataset) -> str:
    """The same, of a study's dataset."""
    return jacobian(configuration(dataset).get("cell", TANH.name))
