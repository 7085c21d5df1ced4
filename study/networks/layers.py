"""PyTorch's recurrent layers with a linear readout, as someone has them in a module.

What they compute is compared with the module's `forward` before anything is measured.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from itertools import chain, product
from typing import Any

import torch
from torch import nn

from study.data.sources import Images
from study.networks.cells import WITH_BIAS, known
from study.networks.network import RecurrentNetwork, scaled
from study.networks.weights import READOUT
from study.terminal.errors import InputError, quoted, reason

TESTED = 5  # test images on which a module is tested
ROUNDING = 0.3  # times the square root of a precision: how far results may differ that should be the same
LAYERS: dict[type[nn.Module], str] = {  # those of tanh or relu units name their nonlinearity
    **dict.fromkeys((nn.RNN, nn.RNNCell), ""),
    **dict.fromkeys((nn.GRU, nn.GRUCell), "gru"),
    **dict.fromkeys((nn.LSTM, nn.LSTMCell), "lstm"),
}
EARLY = 2  # rows; a single one may be taken for no dimension at all
SHAPES: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (  # in which a module may want images [N, T, features]
    lambda images: images,
    lambda images: images.transpose(0, 1),
    lambda images: images[:, None],
    lambda images: images.flatten(1),
)
OWN = "an object with step(state [N, D], row [N, features]), readout(state) and an integer state_size"
PLAIN = (
    "an nn.Module that consists of one nn.RNN, nn.GRU or nn.LSTM (one layer, one direction, no projection), or the cell of one, "
    "and one nn.Linear"
)


def of_layers(module: nn.Module, test: Images) -> RecurrentNetwork:
    """The network of a module made of one recurrent layer and one linear one; raises `InputError` where it is anything else."""
    name, module = name_of(module), copied(module)
    layers = [part for part in module.modules() if isinstance(part, tuple(LAYERS))]
    linear = [part for part in module.modules() if isinstance(part, nn.Linear)]
    if len(layers) != 1 or len(linear) != 1:
        raise InputError(
            f"{name} has no step, {_counted(layers, 'recurrent layer')} and {_counted(linear, 'linear layer')}: expected {PLAIN}; "
            f"or {OWN}"
        )
    [layer], [readout] = layers, linear
    others = [quoted(full) for full, owner in _owners(module) if owner not in (layer, readout)]
    # The cell of a layer has no such options.
    deep, both, projected = (
        getattr(layer, name, one) for name, one in (("num_layers", 1), ("bidirectional", False), ("proj_size", 0))
    )
    faults = {
        f"has {deep} recurrent layers": deep != 1,
        "reads rows in two directions": both,
        f"projects its states (proj_size={projected})": bool(projected),
        f"has other parameters, {', '.join(others[:3])}": bool(others),
        f"has a linear layer of {readout.in_features} inputs beside {layer.hidden_size} units": (
            readout.in_features != layer.hidden_size and not projected
        ),
    }
    if wrong := [words for words, found in faults.items() if found]:
        raise InputError(f"{name} {wrong[0]}: expected {PLAIN}; or {OWN}")
    kind = next(kind for kind in LAYERS if isinstance(layer, kind))
    cell = known((LAYERS[kind] or str(layer.nonlinearity)) + (WITH_BIAS if layer.bias else ""))
    own = {full: full.removeprefix("rnn.") for full in cell.names.values()}
    state = {
        full: getattr(layer, name if isinstance(layer, nn.RNNBase) else name.removesuffix("_l0")) for full, name in own.items()
    }
    bias = readout.bias if readout.bias is not None else readout.weight.new_zeros(readout.out_features)
    state |= {READOUT["readout"]: readout.weight, READOUT["bias"]: bias}
    network = RecurrentNetwork.from_state_dict({full: value.detach() for full, value in state.items()}, name, cell)
    network.checked_for(test, name)
    _agrees(module, network, name, scaled(test.images[:TESTED].cpu()))
    return network


def _owners(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Each parameter or buffer of a module by its full name, with the part that it belongs to."""
    for prefix, part in module.named_modules():
        for name, _ in chain(part.named_parameters(recurse=False), part.named_buffers(recurse=False)):
            yield f"{prefix}.{name}".lstrip("."), part


def _counted(parts: list, words: str) -> str:
    return f"{len(parts) or 'no'} {words}{'s' if len(parts) > 1 else ''}"


def _agrees(module: nn.Module, network: RecurrentNetwork, name: str, images: torch.Tensor) -> None:
    """Raises `InputError` where a module's `forward`, if it has one, makes other logits of images `[N, T, features]`.

    It may want them as `[T, N, features]`, with a channel or flat, and may give the logits of all rows, or a state beside them. The
    answers to the first rows are compared, too, where it takes so few: a state of its own before the first row is forgotten later.
    """
    if type(module).forward is nn.Module.forward:
        return
    exact, own, wrong = network.double(), next(module.parameters()).dtype, ""
    expected = [exact.logits(state) for state in exact.rows(images.double())]

    def answers(dtype: torch.dtype, shape: Callable[[torch.Tensor], torch.Tensor], rows: int) -> list[torch.Tensor]:
        """What may be the logits after some rows; none where the module fails."""
        nonlocal wrong
        try:
            made: Any = module.to(dtype)(shape(images[:, :rows]).to(dtype))
        except Exception as error:  # whatever a foreign module raises
            wrong = wrong or f"fails on images {list(images.shape)} ({reason(error)})"
            return []
        made = made[0] if isinstance(made, tuple | list) else made
        if not isinstance(made, torch.Tensor) or made.shape[-1:] != expected[-1].shape[-1:]:
            return []
        wrong = "gives other logits than its two layers do"
        return [made, made[:, -1], made[-1]] if made.ndim == 3 else [made]

    # In its own precision, too, since it may hold constants of it.
    for dtype, shape in product((torch.float64, own), SHAPES):
        if any(near(logits, expected[-1], torch.float32) for logits in answers(dtype, shape, len(expected))):
            early = answers(dtype, shape, EARLY)
            if not early or any(near(logits, expected[EARLY - 1], torch.float32) for logits in early):
                return
            wrong = "starts from a state of its own, not from 0"
            break
    raise InputError(
        f"{name}.forward {wrong or 'gives no logits'}: expected that the linear layer reads the last hidden state, with nothing in "
        f"between; or give {OWN}"
    )


def copied(module: nn.Module) -> nn.Module:
    """A copy on the CPU that does not train: what is done to it leaves the module as it is."""
    try:
        return copy.deepcopy(module).cpu().eval().requires_grad_(False)
    except Exception as error:  # whatever a foreign module raises
        raise InputError(
            f"{name_of(module)} cannot be copied ({reason(error)}): expected a module that copy.deepcopy copies"
        ) from None


def near(one: torch.Tensor, other: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether two tensors are the same but for rounding in this precision."""
    error = ROUNDING * torch.finfo(dtype).eps ** 0.5
    return one.shape == other.shape and torch.allclose(one.double(), other.double(), rtol=error, atol=error)


def name_of(module: object) -> str:
    """What messages call a module."""
    return quoted(type(module).__name__)
