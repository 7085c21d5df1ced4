"""t-SNE of one network's hidden states at chosen steps."""

from __future__ import annotations

import numpy as np
import xarray as xr
from openTSNE import TSNE

from study.data import Images
from study.measurements.recording import Recording
from study.network import RecurrentNetwork

STEPS = (4, 16, 28)  # the paper's (Horoi, Lajoie & Wolf 2020, figures 4-6)
SEED = 0


def representative(dataset: xr.Dataset) -> tuple[int, int] | None:
    """(hidden size, seed) of the network nearest the median test accuracy of the largest hidden size that has one."""
    for size in sorted(dataset.hidden_size.values, reverse=True):
        accuracies = dataset.test_accuracy.sel(hidden_size=size).dropna("seed") if "test_accuracy" in dataset else []
        if len(accuracies):
            nearest = int(np.abs(accuracies - accuracies.median()).values.argmin())
            return int(size), int(accuracies.seed[nearest])
    return None


def embed(network: RecurrentNetwork, test: Images, count: int, steps: tuple[int, ...] = STEPS) -> xr.DataArray:
    """t-SNE (van der Maaten & Hinton 2008; openTSNE) of the hidden states of the first `count` test images.

    PCA initialisation, learning rate n/12 (Belkina et al. 2019), perplexity 30; steps beyond the network's rows are left
    out. Returns (`time_step`, `image`, `axis`), with each image's `digit` as a coordinate along `image`.
    """
    recording = Recording(network, test.first(count))
    steps = tuple(step for step in steps if step <= recording.rows)
    points = []
    for step in steps:
        states = recording.states[step - 1].numpy()
        tsne = TSNE(perplexity=30, initialization="pca", learning_rate="auto", n_jobs=-1, random_state=SEED)
        points.append(np.asarray(tsne.fit(states)))
    return xr.DataArray(
        np.stack(points),
        dims=("time_step", "image", "axis"),
        coords={"time_step": list(steps), "digit": ("image", test.first(count).labels.numpy())},
        name="tsne",
        attrs={"long_name": "t-SNE of the hidden states", "units": "1"},
    )
