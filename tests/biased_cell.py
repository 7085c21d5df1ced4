"""A cell that only tests know: tanh with a recurrent bias, so that its blank map is neither odd nor at rest in 0.

Named in HIDDEN_ORBITS_EXTENSIONS, it is all that a study, its analysis and its report need.
"""

from __future__ import annotations

import torch

from study.networks.cells import Cell, register_cell


class BiasedTanh(Cell):
    """h_t = tanh(W x_t + R h_{t-1} + b)."""

    name = "biased_tanh"
    description = "tanh units with a recurrent bias"
    names = {"input": "rnn.weight_ih_l0", "recurrent": "rnn.weight_hh_l0", "shift": "rnn.bias_hh_l0"}  # noqa: RUF012

    def shapes(self, hidden_size: int, features: int) -> dict[str, tuple[int, ...]]:
        return {"input": (hidden_size, features), "recurrent": (hidden_size, hidden_size), "shift": (hidden_size,)}

    def step(self, weights, state: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        drive = torch.matmul(row, weights["input"].mT) + weights["shift"][..., None, :]
        return torch.tanh(drive + torch.matmul(state, weights["recurrent"].mT))


BIASED = register_cell(BiasedTanh())
