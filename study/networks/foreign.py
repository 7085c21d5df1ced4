"""Networks that others trained: files of weights as PyTorch's users have them, recognised by names and shapes.

A file is a safetensors file or what `torch.save` wrote: a state dictionary, or a checkpoint that contains one, as Lightning's. It
holds one recurrent layer, whose tensors end as PyTorch's do after any prefix, and one linear readout. What cannot be told from the
tensors is said by the file, or by the user, or assumed and reported. Only tensors and plain values are ever unpickled.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from study.data.images import Order
from study.files import untrusted
from study.files.untrusted import Refused
from study.networks import weights
from study.networks.cells import TANH, WITH_BIAS, Cell, known
from study.networks.cells.pytorch import BIASES
from study.networks.network import RecurrentNetwork
from study.networks.weights import FLOATS, MOST, NONLINEARITY, READOUT, Statements, Tensors, listed
from study.terminal.errors import InputError, quoted, reason

NESTED = (
    "state_dict",
    "model_state_dict",
    "model",
)  # where a checkpoint has its state dictionary: Lightning's, and PyTorch's tutorials'
HYPER_PARAMETERS = "hyper_parameters"  # Lightning's: what a module was made with
NAME = re.compile(r"(?P<stem>.*?)(?P<kind>weight|bias)_(?P<which>ih|hh|hr)(?:_l(?P<layer>\d+))?(?P<reverse>_reverse)?", re.DOTALL)
KINDS = {1: ("tanh", "relu"), 3: ("gru",), 4: ("lstm",)}  # the cells by how many times H rows the recurrent weights have
GATES = {"gru": "reset, update, new", "lstm": "input, forget, cell, output"}  # in PyTorch's order
PARTS = ("input", "recurrent", *BIASES, *READOUT)  # of a network, as users name them
ACCEPTED = (
    "expected one recurrent layer of tanh, relu, GRU or LSTM units in one direction and without projection (weight_ih_l0, "
    "weight_hh_l0, and biases, after any prefix), and one linear readout"
)
NAMES = "name them, as in --names recurrent=rnn.weight_hh_l0 readout=head.weight"


@dataclass(frozen=True)
class Brought:
    """A network from elsewhere; which properties of `weights.NEEDED` nobody has stated, `unsaid`; and how it was recognised, in
    words, `notes`."""

    network: RecurrentNetwork
    unsaid: tuple[str, ...]
    notes: tuple[str, ...]


def checked_names(words: Sequence[str]) -> dict[str, str]:
    """The tensors that a user names, from words such as ``recurrent=rnn.weight_hh_l0``; raises `InputError` for anything else."""
    found: dict[str, str] = {}
    for word in words:
        part, _, name = word.partition("=")
        if part not in PARTS or not name or part in found:
            raise InputError(f"names={quoted(word)}: expected part=tensor, each part once, where part is one of {', '.join(PARTS)}")
        found[part] = name
    return found


def read(path: Path, names: Mapping[str, str] | None = None, cell: str | None = None, reads: Order = "rows") -> Brought:
    """The network in a file of weights of any of the formats.

    Parameters: `names`, the tensor of some `PARTS`, where the file alone does not tell; `cell`, the built-in cell without its
    biases, likewise; `reads`, the order of the images that it will be shown. Raises `InputError` where the file is missing,
    unreadable, unsafe or too large, and where it holds, or says that it holds, another kind of network.
    """
    names, origin = dict(names or {}), str(path)
    if _is_pickle(path):
        state, said = _saved(path)
        tensors = weights.described(state)
        parts = _parts(tensors, names, origin)
        taken = {part: state[name] for part, name in parts.items()}
    else:
        with weights.opened(path, f"{weights.SAFETENSORS}, or one of torch.save") as (tensors, said, ours, file):
            registered = weights.cell_said(said, ours, origin)
            if registered is not TANH:
                held = weights.read(path, reads)
                return Brought(RecurrentNetwork.from_state_dict(held.state, origin, held.cell), held.unsaid, ())
            parts = _parts(tensors, names, origin)
            taken = {part: file.get_tensor(name) for part, name in parts.items()}
    found = _cell(taken, tensors, said, cell, origin)
    hidden, features, classes = taken["recurrent"].shape[1], taken["input"].shape[1], len(taken["readout"])
    weights.check_said(said, hidden, features, origin, found, reads)
    zero = {name: torch.zeros(len(taken["recurrent"])) for name in BIASES} | {"bias": torch.zeros(classes)}
    every = zero | taken
    named = {full: every[part] for part, full in weights.state_names(found).items()}
    network = RecurrentNetwork.from_state_dict(named, origin, found)
    unsaid = tuple(fact for fact in weights.unsaid(said, found) if fact != "nonlinearity" or cell is None)
    return Brought(network, unsaid, _notes(network, tensors, parts))


def _notes(network: RecurrentNetwork, tensors: Tensors, parts: Mapping[str, str]) -> tuple[str, ...]:
    """How a network was recognised, where its tensors do not have our names or it is not of the paper's cell."""
    notes = []
    ours = weights.state_names(network.cell)
    if network.cell.name != "tanh" or any(ours.get(part, name) != name for part, name in parts.items()):
        where = ", ".join(f"{part} {quoted(name, 60)}" for part, name in parts.items())
        notes.append(
            f"recognised as {network.hidden_size} {network.cell.description} that read rows of {network.features} numbers, and a "
            f"readout of {network.classes} classes: {where}"
        )
    kind = network.cell.name.removesuffix(WITH_BIAS)
    if kind in GATES and not NAME.fullmatch(parts["recurrent"]):
        notes.append(f"the gates are taken in PyTorch's order ({GATES[kind]}), which names other than PyTorch's do not tell")
    if "bias" not in parts:
        notes.append("the readout has no bias: taken as 0")
    if unused := [quoted(name, 60) for name in tensors if name not in parts.values()]:
        notes.append(f"not used: {', '.join(unused[: weights.LISTED])}{' and more' * (len(unused) > weights.LISTED)}")
    return tuple(notes)


def _is_pickle(path: Path) -> bool:
    """Whether a file begins as `torch.save` begins one; of a file that cannot be read, safetensors' reader says why."""
    try:
        with untrusted.opened(path, MOST, follow=True) as file:
            return weights.is_pickled(file.read(8), file.seek(0, 2))
    except (OSError, Refused):
        return False


def _saved(path: Path) -> tuple[dict[str, torch.Tensor], Statements]:
    """The state dictionary in a file of `torch.save`, and the plain values that a checkpoint has with it."""
    again = "expected a state dictionary: torch.save(module.state_dict(), file)"
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError):
        raise InputError(
            f"{path} is a pickle that torch.save of today does not write, or it is cut short: {again}, by PyTorch 1.6 or later"
        ) from None
    if unpacked > MOST:
        raise InputError(
            f"{path} unpacks to {unpacked >> 20:,} MiB: expected the weights of one network, at most {MOST >> 20:,} MiB"
        )
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f" ({quoted(found[1], 80)})" if found else ""
        raise InputError(f"{path} holds a pickled object{what}, which is never opened since it may run any code: {again}") from None
    except Exception as error:  # whatever a damaged archive makes of its reader
        raise InputError(f"{path} cannot be read as a file of torch.save ({reason(error)}): {again}") from None
    said: Statements = []
    if isinstance(loaded, Mapping) and not _is_state(loaded):
        inner = [loaded[name] for name in NESTED if name in loaded and _is_state(loaded[name])]
        if not inner:
            held = ", ".join(quoted(str(name), 40) for name in list(loaded)[: weights.LISTED])
            raise InputError(
                f"{path} is a checkpoint with {held or 'nothing in it'}: expected {' or '.join(NESTED)} with tensors in it"
            )
        said = _hyper_parameters(loaded.get(HYPER_PARAMETERS))
        loaded = inner[0]
    if not _is_state(loaded):
        raise InputError(f"{path} holds a {quoted(type(loaded).__name__)}: {again}")
    sizes = sum(value.numel() * value.element_size() for value in loaded.values())  # a view may be larger than the file
    if sizes > MOST:
        raise InputError(
            f"{path} holds tensors of {sizes >> 20:,} MiB: expected the weights of one network, at most {MOST >> 20:,} MiB"
        )
    return dict(loaded), said


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(name, str) and isinstance(part, torch.Tensor) and _holds_numbers(part) for name, part in value.items())
    )


def _holds_numbers(tensor: torch.Tensor) -> bool:
    """Whether a tensor has its values in memory: it is neither sparse, nor nested, nor without any."""
    return tensor.layout == torch.strided and not tensor.is_nested and tensor.device.type == "cpu"


def _hyper_parameters(values: Any) -> Statements:
    """What a checkpoint says of what its tensors do not determine."""
    # No other word: `activation` and `mode` are as often those of something else in a training script.
    kept = {NONLINEARITY[0], *(name for fact in ("reads", "pixels", "standardised") for name in weights.READING[fact].names)}
    plain = (
        {name: str(value) for name, value in values.items() if isinstance(value, str | bool | int | float)}
        if isinstance(values, Mapping)
        else {}
    )
    return [(name, value) for name, value in weights.statements(plain) if name in kept]


def _parts(tensors: Tensors, names: Mapping[str, str], origin: str) -> dict[str, str]:
    """The tensor of each part of the network; parts that it does not have are left out."""

    def refuse(words: str) -> InputError:
        return InputError(f"{origin} {words}; it holds {listed(tensors)}")

    if absent := [name for name in names.values() if name not in tensors]:
        raise refuse(f"has no tensor {quoted(absent[0], 60)}: expected --names with tensors that are there")
    found = {name: match for name in tensors if (match := NAME.fullmatch(name))}
    layers = {name: match for name, match in found.items() if match["which"] == "hh" and match["kind"] == "weight"}
    recurrent = names.get("recurrent")
    if recurrent is None:
        if not layers:
            raise refuse(f"has no recurrent layer that is recognised: {ACCEPTED}, or {NAMES}")
        stems = {match["stem"] for match in layers.values()}
        if len(stems) > 1:
            raise refuse(f"has {len(stems)} recurrent layers ({', '.join(quoted(stem, 40) for stem in sorted(stems))}): {ACCEPTED}")
        recurrent = next(iter(layers))
    parts = {"recurrent": recurrent}
    if match := found.get(recurrent):
        siblings = {name: other for name, other in found.items() if other["stem"] == match["stem"]}
        kind = weights.other_kind({name: tensors[name] for name in siblings})
        if any(other["which"] == "hr" or other["reverse"] or other["layer"] != match["layer"] for other in siblings.values()):
            raise refuse(f"is {kind}: {ACCEPTED}")
        where = {("weight", "ih"): "input", ("bias", "ih"): "input_bias", ("bias", "hh"): "recurrent_bias"}
        parts |= {where[other["kind"], other["which"]]: name for name, other in siblings.items() if name != recurrent}
    parts |= names
    if "input" not in parts:
        raise refuse(f"has no input weights beside {quoted(recurrent, 60)}: {ACCEPTED}, or {NAMES}, and input=...")
    if "readout" not in parts:
        left = [name for name in tensors if name not in parts.values()]
        wide = tensors[recurrent][1][-1:]
        matrices = [name for name in left if len(tensors[name][1]) == 2 and tensors[name][1][1:] == wide]
        if len(matrices) != 1:
            raise refuse(f"has {len(matrices) or 'no'} tensors that may be the readout: {ACCEPTED}; {NAMES}")
        parts["readout"] = matrices[0]
    left = [name for name in tensors if name not in parts.values()]
    if "bias" not in parts:
        stem = parts["readout"].removesuffix("weight")
        beside = [name for name in left if name == f"{stem}bias"]
        parts |= {"bias": beside[0]} if beside else {}
        left = [name for name in left if name not in beside]
    if left and "readout" not in names:
        raise refuse(f"holds {quoted(left[0], 60)}, which may be part of the network: {ACCEPTED}, or {NAMES}")
    found = {part: parts[part] for part in PARTS if part in parts}
    _check_shapes(tensors, found, origin)
    return found


def _check_shapes(tensors: Tensors, parts: Mapping[str, str], origin: str) -> None:
    """Raises `InputError` where the shapes are not those of one network, or the types not floating-point ones."""

    def refuse(part: str, expected: str) -> InputError:
        precision, shape = tensors[parts[part]]
        return InputError(
            f"{origin} does not fit: {quoted(parts[part], 60)}, taken as {part}, has the shape {list(shape)} and the type "
            f"{precision.removeprefix('torch.')}; expected {expected}; it holds {listed(tensors)}"
        )

    for part, name in parts.items():
        precision, shape = tensors[name]
        axes = 1 if part in (*BIASES, "bias") else 2
        if precision not in FLOATS or len(shape) != axes or 0 in shape:
            raise refuse(part, f"{axes} dimension{'s' * (axes > 1)} of floating-point numbers of 16, 32 or 64 bits")
    rows, hidden = tensors[parts["recurrent"]][1]
    if rows % hidden or rows // hidden not in KINDS:
        raise refuse("recurrent", "[H, H] (tanh or relu), [3 H, H] (GRU) or [4 H, H] (LSTM)")
    classes = tensors[parts["readout"]][1][0]
    shapes = {
        "input": (rows, None),
        "input_bias": (rows,),
        "recurrent_bias": (rows,),
        "readout": (None, hidden),
        "bias": (classes,),
    }
    for part, shape in shapes.items():
        if part in parts:
            there = tensors[parts[part]][1]
            if any(expected not in (None, size) for expected, size in zip(shape, there, strict=True)):
                raise refuse(part, f"[{', '.join('any' if size is None else str(size) for size in shape)}]")


def _cell(taken: Mapping[str, torch.Tensor], tensors: Tensors, said: Statements, cell: str | None, origin: str) -> Cell:
    """The cell of the tensors, told by their shapes; tanh or relu by what is said, tanh where nothing is. Biases that are all 0 are
    as good as none."""
    rows, hidden = taken["recurrent"].shape
    kinds = KINDS[rows // hidden]
    stated = [value.removeprefix("rnn_").removesuffix(WITH_BIAS) for name, value in said if name in (*NONLINEARITY, *weights.CELL)]
    kind = cell or next((value for value in stated if value in kinds), kinds[0])
    if kind not in kinds:
        raise InputError(
            f"cell={kind}: {origin} has recurrent weights of the shape {[rows, hidden]}, those of {' or '.join(kinds)}; it holds "
            f"{listed(tensors)}"
        )
    biased = any(taken[name].any() for name in BIASES if name in taken)
    return known(kind + WITH_BIAS * biased)
