"""How alike the solutions of different networks of one hidden size are: in their weights, in their dynamics, in their behaviour.

The three levels are those of Huang, Singh, Martinelli & Rajan (2025). Each is a distance between all pairs of networks.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, combinations

import numpy as np
import torch
import xarray as xr
from joblib import cpu_count
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance
from threadpoolctl import ThreadpoolController

from study.data.sources import Images
from study.networks import quasilinear
from study.networks.network import RecurrentNetwork, scaled
from study.networks.quasilinear import of_network, periods

IMAGES = 2000  # of the test set, that all networks answer
BLANK_ROWS = 5  # shown after the image
NOISE = 0.3  # standard deviation of what is added to pixels in [0, 1]
SHIFT = 2  # pixels to the right, and rows down
CONDITIONS = ("clean", "blank", "truncated", "noise", "shifted")
RESTARTS = 4  # random ones, beside a matching by input and readout weights
MOST_STEPS = 50  # of the alternation; it ends where nothing improves
BLAS = ThreadpoolController()
# Dynamical Similarity Analysis: of the first images under blank rows, on principal components of the states.
# Operators are compared by their eigenvalues (Wasserstein distance), which is exact and takes 10 ms a pair; the search for the best
# rotation between two operators (its angular score) takes a second, and told planted dynamics apart less well.
DSA_IMAGES, DSA_ROWS, DSA_COMPONENTS, DSA_DELAYS, DSA_RANK = 30, 60, 10, 5, 10

PAIR = ("source", "seed", "other_seed")
DIMENSIONS = {
    "weight_distance": PAIR,
    "mode_distance": PAIR,
    "dsa_distance": PAIR,
    "disagreement": ("condition", *PAIR),
    "condition": ("condition",),
    **{name: (name,) for name in PAIR},
}  # of what `degeneracy` returns


def degeneracy(networks: dict[int, RecurrentNetwork], test: Images) -> xr.Dataset:
    """Distances between networks of one hidden size, by seed, before and after training, over (`source`, `seed`, `other_seed`).

    `weight_distance`: of all weights, up to the order and, for an odd cell, the signs of the units, over the root of the sum of
    both squared norms: 0 for the same network, 1 where the weights are orthogonal. `mode_distance`: the Wasserstein distance
    between the log2 periods of their modes, weighed by energy (`study.networks.quasilinear`), in octaves; NaN where a network has
    no turning mode. `disagreement` over `condition`: the share of `IMAGES` test images that they label differently, as they are,
    after `BLANK_ROWS` blank rows, after the first half of the rows, with noise, and shifted. `dsa_distance`: Dynamical Similarity
    Analysis (Ostrow, Eisen, Kozachkov & Fiete 2023) of the states under blank rows, by the eigenvalues of the operators, where the
    package dsa-metric is installed (the extra ``dsa``); NaN elsewhere.
    """
    seeds = list(networks)
    groups = {"trained": list(networks.values()), "untrained": [network.untrained(seed) for seed, network in networks.items()]}
    shown = conditions(test.images[:IMAGES])
    values = {name: np.full((len(groups), len(seeds), len(seeds)), np.nan) for name in ("weights", "modes", "dsa")}
    disagreement = np.empty((len(CONDITIONS), len(groups), len(seeds), len(seeds)))
    with BLAS.limit(limits=1):  # LAPACK's own threads only hinder each other in matrices of this size
        for place, group in enumerate(groups.values()):
            values["weights"][place] = _of_pairs(weight_distance, group)
            values["modes"][place] = _of_pairs(mode_distance, [_modes(network) for network in group])
            values["dsa"][place] = dsa_distances(group, test)
            answers = [[_answers(network, images, blanks) for images, blanks in shown.values()] for network in group]
            for number in range(len(CONDITIONS)):
                labels = torch.stack([one[number] for one in answers])
                disagreement[number, place] = (labels[:, None] != labels[None]).double().mean(dim=-1).numpy()
    words = {
        "weight_distance": (values["weights"], "distance of the weights, up to order and signs of units", "1"),
        "mode_distance": (values["modes"], "distance of the modes' periods", "octaves"),
        "dsa_distance": (values["dsa"], "Dynamical Similarity Analysis, distance of eigenvalues", "1"),
    }
    variables: dict[str, tuple] = {
        name: (PAIR, value, {"long_name": told, "units": units}) for name, (value, told, units) in words.items()
    }
    told = {"long_name": "share of images that two networks label differently", "units": "1"}
    variables["disagreement"] = (("condition", *PAIR), disagreement, told)
    coordinates = {"source": list(groups), "seed": seeds, "other_seed": seeds, "condition": list(CONDITIONS)}
    return xr.Dataset(variables, coordinates)


def also_made_of() -> list[str]:
    """What the distances depend on besides this module: the theory of the modes, and the package dsa-metric."""
    there = importlib.util.find_spec("DSA") is not None
    return [inspect.getsource(quasilinear), importlib.metadata.version("dsa-metric") if there else "no dsa-metric"]


def pseudovalues(distances: np.ndarray) -> np.ndarray:
    """One value per network `[n]`, whose mean is the mean distance over all pairs of different networks `[n, n]`, and whose
    standard error is the jackknife's, which respects that pairs share networks (Arvesen 1969, of U-statistics).

    Networks without a distance to any other are left out; NaN with fewer than three networks.
    """
    distances = np.array(distances, dtype=float)
    np.fill_diagonal(distances, np.nan)
    there = np.isfinite(distances).any(axis=1)
    distances = distances[there][:, there]
    n = len(distances)
    if n < 3:
        return np.full(n, np.nan)
    without = np.array([np.nanmean(np.delete(np.delete(distances, one, 0), one, 1)) for one in range(n)])
    return n * np.nanmean(distances) - (n - 1) * without


def conditions(images: torch.Tensor) -> Mapping[str, tuple[torch.Tensor, int]]:
    """By the names in `CONDITIONS`: images `[N, T, features]` in [0, 1], and how many blank rows follow."""
    clean = scaled(images)
    noise = NOISE * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    shifted = torch.zeros_like(clean)
    shifted[:, SHIFT:, SHIFT:] = clean[:, :-SHIFT, :-SHIFT] if clean.shape[2] > SHIFT else 0
    halved = clean[:, : max(1, clean.shape[1] // 2)]
    return {
        "clean": (clean, 0),
        "blank": (clean, BLANK_ROWS),
        "truncated": (halved, 0),
        "noise": (clean + noise, 0),
        "shifted": (shifted, 0),
    }


def _answers(network: RecurrentNetwork, images: torch.Tensor, blanks: int) -> torch.Tensor:
    [state] = deque(network.rows(images), maxlen=1)
    [last] = deque(chain([state], network.blank_rows(state, blanks)), maxlen=1)
    return network.predict(last)


def weight_distance(one: RecurrentNetwork, other: RecurrentNetwork) -> float:
    """The Frobenius distance between W, R and V of two networks, minimised over the order of hidden units, and over their signs
    where the cell is odd, over the root of the sum of both squared norms; NaN for cells with other weights.

    The minimum is searched by alternation: with the matching so far on one side of R, the best one on the other side is a linear
    assignment. It starts from a matching by W and V alone, and from `RESTARTS` random ones; the smallest result is an upper bound
    of the true minimum, whose search is a quadratic assignment problem.
    """
    if set(one.parameters) != {"input", "recurrent"} or one.recurrent.shape[-2] != one.hidden_size:
        return float("nan")
    a, b = ([part.double().numpy() for part in (n.parameters["input"], n.recurrent, n.readout)] for n in (one, other))
    fixed = a[0] @ b[0].T + a[2].T @ b[2]
    squares = sum(float(np.sum(part**2)) for part in (*a, *b))
    units, draw = len(fixed), np.random.default_rng(0)
    starts = [_assigned(fixed, one.cell.odd)]
    starts += [(draw.permutation(units), _signs(draw, units, one.cell.odd)) for _ in range(RESTARTS)]
    best = max(_alternated(fixed, a[1], b[1], start, one.cell.odd) for start in starts)
    return float(np.sqrt(max(squares - 2 * best, 0) / squares))


Matching = tuple[np.ndarray, np.ndarray]  # the unit of the other network for each unit, and its sign


def _alternated(fixed: np.ndarray, a: np.ndarray, b: np.ndarray, start: Matching, odd: bool) -> float:
    """The largest inner product of two networks' weights that the alternation finds: of W and V (`fixed`, by units), and of R."""
    (order, signs), best = start, -np.inf
    for _ in range(MOST_STEPS):
        matched = b[:, order] * signs  # R of the other with its senders in the first one's order
        received = b[order] * signs[:, None]
        following = _assigned(fixed + a @ matched.T + a.T @ received, odd)
        value = _product(fixed, a, b, following)
        if value <= best * (1 + 1e-12):
            break
        best, (order, signs) = value, following
    return best


def _product(fixed: np.ndarray, a: np.ndarray, b: np.ndarray, matching: Matching) -> float:
    order, signs = matching
    same = float((fixed[np.arange(len(order)), order] * signs).sum())
    return same + float((a * (b[np.ix_(order, order)] * np.outer(signs, signs))).sum())


def _assigned(products: np.ndarray, odd: bool) -> Matching:
    """The matching of units with the largest sum of products, or of their absolute values where signs are free."""
    rows, columns = linear_sum_assignment(np.abs(products) if odd else products, maximize=True)
    signs = np.where(products[rows, columns] < 0, -1.0, 1.0) if odd else np.ones(len(rows))
    return columns, signs


def _signs(draw: np.random.Generator, units: int, odd: bool) -> np.ndarray:
    return draw.choice([-1.0, 1.0], units) if odd else np.ones(units)


def _modes(network: RecurrentNetwork) -> tuple[np.ndarray, np.ndarray]:
    """log2 periods of the turning modes, and their energies."""
    found = of_network(network)
    if found is None:
        return np.empty(0), np.empty(0)
    every = periods(found.eigenvalues)
    turns = np.isfinite(every)
    return np.log2(every[turns]), found.energy[turns]


def mode_distance(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float:
    """The Wasserstein distance between two sets of values with weights; NaN where one is empty."""
    if not len(one[0]) or not len(other[0]):
        return float("nan")
    return float(wasserstein_distance(one[0], other[0], one[1], other[1]))


def dsa_distances(networks: Sequence[RecurrentNetwork], test: Images) -> np.ndarray:
    """The distances `[n, n]` of Dynamical Similarity Analysis; NaN without its package."""
    if importlib.util.find_spec("DSA") is None:
        return np.full((len(networks), len(networks)), np.nan)
    from DSA import DSA  # pyright: ignore[reportMissingImports]

    orbits = [_orbits(network, test) for network in networks]
    return np.asarray(DSA(orbits, n_delays=DSA_DELAYS, rank=DSA_RANK, score_method="wasserstein").fit_score())


def _orbits(network: RecurrentNetwork, test: Images) -> np.ndarray:
    """The first images' states under blank rows `[images, rows, components]`, on principal components, of root mean square 1."""
    [state] = deque(network.rows(scaled(test.images[:DSA_IMAGES])), maxlen=1)
    orbit = [network.cell.observed(state).clone() for state in network.blank_rows(state, DSA_ROWS)]
    states = torch.stack(orbit, dim=1).double().numpy()
    flat = states.reshape(-1, states.shape[-1])
    flat = flat - flat.mean(axis=0)
    directions = np.linalg.svd(flat, full_matrices=False)[2][:DSA_COMPONENTS]
    projected = flat @ directions.T
    scale = np.sqrt(np.mean(projected**2))
    return (projected / scale if scale > 0 else projected).reshape(*states.shape[:2], -1)


def _of_pairs(distance, items: Sequence) -> np.ndarray:
    """A symmetric distance of all pairs `[n, n]`, with 0 of each to itself."""
    distances = np.zeros((len(items), len(items)))
    pairs = list(combinations(range(len(items)), 2))
    with ThreadPoolExecutor(cpu_count()) as pool:
        found = list(pool.map(lambda pair: distance(items[pair[0]], items[pair[1]]), pairs))
    for (i, j), value in zip(pairs, found, strict=True):
        distances[i, j] = distances[j, i] = value
    return distances
