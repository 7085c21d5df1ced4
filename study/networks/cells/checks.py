"""Tests, on random weights and states, whether a cell has the properties it declares."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch

from study.networks.cells.cell import Cell

HIDDEN, FEATURES, STATES, ROWS, TRIES = 7, 3, 5, 4, 3
HUGE = 1e12  # times a state of numbers near 1, which no bounded cell can enlarge
ROUNDING = 1e-9  # of numbers near 1, in float64


def faults(cell: Cell) -> list[str]:
    """What is wrong with a cell, in words; empty where nothing is.

    Tested in float64: `odd` and `rests_at_zero` must be true exactly if the map has these properties, and methods that the cell
    overrides (`blank`, `rows`, `blank_rows`, `jacobian`, `blank_map`, `nonlinearity`) must agree with its `step`.
    """
    return list(dict.fromkeys(_named_badly(cell))) or list(dict.fromkeys(_computed_badly(cell)))


def _named_badly(cell: Cell) -> Iterator[str]:
    if not isinstance(getattr(cell, "name", None), str) or not re.fullmatch("[a-z][a-z0-9_]{0,39}", cell.name):
        yield "its name must consist of lower-case letters, digits and _, at most 40 of them"
    if not isinstance(getattr(cell, "description", None), str) or not cell.description.isprintable():
        yield "it has no one-line description"
    shapes = cell.shapes(HIDDEN, FEATURES)
    if set(cell.names) != set(shapes):
        yield "its names and its shapes are not for the same parameters"
    elif not {"input", "recurrent"} <= set(shapes) or (shapes["input"][-1], shapes["recurrent"][-1]) != (FEATURES, HIDDEN):
        yield "it has no parameters input [.., features] and recurrent [.., hidden size]"
    elif {name: tuple(value.shape) for name, value in cell.initial(HIDDEN, FEATURES, torch.Generator()).items()} != shapes:
        yield "its initial values do not have the shapes it declares"


def _computed_badly(cell: Cell) -> Iterator[str]:
    draw = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=draw, dtype=torch.float64) * 2 - 1

    size = cell.state_size(HIDDEN)
    for _ in range(TRIES):
        weights = {name: random(*shape) for name, shape in cell.shapes(HIDDEN, FEATURES).items()}
        states, images, zero = random(STATES, size), random(STATES, ROWS, FEATURES), torch.zeros(1, size, dtype=torch.float64)
        blank = cell.step(weights, states, torch.zeros(STATES, FEATURES, dtype=torch.float64))
        if blank.shape != states.shape or cell.observed(states).shape != (STATES, HIDDEN):
            yield "its states, or the hidden states in them, do not have the shapes [N, D] and [N, hidden size]"
            return
        if _near(cell.blank(weights, -states), -blank) != cell.odd:
            yield f"it says that it is {'' if cell.odd else 'not '}odd, which is not so"
        if _near(cell.blank(weights, zero), zero) != cell.rests_at_zero:
            yield f"it says that it {'rests' if cell.rests_at_zero else 'does not rest'} at 0, which is not so"
        if cell.bounded and not cell.blank(weights, HUGE * states).abs().max() <= (1 + ROUNDING) * HUGE * states.abs().max():
            yield "it says that its states are bounded, which is not so"
        recurrent = weights["recurrent"]
        if cell.nonlinearity(recurrent) is not None:
            driven = states @ recurrent.mT if recurrent.shape == (size, size) else recurrent
            answer = cell.nonlinearity(driven)
            if answer is None or not _near(answer, blank):
                yield "its blank map is not its nonlinearity of R h"
        stepped, rolled, state = [], [blank, cell.step(weights, blank, torch.zeros_like(images[:, 0]))], cell.start(weights, STATES)
        for row in images.unbind(dim=1):
            state = cell.step(weights, state, row)
            stepped.append(state)
        here = cell.blank_map(weights)
        frame = random(size, 2)
        following, stretched = here.tangent(states[0].numpy(), frame.numpy())
        slope = Cell.jacobian(cell, weights, states)
        pairs = {
            "blank": (cell.blank(weights, states), blank),
            "rows": (torch.stack([one.clone() for one in cell.rows(weights, images)]), torch.stack(stepped)),
            "blank_rows": (torch.stack([one.clone() for one in cell.blank_rows(weights, states, 2)]), torch.stack(rolled)),
            "jacobian": (cell.jacobian(weights, states), slope),
            "jacobian where the next state is known": (cell.jacobian(weights, states, blank), slope),
            "blank_map": (torch.from_numpy(here(states.numpy())), blank),
            "blank_map's next state": (torch.from_numpy(following), blank[0]),
            "blank_map's tangent": (torch.from_numpy(stretched), slope[0] @ frame),
        }
        yield from (f"its {name} does not agree with its step" for name, (one, other) in pairs.items() if not _near(one, other))


def _near(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=ROUNDING, atol=ROUNDING)
