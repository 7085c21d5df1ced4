"""The fast path for vanilla cells, the paper's among them: hand-derived backpropagation through time.

Forward, for a batch of B images with T rows, where x_t is row t of all images, and f is the tanh or the rectifier:

    h_t = f(W x_t + R h_{t-1} + b),   logits = V h_T + c,   loss = mean cross-entropy

Backward, with d_t = dloss / d(W x_t + R h_{t-1} + b) and * elementwise:

    d_T = (dlogits V) * f'_T,   d_t = (d_{t+1} R) * f'_t,   f'_t = 1 - h_t^2 for the tanh, 1 where h_t > 0 for the rectifier
    dW = sum_t d_t' x_t,   dR = sum_{t>1} d_t' h_{t-1},   db = sum_t d_t,   dV = dlogits' h_T,   dc = sum dlogits

(Werbos 1990). Blank rows that follow in training are further rows with x = 0, and the readout sees the last of them. The input
product W x and both weight gradients are single products over all rows; only the two recurrences run row by row, in place.

One code path serves two shapes. On a CPU each network is a lane of its own, `[T, B, H]`. On a GPU the whole stack is one lane,
`[S, T, B, H]`, with batched products, and an iteration is captured as a CUDA graph and replayed.

Without a bias, the state is exactly 0 until the first non-blank row of an image, and no gradient flows back beyond that row. On a
CPU a batch is therefore sorted by that row, and each product uses only the images that have begun (`active`). On MNIST this saves
17% of the work of the recurrences; only terms that are 0 are left out of the sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from study.config import NetworkConfig
from study.data.sources import Images
from study.networks.cells.pytorch import BIASES
from study.networks.cells.vanilla import VanillaCell
from study.training.lane import Batch, Lane, Layout, cross_entropy

WARM_UP = 3  # iterations before a CUDA graph is captured, so that the libraries' workspaces exist


class VanillaLane(Lane):
    """Networks of a vanilla cell whose products are computed together by torch: a whole stack on a GPU, one network on a CPU.

    The tensors below have a leading dimension S on a GPU, and none on a CPU.
    """

    stacked = True
    kept = 2

    def __init__(self, weights: torch.Tensor, layout: Layout, config: NetworkConfig, train: Images):
        super().__init__(weights, layout, config, train)
        assert isinstance(layout.cell, VanillaCell)
        self.cell = layout.cell
        self._first_rows = None if weights.is_cuda or self.cell.biased else first_rows(train.images)
        self._buffers: dict[int, _Buffers] = {}
        self._graphs: dict[tuple[int, int], torch.cuda.CUDAGraph] = {}  # by images and blank rows of a batch

    def batches(self, order: torch.Tensor, size: int) -> Iterator[Batch]:
        """An epoch's batches, by first row with ink; in the given order on a GPU, whose captured iteration has a fixed shape, and
        where a bias moves the state before there is ink."""
        if self._first_rows is None:
            yield from super().batches(order, size)
        else:
            yield from by_first_row(order, size, self._first_rows, self.images.shape[1])

    def step(self, batch: Batch) -> None:
        if not self.weights.is_cuda:
            super().step(batch)
            return
        size, shape = batch.indices.shape[-1], (batch.indices.shape[-1], batch.blanks)
        self.buffers(size).indices.copy_(batch.indices)
        if shape not in self._graphs:
            self._graphs[shape] = self._capture(self.buffers(size), batch.blanks)
        self._graphs[shape].replay()

    def backpropagate(self, batch: Batch) -> torch.Tensor:
        buffers = self.buffers(batch.indices.shape[-1])
        buffers.indices.copy_(batch.indices)
        return self._backpropagate(buffers, batch.active or self._all(buffers), batch.blanks)

    def _all(self, buffers: _Buffers) -> tuple[int, ...]:
        return (buffers.indices.shape[-1],) * self.images.shape[1]

    def _backpropagate(self, buffers: _Buffers, active: tuple[int, ...], blanks: int) -> torch.Tensor:
        """As `backpropagate`, of the images `buffers.indices`, of which the first `active[t]` have begun by row t (from 0), and so
        many blank rows."""
        x, h, d = buffers.input, buffers.hidden, buffers.delta
        batch, rows, begun = x.shape[-2], len(active), next((t for t, count in enumerate(active) if count), 0)
        active += (batch,) * blanks
        product, add_product = (torch.bmm, torch.Tensor.baddbmm_) if self.batched else (torch.mm, torch.Tensor.addmm_)
        weights, gradients, exact = self.network, self.gradients, x.dtype == self.weights.dtype
        if not exact:  # bf16: products are rounded, weights are not
            weights = weights.each(lambda tensor: tensor.to(x.dtype))

        chosen = buffers.indices.flatten()
        images = self.images.index_select(0, chosen).view(*buffers.indices.shape, *self.images.shape[1:])
        x.copy_(images.transpose(-3, -2))
        if not images.is_floating_point():
            x.div_(255)
        labels = self.labels.index_select(0, chosen).view(buffers.indices.shape)[..., None]

        transposed = buffers.transposed.copy_(weights.recurrent.mT)  # so that both factors are read along their rows
        # Before an image has begun, its x and h are 0, and so are products with them.
        drives = h[..., :rows, :, :].flatten(-3, -2)
        product(x.flatten(-3, -2), weights.input.mT, out=drives)
        if (shift := self.cell.shift(weights.parameters)) is not None:
            drives.add_(shift)
        states, deltas, last = buffers.states, buffers.deltas, len(active) - 1
        self.cell.activate(states[begun, active[begun]])
        for t in range(begun + 1, rows):
            before = active[t - 1]
            add_product(states[t, before], states[t - 1, before], transposed)
            self.cell.activate(states[t, active[t]])
        for t in range(rows, last + 1):
            product(states[t - 1, batch], transposed, out=states[t, batch])
            if shift is not None:
                states[t, batch].add_(shift)
            self.cell.activate(states[t, batch])
        state = states[last, batch]

        logits = product(state, weights.readout.mT).add_(weights.bias[..., None, :]).to(self.weights.dtype)
        loss, d_logits = cross_entropy(logits, labels)
        torch.sum(d_logits, dim=-2, out=gradients.bias)

        d_logits = d_logits.to(x.dtype)
        product(d_logits, weights.readout, out=deltas[last, batch])
        self.cell.times_slope(deltas[last, batch], state)
        for t in range(last - 1, begun - 1, -1):
            count = active[t]
            product(deltas[t + 1, count], weights.recurrent, out=deltas[t, count])
            self.cell.times_slope(deltas[t, count], states[t, count])

        # From row `full` on, all images have begun: one product. Each earlier row is added with the images that have begun by then.
        full = next((t for t, count in enumerate(active) if count == batch), last)
        pairs = [
            (gradients.readout, d_logits, state),
            (gradients.input, d[..., :rows, :, :].flatten(-3, -2), x.flatten(-3, -2)),
            (gradients.recurrent, d[..., full + 1 : last + 1, :, :].flatten(-3, -2), h[..., full:last, :, :].flatten(-3, -2)),
        ]
        for gradient, delta, source in pairs:
            if exact:
                product(delta.mT, source, out=gradient)
            else:
                gradient.copy_(product(delta.mT, source))
        for t in range(begun, full):
            delta, source = deltas[t + 1, active[t]].mT, states[t, active[t]]
            if exact:
                add_product(gradients.recurrent, delta, source)
            else:
                gradients.recurrent.add_(product(delta, source))
        if shift is not None:
            of_shift = d[..., : last + 1, :, :].flatten(-3, -2).sum(dim=-2, dtype=loss.dtype)
            for name in BIASES:
                gradients.parameters[name].copy_(of_shift)
        return loss

    def buffers(self, batch: int) -> _Buffers:
        """The working memory for batches of this size."""
        if batch not in self._buffers:
            networks, rows = self.weights.shape[:-1], self.images.shape[1]
            shape, longest = (*networks, rows, batch), (*networks, rows + self.most_blanks, batch)
            dtype = torch.bfloat16 if self.precision == "bf16" else self.weights.dtype
            self._buffers[batch] = _Buffers(
                indices=torch.zeros(*networks, batch, dtype=torch.int64, device=self.weights.device),
                input=torch.empty(*shape, self.images.shape[2], dtype=dtype, device=self.weights.device),
                hidden=torch.empty(*longest, self.network.hidden_size, dtype=dtype, device=self.weights.device),
                # Zeros, never NaN: entries of images that have not begun are multiplied by 0.
                delta=torch.zeros(*longest, self.network.hidden_size, dtype=dtype, device=self.weights.device),
                transposed=torch.empty(self.network.recurrent.shape, dtype=dtype, device=self.weights.device),
            )
        return self._buffers[batch]

    def _capture(self, buffers: _Buffers, blanks: int) -> torch.cuda.CUDAGraph:
        """An iteration on these buffers as a CUDA graph; weights, moments and loss are left as they were.

        All graphs share one pool of memory: nothing in it outlives an iteration.
        """
        changed = (self.weights, self.first_moment, self.second_moment, self.loss, self.step_count)
        before = [tensor.clone() for tensor in changed]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._iterate(buffers, blanks)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        others = next(iter(self._graphs.values()), None)
        with torch.cuda.graph(graph, pool=others.pool() if others else None):
            self._iterate(buffers, blanks)
        for tensor, value in zip(changed, before, strict=True):
            tensor.copy_(value)
        return graph

    def _iterate(self, buffers: _Buffers, blanks: int) -> None:
        self.loss.add_(self._backpropagate(buffers, self._all(buffers), blanks), alpha=buffers.indices.shape[-1])
        self.adam()


@dataclass
class _Buffers:
    """Working memory of a lane for one batch size; `states[t, n]` and `deltas[t, n]` are the first n images of row t."""

    indices: torch.Tensor  # [.., B]
    input: torch.Tensor  # [.., T, B, features]
    hidden: torch.Tensor  # [.., T + most blank rows, B, H]
    delta: torch.Tensor  # likewise
    transposed: torch.Tensor  # [.., H, H]

    def __post_init__(self) -> None:
        self.states, self.deltas = _Views(self.hidden), _Views(self.delta)


class _Views(dict):
    """The views `tensor[.., t, :n, :]` of a tensor `[.., T, B, H]` by (t, n), cached: creating a view takes a twentieth of the time
    of the product it is used in."""

    def __init__(self, tensor: torch.Tensor):
        super().__init__()
        self.tensor = tensor

    def __missing__(self, place: tuple[int, int]) -> torch.Tensor:
        row, count = place
        self[place] = view = self.tensor[..., row, :count, :]
        return view


def by_first_row(order: torch.Tensor, size: int, first_rows: torch.Tensor, rows: int) -> Iterator[Batch]:
    """Batches of the images `order` `[N]`, each sorted by the first row with ink (`first_rows` `[N]`, of images of so many `rows`);
    they say how many have begun by each row."""
    whole = len(order) // size * size
    for part in (order[:whole].view(-1, size), order[whole:].view(1, -1)):
        first, within = first_rows[part].sort(dim=1, stable=True)
        active = torch.searchsorted(first, torch.arange(rows).expand(len(part), -1).contiguous(), right=True)
        if part.numel():
            yield from map(Batch, part.gather(1, within), map(tuple, active.tolist()))


def first_rows(images: torch.Tensor) -> torch.Tensor:
    """The index of the first non-blank row of each image `[N, T, features]`, T where all are blank; int64 `[N]`."""
    seen = (images != 0).any(dim=2)
    return torch.where(seen.any(dim=1), seen.byte().argmax(dim=1), images.shape[1])
