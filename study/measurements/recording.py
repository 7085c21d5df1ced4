"""A network and the test images it is shown: what every measurement starts from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from study.data import Images
from study.network import RecurrentNetwork, scaled

CPU_CHUNK = 500  # images rolled out together on a CPU: two states of 200 units then fit into a core's cache


@dataclass(frozen=True)
class Recording:
    """One network, the images it is tested on, and the longest run of blank rows it is shown.

    The hidden states on the images' own rows are computed once, on first use, and shared by all measurements.
    """

    network: RecurrentNetwork
    test: Images
    blank_rows: int = 500

    @property
    def rows(self) -> int:
        return self.test.images.shape[1]

    @property
    def chunk(self) -> int:
        """How many images are rolled out together: what a CPU core's cache holds, or all on a GPU."""
        return len(self.test) if self.test.images.is_cuda else CPU_CHUNK

    def state(self, rows_shown: int, start: int, stop: int) -> torch.Tensor:
        """The states `[stop - start, H]` of some images after `rows_shown` rows; 0 before the first row."""
        if rows_shown:
            return self.states[rows_shown - 1, start:stop]
        return torch.zeros(stop - start, self.network.hidden_size, device=self.test.images.device)

    @property
    def time_steps(self) -> np.ndarray:
        """1 .. T."""
        return np.arange(1, self.rows + 1)

    @cached_property
    def states(self) -> torch.Tensor:
        """The hidden states h_1 .. h_T of every image, float32 `[T, N, H]`."""
        states = torch.empty(self.rows, len(self.test), self.network.hidden_size, device=self.test.images.device)
        for start in range(0, len(self.test), self.chunk):
            stop = start + self.chunk
            for t, state in enumerate(self.network.rows(scaled(self.test.images[start:stop]))):
                states[t, start:stop] = state
        return states
