"""Gated recurrent layers: GRU (Cho et al. 2014) and LSTM (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

Equations, order of the gates, parameters, their names and their initial values are those of PyTorch's `nn.GRU` and `nn.LSTM`, with
or without bias.
"""

from __future__ import annotations

import torch

from study.networks.cells.cell import Weights
from study.networks.cells.pytorch import Biased, PyTorchCell


class GatedCell(PyTorchCell):
    """A layer whose `gates` are functions of W x_t + b and R h_{t-1} + b'."""

    bounded = True

    def of_row(self, weights: Weights, row: torch.Tensor) -> torch.Tensor:
        """W x + b of rows `[N, features]`: `[N, gates H]`."""
        product = torch.matmul(row, weights["input"].mT)
        return product + weights["input_bias"][..., None, :] if self.biased else product

    def of_hidden(self, weights: Weights, hidden: torch.Tensor) -> torch.Tensor:
        """R h + b' of hidden states `[N, H]`: `[N, gates H]`."""
        product = torch.matmul(hidden, weights["recurrent"].mT)
        return product + weights["recurrent_bias"][..., None, :] if self.biased else product


class GruCell(GatedCell):
    """r, z = sigmoid(..), n = tanh(W_n x + r (R_n h)), h_t = (1 - z) n + z h_{t-1}, with h_0 = 0."""

    name = "gru"
    description = "gated recurrent units (GRU) without bias"
    gates = 3

    def step(self, weights: Weights, state: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        of_row, of_hidden = self.of_row(weights, row).chunk(3, dim=-1), self.of_hidden(weights, state).chunk(3, dim=-1)
        reset, update = (torch.sigmoid(of_row[gate] + of_hidden[gate]) for gate in (0, 1))
        new = torch.tanh(of_row[2] + reset * of_hidden[2])
        return new + update * (state - new)


class LstmCell(GatedCell):
    """i, f, o = sigmoid(..), g = tanh(..), c_t = f c_{t-1} + i g, h_t = o tanh(c_t); the state is [h, c], 0 at first."""

    name = "lstm"
    description = "long short-term memory units (LSTM) without bias"
    gates = 4

    def state_size(self, hidden_size: int) -> int:
        return 2 * hidden_size

    def observed(self, state: torch.Tensor) -> torch.Tensor:
        return state[..., : state.shape[-1] // 2]

    def step(self, weights: Weights, state: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        hidden, memory = state.chunk(2, dim=-1)
        drive = self.of_row(weights, row) + self.of_hidden(weights, hidden)
        enter, forget, new, out = drive.chunk(4, dim=-1)
        memory = torch.sigmoid(forget) * memory + torch.sigmoid(enter) * torch.tanh(new)
        return torch.cat([torch.sigmoid(out) * torch.tanh(memory), memory], dim=-1)


class BiasedGruCell(Biased, GruCell):
    """`GruCell` with biases."""

    name = "gru_bias"
    description = "gated recurrent units (GRU) with bias"


class BiasedLstmCell(Biased, LstmCell):
    """`LstmCell` with biases."""

    name = "lstm_bias"
    description = "long short-term memory units (LSTM) with bias"
