"""The networks of one hidden size, as every claim sees them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from analysis.statistics.oscillation import Oscillation, oscillation

# Networks count as trained from this part of the way between chance and no mistake on: half of the images, with ten classes.
# Below it many measures still behave as the claims say, because those of untrained networks do.
LEARNED = 4 / 9


def least_accuracy(arrays: xr.Dataset) -> float:
    """The mean test accuracy from which on networks count as trained, by the number of classes of their data."""
    chance = 1 / arrays.sizes.get("label", 10)  # older records do not have the classes, and are of MNIST
    return chance + LEARNED * (1 - chance)


@dataclass(frozen=True)
class Sample:
    """The networks of one hidden size: their `arrays` along `seed`, and results that several claims use, computed only once."""

    arrays: xr.Dataset

    @property
    def hidden_size(self) -> int:
        return int(self.arrays.hidden_size)

    @property
    def n(self) -> int:
        """How many networks there are."""
        return self.arrays.sizes["seed"]

    @property
    def mean_accuracy(self) -> float:
        """The mean test accuracy; NaN where none is known."""
        return float(self.arrays.test_accuracy.mean())

    @property
    def trained_from(self) -> float:
        """See `least_accuracy`."""
        return least_accuracy(self.arrays)

    @cached_property
    def oscillation(self) -> Oscillation:
        """The test of each network's accuracy under blank rows for oscillation."""
        return oscillation(self.arrays.accuracy_appended.values, rng=self.hidden_size)

    def curves(self, name: str) -> np.ndarray:
        """A variable as an array with the networks first, `[n, ...]`."""
        return self.arrays[name].transpose("seed", ...).values


def present(dataset: xr.Dataset, hidden_size: int) -> xr.Dataset:
    """The networks of one hidden size that the study has, along `seed`."""
    arrays = dataset.sel(hidden_size=hidden_size)
    return arrays.isel(seed=np.flatnonzero(arrays.run_id.values != ""))
