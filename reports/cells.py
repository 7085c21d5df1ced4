"""The cell of a study in words. A stored study may name a cell that is not registered here."""

from __future__ import annotations

import xarray as xr

from analysis.dataset.runs import configuration
from study.networks.cells import CELLS, TANH


def layer(name: str) -> str:
    """Completes the phrase "one recurrent layer of ..."."""
    return CELLS[name].description if name in CELLS else f"the cell {name[:40]}, which is not registered here"


def jacobian(name: str) -> str:
    """The matrix whose eigenvalues are drawn, in words."""
    return "the recurrent weights R" if name == TANH.name else "the Jacobian at rest"


def spectrum_words(dataset: xr.Dataset) -> str:
    """The same, for a study's dataset."""
    return jacobian(configuration(dataset).get("cell", TANH.name))
