"""The first cluster: do the images of one digit separate early, and does their cluster last (Horoi, Lajoie & Wolf 2020, section 4)?

Images that are blank so far all have the same state. They would be neighbours of each other by chance, so only images with ink in
the first rows count.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr

from study.measurements.geometry import EARLY_DIGIT, EARLY_STEP
from study.measurements.neighbours import NEIGHBOURS, agreement_of_each
from study.measurements.recording import Extent, Recording
from study.networks.network import scaled
from study.schema import labelled

SOURCES = ("trained", "untrained", "pixels")


def early_cluster(recording: Recording) -> Iterator[xr.DataArray]:
    """Whether sixes are neighbours of sixes, among the test images with ink in the first four rows, from step 4 on.

    Yields over (`source`, `time_step`): `early_cluster_agreement`, the share of a six's ten nearest neighbours that are sixes; and
    `early_cluster_kept`, of the sixes in the cluster at step 4 (more than half of whose neighbours are sixes), the share in it at a
    step. Of the pixels, a step has those of all rows so far.
    """
    early, labels = recording.test.images[:, :EARLY_STEP], recording.test.labels
    inked = torch.nonzero(early.flatten(1).any(dim=1))[:, 0]
    sixes = labels[inked] == EARLY_DIGIT
    agreement = np.full((len(SOURCES), recording.rows), np.nan)
    kept = agreement.copy()
    if recording.rows >= EARLY_STEP and len(inked) > NEIGHBOURS and int(sixes.sum()) > 1:
        pixels = scaled(recording.test.images[inked])
        of_source = {
            "trained": lambda step: recording.hidden[step, inked],
            "untrained": lambda step: recording.untrained.hidden[step, inked],
            "pixels": lambda step: pixels[:, : step + 1].flatten(1),
        }
        for place, source in enumerate(SOURCES):
            steps = range(EARLY_STEP - 1, recording.rows)
            shares = np.array([agreement_of_each(of_source[source](step), labels[inked])[sixes].cpu().numpy() for step in steps])
            agreement[place, EARLY_STEP - 1 :] = shares.mean(axis=1)
            members = shares > 0.5
            if members[0].any():
                kept[place, EARLY_STEP - 1 :] = members[:, members[0]].mean(axis=1)
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
        missing=f"{missing}; or no six is in the cluster at step {EARLY_STEP}",
        share=True,
    )


def memory(extent: Extent) -> int:
    """Bytes of the untrained network's states."""
    return extent.states()
