"""Nearest neighbours of states: intrinsic dimension, and whether neighbours have the same label."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from study.networks import kernels

DISCARDED = 0.1  # of the distance ratios, the largest (Facco et al. 2017)
FEWEST = 20  # distinct points: the standard error of d is d / sqrt(n), 22% of it
CLOSE = 1e-4  # of the largest squared norm: the fast formula has a relative error of at most `NOISE / CLOSE` in larger distances
CANDIDATES = 6  # nearest by the fast formula, among which the two nearest of a close point are found by exact differences
NOISE = 1e-12  # of the largest squared norm: a generous bound on the error of the fast formula
TIE = 1e-6  # of the largest squared distance: smaller differences count as ties
NEIGHBOURS = 10  # whose labels are compared
BLOCK = 1 << 18  # distances that are worked on together, so that a core's cache holds them


@dataclass(frozen=True)
class IntrinsicDimension:
    """An estimate, and the number of points that were `dropped` because they coincide with another."""

    value: float
    dropped: int


def two_nearest_neighbours(states: torch.Tensor) -> IntrinsicDimension:
    """The TwoNN dimension of states `[N, H]` (Facco, d'Errico, Rodriguez & Laio 2017, equations 4-6), in float64.

    The ratio mu of the distances to the second and the first neighbour has the distribution function 1 - mu^-d; d is the slope
    through the origin of -log(1 - F) against log mu, the largest tenth left out. 0 where all points coincide; NaN where some
    differ, but fewer than `FEWEST` are distinct.
    """
    distinct = _distinct(states.double())
    if len(distinct) > 1:
        distinct -= distinct.mean(dim=0)
        distinct /= distinct.abs().max()  # squares of tiny distances would underflow, and the dimension has no scale
        distinct = _distinct(distinct)  # some may have differed by less than rounding
    dropped = len(states) - len(distinct)
    if len(distinct) < FEWEST:
        return IntrinsicDimension(0.0 if len(distinct) < 2 else float("nan"), dropped)
    first, second = _two_least_squares(distinct).sqrt().cpu().numpy().T
    ratios = np.sort(second / first)
    kept = max(1, int(len(ratios) * (1 - DISCARDED)))
    x = np.log(ratios[:kept])
    y = -np.log1p(-np.arange(1, kept + 1) / len(ratios))
    spread = x @ x
    return IntrinsicDimension(float(x @ y / spread) if spread > 0 else 0.0, dropped)


def _distinct(points: torch.Tensor) -> torch.Tensor:
    """The distinct points of `[N, H]` in lexicographic order, as a copy."""
    order = points[:, 0].argsort()
    first = points[order, 0]
    # Sorting whole rows takes much longer, and is needed only where the first coordinate does not tell all points apart.
    return points[order] if (first[1:] > first[:-1]).all() else torch.unique(points, dim=0)


def _two_least_squares(points: torch.Tensor) -> torch.Tensor:
    """The squared distances of each of distinct points `[N, H]` to its two nearest, `[N, 2]`."""
    largest = points.square().sum(dim=1).max()
    squares = _squared_distances(points).fill_diagonal_(torch.inf)
    nearest = squares.min(dim=1)
    second = squares.scatter(1, nearest.indices[:, None], torch.inf).amin(dim=1)
    least = torch.stack([nearest.values, second], dim=1)
    close = nearest.values < CLOSE * largest  # the fast formula loses digits there
    if close.any():
        candidates = squares[close].topk(min(CANDIDATES, len(points) - 1), largest=False).indices
        exact = (points[candidates] - points[close][:, None]).square().sum(dim=2).sort(dim=1).values[:, :2]
        lost = exact[:, 1] < NOISE * largest  # too close for the fast formula to have found the nearest
        if lost.any():
            apart = torch.cdist(points[close][lost], points, compute_mode="donot_use_mm_for_euclid_dist").square()
            exact[lost] = apart.topk(3, dim=1, largest=False).values[:, 1:]  # the nearest is the point itself
        least[close] = exact
    return least


def neighbour_agreement(states: torch.Tensor, labels: torch.Tensor, classes: int) -> np.ndarray:
    """The share, for the images of each label, of their ten nearest neighbours in states `[N, H]` that carry it too; `[classes]`.

    0 for a label without images.
    """
    members = torch.bincount(labels, minlength=classes)
    total = torch.bincount(labels, agreement_of_each(states, labels), minlength=classes)
    return (total / members.clamp(min=1)).cpu().numpy()


def agreement_of_each(states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The share of each image's ten nearest neighbours in states `[N, H]` that carry its label, float64 `[N]`.

    Ties, up to rounding, are broken at random for each image. 0 where there is one image.
    """
    count = min(NEIGHBOURS, len(states) - 1)
    if count < 1:
        return torch.zeros(len(states), dtype=torch.float64, device=states.device)
    distances = _squared_distances(states - states.mean(dim=0))
    # Otherwise all images in a group of coincident states, which blank rows produce, would get the same few neighbours.
    largest, chance = distances.max(), _chance(len(states), distances.dtype).to(distances.device)
    for some, shift in zip(_blocks(distances), _blocks(chance), strict=True):
        some += shift * (TIE * largest if largest > 0 else 1.0)
    nearest = distances.fill_diagonal_(torch.inf).topk(count, largest=False).indices
    return (labels[nearest] == labels[:, None]).double().mean(dim=1)


@lru_cache(1)
def _chance(count: int, dtype: torch.dtype) -> torch.Tensor:
    """Random numbers in [0, 1) for all pairs of points, always the same; drawing them takes a fourth of the time of their use."""
    return torch.rand(count, count, generator=torch.Generator().manual_seed(0), dtype=dtype)


def _squared_distances(points: torch.Tensor) -> torch.Tensor:
    """|p - q|^2 of all pairs of points `[N, H]`, by |p|^2 + |q|^2 - 2 p q, which loses digits where points are close."""
    norms = points.square().sum(dim=1)
    products = kernels.in_use(points).product(points, points.mT)
    for some, own in zip(_blocks(products), norms.split(_rows(products)), strict=True):
        torch.add(norms, some, alpha=-2, out=some).add_(own[:, None])
    return products


def _blocks(pairs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The rows of a matrix `[N, N]` in blocks; all at once on a GPU."""
    return pairs.split(_rows(pairs))


def _rows(pairs: torch.Tensor) -> int:
    return len(pairs) if pairs.is_cuda else max(1, BLOCK // len(pairs))
