"""Vanilla recurrent layers: h_t = f(W x_t + R h_{t-1} + b), with f the tanh or the rectifier, with or without the bias b.

The tanh without bias is the paper's cell (Horoi, Lajoie & Wolf 2020, section 2). Parameters, their names and their initial values
are those of PyTorch's `nn.RNN`, which has two biases: b is their sum.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
import torch

from study.networks.cells.cell import BlankMap, Weights
from study.networks.cells.pytorch import Biased, PyTorchCell
from study.networks.kernels import TORCH, Kernels, in_use

TANH_BACKWARD = torch.ops.aten.tanh_backward.grad_input
RELU_BACKWARD = torch.ops.aten.threshold_backward.grad_input


class VanillaCell(PyTorchCell):
    """h_t = f(W x_t + R h_{t-1} + b), h_0 = 0, with W `input` `[H, features]` and R `recurrent` `[H, H]`.

    A blank row applies h -> f(R h + b), with the Jacobian f' R. A subclass defines f, and its derivative in terms of its value.
    """

    @abstractmethod
    def activate(self, drive: torch.Tensor, here: Kernels = TORCH) -> torch.Tensor:
        """f of each value, in place."""

    @abstractmethod
    def activate_array(self, drive: np.ndarray, out: np.ndarray) -> None:
        """f of each value of an array, in `out`."""

    @abstractmethod
    def times_slope(self, delta: torch.Tensor, hidden: torch.Tensor) -> None:
        """delta *= f', in place, where f has the value `hidden`."""

    @abstractmethod
    def slope(self, hidden: torch.Tensor) -> torch.Tensor:
        """f' where f has the value `hidden`."""

    @abstractmethod
    def slope_array(self, hidden: np.ndarray, out: np.ndarray) -> np.ndarray:
        """The same of an array, in `out`, which is returned."""

    def shift(self, weights: Weights) -> torch.Tensor | None:
        """b, `[1, H]`, of which stacks have S; None without a bias."""
        return (weights["input_bias"] + weights["recurrent_bias"])[..., None, :] if self.biased else None

    def step(self, weights: Weights, state: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        return self.activate(_shifted(torch.matmul(row, weights["input"].mT), self.shift(weights)) + _driven(weights, state))

    def blank(self, weights: Weights, state: torch.Tensor) -> torch.Tensor:
        return self.activate(_shifted(_driven(weights, state), self.shift(weights)))

    def jacobian(self, weights: Weights, state: torch.Tensor, following: torch.Tensor | None = None) -> torch.Tensor:
        following = self.blank(weights, state) if following is None else following
        return self.slope(following)[:, :, None] * weights["recurrent"]

    def rows(self, weights: Weights, images: torch.Tensor) -> Iterator[torch.Tensor]:
        # In place; R is transposed only once, and there is no product at the first row, because h_0 = 0.
        transposed, shift = weights["recurrent"].mT.contiguous(), self.shift(weights)
        here = in_use(transposed) if transposed.ndim == 2 else TORCH  # NumPy's kernels know no stacks
        state = None
        for row in images.unbind(dim=1):
            drive = _shifted(here.product(row, weights["input"].mT), shift)
            state = self.activate(drive if state is None else here.add_product(drive, state, transposed), here)
            yield state

    def blank_rows(self, weights: Weights, state: torch.Tensor, count: int) -> Iterator[torch.Tensor]:
        transposed, shift = weights["recurrent"].mT.contiguous(), self.shift(weights)
        buffers, here = (torch.empty_like(state), torch.empty_like(state)), in_use(state)
        for step in range(count):
            state = self.activate(_shifted(here.product(state, transposed, buffers[step % 2]), shift), here)
            yield state

    def nonlinearity(self, drive: torch.Tensor) -> torch.Tensor | None:
        return None if self.biased else self.activate(drive.clone())

    def blank_map(self, weights: Weights) -> BlankMap:
        return _VanillaMap(self, weights)


class TanhCell(VanillaCell):
    """The paper's cell: h_t = tanh(W x_t + R h_{t-1}). Its blank map is odd and rests at 0."""

    name = "tanh"
    description = "tanh units without bias"
    odd = bounded = True

    def activate(self, drive: torch.Tensor, here: Kernels = TORCH) -> torch.Tensor:
        return here.tanh(drive)

    def activate_array(self, drive: np.ndarray, out: np.ndarray) -> None:
        np.tanh(drive, out=out)

    def times_slope(self, delta: torch.Tensor, hidden: torch.Tensor) -> None:
        TANH_BACKWARD(delta, hidden, grad_input=delta)  # in one pass

    def slope(self, hidden: torch.Tensor) -> torch.Tensor:
        return 1 - hidden.square()

    def slope_array(self, hidden: np.ndarray, out: np.ndarray) -> np.ndarray:
        return np.subtract(1, np.multiply(hidden, hidden, out=out), out=out)


class ReluCell(VanillaCell):
    """h_t = max(0, W x_t + R h_{t-1}). Without a bias its blank map rests at 0, where it has no derivative.

    The derivative of the rectifier at 0 is taken as 0, as autograd does.
    """

    name = "relu"
    description = "rectified linear units without bias"
    smooth_at_rest = False

    def activate(self, drive: torch.Tensor, here: Kernels = TORCH) -> torch.Tensor:
        return drive.relu_()

    def activate_array(self, drive: np.ndarray, out: np.ndarray) -> None:
        np.maximum(drive, 0, out=out)

    def times_slope(self, delta: torch.Tensor, hidden: torch.Tensor) -> None:
        RELU_BACKWARD(delta, hidden, 0, grad_input=delta)

    def slope(self, hidden: torch.Tensor) -> torch.Tensor:
        return (hidden > 0).to(hidden.dtype)

    def slope_array(self, hidden: np.ndarray, out: np.ndarray) -> np.ndarray:
        return np.greater(hidden, 0, out=out, casting="unsafe")


class BiasedTanhCell(Biased, TanhCell):
    """h_t = tanh(W x_t + R h_{t-1} + b)."""

    name = "tanh_bias"
    description = "tanh units with bias"


class BiasedReluCell(Biased, ReluCell):
    """h_t = max(0, W x_t + R h_{t-1} + b)."""

    name = "relu_bias"
    description = "rectified linear units with bias"


def _driven(weights: Weights, state: torch.Tensor) -> torch.Tensor:
    return torch.matmul(state, weights["recurrent"].mT)


def _shifted(drive: torch.Tensor, shift: torch.Tensor | None) -> torch.Tensor:
    return drive if shift is None else drive.add_(shift)


class _VanillaMap(BlankMap):
    """With NumPy's products, which are as fast as torch's here, and the nonlinearity of the kernels in use."""

    def __init__(self, cell: VanillaCell, weights: Weights):
        super().__init__(cell, weights)
        self.vanilla, self.kernels = cell, in_use(self.weights["recurrent"])
        self.transposed = np.ascontiguousarray(self.weights["recurrent"].numpy().T)
        shift = cell.shift(self.weights)
        self.shift = None if shift is None else shift.numpy()[0]

    def __call__(self, state: np.ndarray) -> np.ndarray:
        drive = state @ self.transposed
        if self.shift is not None:
            drive += self.shift
        return self.vanilla.activate(torch.from_numpy(drive), self.kernels).numpy()

    def tangent(self, state: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        following = self(state)
        slope = self.vanilla.slope_array(following, np.empty_like(following))
        # Transposed twice: columns of the frame lie in memory as LAPACK leaves and takes them.
        return following, ((frame.T @ self.transposed) * slope).T
