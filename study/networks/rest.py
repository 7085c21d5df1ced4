"""Searches for fixed points of a cell's blank map from given states, and for its rest state."""

from __future__ import annotations

import torch

from study.networks.cells import Cell
from study.networks.cells.cell import Weights

DESCENTS, POLISHES = 60, 10  # steps at most
CONVERGED = 1e-18  # q below which a search has reached a fixed point


def descend(cell: Cell, weights: Weights, starts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The states where searches from `starts` `[n, D]` end, and whether each has reached a fixed point, `[n]`; all float64.

    q = 1/2 |f(s) - s|^2 is minimised with the Levenberg-Marquardt method, and the result polished with Newton's method (Sussillo &
    Barak 2013).
    """
    state = starts.clone()
    identity = torch.eye(starts.shape[1], dtype=torch.float64, device=starts.device)
    damping = torch.full((len(state), 1, 1), 1e-2, dtype=torch.float64, device=starts.device)

    def sloped(state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mapped = cell.blank(weights, state)
        return mapped - state, cell.jacobian(weights, state, mapped) - identity

    def q(state: torch.Tensor) -> torch.Tensor:
        return 0.5 * (cell.blank(weights, state) - state).square().sum(dim=1)

    residual, slope = sloped(state)
    for _ in range(DESCENTS):
        normal = slope.mT @ slope + damping * identity
        step = torch.linalg.solve(normal, slope.mT @ residual[:, :, None])[:, :, 0]
        tried, tried_slope = sloped(state - step)
        better = tried.square().sum(dim=1) < residual.square().sum(dim=1)
        state = torch.where(better[:, None], state - step, state)
        residual = torch.where(better[:, None], tried, residual)
        slope = torch.where(better[:, None, None], tried_slope, slope)
        damping = torch.where(better[:, None, None], damping / 5, damping * 5).clamp_(1e-12, 1e6)
        if (0.5 * residual.square().sum(dim=1)).max() < CONVERGED:
            break
    for _ in range(POLISHES):
        residual, slope = sloped(state)
        tried = state - torch.linalg.solve_ex(slope, residual[:, :, None])[0][:, :, 0]  # not finite where the slope is singular
        better = q(tried) < q(state)
        state = torch.where(better[:, None], tried, state)
    return state, q(state) < CONVERGED


def rest_state(cell: Cell, weights: Weights) -> torch.Tensor | None:
    """The rest state `[D]` of a network under blank rows: 0 where its cell rests there, else the fixed point that the search from
    the state before the first row reaches; None where it reaches none."""
    weights = {name: value.detach() for name, value in weights.items()}
    start = cell.start(weights, 1)
    if cell.rests_at_zero:
        return torch.zeros_like(start[0])
    state, ended = descend(cell, {name: value.double() for name, value in weights.items()}, start.double())
    return state[0] if ended.item() else None
