"""The vanilla tanh network of the paper: its weights, its state dictionary and its roll-outs.

    h_t = tanh(W x_t + R h_{t-1}),   h_0 = 0,   logits = V h_T + c        (Horoi, Lajoie & Wolf 2020, section 2)

There is no bias in the recurrent layer. A row of zeros ("blank") therefore applies the autonomous map
h -> tanh(R h), which is odd and fixed at 0.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from study.data.sources import Images
from study.networks import weights
from study.networks.seeding import generator
from study.networks.weights import ABSENT, STATE_NAMES
from study.terminal.errors import InputError


@dataclass(frozen=True)
class RecurrentNetwork:
    """One network's weights (float32), or those of a stack of S networks with a leading dimension S.

    Attributes: `input` W `[H, features]`, `recurrent` R `[H, H]`, `readout` V `[classes, H]`, `bias` c `[classes]`. The states
    and logits of a stack have the leading dimension S too; images are shared.
    """

    input: torch.Tensor
    recurrent: torch.Tensor
    readout: torch.Tensor
    bias: torch.Tensor

    @property
    def hidden_size(self) -> int:
        return self.recurrent.shape[-1]

    @classmethod
    def initial(cls, seed: int, hidden_size: int, features: int = 28, classes: int = 10) -> RecurrentNetwork:
        """The untrained network of a seed: uniform in +-1/sqrt(H), the bounds of `nn.RNN` and `nn.Linear`."""
        draw = generator(seed, hidden_size, "weights")
        bound = 1 / math.sqrt(hidden_size)
        shapes = ((hidden_size, features), (hidden_size, hidden_size), (classes, hidden_size), (classes,))
        return cls(*(torch.empty(shape).uniform_(-bound, bound, generator=draw) for shape in shapes))

    def to(self, device: torch.device | str) -> RecurrentNetwork:
        return RecurrentNetwork(*(getattr(self, name).to(device) for name in STATE_NAMES))

    def double(self) -> RecurrentNetwork:
        """The same weights in float64."""
        return RecurrentNetwork(*(getattr(self, name).double() for name in STATE_NAMES))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The weights under the names of `STATE_NAMES`."""
        return {full: getattr(self, name) for name, full in STATE_NAMES.items()}

    @classmethod
    def from_state_dict(cls, state: dict[str, torch.Tensor], origin: str = "the state dictionary") -> RecurrentNetwork:
        """Takes weights under the names of `STATE_NAMES`; raises `InputError` naming what does not fit."""
        weights.check({name: (str(value.dtype), tuple(value.shape)) for name, value in state.items()}, origin)
        for name in ABSENT:
            if name in state and state[name].any():
                raise InputError(
                    f"{origin}: {name} is not zero, but this network has no bias in its recurrent layer: expected a "
                    "network trained with bias=False"
                )
        taken = {name: state[name].float().contiguous() for name in STATE_NAMES.values()}
        for name, value in taken.items():
            if not value.isfinite().all():
                raise InputError(f"{origin}: {name} holds values that are not finite numbers of 32 bits")
        return cls(*taken.values())

    def save(self, path: Path) -> None:
        """Writes a safetensors file, whole or not at all."""
        weights.write(path, self.state_dict())

    @classmethod
    def load(cls, path: Path) -> RecurrentNetwork:
        """Reads a safetensors file; raises `InputError` where it is missing, unreadable or holds another network."""
        return cls.from_state_dict(weights.read(path)[0], str(path))

    def checked_for(self, images: Images, origin: str) -> RecurrentNetwork:
        """This network; raises `InputError`, naming its `origin`, where it does not read such images."""
        features, classes = self.input.shape[1], len(self.bias)
        if features != images.images.shape[2] or classes != images.classes:
            raise InputError(
                f"{origin} reads rows of {features} pixels into {classes} classes: the data set has rows of "
                f"{images.images.shape[2]} pixels and {images.classes} classes"
            )
        return self

    def logits(self, state: torch.Tensor) -> torch.Tensor:
        """The readout V h + c of states `[N, H]`: `[N, classes]`."""
        return torch.matmul(state, self.readout.mT).add_(self.bias[..., None, :])

    def predict(self, state: torch.Tensor) -> torch.Tensor:
        """The label the readout gives each state `[N, H]`: int64 `[N]`."""
        return self.logits(state).argmax(dim=-1)

    def rows(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        """The hidden states h_1 .. h_T `[N, H]` of images `[N, T, features]` (float32), each a new tensor."""
        transposed = self.recurrent.mT.contiguous()
        add_product = torch.Tensor.baddbmm_ if self.recurrent.ndim == 3 else torch.Tensor.addmm_
        state = None
        for row in images.unbind(dim=1):
            drive = torch.matmul(row, self.input.mT)
            state = (drive if state is None else add_product(drive, state, transposed)).tanh_()
            yield state

    def blank_rows(self, state: torch.Tensor, count: int) -> Iterator[torch.Tensor]:
        """The states after 1 .. `count` blank rows from `state` `[N, H]`.

        Two buffers are used in turn: a state is overwritten two steps after it was yielded.
        """
        transposed = self.recurrent.mT.contiguous()
        buffers = torch.empty_like(state), torch.empty_like(state)
        for step in range(count):
            state = torch.mm(state, transposed, out=buffers[step % 2]).tanh_()
            yield state


def accuracy(network: RecurrentNetwork, test: Images, chunk: int = 500) -> torch.Tensor:
    """The share of images whose label the readout gives after the last row; float64 `[]`, or `[S]` for a stack."""
    correct = torch.zeros(network.bias.shape[:-1], dtype=torch.int64, device=network.bias.device)
    for images, labels in zip(test.images.split(chunk), test.labels.split(chunk), strict=True):
        last = deque(network.rows(scaled(images)), maxlen=1).pop()  # no list: that would hold every row's states
        correct += (network.predict(last) == labels).sum(dim=-1)
    return correct.double() / len(test)


def scaled(images: torch.Tensor) -> torch.Tensor:
    """Pixels 0..255 (uint8) as float32 in [0, 1]."""
    return images.float().div_(255)
