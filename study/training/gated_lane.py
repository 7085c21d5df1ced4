"""The fast path for gated cells on a CPU: hand-derived backpropagation through time for GRU and LSTM.

With a_t = W x_t + b and u_t = R h_{t-1} + b', split by gate, s the logistic function and * elementwise:

    GRU:   r = s(a_r + u_r),  z = s(a_z + u_z),  n = tanh(a_n + r * u_n),  h_t = n + z * (h_{t-1} - n)
    LSTM:  i, f, o = s(a + u),  g = tanh(a_g + u_g),  c_t = f * c_{t-1} + i * g,  h_t = o * tanh(c_t)

Backward, where d_y stands for dloss / dy, and e for d_h at row t:

    GRU:   d_{a_n} = e * (1 - z) * (1 - n^2),   d_{a_r} = d_{a_n} * u_n * r (1 - r),   d_{a_z} = e * (h_{t-1} - n) * z (1 - z),
           d_u = d_a but d_{u_n} = d_{a_n} * r,   e of the row before = e * z + d_u R
    LSTM:  d_{c_t} += e * o * (1 - tanh(c_t)^2),   d_a = d_u = (d_c g, d_c c_{t-1}, d_c i, e tanh(c_t)) * slopes of (i, f, g, o),
           d_c of the row before = d_c * f,   e of the row before = d_u R
    dW = sum_t d_a' x_t,   db = sum_t d_a,   dR = sum_t d_u' h_{t-1},   db' = sum_t d_u

(Werbos 1990). The gradients of weights are single products over all rows. Blank rows that follow in training are further rows with
x = 0. Every step works in the same memory, one for each number of images in a batch, on views that are made once: making them takes
as long as computing on them at 50 units.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch

from study.config import NetworkConfig
from study.data.sources import Images
from study.networks.cells.gated import GatedCell
from study.networks.cells.pytorch import BIASES
from study.networks.kernels import KERNELS
from study.networks.network import scaled
from study.training.lane import Batch, Lane, Layout, cross_entropy

SIGMOID_BACKWARD = torch.ops.aten.sigmoid_backward.grad_input
TANH_BACKWARD = torch.ops.aten.tanh_backward.grad_input


class GatedLane(Lane):
    """One network of a gated cell."""

    stacked = False

    def __init__(self, weights: torch.Tensor, layout: Layout, config: NetworkConfig, train: Images):
        super().__init__(weights, layout, config, train)
        assert isinstance(layout.cell, GatedCell)
        self.cell = layout.cell
        self.kernels = KERNELS[config.kernels]
        self._memory: dict[int, Any] = {}

    def backpropagate(self, batch: Batch) -> torch.Tensor:
        network, gradients, product = self.network, self.gradients, self.kernels.product
        images, labels = scaled(self.images[batch.indices], self.weights.dtype), self.labels[batch.indices]
        count, rows, _ = images.shape
        if count not in self._memory:
            self._memory[count] = self.memory(count, rows + self.most_blanks)
        memory = self._memory[count]
        memory.pixels[:rows] = images.transpose(0, 1)
        memory.pixels[rows : rows + batch.blanks] = 0
        state = self.forward(memory, rows + batch.blanks)

        loss, d_logits = cross_entropy(product(state, network.readout.mT).add_(network.bias), labels[:, None])
        torch.sum(d_logits, dim=0, out=gradients.bias)
        product(d_logits.mT, state, gradients.readout)
        self.backward(memory, rows + batch.blanks, product(d_logits, network.readout))
        return loss

    @abstractmethod
    def memory(self, images: int, steps: int) -> Any:
        """Working memory for batches of so many images and at most so many rows, with a tensor `pixels` `[rows, B, features]`."""

    @abstractmethod
    def forward(self, memory: Any, steps: int) -> torch.Tensor:
        """The state h `[B, H]` after so many rows of pixels."""

    @abstractmethod
    def backward(self, memory: Any, steps: int, e: torch.Tensor) -> None:
        """Fills the gradients of the cell's weights, from d_h `e` `[B, H]` after so many rows."""


@dataclass(frozen=True)
class Row:
    """Views of one row in the working memory, all `[B, ..]`.

    Attributes: its `gates`, all of them, one by one (`each`), and all but the last, which pass through the logistic function,
    `logistic`; the same of d_a: `d_gates`, `d_each`, `d_logistic`; the states h `before` and `after` it.
    """

    gates: torch.Tensor
    each: tuple[torch.Tensor, ...]
    logistic: torch.Tensor
    d_gates: torch.Tensor
    d_each: tuple[torch.Tensor, ...]
    d_logistic: torch.Tensor
    before: torch.Tensor
    after: torch.Tensor

    @classmethod
    def of(cls, gates: torch.Tensor, d_gates: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> Row:
        size = before.shape[1]
        parts = ((part, part.split(size, dim=1), part[:, :-size]) for part in (gates, d_gates))
        return cls(*next(parts), *next(parts), before, after)


class GruMemory:
    """`pixels` `[T, B, features]`, `states` `[T + 1, B, H]` (h_0 = 0 first), `gates`, `d_gates` (d_a) and `d_hidden` (d_u) `[T, B,
    3 H]`, and u_n `[T, B, H]`: by row in `rows`."""

    def __init__(self, lane: GatedLane, images: int, steps: int):
        new, size = lane.weights.new_zeros, lane.network.hidden_size
        self.pixels, self.states = new(steps, images, lane.network.features), new(steps + 1, images, size)
        self.gates, self.d_gates, self.d_hidden = new(3, steps, images, 3 * size)
        self.driven = new(images, 3 * size)
        before, after = self.states[:-1], self.states[1:]
        self.rows = list(map(Row.of, self.gates, self.d_gates, before, after))
        self.candidates, self.d_candidates = new(steps, images, size).unbind(), self.d_hidden[:, :, 2 * size :].unbind()


class GruLane(GatedLane):
    kept = 14

    def memory(self, images: int, steps: int) -> GruMemory:
        return GruMemory(self, images, steps)

    def forward(self, memory: GruMemory, steps: int) -> torch.Tensor:
        network, size, here = self.network, self.network.hidden_size, self.kernels
        gates, pixels = (part[:steps].flatten(0, 1) for part in (memory.gates, memory.pixels))
        here.product(pixels, network.input.mT, gates)
        biases = [network.parameters[name] for name in BIASES] if self.cell.biased else []
        if biases:
            gates += biases[0]
        transposed = network.recurrent.mT.contiguous()  # so that both factors are read along their rows
        driven = memory.driven
        of_logistic, of_new = driven[:, : 2 * size], driven[:, 2 * size :]
        for row, candidate in zip(memory.rows[:steps], memory.candidates, strict=False):
            reset, update, new = row.each
            here.product(row.before, transposed, driven)
            if biases:
                driven += biases[1]
            row.logistic.add_(of_logistic).sigmoid_()
            here.tanh(new.addcmul_(reset, candidate.copy_(of_new)))
            torch.sub(row.before, new, out=row.after).mul_(update).add_(new)
        return memory.states[steps]

    def backward(self, memory: GruMemory, steps: int, e: torch.Tensor) -> None:
        gradients, recurrent, here = self.gradients, self.network.recurrent, self.kernels
        for t in range(steps - 1, -1, -1):
            row, d_hidden = memory.rows[t], memory.d_hidden[t]
            reset, update, new = row.each
            d_reset, d_update, d_new = row.d_each
            torch.sub(row.before, new, out=d_update).mul_(e)
            torch.addcmul(e, e, update, value=-1, out=d_new)
            TANH_BACKWARD(d_new, new, grad_input=d_new)
            torch.mul(d_new, memory.candidates[t], out=d_reset)
            SIGMOID_BACKWARD(row.d_logistic, row.logistic, grad_input=row.d_logistic)
            d_hidden.copy_(row.d_gates)
            memory.d_candidates[t].mul_(reset)
            here.add_product(e.mul_(update), d_hidden, recurrent)
        d_gates, d_hidden = (part[:steps].flatten(0, 1) for part in (memory.d_gates, memory.d_hidden))
        here.product(d_gates.mT, memory.pixels[:steps].flatten(0, 1), gradients.input)
        here.product(d_hidden.mT, memory.states[:steps].flatten(0, 1), gradients.recurrent)
        if self.cell.biased:
            for name, delta in zip(BIASES, (d_gates, d_hidden), strict=True):
                torch.sum(delta, dim=0, out=gradients.parameters[name])


class LstmMemory:
    """States and pixels side by side, [h_{t-1} x_t], `z` `[T + 1, B, H + features]`, with a column of ones where there are biases:
    the products of a row, and the gradients of the cell, are then one. `gates` and `d_gates` `[T, B, 4 H]`, and c_{t-1}, c_t and
    tanh(c_t) `[T, B, H]`, are by row in `rows` and `kept`.

    The last two gates are exchanged, here and in the products, so that the logistic ones are next to each other: PyTorch's order is
    that of `order` `[4 H]`, which is its own inverse.
    """

    def __init__(self, lane: GatedLane, images: int, steps: int):
        new, size, features = lane.weights.new_zeros, lane.network.hidden_size, lane.network.features
        self.z = new(steps + 1, images, size + features + lane.cell.biased)
        self.z[:, :, size + features :] = 1
        self.states, self.pixels = self.z[:, :, :size], self.z[:, :, size : size + features]
        self.gates, self.d_gates = new(2, steps, images, 4 * size)
        self.rows = list(map(Row.of, self.gates, self.d_gates, self.states[:-1], self.states[1:]))
        self.order = torch.arange(4 * size, device=self.z.device).view(4, size)[[0, 1, 3, 2]].flatten()
        memories, squashed = new(2, steps + 1, images, size)
        self.kept = list(zip(memories[:-1], memories[1:], squashed[1:], strict=True))


class LstmLane(GatedLane):
    kept = 7

    def memory(self, images: int, steps: int) -> LstmMemory:
        return LstmMemory(self, images, steps)

    def forward(self, memory: LstmMemory, steps: int) -> torch.Tensor:
        here, parts = self.kernels, [self.network.recurrent.mT, self.network.input.mT]
        if self.cell.biased:
            first, second = (self.network.parameters[name] for name in BIASES)
            parts.append((first + second)[None])
        transposed = torch.cat(parts)[:, memory.order]  # [R W b]'
        for z, row, (before, after, squashed) in zip(memory.z[:steps], memory.rows, memory.kept, strict=False):
            enter, forget, out, new = row.each
            here.product(z, transposed, row.gates)
            row.logistic.sigmoid_()
            here.tanh(new)
            torch.mul(forget, before, out=after).addcmul_(enter, new)
            torch.mul(here.tanh(squashed.copy_(after)), out, out=row.after)
        return memory.states[steps]

    def backward(self, memory: LstmMemory, steps: int, e: torch.Tensor) -> None:
        gradients, size, here = self.gradients, self.network.hidden_size, self.kernels
        recurrent = self.network.recurrent[memory.order]
        d_memory, through = torch.zeros_like(e), torch.empty_like(e)
        for row, (before, _, squashed) in zip(memory.rows[steps - 1 :: -1], memory.kept[steps - 1 :: -1], strict=True):
            enter, forget, out, new = row.each
            d_enter, d_forget, d_out, d_new = row.d_each
            torch.mul(e, out, out=through)
            d_memory += TANH_BACKWARD(through, squashed, grad_input=through)
            torch.mul(d_memory, new, out=d_enter)
            torch.mul(d_memory, before, out=d_forget)
            torch.mul(e, squashed, out=d_out)
            SIGMOID_BACKWARD(row.d_logistic, row.logistic, grad_input=row.d_logistic)
            torch.mul(d_memory, enter, out=d_new)
            TANH_BACKWARD(d_new, new, grad_input=d_new)
            d_memory *= forget
            here.product(row.d_gates, recurrent, e)
        whole = here.product(memory.d_gates[:steps].flatten(0, 1).mT, memory.z[:steps].flatten(0, 1))
        whole = whole[memory.order]
        gradients.recurrent.copy_(whole[:, :size])
        gradients.input.copy_(whole[:, size : size + self.network.features])
        if self.cell.biased:
            for name in BIASES:
                gradients.parameters[name].copy_(whole[:, -1])
