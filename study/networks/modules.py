"""Networks that others define in Python: PyTorch's recurrent layers with a linear readout, or any object with a step.

Such an object has `step(state, row)`, which gives the next state, for states `[N, D]` and rows `[N, features]`, `readout(state)`,
which gives logits `[N, classes]`, and the integer `state_size`, D. It may have `start(count)`, states `[count, D]`, by default 0,
and `observed(state)`, the hidden states `[N, H]` in states, by default all of them. It is tested before anything is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from study.data.sources import Images
from study.networks.cells.cell import BlankMap, Cell, Weights
from study.networks.layers import OWN, PLAIN, TESTED, copied, name_of, near, of_layers
from study.networks.network import Lacking, Network, scaled
from study.networks.rest import rest_state
from study.terminal.errors import InputError, quoted, reason

PLAIN_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)  # tried for an object whose weights are not known
DIRECTIONS = 4  # in which derivatives are compared with differences
SLOPE_ERROR = 1e-2  # of a derivative, by differences in float32; far smaller in float64


def network_of(module: object, test: Images) -> Network:
    """The network that an object is, tested on some test images.

    Raises `InputError` where it is none of those this module knows, does not read such images, or is not deterministic.
    """
    has = [name for name in ("step", "readout", "state_size") if hasattr(module, name)]
    if "step" not in has and isinstance(module, nn.Module):
        return of_layers(module, test)
    if isinstance(module, Network):
        return module.checked_for(test, "the network")
    if len(has) < 3:
        lacks = [name for name in ("step", "readout", "state_size") if name not in has]
        raise InputError(f"{name_of(module)} has no {' and no '.join(lacks)}: expected {OWN}; or {PLAIN}")
    return _of_steps(module, test)


@dataclass(frozen=True)
class Precision:
    """The floating-point type in which a module is rolled out, its `own`, and the `finest` that it computes in, at most float64."""

    own: torch.dtype
    finest: torch.dtype

    def of(self, state: torch.Tensor) -> torch.dtype:
        """The type in which the state that follows is computed."""
        return self.finest if state.dtype == torch.float64 else self.own


class ModuleCell(Cell):
    """The map of one module, which nothing else shares.

    `weights`, those of an `nn.Module`, are its floating-point parameters and buffers by name, in whatever precision; an object of
    another kind keeps its own to itself. States are float32, or float64 where the dynamics are measured; they are converted to the
    precision of the module and back.

    Attributes: the `module`; `features` of a row; `hidden` and `classes`, the numbers in a hidden state and in the logits;
    `undifferentiable`, why there are no derivatives, empty where there are.
    """

    name = "module"
    names: ClassVar[Mapping[str, str]] = {}

    def __init__(self, module: Any, features: int, precision: Precision):
        self.module, self.features, self.size, self.precision = module, features, int(module.state_size), precision
        self.own_weights = _weights(module)
        self.methods = _Methods(module) if self.own_weights else None
        self.hidden = self.classes = 0
        self.undifferentiable, self.description = "", name_of(module)

    def shapes(self, hidden_size: int, features: int) -> dict[str, tuple[int, ...]]:
        return {name: tuple(value.shape) for name, value in self.own_weights.items()}

    def state_size(self, hidden_size: int) -> int:
        return self.size

    def start(self, weights: Weights, count: int) -> torch.Tensor:
        if not hasattr(self.module, "start"):
            return torch.zeros(count, self.size)
        return self.module.start(count).detach().float()

    def observed(self, state: torch.Tensor) -> torch.Tensor:
        if not hasattr(self.module, "observed"):
            return state
        return self._called("observed", self.own_weights, state.reshape(-1, self.size)).reshape(*state.shape[:-1], -1)

    def step(self, weights: Weights, state: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        return self._called("step", weights, state, row.to(self.precision.of(state)))

    def blank(self, weights: Weights, state: torch.Tensor) -> torch.Tensor:
        return self.step(weights, state, state.new_zeros(len(state), self.features))

    def logits(self, weights: Weights, state: torch.Tensor) -> torch.Tensor:
        """The readout of states `[N, D]`: `[N, classes]`."""
        return self._called("readout", weights, state)

    def jacobian(self, weights: Weights, state: torch.Tensor, following: torch.Tensor | None = None) -> torch.Tensor:
        self.differentiable()
        return super().jacobian(weights, state)

    def blank_map(self, weights: Weights) -> BlankMap:
        return _ModuleMap(self, weights)

    def differentiable(self) -> None:
        """Raises `Lacking` where the step has no derivative."""
        if self.undifferentiable:
            raise Lacking(self.undifferentiable)

    def _called(self, method: str, weights: Weights, state: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        """What a method of the module makes of a state, with these weights."""
        dtype = self.precision.of(state)
        arguments = (state.to(dtype), *others)
        if self.methods is None or (weights is self.own_weights and dtype == self.precision.own):
            made = getattr(self.module, method)(*arguments)
        else:  # with other weights, or in another precision
            given = {f"module.{name}": value.to(dtype) for name, value in weights.items()}
            made = functional_call(self.methods, given, (method, *arguments))
        return made.to(state.dtype)


class _Methods(nn.Module):
    """Calls any method of a module by `forward`, whose weights torch can replace during a call."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, method: str, *arguments: torch.Tensor) -> Any:
        return getattr(self.module, method)(*arguments)


class _ModuleMap(BlankMap):
    """Says why where the module has no derivative."""

    def __init__(self, cell: ModuleCell, weights: Weights):
        super().__init__(cell, weights)
        self.differentiable, self.exact = cell.differentiable, cell.precision.finest == torch.float64

    def tangent(self, state: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.differentiable()
        return super().tangent(state, frame)


@dataclass(frozen=True)
class ModuleNetwork(Network):
    """A module as a network: a `ModuleCell`, and the module's weights as parameters."""

    cell: ModuleCell

    @property
    def hidden_size(self) -> int:
        return self.cell.hidden

    @property
    def features(self) -> int:
        return self.cell.features

    @property
    def classes(self) -> int:
        return self.cell.classes

    def logits(self, state: torch.Tensor) -> torch.Tensor:
        return self.cell.logits(self.parameters, state)

    def untrained(self, seed: int) -> Network:
        raise Lacking("it compares with the network before training, which is not given (untrained=...)")

    def to(self, device: torch.device | str) -> ModuleNetwork:
        return ModuleNetwork(self.cell, {name: value.to(device) for name, value in self.parameters.items()})

    def double(self) -> ModuleNetwork:
        return ModuleNetwork(self.cell, {name: value.double() for name, value in self.parameters.items()})

    def state_dict(self) -> dict[str, torch.Tensor]:
        own = dict(self.cell.module.named_parameters()) if self.parameters else {}
        return {name: value for name, value in self.parameters.items() if name in own}  # a buffer may be infinite, as masks are


def _of_steps(module: Any, test: Images) -> ModuleNetwork:
    """The network of an object with a step, which is tested; raises `InputError` where it is not as `OWN` says."""
    name, size = name_of(module), module.state_size
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise InputError(f"{name}.state_size={quoted(size)}: expected the number of values in a state, an integer of at least 1")
    if isinstance(module, nn.Module):
        module = copied(module)
    images = scaled(test.images[:TESTED].cpu())
    cell = ModuleCell(module, images.shape[2], _precision(module, images))
    start = _tried(name, "start", f"states [{TESTED}, {cell.size}]", lambda: cell.start(cell.own_weights, len(images)))
    _shaped(start, "start", name, (len(images), cell.size))
    states, state = [start], start
    for row in images.unbind(dim=1):
        _tested_step(cell, name, state, row)
        state = cell.step(cell.own_weights, state, row)
        states.append(state)
    logits = _tried(name, "readout", "logits [N, classes]", lambda: cell.logits(cell.own_weights, state))
    observed = _tried(name, "observed", "hidden states [N, H]", lambda: cell.observed(state))
    _shaped(logits, "readout", name, (len(images), None))
    _shaped(observed, "observed", name, (len(images), None))
    cell.hidden, cell.classes = observed.shape[1], logits.shape[1]
    _same(logits, cell.logits(cell.own_weights, state), name, "readout", exact=True)
    _same(logits[:1], cell.logits(cell.own_weights, state[:1].clone()), name, "readout", cell.precision.own)
    network = ModuleNetwork(cell, cell.own_weights)
    _describe(cell, network.double().parameters, torch.stack(states).double())
    return network.checked_for(test, name)


def _weights(module: object) -> dict[str, torch.Tensor]:
    """The floating-point parameters and buffers of an `nn.Module`; none of another object."""
    if not isinstance(module, nn.Module) or isinstance(module, torch.jit.ScriptModule):
        return {}
    every = chain(module.named_parameters(), module.named_buffers())
    return {name: value.detach() for name, value in every if value.is_floating_point()}


def _precision(module: object, images: torch.Tensor) -> Precision:
    """In which types a module computes: its weights', or the first that an object with unknown ones accepts; and the finest."""
    weights = _weights(module)
    candidates = [next(iter(weights.values())).dtype] if weights else list(PLAIN_DTYPES)
    refused = [_refused(module, dtype, images) for dtype in candidates]
    if None not in refused:
        raise InputError(f"{name_of(module)}.step: {refused[0]}; expected {OWN}, which gives the next state [N, D]")
    own = candidates[refused.index(None)]
    return Precision(own, own if _refused(module, torch.float64, images) else torch.float64)


def _refused(module: object, dtype: torch.dtype, images: torch.Tensor) -> str | None:
    """Why a module does not make one step in a type; None where it does."""
    cell = ModuleCell(module, images.shape[2], Precision(dtype, dtype))
    weights = {name: value.to(dtype) for name, value in cell.own_weights.items()}
    state, row = torch.zeros(len(images), cell.size, dtype=dtype), images[:, 0].to(dtype)
    arguments = ("step", *(one.clone() for one in (state, row)))
    try:
        with torch.no_grad():
            if cell.methods is None:
                following = getattr(module, "step")(*arguments[1:])  # noqa: B009 - any object
            else:
                following = functional_call(cell.methods, {f"module.{name}": one for name, one in weights.items()}, arguments)
    except Exception as error:  # whatever a foreign module raises
        return f"it fails on a state {tuple(state.shape)} and a row {tuple(row.shape)} of {dtype} ({reason(error)})"
    if not isinstance(following, torch.Tensor) or following.shape != state.shape:
        made = tuple(following.shape) if isinstance(following, torch.Tensor) else type(following).__name__
        return f"it makes {made} of a state {tuple(state.shape)} and a row {tuple(row.shape)}"
    return None if following.dtype == dtype else f"it makes {following.dtype} of {dtype}"


def _tested_step(cell: ModuleCell, name: str, state: torch.Tensor, row: torch.Tensor) -> None:
    """Raises `InputError` where a step changes what it is given, or depends on anything else."""
    dtype = cell.precision.own
    given, seen = state.to(dtype, copy=True), row.to(dtype, copy=True)
    call = cell.module.step
    made = call(given, seen)
    kept = made.clone()
    for what, before, after in (("state", state, given), ("row", row, seen)):
        if not torch.equal(before.to(dtype).nan_to_num(), after.nan_to_num()):
            raise InputError(f"{name}.step changes the {what} that it is given: expected a new tensor (no operation in place)")
    call(given.flip(0), seen.flip(0))
    if not torch.equal(kept.nan_to_num(), made.nan_to_num()):
        raise InputError(f"{name}.step changes a state that it gave before: expected a new tensor each time")
    _same(kept, call(given, seen), name, "step", exact=True)
    _same(kept[:1], call(given[:1].clone(), seen[:1].clone()), name, "step", dtype)


def _same(
    one: torch.Tensor, other: torch.Tensor, name: str, method: str, dtype: torch.dtype | None = None, exact: bool = False
) -> None:
    """Raises `InputError` where two calls of a method do not give the same."""
    one, other = one.nan_to_num(), other.nan_to_num()
    if exact:
        if not torch.equal(one, other):
            raise InputError(
                f"{name}.{method} gives two results for the same state: expected a deterministic module, without noise"
            )
    elif not near(one, other, dtype or one.dtype):
        raise InputError(f"{name}.{method} depends on the other states of a batch: expected one that treats each state alone")


def _tried(name: str, method: str, gives: str, call: Callable[[], torch.Tensor]) -> torch.Tensor:
    try:
        return call()
    except Exception as error:  # whatever a foreign module raises
        raise InputError(f"{name}.{method} fails ({reason(error)}): expected that it gives {gives}") from None


def _shaped(made: torch.Tensor, method: str, name: str, shape: tuple[int, int | None]) -> None:
    if made.ndim != 2 or made.shape[0] != shape[0] or made.shape[1] != (shape[1] or made.shape[1]):
        expected = ", ".join(str(size or "..") for size in shape)
        raise InputError(f"{name}.{method} gives {list(made.shape)}: expected [{expected}] for {shape[0]} states")


def _describe(cell: ModuleCell, weights: Weights, states: torch.Tensor) -> None:
    """Finds out, at states `[T + 1, N, D]` (float64) that images pass through, what a cell of this project declares.

    Whether 0 rests there is a matter of one exact step. That the map is odd is seen at all these states and at random ones. That it
    is bounded cannot be seen: it is not assumed.
    """
    finest = cell.precision.finest
    every = states[states.isfinite().all(dim=2)]
    every = torch.cat([every, torch.randn(len(every), cell.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)])
    cell.odd = near(cell.blank(weights, -every), -cell.blank(weights, every), finest)
    cell.rests_at_zero = not any(
        cell.blank(values, torch.zeros(count, cell.size, dtype=dtype)).any()
        for values, dtype in ((weights, torch.float64), (cell.own_weights, torch.float32))
        for count in (1, TESTED)
    )
    if torch.finfo(finest).bits < 32:
        cell.undifferentiable = f"its step is computed in {finest}, too coarse for derivatives"
    else:
        cell.undifferentiable = _undifferentiable(cell, weights, every[-2:])
    if not cell.undifferentiable:
        rest = rest_state(cell, weights)
        if rest is not None:
            cell.smooth_at_rest = _smooth(cell, weights, rest.double())
    own, exact = (str(dtype).removeprefix("torch.") for dtype in (cell.precision.own, finest))
    cell.description = (
        f"a module, {name_of(cell.module)}: rolled out in {own}, dynamics in {exact}, {'' if cell.odd else 'not '}odd, "
        f"{'' if cell.rests_at_zero else 'not '}at rest in 0, not known to be bounded"
    )


def _undifferentiable(cell: ModuleCell, weights: Weights, states: torch.Tensor) -> str:
    """Why derivatives of the step at some states cannot be used; empty where they are what differences are."""
    frame = _directions(cell.size)
    try:
        slopes = cell.jacobian(weights, states) @ frame
        tangent = torch.from_numpy(cell.blank_map(weights).tangent(states[0].numpy(), frame.numpy())[1])
    except Exception as error:  # whatever a foreign module raises
        return f"torch.func cannot differentiate its step ({reason(error)})"
    for state, slope in zip(states, slopes, strict=True):
        before, after = (_moved(cell, weights, state, sign * frame) for sign in (-1, 1))
        measured = (after - before) / 2
        if not _close(slope, measured, cell) or (state is states[0] and not _close(tangent, measured, cell)):
            return "the derivative that torch.func gives of its step is not that of differences"
    return ""


def _smooth(cell: ModuleCell, weights: Weights, rest: torch.Tensor) -> bool:
    """Whether the blank map changes by as much on both sides of its rest state."""
    frame = _directions(cell.size)
    middle = cell.blank(weights, rest[None]).mT
    before, after = (sign * (_moved(cell, weights, rest, sign * frame) - middle / _width(cell)) for sign in (-1, 1))
    return _close(before, after, cell)


def _width(cell: ModuleCell) -> float:
    """How far apart states are whose difference stands for a derivative."""
    return torch.finfo(cell.precision.finest).eps ** (1 / 3)


def _moved(cell: ModuleCell, weights: Weights, state: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
    """What follows states a `_width` away from a state `[D]` in some directions `[D, k]`, over that width; `[D, k]`."""
    return cell.blank(weights, state + _width(cell) * frame.mT).mT / _width(cell)


def _directions(size: int) -> torch.Tensor:
    drawn = torch.randn(size, DIRECTIONS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return drawn / drawn.norm(dim=0)


def _close(one: torch.Tensor, other: torch.Tensor, cell: ModuleCell) -> bool:
    error = SLOPE_ERROR if cell.precision.finest != torch.float64 else SLOPE_ERROR**2
    return bool((one - other).norm() <= error * max(1.0, float(other.norm())))
