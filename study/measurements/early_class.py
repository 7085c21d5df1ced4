"""The class that separates early: which one the pixels of the first rows set apart, in a data set, without any network.

The paper saw the sixes of MNIST stand apart after 4 of 28 rows (Horoi, Lajoie & Wolf 2020, section 4). In other data another class
does, or none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from study.data.sources import Images
from study.measurements.neighbours import NEIGHBOURS, neighbour_agreement
from study.measurements.of_data import shares_of_data
from study.measurements.recording import Recording
from study.networks.network import scaled

EARLY = 1 / 7  # of the rows: the paper's 4 of 28
NEIGHBOUR_IMAGES = 2500  # among which neighbours are searched for
LEAST = 0.1  # of the way from chance to certainty: a class less apart does not count as separate


@dataclass(frozen=True)
class EarlyClass:
    """The `step` that counts as early, and the `label` of the class that separates by then; None where there is none, and `missing`
    says why."""

    step: int
    label: int | None
    missing: str


def early_step(rows: int) -> int:
    """The step, a seventh of the rows, that counts as early: the fourth of 28."""
    return max(1, round(EARLY * rows))


def early_class(recording: Recording) -> EarlyClass:
    """The class that separates early in the training images; ask for it with `Recording.cached`."""
    train, step = recording.train, early_step(recording.rows)
    apart = shares_of_data("how far classes stand apart early 1", [train], (train.classes,), lambda: how_far_apart(train))
    label = int(apart.argmax())
    if apart[label] >= LEAST:
        return EarlyClass(step, label, "")
    return EarlyClass(step, None, f"no class stands apart in the training images' first {step} rows")


def how_far_apart(images: Images) -> np.ndarray:
    """How far the images of each class stand apart by the pixels of the early rows alone: `[classes]`, from 0 (chance) to 1.

    An image with ink there counts (a - s) / (1 - s): a is the share of its ten nearest neighbours that are of its class, s the
    share of images that are, both among the first images with ink. An image without ink is like any other and counts 0.
    """
    early = images.images[:, : early_step(images.images.shape[1])].flatten(1)
    inked = early.any(dim=1).bool()
    places = torch.nonzero(inked)[:NEIGHBOUR_IMAGES, 0]
    if len(places) <= NEIGHBOURS:
        return np.zeros(images.classes)
    labels = images.labels[places]
    agreement = neighbour_agreement(scaled(early[places]), labels, images.classes)
    share = _counts(labels, images.classes) / len(places)
    beyond = (agreement - share) / np.maximum(1 - share, 1 / len(places))  # a class alone among these images is not apart
    with_ink = _counts(images.labels[inked], images.classes) / np.maximum(1, _counts(images.labels, images.classes))
    return np.clip(with_ink * beyond, 0, 1)


def _counts(labels: torch.Tensor, classes: int) -> np.ndarray:
    return torch.bincount(labels, minlength=classes).cpu().numpy()
