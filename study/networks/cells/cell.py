"""The definition of a recurrent cell: its parameters, initial values, one step, and properties of the map of blank rows."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch.autograd import forward_ad
from torch.func import jacrev, vmap

from study.networks.kernels import KernelsName

Weights = Mapping[str, torch.Tensor]


class Cell(ABC):
    """One kind of recurrent layer.

    A cell defines `shapes` and `step`; everything else follows from these, and may be overridden by something faster with the same
    result. `weights` maps the names of parameters to tensors; those of a stack of networks have a leading dimension S. Two
    parameters are always there: `input`, whose last dimension is the number of features, and `recurrent`, whose last one is the
    hidden size. A state is `[N, D]`: all that the next step needs; `observed` is the hidden state h `[N, H]` in it, which the
    readout sees.

    Attributes: `name`, used in configurations; `description`, which completes "one recurrent layer of ..."; `names`, the name of
    each parameter in a state dictionary; `absent`, further names that a state dictionary may have if all their values are 0; `odd`,
    whether the blank map f satisfies f(-s) = -f(s), and `rests_at_zero`, whether f(0) = 0 (`register_cell` tests both);
    `smooth_at_rest`, whether f has a derivative where it rests; `bounded`, whether states stay finite whatever is shown; `kernels`,
    those that its training and roll-outs can use; `classifier`, a file of code from which MLflow makes a model of the weights
    without this project, if there is one.
    """

    name: ClassVar[str]
    description: str
    names: ClassVar[Mapping[str, str]]
    absent: ClassVar[tuple[str, ...]] = ()
    odd: bool = False
    rests_at_zero: bool = False
    smooth_at_rest: bool = True
    bounded: ClassVar[bool] = False
    classifier: ClassVar[Path | None] = None
    kernels: ClassVar[tuple[KernelsName, ...]] = ("torch",)

    @abstractmethod
    def shapes(self, hidden_size: int, features: int) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter, in the order in which initial values are drawn."""

    @abstractmethod
    def step(self, weights: Weights, state: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        """The state `[N, D]` after one row `[N, features]`, as a new tensor that can be differentiated."""

    def initial(self, hidden_size: int, features: int, draw: torch.Generator) -> dict[str, torch.Tensor]:
        """Untrained parameters: uniform in +-1/sqrt(H), as PyTorch's recurrent layers have them."""
        bound = 1 / math.sqrt(hidden_size)
        return {
            name: torch.empty(shape).uniform_(-bound, bound, generator=draw)
            for name, shape in self.shapes(hidden_size, features).items()
        }

    def start(self, weights: Weights, count: int) -> torch.Tensor:
        """The states `[count, D]` before the first row: 0."""
        recurrent = weights["recurrent"]
        return recurrent.new_zeros(*recurrent.shape[:-2], count, self.state_size(recurrent.shape[-1]))

    def state_size(self, hidden_size: int) -> int:
        """D, the dimension of the state."""
        return hidden_size

    def observed(self, state: torch.Tensor) -> torch.Tensor:
        """The hidden state h `[.., H]` in states `[.., D]`."""
        return state

    def blank(self, weights: Weights, state: torch.Tensor) -> torch.Tensor:
        """The state after a row of zeros."""
        return self.step(weights, state, state.new_zeros(1, weights["input"].shape[-1]))

    def jacobian(self, weights: Weights, state: torch.Tensor, following: torch.Tensor | None = None) -> torch.Tensor:
        """The Jacobians `[N, D, D]` of the blank map at states `[N, D]`; `following` are the next states, if known."""
        return vmap(jacrev(lambda one: self.blank(weights, one[None])[0]))(state)

    def rows(self, weights: Weights, images: torch.Tensor) -> Iterator[torch.Tensor]:
        """The states after rows 1 .. T of images `[N, T, features]`, each a new tensor."""
        state = self.start(weights, len(images))
        for row in images.unbind(dim=1):
            state = self.step(weights, state, row)
            yield state

    def blank_rows(self, weights: Weights, state: torch.Tensor, count: int) -> Iterator[torch.Tensor]:
        """The states after 1 .. `count` blank rows; each may be overwritten two steps later."""
        for _ in range(count):
            state = self.blank(weights, state)
            yield state

    def nonlinearity(self, drive: torch.Tensor) -> torch.Tensor | None:
        """f(u), elementwise, where the blank map is h -> f(R h) with R the parameter `recurrent`; None for any other map."""
        return None

    def blank_map(self, weights: Weights) -> BlankMap:
        """The blank map as a function of NumPy arrays."""
        return BlankMap(self, weights)


class BlankMap:
    """The blank map of one network, in float64, on NumPy arrays of states `[n, D]` or `[D]`.

    Attribute: `exact`, whether it computes in float64, as it does unless the cell cannot.
    """

    exact = True

    def __init__(self, cell: Cell, weights: Weights):
        self.cell, self.weights = cell, {name: value.detach().double().cpu() for name, value in weights.items()}

    def __call__(self, state: np.ndarray) -> np.ndarray:
        states = torch.from_numpy(np.atleast_2d(state))
        return self.cell.blank(self.weights, states).numpy().reshape(state.shape)

    def tangent(self, state: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The state after `state` `[D]`, and the Jacobian there times `frame` `[D, count]`."""
        # One copy of the state per direction: forward-mode differentiation then takes a single step.
        directions = torch.from_numpy(np.ascontiguousarray(frame.T))
        with forward_ad.dual_level():
            states = forward_ad.make_dual(torch.from_numpy(state).expand_as(directions).clone(), directions)
            following, stretched = forward_ad.unpack_dual(self.cell.blank(self.weights, states))
            if stretched is None:  # the map does not depend on the state
                stretched = torch.zeros_like(directions)
            return following[0].numpy(), stretched.mT.numpy()
