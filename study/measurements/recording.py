"""A network and the images it is shown, the input of every measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch

from study.data.sources import Images
from study.networks.network import Lacking, Network, RecurrentNetwork, scaled

CPU_CHUNK = 500  # images rolled out together on a CPU: two states of 200 units then fit into a core's cache
Result = TypeVar("Result")


@dataclass(frozen=True)
class Extent:
    """How much there is to measure: the numbers in a state, `state_size`; `rows`, `features` and `classes` of the images; how many
    `test_images` there are."""

    state_size: int
    rows: int
    features: int
    classes: int
    test_images: int

    def states(self, images: int | None = None) -> int:
        """Bytes of the states at all rows of some images, of the test images where none are given."""
        return 4 * self.rows * self.state_size * (self.test_images if images is None else images)

    def step(self) -> int:
        """Bytes of one step's states on the test images in float64, and of two copies."""
        return 3 * 8 * self.test_images * self.state_size


def nothing_more(_: Extent) -> int:
    """What a measurement takes that looks at one step after the other."""
    return 0


@dataclass(frozen=True, eq=False)
class Recording:
    """One network and the images it is shown.

    Attributes: the `network`; `test`, the images it is measured on; `train`, the training images from which probes learn;
    `blank_rows`, the longest run of blank rows it is shown; `seed`, that of the untrained network it is compared with, unless this
    is given, as the network `before` training.
    """

    network: Network
    test: Images
    train: Images
    blank_rows: int = 500
    seed: int = 0
    before: Network | None = None
    _kept: dict[Callable, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def rows(self) -> int:
        return self.test.images.shape[1]

    @property
    def time_steps(self) -> np.ndarray:
        """1 .. T."""
        return np.arange(1, self.rows + 1)

    @property
    def chunk(self) -> int:
        """How many images are rolled out together: what a CPU core's cache holds, or all on a GPU."""
        return len(self.test) if self.test.images.is_cuda else CPU_CHUNK

    def cached(self, function: Callable[[Recording], Result]) -> Result:
        """The result of a function of this recording, computed on first use and cached for all measurements that use it."""
        if function not in self._kept:
            self._kept[function] = function(self)
        return self._kept[function]

    def state(self, rows_shown: int, start: int, stop: int) -> torch.Tensor:
        """The states `[stop - start, D]` of some images after `rows_shown` rows; before the first row, the cell's initial ones."""
        if rows_shown:
            return self.states[rows_shown - 1, start:stop]
        return self.network.start(stop - start)

    @cached_property
    def states(self) -> torch.Tensor:
        """The states s_1 .. s_T of every test image, float32 `[T, N, D]`."""
        return self.states_of(self.test)

    @property
    def hidden(self) -> torch.Tensor:
        """The hidden states h_1 .. h_T in them, float32 `[T, N, H]`."""
        return self.network.cell.observed(self.states)

    def states_of(self, images: Images) -> torch.Tensor:
        """The states s_1 .. s_T of any images, float32 `[T, N, D]`."""
        states = torch.empty(self.rows, len(images), self.network.state_size, device=images.images.device)
        for start in range(0, len(images), self.chunk):
            stop = start + self.chunk
            for t, state in enumerate(self.network.rows(scaled(images.images[start:stop]))):
                states[t, start:stop] = state
        return states

    def steps_of(self, images: Images) -> Iterator[torch.Tensor]:
        """The same, bit for bit, a step `[N, D]` at a time: what one step needs at once is a T-th of all."""
        parts = [self.network.rows(scaled(part)) for part in images.images.split(self.chunk)]
        for states in zip(*parts, strict=True):
            yield torch.cat(states)

    @property
    def recurrent_network(self) -> RecurrentNetwork:
        """The network, where it is given by matrices; raises `Lacking` where it is a module of someone's own."""
        if isinstance(self.network, RecurrentNetwork):
            return self.network
        raise Lacking("it needs the recurrent matrix and that of the readout, which a module does not tell")

    @property
    def by_source(self) -> dict[str, Recording]:
        """This recording as `trained`, and the `untrained` one where there is one."""
        known = self.before is not None or isinstance(self.network, RecurrentNetwork)
        return {"trained": self} | ({"untrained": self.untrained} if known else {})

    @cached_property
    def untrained(self) -> Recording:
        """The same images shown to the untrained network; raises `Lacking` where there is none."""
        network = (self.before or self.network.untrained(self.seed)).to(self.test.images.device)
        return Recording(network, self.test, self.train, self.blank_rows, self.seed)
