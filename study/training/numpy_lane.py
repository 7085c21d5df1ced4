"""Vanilla cells trained with NumPy's kernels: the mathematics of `study.training.hand_derived`, laid out for few large products.

A batch is sorted by the first row with ink, and only images that have begun are kept at each row. Their previous states and rows of
pixels stand side by side in one matrix Z, the rows of an image below one another:

    Z = [h_{t-1} x_t],   h_t = f(Z [R W]'),   [dR dW] = sum_t d_t' [h_{t-1} x_t] = D' Z

Recurrence and input are one product, and so are all gradients of the cell. States and pixels before an image has begun are not 0
in these sums, they are not in them at all. Blank rows after the image have Z with x = 0. A bias is one more input, which is 1 on
every row; with it, all images begin at the first row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch

from study.config import NetworkConfig
from study.data.sources import Images
from study.networks.cells.pytorch import BIASES
from study.networks.cells.vanilla import VanillaCell
from study.training.hand_derived import by_first_row, first_rows
from study.training.lane import Batch, Lane, Layout


class NumpyLane(Lane):
    """One network of a vanilla cell, on a CPU.

    Every step works in the same memory, of the size of the largest batch. NumPy's arrays are views of the torch tensors of weights
    and gradients.
    """

    stacked = False
    kept = 2

    def __init__(self, weights: torch.Tensor, layout: Layout, config: NetworkConfig, train: Images):
        super().__init__(weights, layout, config, train)
        assert isinstance(layout.cell, VanillaCell)
        self.cell = layout.cell
        begin = first_rows(train.images)
        self._first_rows = torch.zeros_like(begin) if self.cell.biased else begin
        self._pixels = train.images.flatten(0, 1).numpy()  # [N T, features]
        self._labels = train.labels.numpy()
        self._memory: _Memory | None = None

    def pass_over(self, order: torch.Tensor, size: int, blanks: Iterable[int]) -> None:
        with np.errstate(all="ignore"):  # training that diverges is told at the end of the epoch
            super().pass_over(order, size, blanks)

    def batches(self, order: torch.Tensor, size: int) -> Iterator[Batch]:
        return by_first_row(order, size, self._first_rows, self.images.shape[1])

    def backpropagate(self, batch: Batch) -> torch.Tensor:
        indices, of_image = batch.indices.numpy(), len(batch.active)
        active = batch.active + batch.active[-1:] * batch.blanks  # images without ink stay at 0
        rows, hidden, images = len(active), self.network.hidden_size, len(indices)
        begun = next((t for t, count in enumerate(active) if count), rows)
        ends = list(accumulate(active))
        starts = [0, *ends[:-1]]
        memory = self._memory_for(rows * images)
        recurrent, input_, readout, bias = (
            tensor.numpy() for tensor in (self.network.recurrent, self.network.input, self.network.readout, self.network.bias)
        )
        gradients = self.gradients
        seen = hidden + self.images.shape[2]
        transposed = memory.transposed  # [R W b]'
        transposed[:hidden], transposed[hidden:seen] = recurrent.T, input_.T
        z, d, scratch = memory.z, memory.d, memory.scratch
        states, pixels = z[:, :hidden], z[:, hidden:seen]
        if (shift := self.cell.shift(self.network.parameters)) is not None:
            transposed[seen:], z[:, seen:] = shift.numpy(), 1

        # Rows of pixels in the order of Z: all images that have begun by the first row, then by the second ...
        place = np.arange(of_image)[:, None] + of_image * indices
        chosen = place[np.arange(images) < np.array(batch.active)[:, None]]
        np.divide(self._pixels.take(chosen, axis=0), self._scale, out=pixels[: len(chosen)])
        pixels[len(chosen) : ends[-1]] = 0

        last = np.zeros((images, hidden), dtype=z.dtype)  # where all images are blank, so are their states
        for t in range(begun, rows):
            count, start, end = active[t], starts[t], ends[t]
            if t == begun:
                drive = np.matmul(z[start:end, hidden:], transposed[hidden:], out=scratch[:count])
                states[start:end] = 0
            elif t < of_image or shift is not None:
                drive = np.matmul(z[start:end], transposed, out=scratch[:count])
            else:
                drive = np.matmul(states[start:end], transposed[:hidden], out=scratch[:count])
            if t + 1 < rows:
                following = ends[t]
                self.cell.activate_array(drive, states[following : following + count])
                states[following + count : ends[t + 1]] = 0  # of images that begin there
            else:
                self.cell.activate_array(drive, last[:count])

        # Classes before images: long rows are exponentiated several times as fast as rows of ten.
        logits = readout @ last.T
        logits += bias[:, None]
        logits -= logits.max(axis=0)
        exponentials = np.exp(logits)
        totals = exponentials.sum(axis=0)
        truth, at = self._labels[indices], np.arange(images)
        loss = np.mean(np.log(totals) - logits[truth, at], dtype=np.float64)
        d_logits = np.divide(exponentials, totals, out=exponentials)
        d_logits[truth, at] -= 1
        d_logits /= images
        np.sum(d_logits, axis=1, out=gradients.bias.numpy())
        np.matmul(d_logits, last, out=gradients.readout.numpy())

        for t in range(rows - 1, begun - 1, -1):
            count, start, end = active[t], starts[t], ends[t]
            delta = d[start:end]
            if t + 1 < rows:
                np.matmul(d[end : end + count], recurrent, out=delta)
                state = states[end : end + count]
            else:
                np.matmul(d_logits.T[:count], readout, out=delta)
                state = last[:count]
            delta *= self.cell.slope_array(state, scratch[:count])
        whole = np.matmul(d[: ends[-1]].T, z[: ends[-1]], out=memory.gradient)
        gradients.recurrent.numpy()[:], gradients.input.numpy()[:] = whole[:, :hidden], whole[:, hidden:seen]
        if shift is not None:
            for name in BIASES:
                gradients.parameters[name].numpy()[:] = whole[:, seen]
        return torch.tensor(loss)

    def _memory_for(self, rows: int) -> _Memory:
        if self._memory is None or len(self._memory.z) < rows:
            dtype = self.network.readout.numpy().dtype
            hidden, inputs = self.network.hidden_size, self.images.shape[2] + self.cell.biased
            self._scale = dtype.type(1 if self.images.is_floating_point() else 255)
            self._memory = _Memory(
                z=np.empty((rows, hidden + inputs), dtype),
                d=np.empty((rows, hidden), dtype),
                scratch=np.empty((rows // self.images.shape[1], hidden), dtype),
                transposed=np.empty((hidden + inputs, hidden), dtype),
                gradient=np.empty((hidden, hidden + inputs), dtype),
            )
        return self._memory


@dataclass(frozen=True)
class _Memory:
    """Working memory: Z and D, with one row for each image that has begun at each row; a `scratch` matrix `[B, H]`; [R W]' and
    the gradient of [R W], or of [R W b]."""

    z: np.ndarray
    d: np.ndarray
    scratch: np.ndarray
    transposed: np.ndarray
    gradient: np.ndarray
