"""The handwritten digits that come with scikit-learn: 1,797 images of 8 x 8 pixels (Alpaydin & Kaynak 1998)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from study.data.images import Images
from study.data.source import DataSource
from study.terminal.errors import InputError

TRAINING_IMAGES = 1437  # four fifths; the last fifth, mostly by other writers, are the test images
LARGEST = 16  # of a pixel: how many of its 4 x 4 dots have ink


@dataclass(frozen=True)
class DigitsSource(DataSource):
    """scikit-learn's digits; nothing is read from the data folder. Their pixels are sixteenths, in [0, 1]."""

    @classmethod
    def found(cls, name: str, data_dir: Path) -> DigitsSource:
        pixels, labels = _digits()
        return cls(name, data_dir, {"digits": hashlib.sha256(pixels.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()})

    def prepare(self) -> None:
        if self.found(self.name, self.data_dir).digests != self.digests:
            raise InputError(f"{self.whereabouts} has other images than the data set: install the version that was used for it")

    def stored(self, train: bool) -> Images:
        self.prepare()
        pixels, labels = _digits()
        part = slice(TRAINING_IMAGES) if train else slice(TRAINING_IMAGES, None)
        return Images(pixels[part], labels[part])

    @property
    def whereabouts(self) -> str:
        return "scikit-learn on this machine"


def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    """All images, float32 in [0, 1] `[N, 8, 8]`, and their labels, int64 `[N]`."""
    from sklearn.datasets import load_digits  # which takes a second to import

    pixels, labels = load_digits(return_X_y=True)
    return torch.from_numpy(np.asarray(pixels) / LARGEST).float().unflatten(1, (8, 8)), torch.from_numpy(np.asarray(labels)).long()
