"""What the built-in cells share: the parameters of PyTorch's recurrent layers, with their names and initial values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from study.networks.cells.cell import Cell

# The biases of PyTorch's recurrent layers: parameters and their names in a state dictionary.
BIASES = {"input_bias": "rnn.bias_ih_l0", "recurrent_bias": "rnn.bias_hh_l0"}
WITH_BIAS = "_bias"  # ends the name of a cell that is another one with biases


class PyTorchCell(Cell):
    """A layer of W x_t and R h_{t-1}, with W `input` `[gates H, features]` and R `recurrent` `[gates H, H]`; a bias `[gates H]` is
    added to each of the two products, if it is `biased`."""

    names: ClassVar[Mapping[str, str]] = {"input": "rnn.weight_ih_l0", "recurrent": "rnn.weight_hh_l0"}
    absent = tuple(BIASES.values())
    rests_at_zero = True
    kernels = ("torch", "numpy")
    classifier = Path(__file__).parent / "classifier.py"
    gates: ClassVar[int] = 1
    biased: ClassVar[bool] = False

    @property
    def kind(self) -> str:
        """The name of the cell without its biases."""
        return self.name.removesuffix(WITH_BIAS)

    def shapes(self, hidden_size: int, features: int) -> dict[str, tuple[int, ...]]:
        size = self.gates * hidden_size
        biases = dict.fromkeys(BIASES, (size,)) if self.biased else {}
        return {"input": (size, features), "recurrent": (size, hidden_size), **biases}


class Biased(PyTorchCell):
    """Of a cell that inherits from this class and then from a cell without biases: the same cell with biases."""

    names: ClassVar[Mapping[str, str]] = {**PyTorchCell.names, **BIASES}
    absent = ()
    odd = rests_at_zero = False
    smooth_at_rest = biased = True
