"""Lyapunov exponents of any map, by QR and by following two orbits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dgeqrf, dorgqr

BLOCKS = 10  # parts of the orbit, whose spread gives the standard error
SMALLEST = 1e-300  # replaces a length that underflows: an exponent of -691 stands for minus infinity
SEPARATION = 1e-8  # of the two orbits


@dataclass(frozen=True)
class LyapunovExponents:
    """Lyapunov `exponents` in nat per step, largest first, and the standard `error` of each over blocks of the orbit."""

    exponents: np.ndarray
    error: np.ndarray


def exponents(
    tangent: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    start: np.ndarray,
    count: int,
    steps: int,
    settle: int = 100,
) -> LyapunovExponents:
    """The `count` largest exponents of a map along the orbit of `start` (Benettin et al. 1980; Eckmann & Ruelle 1985, section V.B).

    Parameters: `tangent(h, Q)` gives the next state `[d]` and the derivative there times `Q` `[d, count]`. After `settle` steps, in
    which Q turns towards the most stretched directions, the logarithms of the diagonal of R in each Q R are averaged over `steps`.
    """
    frame = np.linalg.qr(np.random.default_rng(0).standard_normal((len(start), count)))[0]
    state, lengths = start, np.empty((settle + steps, count))
    for step in range(settle + steps):
        state, stretched = tangent(state, frame)
        # LAPACK's own functions, since NumPy's wrapper around them takes as long as they do.
        packed, reflectors, _, _ = dgeqrf(stretched)
        lengths[step] = np.diagonal(packed)
        frame, _, _ = dorgqr(packed, reflectors, overwrite_a=True)
    logs = np.log(np.maximum(np.abs(lengths), SMALLEST))
    blocks = np.array([block.mean(axis=0) for block in np.array_split(logs[settle:], BLOCKS)])
    exponents = logs[settle:].mean(axis=0)
    order = np.argsort(-exponents)
    return LyapunovExponents(exponents[order], (blocks.std(axis=0, ddof=1) / np.sqrt(BLOCKS))[order])


def leading_by_separation(step: Callable[[np.ndarray], np.ndarray], start: np.ndarray, steps: int, settle: int = 100) -> float:
    """The largest exponent, from the mean growth of a small distance between two orbits (Benettin, Galgani & Strelcyn 1976).

    `step` maps states `[2, d]`. The distance is brought back to `SEPARATION` after every step; one that falls below rounding counts
    as the smallest number there is.
    """
    direction = np.random.default_rng(1).standard_normal(start.shape)
    direction /= np.linalg.norm(direction)
    pair = np.stack([start, start + SEPARATION * direction])
    total = 0.0
    for number in range(settle + steps):
        pair = step(pair)
        apart = pair[1] - pair[0]
        distance = max(np.linalg.norm(apart), SMALLEST)
        pair[1] = pair[0] + apart * (SEPARATION / distance) if distance > SMALLEST else pair[0] + SEPARATION * direction
        if number >= settle:
            total += np.log(distance / SEPARATION)
    return total / steps
