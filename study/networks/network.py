"""A recurrent network: a cell with its parameters and a linear readout, its state dictionary and its roll-outs.

    s_t = cell(s_{t-1}, x_t),   logits = V h_T + c,   h the observed part of the state s

For the paper's cell, s = h and h_t = tanh(W x_t + R h_{t-1}), h_0 = 0 (Horoi, Lajoie & Wolf 2020, section 2). A row of zeros
("blank") applies the cell's autonomous map.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import torch

from study.data.sources import Images, Order
from study.networks import kernels, weights
from study.networks.cells import TANH, Cell
from study.networks.rest import rest_state
from study.networks.seeding import generator
from study.networks.weights import READOUT
from study.terminal.errors import InputError


class Lacking(Exception):
    """A network does not have what a measurement needs; the message, the end of "left out, since ...", says what."""


@dataclass(frozen=True)
class Network(ABC):
    """What is measured: a `cell`, its `parameters` by name, and a readout of states; `study.networks.modules` has another kind than
    the one below."""

    cell: Cell
    parameters: Mapping[str, torch.Tensor]

    @property
    @abstractmethod
    def hidden_size(self) -> int:
        """The numbers H in a hidden state, which probes and measures of geometry see."""

    @property
    @abstractmethod
    def features(self) -> int:
        """The number of pixels per row."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """The number of labels that the readout chooses from."""

    @property
    def state_size(self) -> int:
        """The numbers D in a state."""
        return self.cell.state_size(self.hidden_size)

    @abstractmethod
    def logits(self, state: torch.Tensor) -> torch.Tensor:
        """The readout's logits `[N, classes]` of states `[N, D]`."""

    @abstractmethod
    def untrained(self, seed: int) -> Network:
        """The untrained network of a seed, with the same cell and sizes; raises `Lacking` where there is none."""

    @abstractmethod
    def to(self, device: torch.device | str) -> Network:
        """The same network on a device."""

    @abstractmethod
    def double(self) -> Network:
        """The same weights in float64."""

    @abstractmethod
    def state_dict(self) -> dict[str, torch.Tensor]:
        """The weights by name."""

    def checked_for(self, images: Images, origin: str) -> Self:
        """This network; raises `InputError`, naming its `origin`, where it does not read such images."""
        if self.features != images.images.shape[2] or self.classes != images.classes:
            raise InputError(
                f"{origin} reads rows of {self.features} pixels into {self.classes} classes: the data set has rows of "
                f"{images.images.shape[2]} pixels and {images.classes} classes"
            )
        return self

    def predict(self, state: torch.Tensor) -> torch.Tensor:
        """The label the readout gives each state `[N, D]`: int64 `[N]`.

        It is `classes`, which is none of them, where a logit is not finite: a state that is not bounded may overflow.
        """
        logits = self.logits(state)
        labels = logits.argmax(dim=-1)
        return labels if self.cell.bounded else labels.where(logits.isfinite().all(dim=-1), self.classes)

    def start(self, count: int) -> torch.Tensor:
        """The states `[count, D]` before the first row."""
        return self.cell.start(self.parameters, count)

    def rows(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        """The states s_1 .. s_T `[N, D]` of images `[N, T, features]` (float32), each a new tensor."""
        return self.cell.rows(self.parameters, images)

    def blank_rows(self, state: torch.Tensor, count: int) -> Iterator[torch.Tensor]:
        """The states after 1 .. `count` blank rows from `state` `[N, D]`; each may be overwritten two steps later."""
        return self.cell.blank_rows(self.parameters, state, count)

    @cached_property
    def rest_jacobian(self) -> torch.Tensor | None:
        """The Jacobian `[D, D]` of the blank map at its rest state (R, for the paper's cell); None where no rest state is found, or
        where the map has no derivative there."""
        if not self.cell.smooth_at_rest:
            return None
        rest = rest_state(self.cell, self.parameters)
        return None if rest is None else self.cell.jacobian(self.parameters, rest.to(self.start(1).dtype)[None])[0]


@dataclass(frozen=True)
class RecurrentNetwork(Network):
    """One network's weights (float32), or those of a stack of S networks with a leading dimension S.

    Attributes: its `cell` and the cell's `parameters` by name, among them `input` and `recurrent`; `readout` V `[classes, H]`,
    `bias` c `[classes]`. The states and logits of a stack have the leading dimension S too; images are shared.
    """

    readout: torch.Tensor
    bias: torch.Tensor

    @property
    def input(self) -> torch.Tensor:
        """The parameter `input`; W `[H, features]` for the paper's cell."""
        return self.parameters["input"]

    @property
    def recurrent(self) -> torch.Tensor:
        """The parameter `recurrent`; R `[H, H]` for the paper's cell."""
        return self.parameters["recurrent"]

    @property
    def hidden_size(self) -> int:
        return self.recurrent.shape[-1]

    @property
    def features(self) -> int:
        """The number of pixels per row."""
        return self.input.shape[-1]

    @property
    def classes(self) -> int:
        return self.bias.shape[-1]

    @classmethod
    def initial(cls, seed: int, hidden_size: int, features: int, classes: int, cell: Cell = TANH) -> RecurrentNetwork:
        """The untrained network of a seed: the cell's initial values, and a readout uniform in +-1/sqrt(H), as in `nn.Linear`."""
        draw = generator(seed, hidden_size, "weights")
        parameters = cell.initial(hidden_size, features, draw)
        bound = 1 / math.sqrt(hidden_size)
        shapes = ((classes, hidden_size), (classes,))
        return cls(cell, parameters, *(torch.empty(shape).uniform_(-bound, bound, generator=draw) for shape in shapes))

    def untrained(self, seed: int) -> RecurrentNetwork:
        """The untrained network of a seed, with the same cell and sizes."""
        return RecurrentNetwork.initial(seed, self.hidden_size, self.features, self.classes, self.cell)

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> RecurrentNetwork:
        """The network with `change` applied to every tensor."""
        parameters = {name: change(value) for name, value in self.parameters.items()}
        return RecurrentNetwork(self.cell, parameters, change(self.readout), change(self.bias))

    def to(self, device: torch.device | str) -> RecurrentNetwork:
        return self.each(lambda tensor: tensor.to(device))

    def double(self) -> RecurrentNetwork:
        """The same weights in float64."""
        return self.each(torch.Tensor.double)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The weights under the names of `study.networks.weights.state_names`."""
        values = {**self.parameters, **{name: getattr(self, name) for name in READOUT}}
        return {full: values[name] for name, full in weights.state_names(self.cell).items()}

    @classmethod
    def from_state_dict(
        cls, state: Mapping[str, torch.Tensor], origin: str = "the state dictionary", cell: Cell = TANH
    ) -> RecurrentNetwork:
        """A network from weights named as in `study.networks.weights.state_names`; raises `InputError` if they do not fit."""
        weights.check({name: (str(value.dtype), tuple(value.shape)) for name, value in state.items()}, origin, cell)
        for name in cell.absent:
            if name in state and state[name].any():
                raise InputError(
                    f"{origin}: {name} is not zero, but this network has no bias in its recurrent layer: expected a "
                    "network trained with bias=False"
                )
        taken = {name: state[full].float().contiguous() for name, full in weights.state_names(cell).items()}
        for name, value in taken.items():
            if not value.isfinite().all():
                full = weights.state_names(cell)[name]
                raise InputError(f"{origin}: {full} holds values that are not finite 32-bit numbers")
        return cls(cell, {name: taken[name] for name in cell.names}, *(taken[name] for name in READOUT))

    def save(self, path: Path, reads: Order = "rows") -> None:
        """Writes a safetensors file, whole or not at all, which says that the network `reads` images in this order."""
        weights.write(path, self.state_dict(), self.cell, reads)

    @classmethod
    def load(cls, path: Path, reads: Order | None = "rows") -> RecurrentNetwork:
        """Reads a safetensors file, with the registered cell that it names; raises `InputError` where it is missing, unreadable,
        holds another network, or one that `reads` images in another order (None for any)."""
        held = weights.read(path, reads)
        return cls.from_state_dict(held.state, str(path), held.cell)

    def logits(self, state: torch.Tensor) -> torch.Tensor:
        """The readout V h + c of states `[N, D]`: `[N, classes]`."""
        hidden = self.cell.observed(state)
        here = kernels.in_use(hidden) if hidden.ndim == self.readout.ndim == 2 else kernels.TORCH
        return here.product(hidden, self.readout.mT).add_(self.bias[..., None, :])


def tanh_network(input: torch.Tensor, recurrent: torch.Tensor, readout: torch.Tensor, bias: torch.Tensor) -> RecurrentNetwork:
    """A network of the paper's cell: W `[H, features]`, R `[H, H]`, V `[classes, H]` and c `[classes]`."""
    return RecurrentNetwork(TANH, {"input": input, "recurrent": recurrent}, readout, bias)


def accuracy(network: RecurrentNetwork, test: Images, chunk: int = 500) -> torch.Tensor:
    """The share of images that the readout classifies correctly after the last row; float64 `[]`, or `[S]` for a stack."""
    correct = torch.zeros(network.bias.shape[:-1], dtype=torch.int64, device=network.bias.device)
    for images, labels in zip(test.images.split(chunk), test.labels.split(chunk), strict=True):
        last = deque(network.rows(scaled(images)), maxlen=1).pop()  # a list would keep the states of all rows
        correct += (network.predict(last) == labels).sum(dim=-1)
    return correct.double() / len(test)


def scaled(images: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Pixels as networks see them: those of uint8, 0..255, in [0, 1], and floating-point ones as they are.

    The result may be the argument itself, and is not to be changed.
    """
    return images.to(dtype) if images.is_floating_point() else images.to(dtype).div_(255)
