"""Similarity of the hidden states of different networks: linear CKA and SVCCA between all pairs of one hidden size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import xarray as xr

from study.data.sources import Images
from study.networks.network import RecurrentNetwork, scaled

KEPT = 0.99  # of each network's variance, in SVCCA
CHUNK = 2000  # images whose products are summed in single precision
DIMENSIONS = {
    **dict.fromkeys(("cka", "svcca"), ("source", "time_step", "seed", "other_seed")),
    "source": ("source",),
    "time_step": ("time_step",),
    "seed": ("seed",),
    "other_seed": ("other_seed",),
}  # of what `similarity` returns


def similarity(networks: dict[int, RecurrentNetwork], test: Images) -> xr.Dataset:
    """Similarities of networks of one hidden size, by seed, before and after training, on the same test images.

    Returns `cka` and `svcca` over (`source`, `time_step`, `seed`, `other_seed`): 1 where two networks' states differ by a rotation
    and a scale (CKA) or by an invertible map of the kept directions (SVCCA). NaN where the states do not differ between images, as
    after a blank first row.
    """
    seeds = list(networks)
    groups = {"trained": list(networks.values()), "untrained": [network.untrained(seed) for seed, network in networks.items()]}
    words = {"cka": "linear CKA", "svcca": "SVCCA (99% of the variance)"}
    values = np.array([[(cka(products), svcca(products)) for products in step_products(group, test)] for group in groups.values()])
    variables = {}
    for place, (name, description) in enumerate(words.items()):
        attributes = {"long_name": description, "units": "1", "valid_min": 0.0, "valid_max": 1.0}
        variables[name] = (("source", "time_step", "seed", "other_seed"), values[:, :, place], attributes)
    coordinates = {"source": list(groups), "time_step": np.arange(1, values.shape[1] + 1), "seed": seeds, "other_seed": seeds}
    return xr.Dataset(variables, coordinates)


def mean_over_pairs(similarities: xr.DataArray) -> xr.DataArray:
    """The mean similarity of different networks at each `time_step`; NaN where it is not defined."""
    return similarities.where(similarities.seed != similarities.other_seed).mean(["seed", "other_seed"])


def step_products(networks: Sequence[RecurrentNetwork], test: Images) -> Iterator[np.ndarray]:
    """At each time step, the products X_i' X_j `[S, S, H, H]` (float64) of the centred states of all pairs of networks."""
    images = scaled(test.images)
    for states in zip(*(network.rows(images) for network in networks), strict=True):
        hidden_states = [network.cell.observed(state) for network, state in zip(networks, states, strict=True)]
        together = torch.cat([state - state.mean(dim=0) for state in hidden_states], dim=1)
        total = torch.zeros(together.shape[1], together.shape[1], dtype=torch.float64)
        for part in together.split(CHUNK):
            total += part.mT @ part
        hidden = hidden_states[0].shape[1]
        yield total.view(len(states), hidden, len(states), hidden).transpose(1, 2).numpy()


def cka(products: np.ndarray) -> np.ndarray:
    """Linear CKA of all pairs, `[S, S]`, from their products `[S, S, H, H]`: |X_i' X_j|^2 / (|X_i' X_i| |X_j' X_j|) (Kornblith,
    Norouzi, Lee & Hinton 2019, equation 4)."""
    squares = np.einsum("ijab,ijab->ij", products, products)
    own = np.sqrt(np.diagonal(squares))
    scale = own[:, None] * own
    return np.divide(squares, scale, out=np.full_like(squares, np.nan), where=scale > 0)


def svcca(products: np.ndarray) -> np.ndarray:
    """SVCCA of all pairs, `[S, S]`, from their products `[S, S, H, H]`: the mean canonical correlation of the principal
    components that carry 99% of each network's variance (Raghu, Gilmer, Yosinski & Sohl-Dickstein 2017)."""
    count = len(products)
    whitening = [_whitening(products[i, i]) for i in range(count)]
    similarities = np.full((count, count), np.nan)
    for i in range(count):
        for j in range(i, count):
            if whitening[i].shape[1] and whitening[j].shape[1]:
                correlations = np.linalg.svd(whitening[i].T @ products[i, j] @ whitening[j], compute_uv=False)
                similarities[i, j] = similarities[j, i] = float(np.clip(correlations, 0, 1).mean())
    return similarities


def _whitening(product: np.ndarray) -> np.ndarray:
    """The directions `[H, k]` that carry `KEPT` of the variance, scaled so that states have variance one along each."""
    variances, directions = np.linalg.eigh(product)
    variances, directions = np.maximum(variances[::-1], 0), directions[:, ::-1]
    if variances[0] <= 0:
        return np.zeros((len(product), 0))
    count = int(np.searchsorted(np.cumsum(variances), KEPT * variances.sum())) + 1
    return directions[:, :count] / np.sqrt(variances[:count])
