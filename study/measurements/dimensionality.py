"""The paper's dimensionality: how many principal components carry 90% of the variance."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr

from study.measurements.recording import Recording
from study.measurements.variance import Spread
from study.schema import labelled

SHARE = 0.9  # of the variance (Horoi, Lajoie & Wolf 2020, section 2)


def pca90(recording: Recording) -> Iterator[xr.DataArray]:
    """Principal components needed for at least 90% of the variance of the hidden states at each time step.

    Yields `pca90` over `time_step`, `pca90_by_digit` over (`time_step`, `digit`), and `peak_dimension`, the largest
    value of `pca90`. A count is 0 where the total variance is 0.
    """
    digits = np.arange(recording.test.classes)
    members = [recording.test.labels == int(digit) for digit in digits]
    whole = np.array([components(spread) for spread in recording.cached(spreads)])
    by_digit = np.array([[components(Spread.of(states[member])) for member in members] for states in recording.hidden])
    steps = {"time_step": recording.time_steps}
    yield labelled(
        "pca90",
        whole,
        steps,
        "principal components for 90% of the variance, all images",
        units="components",
        role="curve",
        metric="pca90/whole",
    )
    yield labelled(
        "pca90_by_digit",
        by_digit,
        steps | {"digit": digits},
        "principal components for 90% of the variance, images of one digit",
        units="components",
        role="curve",
        metric="pca90/by_digit_mean",
    )
    yield labelled(
        "peak_dimension",
        whole.max(),
        {},
        "largest number of principal components over the time steps",
        units="components",
        role="number",
    )


def spreads(recording: Recording) -> list[Spread]:
    """The spread of the hidden states of all test images at each time step, and between digits; ask for them with
    `Recording.cached`."""
    test = recording.test
    return [Spread.of(states, test.labels, test.classes) for states in recording.hidden]


def components(spread: Spread, share: float = SHARE) -> int:
    """The smallest k whose k largest principal components carry at least `share` of the variance of states.

    0 where all states are equal, or fewer than two are given. Computed in float64 from the scatter matrix.
    """
    variance = spread.principal_variances().cumsum(0)
    return int(torch.searchsorted(variance, share * variance[-1])) + 1 if variance[-1] > 0 else 0
