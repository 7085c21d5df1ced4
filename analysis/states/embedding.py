"""Two-dimensional embeddings of one network's hidden states, step after step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from openTSNE import TSNEEmbedding, affinity, initialization
from sklearn.neighbors import NearestNeighbors

from study.data.sources import Images
from study.measurements.neighbours import NEIGHBOURS
from study.measurements.recording import Recording
from study.networks.network import RecurrentNetwork
from study.terminal.errors import InputError

MOMENTS = (1 / 7, 4 / 7, 1)  # fractions of the rows: the paper's 4, 16 and 28 of 28 (Horoi, Lajoie & Wolf 2020, figures 4-6)
SEED = 0
PERPLEXITY = 30
EXAGGERATED, SETTLING, FOLLOWING = 250, 500, 300  # iterations: two phases of the first step, one of each later step
METHODS = ("tsne", "umap")
DIMENSIONS = {
    "points": ("time_step", "image", "axis"),
    "label": ("image",),
    "time_step": ("time_step",),
    **dict.fromkeys(("agreement_states", "agreement_plane", "neighbours_kept"), ("time_step",)),
}  # of an embedding


def chosen_steps(rows: int) -> tuple[int, ...]:
    """The time steps that are embedded for images of so many rows: `MOMENTS`."""
    return tuple(sorted({max(1, round(moment * rows)) for moment in MOMENTS}))


def embed(network: RecurrentNetwork, test: Images, steps: Sequence[int] | None = None, method: str = "tsne") -> xr.Dataset:
    """The hidden states of test images in the plane. Each step is initialised with the one before, so that panels can be compared.

    Returns `points` over (`time_step`, `image`, `axis`), with each image's `label` along `image`, and over `time_step`:
    `agreement_states` and `agreement_plane`, the share of an image's ten nearest neighbours that show its label, among the states
    and in the plane; and `neighbours_kept`, the share of neighbours among the states that are also neighbours in the plane, which
    tells how far the embedding can be trusted. `method` is ``tsne`` (van der Maaten & Hinton 2008; openTSNE; initialised by PCA,
    learning rate n / 12 as in Belkina et al. 2019) or ``umap`` (McInnes, Healy & Melville 2018; extra `umap`). Without `steps`,
    those of `chosen_steps` are embedded; steps beyond the network's rows are left out.
    """
    place = {"tsne": _tsne, "umap": _umap}[method]
    recording = Recording(network, test, test)
    steps = [step for step in steps or chosen_steps(recording.rows) if step <= recording.rows]
    points, measures, before = [], [], None
    for step in steps:
        states = recording.hidden[step - 1].numpy()
        before = place(states, before)
        points.append(before)
        measures.append(_agreements(states, before, test.labels.numpy()))
    agreement_states, agreement_plane, kept = np.array(measures).T.reshape(3, -1)
    share = {"units": "1", "valid_min": 0.0, "valid_max": 1.0}
    words = {
        "agreement_states": "share of the ten nearest neighbours among the states that show the same label",
        "agreement_plane": "share of the ten nearest neighbours in the plane that show the same label",
        "neighbours_kept": "share of the ten nearest neighbours among the states that are neighbours in the plane, too",
    }
    return xr.Dataset(
        {
            "points": (
                ("time_step", "image", "axis"),
                np.array(points, dtype=np.float32).reshape(len(steps), len(test), 2),
                {"long_name": f"{method} of the hidden states", "units": "1"},
            )
        }
        | {
            name: ("time_step", values, {"long_name": words[name]} | share)
            for name, values in zip(words, (agreement_states, agreement_plane, kept), strict=True)
        },
        coords={"time_step": steps, "label": ("image", test.labels.numpy())},
        attrs={"method": method},
    )


def _tsne(states: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    if _all_equal(states):
        return np.zeros((len(states), 2))
    perplexity = min(PERPLEXITY, (len(states) - 1) / 3)
    settings: dict[str, Any] = {"perplexity": perplexity, "method": "exact", "n_jobs": -1, "random_state": SEED}
    near = affinity.PerplexityBasedNN(states, **settings)
    options = {"learning_rate": len(states) / 12, "negative_gradient_method": "fft", "n_jobs": -1, "random_state": SEED}
    if before is None or _all_equal(before):
        points = TSNEEmbedding(initialization.pca(states, random_state=SEED), near, **options)
        points.optimize(EXAGGERATED, exaggeration=12, momentum=0.8, inplace=True)
        return np.asarray(points.optimize(SETTLING, momentum=0.8, inplace=True))
    return np.asarray(TSNEEmbedding(before.copy(), near, **options).optimize(FOLLOWING, momentum=0.8, inplace=True))


def _umap(states: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    try:
        from umap import UMAP  # pyright: ignore[reportMissingImports] - it may not be installed
    except ImportError:
        raise InputError(
            "embedding=umap needs umap-learn, which is not installed: in the project's folder, pip install '.[umap]'"
        ) from None
    if _all_equal(states):
        return np.zeros((len(states), 2))
    start = "pca" if before is None or _all_equal(before) else before
    return np.asarray(UMAP(init=start, random_state=SEED, n_jobs=1).fit_transform(states))


def _all_equal(states: np.ndarray) -> bool:
    return bool((states == states[0]).all())


def _agreements(states: np.ndarray, plane: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    among, within = _neighbours(states), _neighbours(plane)
    kept = np.mean([len(np.intersect1d(a, b)) for a, b in zip(among, within, strict=True)]) / max(1, among.shape[1])
    same = [float(np.mean(labels[near] == labels[:, None])) for near in (among, within)]
    return same[0], same[1], float(kept)


def _neighbours(points: np.ndarray) -> np.ndarray:
    """The nearest neighbours `[N, k]` of each point, excluding itself."""
    count = min(NEIGHBOURS, len(points) - 1)
    return NearestNeighbors(n_neighbors=count, n_jobs=-1).fit(points).kneighbors(return_distance=False)
