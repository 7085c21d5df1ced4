"""The registered recurrent cells, by name. A cell defines its map; all code that runs a network uses its cell."""

from __future__ import annotations

import copyreg

from study.networks.cells.cell import Cell
from study.networks.cells.checks import faults
from study.networks.cells.gated import BiasedGruCell, BiasedLstmCell, GruCell, LstmCell
from study.networks.cells.pytorch import WITH_BIAS
from study.networks.cells.vanilla import BiasedReluCell, BiasedTanhCell, ReluCell, TanhCell
from study.terminal.errors import InputError, quoted
from study.terminal.extensions import EXTENSIONS

TANH = TanhCell()
BUILT_IN = (TANH, ReluCell(), GruCell(), LstmCell(), BiasedTanhCell(), BiasedReluCell(), BiasedGruCell(), BiasedLstmCell())
CELLS: dict[str, Cell] = {cell.name: cell for cell in BUILT_IN}


def register_cell(cell: Cell) -> Cell:
    """Makes a cell known under its name, for configurations, files of weights and stored studies; returns it.

    Raises `InputError` where the name is taken, or where the cell does not have the properties it declares.
    """
    if wrong := faults(cell):
        raise InputError(f"cell {quoted(getattr(cell, 'name', ''))}: {'; '.join(wrong)}")
    if cell.name in CELLS and type(CELLS[cell.name]) is not type(cell):
        raise InputError(f"cell {quoted(cell.name)}: this name is taken; expected another than {', '.join(CELLS)}")
    CELLS[cell.name] = cell
    copyreg.pickle(type(cell), _by_name)
    return cell


def known(name: object, origin: str = "cell") -> Cell:
    """The cell registered under a name; raises `InputError`, naming its `origin`, where there is none.

    Nothing is imported for a name: a stored study may say anything.
    """
    if isinstance(name, str) and name in CELLS:
        return CELLS[name]
    raise InputError(
        f"{origin}={quoted(name)}: no cell of this name is registered; expected one of {', '.join(CELLS)}, or a module that "
        f"registers it in {EXTENSIONS}"
    )


def with_bias(name: str) -> Cell | None:
    """The registered cell that is the one of this name with biases, if there is one."""
    return CELLS.get(name + WITH_BIAS)


def _by_name(cell: Cell) -> tuple:
    """How a cell goes from process to process: there is one object of it in each."""
    return known, (cell.name,)


for _cell in BUILT_IN:
    copyreg.pickle(type(_cell), _by_name)
