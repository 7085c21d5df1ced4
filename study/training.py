"""The training engine: a stack of networks of one hidden size, by hand-derived backpropagation through time.

Forward, for a batch of B images of T rows and S networks at once (row t of image b of network s is x[s, t, b]):

    h_t = tanh(W x_t + R h_{t-1}),   logits = V h_T + c,   loss = mean cross-entropy

Backward, with d_t = dloss / d(W x_t + R h_{t-1}) and * elementwise:

    d_T = (dlogits V) * (1 - h_T^2),   d_t = (d_{t+1} R) * (1 - h_t^2)
    dW = sum_t d_t' x_t,   dR = sum_{t>1} d_t' h_{t-1},   dV = dlogits' h_T,   dc = sum dlogits

(Werbos 1990). The input product W x and both weight gradients are single products over all rows; only the two
recurrences run row by row, in place. The update is Adam (Kingma & Ba 2015, algorithm 1) with PyTorch's defaults.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from study.config import NetworkConfig
from study.network import RecurrentNetwork
from study.seeding import permutation

ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8


@dataclass(frozen=True)
class Epoch:
    """One finished epoch of a stack: its number (from 1), each network's mean training loss `[S]`, and the epoch in
    which each network diverged, 0 where it did not."""

    number: int
    loss: torch.Tensor
    diverged: torch.Tensor


class TrainingStack:
    """S networks that share hidden size, images and regime, each with its own seed, batches and Adam state.

    On a CPU every product is made network by network, so that a network's arithmetic, and with it every bit of its
    weights, does not depend on what else is in the stack. On a GPU the products are batched.

    Parameters: `configs` of the S networks; `images` uint8 `[N, T, features]` and `labels` int64 `[N]` on the device
    that trains.
    """

    def __init__(self, configs: Sequence[NetworkConfig], images: torch.Tensor, labels: torch.Tensor, classes: int = 10):
        if len({(c.hidden_size, c.epochs, c.learning_rate, c.batch_size) for c in configs}) != 1:
            raise ValueError("the networks of a stack share hidden size, epochs, learning rate and batch size")
        self.configs = tuple(configs)
        self.images, self.labels = images, labels
        self.rows, self.features = images.shape[1:]
        self.device = images.device
        hidden = configs[0].hidden_size
        networks = [RecurrentNetwork.initial(c.seed, hidden, self.features, classes) for c in configs]
        # All weights of a network lie in one row, so that one Adam update serves them all.
        self.weights = torch.stack([_flatten(network) for network in networks]).to(self.device)
        self.gradient = torch.zeros_like(self.weights)
        self.first_moment = torch.zeros_like(self.weights)
        self.second_moment = torch.zeros_like(self.weights)
        shapes = [tuple(getattr(networks[0], name).shape) for name in ("input", "recurrent", "readout", "bias")]
        self.input, self.recurrent, self.readout, self.bias = _views(self.weights, shapes)
        self.d_input, self.d_recurrent, self.d_readout, self.d_bias = _views(self.gradient, shapes)
        self.steps = 0
        self.epoch = 0
        self.diverged = torch.zeros(len(configs), dtype=torch.int64)
        self._buffers: dict[int, _Buffers] = {}

    def networks(self) -> list[RecurrentNetwork]:
        """The stack's networks as they are now, copied."""
        stacks = (self.input, self.recurrent, self.readout, self.bias)
        return [RecurrentNetwork(*(stack[s].clone() for stack in stacks)) for s in range(len(self.configs))]

    def train(self) -> Iterator[Epoch]:
        """Trains to the configured number of epochs, yielding after each one."""
        while self.epoch < self.configs[0].epochs:
            yield self.train_epoch()

    def train_epoch(self) -> Epoch:
        length, size = len(self.images), self.configs[0].batch_size
        self.epoch += 1
        orders = torch.stack([permutation(c.seed, c.hidden_size, self.epoch, length) for c in self.configs])
        total = torch.zeros(len(self.configs), dtype=torch.float64, device=self.device)
        for indices in orders.to(self.device).split(size, dim=1):
            total += self.step(indices) * indices.shape[1]
        loss = (total / length).cpu()
        finite = torch.isfinite(loss) & torch.isfinite(self.weights).all(dim=1).cpu()
        self.diverged[(self.diverged == 0) & ~finite] = self.epoch
        return Epoch(self.epoch, loss, self.diverged.clone())

    def step(self, indices: torch.Tensor) -> torch.Tensor:
        """One Adam step on the images `indices` `[S, B]`; the loss before it, float32 `[S]`."""
        loss = self.backpropagate(indices)
        self.steps += 1
        beta1, beta2 = ADAM_BETAS
        self.first_moment.lerp_(self.gradient, 1 - beta1)
        self.second_moment.mul_(beta2).addcmul_(self.gradient, self.gradient, value=1 - beta2)
        rate = self.configs[0].learning_rate / (1 - beta1**self.steps)
        scale = math.sqrt(1 - beta2**self.steps)
        denominator = torch.sqrt(self.second_moment, out=self.gradient).div_(scale).add_(ADAM_EPSILON)
        self.weights.addcdiv_(self.first_moment, denominator, value=-rate)
        return loss

    def backpropagate(self, indices: torch.Tensor) -> torch.Tensor:
        """Fills the gradient of the mean cross-entropy on images `indices` `[S, B]`; the loss, float32 `[S]`."""
        buffers = self._load(indices)
        x, h, d = buffers.input, buffers.hidden, buffers.delta
        stack, rows, batch, hidden = h.shape

        # Contiguous transposes: the products below then read both factors along their rows.
        transposed = self.recurrent.transpose(1, 2).contiguous()
        _product(x.view(stack, rows * batch, -1), self.input.transpose(1, 2), h.view(stack, rows * batch, hidden))
        h[:, 0].tanh_()
        for t in range(1, rows):
            _product(h[:, t - 1], transposed, h[:, t], add=True)
            h[:, t].tanh_()

        logits = torch.empty(stack, batch, self.bias.shape[1], device=self.device)
        _product(h[:, -1], self.readout.transpose(1, 2), logits)
        logits += self.bias[:, None]
        log_probability = logits.log_softmax(dim=2)
        loss = -log_probability.gather(2, buffers.labels[..., None]).mean(dim=(1, 2))
        d_logits = log_probability.exp_()
        d_logits.scatter_add_(2, buffers.labels[..., None], d_logits.new_full((stack, batch, 1), -1.0))
        d_logits /= batch

        _product(d_logits.transpose(1, 2), h[:, -1], self.d_readout)
        torch.sum(d_logits, dim=1, out=self.d_bias)
        _product(d_logits, self.readout, d[:, -1])
        _through_tanh(d[:, -1], h[:, -1])
        for t in range(rows - 2, -1, -1):
            _product(d[:, t + 1], self.recurrent, d[:, t])
            _through_tanh(d[:, t], h[:, t])

        every = d.view(stack, rows * batch, hidden)
        _product(every.transpose(1, 2), x.view(stack, rows * batch, -1), self.d_input)
        later, earlier = d[:, 1:].reshape(stack, -1, hidden), h[:, :-1].reshape(stack, -1, hidden)
        _product(later.transpose(1, 2), earlier, self.d_recurrent)
        return loss

    def _load(self, indices: torch.Tensor) -> _Buffers:
        """The buffers for batches of this size, their input and labels filled."""
        stack, batch = indices.shape
        if batch not in self._buffers:
            hidden = self.configs[0].hidden_size
            shape = (stack, self.rows, batch)
            self._buffers[batch] = _Buffers(
                input=torch.empty(*shape, self.features, device=self.device),
                hidden=torch.empty(*shape, hidden, device=self.device),
                delta=torch.empty(*shape, hidden, device=self.device),
                labels=torch.empty(stack, batch, dtype=torch.int64, device=self.device),
            )
        buffers = self._buffers[batch]
        buffers.input.copy_(self.images[indices].transpose(1, 2)).div_(255)
        buffers.labels.copy_(self.labels[indices])
        return buffers


@dataclass
class _Buffers:
    input: torch.Tensor  # [S, T, B, features]
    hidden: torch.Tensor  # [S, T, B, H]
    delta: torch.Tensor  # [S, T, B, H]
    labels: torch.Tensor  # [S, B]


def _product(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor, add: bool = False) -> None:
    """out[s] = a[s] b[s], or out[s] += a[s] b[s], for each network s."""
    if a.is_cuda:
        torch.baddbmm(out, a, b, beta=float(add), out=out)
        return
    for one, other, target in zip(a, b, out, strict=True):
        if add:
            target.addmm_(one, other)
        else:
            torch.mm(one, other, out=target)


def _through_tanh(delta: torch.Tensor, hidden: torch.Tensor) -> None:
    """delta *= 1 - hidden^2, in one pass."""
    torch.ops.aten.tanh_backward.grad_input(delta, hidden, grad_input=delta)


def _flatten(network: RecurrentNetwork) -> torch.Tensor:
    parts = (network.input, network.recurrent, network.readout, network.bias)
    return torch.cat([part.reshape(-1) for part in parts])


def _views(flat: torch.Tensor, shapes: Sequence[tuple[int, ...]]) -> list[torch.Tensor]:
    """Views of `flat` `[S, P]` shaped `[S, *shape]`, one for each of `shapes`, in order."""
    sizes = [math.prod(shape) for shape in shapes]
    return [part.unflatten(1, shape) for part, shape in zip(flat.split(sizes, dim=1), shapes, strict=True)]
