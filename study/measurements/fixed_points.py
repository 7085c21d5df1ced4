"""Fixed points of h -> tanh(R h), stable or not (Sussillo & Barak 2013)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr

from study.measurements.recording import Recording
from study.schema import labelled

STARTS = 48  # states of test images, from which the search begins
DESCENTS, POLISHES = 60, 10  # steps at most
FOUND = 1e-18  # q below which a search has ended at a fixed point
SAME = 1e-4  # distance below which two fixed points are one
DESCRIBED = 16  # at most


def fixed_points(recording: Recording) -> Iterator[xr.DataArray]:
    """The fixed points found from states that test images pass through, 0 and the mirror image of each among them.

    Yields `fixed_points`, how many were found, `fixed_points_stable`, how many attract, and `fixed_point_searches_failed`, the
    share of searches that ended elsewhere; over `fixed_point`, for the first `DESCRIBED` in the order of their norms,
    `fixed_point_norm`, `fixed_point_multiplier`, the largest modulus of the Jacobian's eigenvalues, and `fixed_point_unstable`,
    the number of those above 1.
    """
    recurrent = recording.network.recurrent.double()
    points, failed = search(recurrent, _starts(recording))
    multipliers = torch.linalg.eigvals((1 - points.square())[:, :, None] * recurrent).abs()
    largest, unstable = multipliers.max(dim=1).values, (multipliers > 1).sum(dim=1)
    order = {"fixed_point": np.arange(1, DESCRIBED + 1)}
    none = "fewer fixed points were found"
    yield labelled("fixed_points", len(points), {}, "fixed points found", metric="fixed_points/number")
    yield labelled("fixed_points_stable", int((largest < 1).sum()), {}, "stable fixed points found", metric="fixed_points/stable")
    yield labelled("fixed_point_searches_failed", failed, {}, "share of searches that ended at no fixed point")
    for name, values, words in (
        ("norm", points.norm(dim=1), "norm of the fixed point"),
        ("multiplier", largest, "largest modulus of the Jacobian's eigenvalues there"),
        ("unstable", unstable, "directions in which it repels"),
    ):
        described = np.full(DESCRIBED, np.nan)
        described[: len(points)] = values[:DESCRIBED].cpu().numpy()
        yield labelled(f"fixed_point_{name}", described, order, words, missing=none)


def search(recurrent: torch.Tensor, starts: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Distinct fixed points `[P, H]` in the order of their norms, 0 and mirror images among them, and the share of searches that
    failed.

    From each of `starts` `[n, H]`, q = 1/2 |tanh(R h) - h|^2 is minimised by Levenberg and Marquardt's method and the end
    polished by Newton's. `recurrent` `[H, H]` is float64.
    """
    state = starts.clone()
    identity = torch.eye(len(recurrent), dtype=torch.float64, device=recurrent.device)
    damping = torch.full((len(state), 1, 1), 1e-2, dtype=torch.float64, device=recurrent.device)
    residual, slope = _residual(recurrent, state, identity)
    for _ in range(DESCENTS):
        normal = slope.mT @ slope + damping * identity
        step = torch.linalg.solve(normal, slope.mT @ residual[:, :, None])[:, :, 0]
        tried, tried_slope = _residual(recurrent, state - step, identity)
        better = tried.square().sum(dim=1) < residual.square().sum(dim=1)
        state = torch.where(better[:, None], state - step, state)
        residual = torch.where(better[:, None], tried, residual)
        slope = torch.where(better[:, None, None], tried_slope, slope)
        damping = torch.where(better[:, None, None], damping / 5, damping * 5).clamp_(1e-12, 1e6)
        if (0.5 * residual.square().sum(dim=1)).max() < FOUND:
            break
    for _ in range(POLISHES):
        residual, slope = _residual(recurrent, state, identity)
        tried = state - torch.linalg.solve_ex(slope, residual[:, :, None])[0][:, :, 0]  # not finite where the slope is singular
        better = _q(recurrent, tried) < _q(recurrent, state)
        state = torch.where(better[:, None], tried, state)
    found = state[_q(recurrent, state) < FOUND]
    both = torch.cat([torch.zeros_like(starts[:1]), found, -found])
    distinct = both[:1]
    for point in both[1:]:
        if (distinct - point).norm(dim=1).min() > SAME:
            distinct = torch.cat([distinct, point[None]])
    return distinct[distinct.norm(dim=1).argsort(stable=True)], 1 - len(found) / len(starts)


def _residual(recurrent: torch.Tensor, state: torch.Tensor, identity: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """tanh(R h) - h and its derivative diag(1 - tanh^2) R - I, for states `[n, H]`."""
    mapped = (state @ recurrent.mT).tanh()
    return mapped - state, (1 - mapped.square())[:, :, None] * recurrent - identity


def _q(recurrent: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    return 0.5 * ((state @ recurrent.mT).tanh() - state).square().sum(dim=1)


def _starts(recording: Recording) -> torch.Tensor:
    """States of test images at the last row and after blank rows, a third each after 0, 28 and 56 of them."""
    each = STARTS // 3
    state = recording.states[-1, : 3 * each].double()
    parts = [state[:each]]
    for step, rolled in enumerate(recording.network.double().blank_rows(state, 2 * recording.rows), start=1):
        if step == recording.rows:
            parts.append(rolled[each : 2 * each].clone())
    parts.append(rolled[2 * each :].clone())
    return torch.cat(parts)
