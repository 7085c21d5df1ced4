"""The paper's dimensionality: how many principal components carry 90% of the variance."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from study.measurements.recording import Extent, Recording
from study.networks.variance import Spread
from study.schema import labelled

SHARE = 0.9  # of the variance (Horoi, Lajoie & Wolf 2020, section 2)


def pca90(recording: Recording) -> Iterator[xr.DataArray]:
    """Principal components needed for at least 90% of the variance of the hidden states at each time step.

    Yields `pca90` over `time_step`, `pca90_by_label` over (`time_step`, `label`), and `peak_dimension`, the largest value of
    `pca90`. A count is 0 where the total variance is 0. Besides, of the trained network, `dimension90` over (`source`, `time_step`)
    and `dimension90_by_label` over (`source`, `time_step`, `label`): the same as continuous numbers. Within a component the share
    of the variance is taken to rise linearly, so that they lie above the count less one and are at most the count.
    """
    whole, by_label = (np.apply_along_axis(_components, -1, variances) for variances in recording.cached(principal_variances))
    labels, steps = np.arange(recording.test.classes), {"time_step": recording.time_steps}
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
        "pca90_by_label",
        by_label,
        steps | {"label": labels},
        "principal components for 90% of the variance, images of one class",
        units="components",
        role="curve",
        metric="pca90/by_label_mean",
    )
    yield labelled(
        "peak_dimension",
        whole.max(),
        {},
        "largest number of principal components over the time steps",
        units="components",
        role="number",
    )
    yield from _dimensions(recording.cached(principal_variances), "trained", recording)


def null(recording: Recording) -> Iterator[xr.DataArray]:
    """Yields `dimension90` and `dimension90_by_label` of the untrained network of the seed."""
    yield from _dimensions(recording.untrained.cached(principal_variances), "untrained", recording)


def null_memory(extent: Extent) -> int:
    """Bytes of the untrained network's states."""
    return extent.states()


def _dimensions(variances: tuple[np.ndarray, np.ndarray], source: str, recording: Recording) -> Iterator[xr.DataArray]:
    whole, by_label = (np.apply_along_axis(continuous, -1, part)[None] for part in variances)
    at = {"source": [source], "time_step": recording.time_steps}
    yield labelled(
        "dimension90",
        whole,
        at,
        "dimensions that carry 90% of the variance, all images",
        units="dimensions",
        role="curve",
        metric="dimension90/whole",
    )
    yield labelled(
        "dimension90_by_label",
        by_label,
        at | {"label": np.arange(recording.test.classes)},
        "dimensions that carry 90% of the variance, images of one class",
        units="dimensions",
        role="curve",
        metric="dimension90/by_label_mean",
    )


def principal_variances(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """The principal variances of the hidden states at each step, `[T, H]` of all images and `[T, K, H]` of the images of each
    label; ask for them with `Recording.cached`."""
    members = [recording.test.labels == label for label in range(recording.test.classes)]
    by_label = [[Spread.of(states[member]) for member in members] for states in recording.hidden]
    return _variances(recording.cached(spreads)), np.stack([_variances(parts) for parts in by_label])


def _variances(parts: list[Spread]) -> np.ndarray:
    return np.stack([part.principal_variances().cpu().numpy() for part in parts])


def spreads(recording: Recording) -> list[Spread]:
    """The spread of the hidden states of all test images at each time step, and between classes; ask for them with
    `Recording.cached`."""
    test = recording.test
    return [Spread.of(states, test.labels, test.classes) for states in recording.hidden]


def components(spread: Spread, share: float = SHARE) -> int:
    """The smallest k whose k largest principal components carry at least `share` of the variance of states.

    0 where all states are equal, or fewer than two are given. Computed in float64 from the scatter matrix.
    """
    return _components(spread.principal_variances().cpu().numpy(), share)


def _components(variances: np.ndarray, share: float = SHARE) -> int:
    cumulated = variances.cumsum()
    return int(np.searchsorted(cumulated, share * cumulated[-1])) + 1 if cumulated[-1] > 0 else 0


def continuous(variances: np.ndarray) -> float:
    """The number of components, the last one in part: as much of it as is needed to reach `SHARE`; 0 where there is no variance."""
    count = _components(variances)
    if not count:
        return 0.0
    before, own = variances[: count - 1].sum(), variances[count - 1]
    return count - 1 + float(np.clip((SHARE * variances.sum() - before) / own, 0, 1)) if own > 0 else float(count)
