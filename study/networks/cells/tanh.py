"""The paper's cell: tanh without bias (Horoi, Lajoie & Wolf 2020, section 2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from study.networks import kernels
from study.networks.cells.cell import BlankMap, Cell, Weights


class TanhCell(Cell):
    """h_t = tanh(W x_t + R h_{t-1}), h_0 = 0, with W `input` `[H, features]` and R `recurrent` `[H, H]`.

    A blank row applies h -> tanh(R h), which is odd and fixed at 0, with the Jacobian diag(1 - h_t^2) R.
    """

    name = "tanh"
    description = "tanh units without bias"
    names = {"input": "rnn.weight_ih_l0", "recurrent": "rnn.weight_hh_l0"}  # noqa: RUF012
    absent = ("rnn.bias_ih_l0", "rnn.bias_hh_l0")
    odd = rests_at_zero = True
    kernels = ("torch", "numpy")
    classifier = Path(__file__).parent / "tanh_classifier.py"

    def shapes(self, hidden_size: int, features: int) -> dict[str, tuple[int, ...]]:
        return {"input": (hidden_size, features), "recurrent": (hidden_size, hidden_size)}

    def step(self, weights: Weights, state: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        return (torch.matmul(row, weights["input"].mT) + torch.matmul(state, weights["recurrent"].mT)).tanh()

    def blank(self, weights: Weights, state: torch.Tensor) -> torch.Tensor:
        return torch.matmul(state, weights["recurrent"].mT).tanh()

    def jacobian(self, weights: Weights, state: torch.Tensor, following: torch.Tensor | None = None) -> torch.Tensor:
        following = self.blank(weights, state) if following is None else following
        return (1 - following.square())[:, :, None] * weights["recurrent"]

    def rows(self, weights: Weights, images: torch.Tensor) -> Iterator[torch.Tensor]:
        # In place; R is transposed only once, and there is no product at the first row, because h_0 = 0.
        transposed = weights["recurrent"].mT.contiguous()
        here = kernels.in_use(transposed) if transposed.ndim == 2 else kernels.TORCH  # NumPy's kernels know no stacks
        state = None
        for row in images.unbind(dim=1):
            drive = here.product(row, weights["input"].mT)
            state = here.tanh(drive if state is None else here.add_product(drive, state, transposed))
            yield state

    def blank_rows(self, weights: Weights, state: torch.Tensor, count: int) -> Iterator[torch.Tensor]:
        transposed = weights["recurrent"].mT.contiguous()
        buffers, here = (torch.empty_like(state), torch.empty_like(state)), kernels.in_use(state)
        for step in range(count):
            state = here.tanh(here.product(state, transposed, buffers[step % 2]))
            yield state

    def nonlinearity(self, drive: torch.Tensor) -> torch.Tensor:
        return drive.tanh()

    def blank_map(self, weights: Weights) -> BlankMap:
        return _TanhMap(self, weights)


class _TanhMap(BlankMap):
    """With NumPy's products, which are as fast as torch's here, and the tanh of the kernels in use."""

    def __init__(self, cell: Cell, weights: Weights):
        super().__init__(cell, weights)
        self.kernels = kernels.in_use(self.weights["recurrent"])
        self.transposed = np.ascontiguousarray(self.weights["recurrent"].numpy().T)

    def __call__(self, state: np.ndarray) -> np.ndarray:
        return self.kernels.tanh(torch.from_numpy(state @ self.transposed)).numpy()

    def tangent(self, state: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        following = self(state)
        # Transposed twice: columns of the frame lie in memory as LAPACK leaves and takes them.
        return following, ((frame.T @ self.transposed) * (1 - following**2)).T
