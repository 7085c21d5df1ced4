"""The first cluster: do the images of one class separate early, and does their cluster last (Horoi, Lajoie & Wolf 2020, section 4)?

The class is the one that the data name (`study.measurements.early_class`). Images that are blank so far all have the same state.
They would be neighbours of each other by chance, so only images with ink in the first rows count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import xarray as xr

from study.measurements.early_class import NEIGHBOUR_IMAGES, early_class
from study.measurements.neighbours import NEIGHBOURS, agreement_of_each
from study.measurements.of_data import shares_of_data
from study.measurements.recording import Extent, Recording
from study.networks.network import scaled
from study.schema import labelled


def early_cluster(recording: Recording) -> Iterator[xr.DataArray]:
    """Whether images of the early class are neighbours of its images, among the first test images with ink in the early rows.

    Yields `early_class`, its label; and from the early step on, over (`source`, `time_step`): `early_cluster_agreement`, the share
    of the ten nearest neighbours of its images that are of it, too; and `early_cluster_kept`, of its images in the cluster at the
    early step (more than half of whose neighbours are of it), the share in it at a step. Of the pixels, a step has those of all
    rows so far.
    """
    test, named = recording.test, recording.cached(early_class)
    first, label = named.step, named.label
    inked = torch.nonzero(test.images[:, :first].flatten(1).any(dim=1))[:NEIGHBOUR_IMAGES, 0]
    members = test.labels[inked] == (-1 if label is None else label)
    networks = recording.by_source
    curves = np.full((2, len(networks) + 1, recording.rows), np.nan)  # of each network, and of the pixels
    if len(inked) > NEIGHBOURS and int(members.sum()) > 1:
        pixels = scaled(test.images[inked])
        after = curves[:, :, first - 1 :]

        def followed(points: Callable[[int], torch.Tensor]) -> np.ndarray:
            return _followed(points, members, range(first - 1, recording.rows))

        for place, network in enumerate(networks.values()):
            after[:, place] = followed(lambda step, hidden=network.hidden: hidden[step, inked])
        after[:, -1] = shares_of_data(
            f"the early cluster of pixels 2: class {label}",
            [test],
            after[:, -1].shape,
            lambda: followed(lambda step: pixels[:, : step + 1].flatten(1)),
        )
    agreement, kept = curves
    at = {"source": [*networks, "pixels"], "time_step": recording.time_steps}
    few = f"too few test images of the early class have ink in the first {first} rows"
    yield labelled(
        "early_class",
        np.nan if label is None else float(label),
        {},
        f"the class that the pixels of the first {first} rows set apart most, among the training images",
        missing=named.missing or None,
    )
    missing = named.missing or (few if np.isnan(agreement).all() else f"before step {first}")
    yield labelled(
        "early_cluster_agreement",
        agreement,
        at,
        f"share of the ten nearest neighbours of images of the early class that are of it, among images with ink by row {first}",
        role="curve",
        metric="early_cluster/agreement",
        missing=missing,
        share=True,
        images=len(inked),
    )
    yield labelled(
        "early_cluster_kept",
        kept,
        at,
        f"share of the images of the early class in the cluster at step {first} that are in it at this step",
        role="curve",
        metric="early_cluster/kept",
        missing=missing,
        share=True,
    )


def _followed(points: Callable[[int], torch.Tensor], members: torch.Tensor, steps: range) -> np.ndarray:
    """The agreement of the images of the early class, and the share of the first cluster kept, at each of some steps (from 0);
    `[2, steps]`. Without an image in the first cluster, none is kept."""
    shares = np.array([agreement_of_each(points(step), members.long())[members].cpu().numpy() for step in steps])
    clustered = shares > 0.5
    kept = clustered[:, clustered[0]].mean(axis=1) if clustered[0].any() else np.zeros(len(steps))
    return np.stack([shares.mean(axis=1), kept])


def memory(extent: Extent) -> int:
    """Bytes of the untrained network's states, and of distances between pairs of images and two copies."""
    return extent.states() + 3 * 4 * min(NEIGHBOUR_IMAGES, extent.test_images) ** 2
