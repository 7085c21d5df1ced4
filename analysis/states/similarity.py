"""Similarity of the hidden states of different networks: linear CKA and SVCCA between all pairs of one hidden size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations_with_replacement

import numpy as np
import torch
import xarray as xr
from joblib import cpu_count
from threadpoolctl import ThreadpoolController

from study.data.sources import Images
from study.networks import kernels
from study.networks.network import RecurrentNetwork, scaled

KEPT = 0.99  # of each network's variance, in SVCCA
CHUNK = 2000  # images whose products are summed in single precision
BLAS = ThreadpoolController()
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
    with kernels.using(kernels.fastest()):
        values = np.array(
            [[(cka(products), svcca(products)) for products in step_products(group, test)] for group in groups.values()]
        )
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
    """At each time step, the products X_i' X_j `[S, S, H, H]` (float64) of the centred states of the pairs of networks i <= j; the
    others are their transposes, and 0 here. What is yielded is overwritten in the next step."""
    images = scaled(test.images)
    count, hidden = len(networks), networks[0].hidden_size
    together = torch.empty(len(test), count * hidden)
    products = np.zeros((count, count, hidden, hidden))
    rows = torch.from_numpy(products).transpose(1, 2)  # of blocks: [S, H, S, H]
    for states in zip(*(network.rows(images) for network in networks), strict=True):
        for place, (network, state) in enumerate(zip(networks, states, strict=True)):
            observed = network.cell.observed(state)
            torch.sub(observed, observed.mean(dim=0), out=together[:, place * hidden : (place + 1) * hidden])
        products[:] = 0
        for part in together.split(CHUNK):
            for place in range(count):
                first = place * hidden
                own = part[:, first : first + hidden].mT
                product = kernels.in_use(part).product(own, part[:, first:])
                rows[place, :, place:] += product.view(hidden, count - place, hidden)
        yield products


def cka(products: np.ndarray) -> np.ndarray:
    """Linear CKA of all pairs, `[S, S]`, from what `step_products` yields: |X_i' X_j|^2 / (|X_i' X_i| |X_j' X_j|) (Kornblith,
    Norouzi, Lee & Hinton 2019, equation 4)."""
    squares = np.triu(np.einsum("ijab,ijab->ij", products, products))
    squares += np.triu(squares, 1).T
    own = np.sqrt(np.diagonal(squares))
    scale = own[:, None] * own
    return np.divide(squares, scale, out=np.full_like(squares, np.nan), where=scale > 0)


def svcca(products: np.ndarray) -> np.ndarray:
    """SVCCA of all pairs, `[S, S]`, from what `step_products` yields: the mean canonical correlation of the principal components
    that carry 99% of each network's variance (Raghu, Gilmer, Yosinski & Sohl-Dickstein 2017)."""
    count = len(products)
    similarities = np.full((count, count), np.nan)
    # One thread a matrix: LAPACK's own threads take five times as long for matrices of this size.
    with BLAS.limit(limits=1), ThreadPoolExecutor(cpu_count()) as pool:
        whitening = list(pool.map(_whitening, [products[i, i] for i in range(count)]))

        def correlation(pair: tuple[int, int]) -> float:
            i, j = pair
            correlations = np.linalg.svd(whitening[i].T @ products[i, j] @ whitening[j], compute_uv=False)
            return float(np.clip(correlations, 0, 1).mean())

        pairs = [pair for pair in combinations_with_replacement(range(count), 2) if all(whitening[one].shape[1] for one in pair)]
        for (i, j), value in zip(pairs, pool.map(correlation, pairs), strict=True):
            similarities[i, j] = similarities[j, i] = value
    return similarities


def _whitening(product: np.ndarray) -> np.ndarray:
    """The directions `[H, k]` that carry `KEPT` of the variance, scaled so that states have variance one along each."""
    variances, directions = np.linalg.eigh(product)
    variances, directions = np.maximum(variances[::-1], 0), directions[:, ::-1]
    if variances[0] <= 0:
        return np.zeros((len(product), 0))
    count = int(np.searchsorted(np.cumsum(variances), KEPT * variances.sum())) + 1
    return directions[:, :count] / np.sqrt(variances[:count])
