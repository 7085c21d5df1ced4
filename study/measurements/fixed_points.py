"""Fixed points of the blank map, stable or not (Sussillo & Barak 2013)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr

from study.measurements.recording import Recording
from study.networks.cells import Cell
from study.networks.cells.cell import Weights
from study.networks.rest import descend
from study.schema import labelled

STARTS = 48  # states of test images, from which the search begins
SAME = 1e-4  # distance below which two fixed points count as one
DESCRIBED = 16  # at most


def fixed_points(recording: Recording) -> Iterator[xr.DataArray]:
    """The fixed points found from states that test images pass through; 0 among them where the cell rests there, and the mirror
    image of each where it is odd. Where the map has no derivative, as that of rectified units at 0, nothing is said of stability.

    Yields `fixed_points`, how many were found, `fixed_points_stable`, how many attract, and `fixed_point_searches_failed`, the
    share of searches that ended elsewhere; over `fixed_point`, for the first `DESCRIBED` in the order of their norms,
    `fixed_point_norm`, `fixed_point_multiplier`, the largest modulus of the Jacobian's eigenvalues, and `fixed_point_unstable`,
    the number of those above 1.
    """
    cell, weights = recording.network.cell, recording.network.double().parameters
    points, failed = search(cell, weights, _starts(recording))
    multipliers = torch.linalg.eigvals(cell.jacobian(weights, points, points)).abs()
    largest, unstable = multipliers.max(dim=1).values, (multipliers > 1).sum(dim=1).double()
    if not cell.smooth_at_rest:
        kink = ~points.any(dim=1)
        largest[kink], unstable[kink] = torch.nan, torch.nan
    order = {"fixed_point": np.arange(1, DESCRIBED + 1)}
    none = "fewer fixed points were found" + ("" if cell.smooth_at_rest else "; or the map has no derivative there")
    yield labelled("fixed_points", len(points), {}, "fixed points found", role="number", metric="fixed_points/number")
    yield labelled(
        "fixed_points_stable",
        int((largest < 1).sum()),
        {},
        "stable fixed points found",
        role="number",
        metric="fixed_points/stable",
    )
    yield labelled("fixed_point_searches_failed", failed, {}, "share of searches that ended at no fixed point")
    for name, values, words in (
        ("norm", points.norm(dim=1), "norm of the fixed point"),
        ("multiplier", largest, "largest modulus of the Jacobian's eigenvalues there"),
        ("unstable", unstable, "directions in which it repels"),
    ):
        described = np.full(DESCRIBED, np.nan)
        described[: len(points)] = values[:DESCRIBED].cpu().numpy()
        yield labelled(f"fixed_point_{name}", described, order, words, missing=none)


def search(cell: Cell, weights: Weights, starts: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Distinct fixed points `[P, D]` in the order of their norms, and the share of searches from `starts` `[n, D]` that failed.

    What follows from the cell is added: 0, where it rests there, and mirror images, where it is odd. All float64.
    """
    state, ended = descend(cell, weights, starts)
    reached = state[ended]
    zero = [torch.zeros_like(starts[:1])] if cell.rests_at_zero else []
    points = torch.cat([*zero, reached, *([-reached] if cell.odd else [])])
    distinct = points[:1]
    for point in points[1:]:
        if (distinct - point).norm(dim=1).min() > SAME:
            distinct = torch.cat([distinct, point[None]])
    return distinct[distinct.norm(dim=1).argsort(stable=True)], 1 - len(reached) / len(starts)


def _starts(recording: Recording) -> torch.Tensor:
    """States of test images at the last row and after blank rows, a third each after none, an image's rows, and twice these."""
    each = STARTS // 3
    state = recording.states[-1, : 3 * each].double()
    parts, rolled = [state[:each]], state
    for step, rolled in enumerate(recording.network.double().blank_rows(state, 2 * recording.rows), start=1):
        if step == recording.rows:
            parts.append(rolled[each : 2 * each].clone())
    parts.append(rolled[2 * each :].clone())
    return torch.cat(parts)
