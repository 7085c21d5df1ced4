"""The common part of all lanes: flat weights, Adam's state and its update."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from study.config import NetworkConfig
from study.data.sources import Images
from study.networks.cells import Cell
from study.networks.network import RecurrentNetwork
from study.networks.weights import READOUT

ADAM_BETAS, ADAM_EPSILON = (0.9, 0.999), 1e-8  # PyTorch's defaults


@dataclass(frozen=True)
class Layout:
    """The layout of a network's P weights in one flat vector: its `cell`, and the `shapes` of the tensors by name, in order."""

    cell: Cell
    shapes: dict[str, torch.Size]

    @classmethod
    def of(cls, network: RecurrentNetwork) -> Layout:
        return cls(network.cell, {name: tensor.shape for name, tensor in _tensors(network).items()})

    def flat(self, network: RecurrentNetwork) -> torch.Tensor:
        """A network's weights as one vector `[P]`."""
        return torch.cat([tensor.reshape(-1) for tensor in _tensors(network).values()])

    def network(self, flat: torch.Tensor) -> RecurrentNetwork:
        """The network whose tensors are views of `flat` `[.., P]`."""
        parts = flat.split([math.prod(shape) for shape in self.shapes.values()], dim=-1)
        views = {name: part.unflatten(-1, shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}
        return RecurrentNetwork(self.cell, {name: views[name] for name in self.cell.names}, *(views[name] for name in READOUT))


@dataclass(frozen=True)
class Batch:
    """The images of one step: their `indices` `[.., B]`; where a lane uses it, how many of them have begun by each row, `active`
    `[T]`: the first ones; and how many rows of zeros, `blanks`, follow before the network is read."""

    indices: torch.Tensor
    active: tuple[int, ...] = ()
    blanks: int = 0


class Lane(ABC):
    """Networks trained together: their `weights` `[P]`, or `[S, P]` if the lane can be a stack (`stacked`), Adam's moments, the
    number of `steps` done, the `network` whose tensors are views of the weights, the same for the `gradients`, and `loss` `[..]`,
    the sum of the losses over an epoch's images.

    Of each kind of lane, `kept` is how many numbers per unit, row and image it keeps for the way back.
    """

    stacked: ClassVar[bool]
    kept: ClassVar[int]

    def __init__(self, weights: torch.Tensor, layout: Layout, config: NetworkConfig, train: Images):
        self.weights, self.batched = weights, weights.ndim == 2
        self.images, self.labels, self.precision = train.images, train.labels, config.precision
        self.learning_rate = config.learning_rate
        self.most_blanks = max(config.trailing())  # of a batch
        self.gradient, self.first_moment, self.second_moment = (torch.zeros_like(weights) for _ in range(3))
        self.step_count = torch.zeros((), dtype=torch.float32, device=weights.device)
        self.network, self.gradients = layout.network(weights), layout.network(self.gradient)
        self.loss = torch.zeros(weights.shape[:-1], dtype=torch.float64, device=weights.device)

    @property
    def steps(self) -> int:
        return int(self.step_count)

    @steps.setter
    def steps(self, count: int) -> None:
        self.step_count.fill_(count)

    def pass_over(self, order: torch.Tensor, size: int, blanks: Iterable[int]) -> None:
        """Trains for one pass over the images in the `order` of indices `[.., N]`, in batches of `size` (the last may be smaller),
        each followed by as many blank rows as `blanks` says.
        Adds each batch's loss before its step, times the number of its images, to `loss`."""
        for batch, count in zip(self.batches(order, size), blanks, strict=True):
            self.step(replace(batch, blanks=count) if count else batch)

    def batches(self, order: torch.Tensor, size: int) -> Iterator[Batch]:
        """An epoch's batches, in the given order."""
        yield from map(Batch, order.to(self.weights.device).split(size, dim=-1))

    def step(self, batch: Batch) -> None:
        """One Adam step on a batch; the loss before it, times B, is added to `loss`."""
        self.loss.add_(self.backpropagate(batch), alpha=batch.indices.shape[-1])
        self.adam()

    @abstractmethod
    def backpropagate(self, batch: Batch) -> torch.Tensor:
        """Fills `gradient` with the gradient of the mean cross-entropy on a batch; returns the loss `[..]`."""

    def adam(self) -> None:
        """One step of Adam (Kingma & Ba 2015) along `gradient`."""
        self.step_count += 1
        # The kernel is called directly: `torch.optim.Adam.step` takes four times as long at 200 units.
        torch._fused_adam_(  # pyright: ignore[reportPrivateImportUsage]
            [self.weights],
            [self.gradient],
            [self.first_moment],
            [self.second_moment],
            [],
            [self.step_count],
            lr=self.learning_rate,
            beta1=ADAM_BETAS[0],
            beta2=ADAM_BETAS[1],
            weight_decay=0.0,
            eps=ADAM_EPSILON,
            amsgrad=False,
            maximize=False,
        )


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean cross-entropy `[..]` of logits `[.., B, K]` for labels `[.., B, 1]`, and its gradient with respect to the logits."""
    log_probability = logits.log_softmax(dim=-1)
    loss = -log_probability.gather(-1, labels).mean(dim=(-2, -1))
    gradient = log_probability.exp_()
    gradient.scatter_add_(-1, labels, gradient.new_full(labels.shape, -1.0))
    gradient /= labels.shape[-2]
    return loss, gradient


def _tensors(network: RecurrentNetwork) -> dict[str, torch.Tensor]:
    return {**network.parameters, **{name: getattr(network, name) for name in READOUT}}
