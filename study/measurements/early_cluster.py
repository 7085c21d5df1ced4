"""The first cluster: do the images of one digit separate early, and does their cluster last (Horoi, Lajoie & Wolf 2020, section 4)?

Images that are blank so far all have the same state. They would be neighbours of each other by chance, so only images with ink in
the first rows count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import xarray as xr

from study.measurements.geometry import EARLY_DIGIT, EARLY_STEP, NEIGHBOUR_IMAGES
from study.measurements.neighbours import NEIGHBOURS, agreement_of_each
from study.measurements.of_data import shares_of_data
from study.measurements.recording import Extent, Recording
from study.networks.network import scaled
from study.schema import labelled

SOURCES = ("trained", "untrained", "pixels")


def early_cluster(recording: Recording) -> Iterator[xr.DataArray]:
    """Whether sixes are neighbours of sixes, among the first test images with ink in the first four rows, from step 4 on.

    Yields over (`source`, `time_step`): `early_cluster_agreement`, the share of a six's ten nearest neighbours that are sixes; and
    `early_cluster_kept`, of the sixes in the cluster at step 4 (more than half of whose neighbours are sixes), the share in it at a
    step. Of the pixels, a step has those of all rows so far.
    """
    test = recording.test
    inked = torch.nonzero(test.images[:, :EARLY_STEP].flatten(1).any(dim=1))[:NEIGHBOUR_IMAGES, 0]
    labels = test.labels[inked]
    curves = np.full((2, len(SOURCES), recording.rows), np.nan)
    if recording.rows >= EARLY_STEP and len(inked) > NEIGHBOURS and int((labels == EARLY_DIGIT).sum()) > 1:
        pixels = scaled(test.images[inked])
        after = curves[:, :, EARLY_STEP - 1 :]
        after[:, 0] = _followed(lambda step: recording.hidden[step, inked], labels, recording.rows)
        after[:, 1] = _followed(lambda step: recording.untrained.hidden[step, inked], labels, recording.rows)

        def of_pixels() -> np.ndarray:
            return _followed(lambda step: pixels[:, : step + 1].flatten(1), labels, recording.rows)

        after[:, 2] = shares_of_data("the early cluster of pixels 1", [test], after[:, 2].shape, of_pixels)
    agreement, kept = curves
    at = {"source": list(SOURCES), "time_step": recording.time_steps}
    missing = f"before step {EARLY_STEP}; or too few images of label {EARLY_DIGIT} have ink in the first {EARLY_STEP} rows"
    yield labelled(
        "early_cluster_agreement",
        agreement,
        at,
        f"share of the ten nearest neighbours of sixes that are sixes, among images with ink by row {EARLY_STEP}",
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
        f"share of the sixes in the cluster at step {EARLY_STEP} that are in it at this step",
        role="curve",
        metric="early_cluster/kept",
        missing=missing,
        share=True,
    )


def _followed(points: Callable[[int], torch.Tensor], labels: torch.Tensor, rows: int) -> np.ndarray:
    """The agreement of the sixes, and the share of the first cluster kept, at each step from the fourth on; `[2, T-3]`. Without a
    six in the first cluster, none is kept."""
    sixes = labels == EARLY_DIGIT
    steps = range(EARLY_STEP - 1, rows)
    shares = np.array([agreement_of_each(points(step), labels)[sixes].cpu().numpy() for step in steps])
    members = shares > 0.5
    kept = members[:, members[0]].mean(axis=1) if members[0].any() else np.zeros(len(steps))
    return np.stack([shares.mean(axis=1), kept])


def memory(extent: Extent) -> int:
    """Bytes of the untrained network's states, and of distances between pairs of images and two copies."""
    return extent.states() + 3 * 4 * min(NEIGHBOUR_IMAGES, extent.test_images) ** 2
