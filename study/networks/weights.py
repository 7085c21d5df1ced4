"""A network's weights as safetensors files, whose content and metadata are checked before they are used.

The tensors alone cannot distinguish a tanh network from a relu network, or rows from columns; the metadata of a file can, and those
of this project's files do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized

from study.data.images import IN_WORDS, Order
from study.files import durable, untrusted
from study.files.untrusted import Refused
from study.networks.cells import BUILT_IN, CELLS, TANH, Cell, known
from study.networks.cells.pytorch import PyTorchCell
from study.networks.cells.vanilla import VanillaCell
from study.terminal.errors import InputError, quoted, reason

# Together with the names of the paper's cell, these are the names in a plain PyTorch module with `rnn = nn.RNN(features, H,
# bias=False)` and `readout = nn.Linear(H, classes)`: state dictionaries can be exchanged with it.
READOUT = {"readout": "readout.weight", "bias": "readout.bias"}
FLOATS = {"F16", "BF16", "F32", "F64", "torch.float16", "torch.bfloat16", "torch.float32", "torch.float64"}
MOST, MOST_HEADER = 1 << 30, 1 << 20  # bytes of a file (some 16,000 hidden units) and of its header (ours has 500)
LISTED = 12  # tensors named in a message
SAFETENSORS = "a .safetensors file"

NO, YES = ("false", "none", "no", "0"), ("true", "both", "yes", "1")


@dataclass(frozen=True)
class Fact:
    """A property that a file may declare: the names it may have, and the values that agree with the network measured here."""

    names: tuple[str, ...]
    agree: tuple[str, ...]


SAID: dict[Order, tuple[str, ...]] = {"rows": ("rows", "row"), "columns": ("columns", "column"), "permuted": ("permuted",)}
READING = {
    "reads": Fact(("reads", "input_order"), sum(SAID.values(), ())),
    "pixels": Fact(("pixels", "pixel_range"), ("[0,1]", "0..1", "0-1", "0to1", "(0,1)")),
    "standardised": Fact(("standardised", "standardized"), NO),
    "layers": Fact(("layers", "num_layers"), ("1",)),
    "bidirectional": Fact(("bidirectional",), NO),
}
CELL = ("cell", "cell_type", "rnn_type")
NONLINEARITY = ("nonlinearity", "activation", "mode")
NEEDED = ("nonlinearity", "reads", "pixels")  # not determined by the tensors

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]  # the type and shape of each tensor by name
Statements = list[tuple[str, str]]  # the names and values of a file's metadata


@dataclass(frozen=True)
class Held:
    """The content of a file of weights: the `cell`, the `state` dictionary, and which properties of `NEEDED` it leaves `unsaid`."""

    cell: Cell
    state: dict[str, torch.Tensor]
    unsaid: tuple[str, ...]


def state_names(cell: Cell) -> dict[str, str]:
    """The names of the parameters of cell and readout in the state dictionary."""
    return {**cell.names, **READOUT}


def computed(cell: Cell, reads: Order | None = None) -> str:
    """The network that is measured, and the order in which it is shown images, in words."""
    order = IN_WORDS[reads or "rows"]
    kind = "a tanh network without recurrent bias" if cell is TANH else f"a network of {cell.description}"
    return f"{kind} that reads {order} of pixels in [0, 1]"


def _facts(cell: Cell) -> dict[str, Fact]:
    """What a file may say about a network of a cell; of the built-in ones under the names that other programs have for them."""
    if not isinstance(cell, PyTorchCell) or cell not in BUILT_IN:
        return READING | {"cell": Fact(CELL, (cell.name,))}
    kind, facts = cell.kind, READING | {"bias": Fact(("bias",), YES if cell.biased else NO)}
    if isinstance(cell, VanillaCell):
        names = (f"rnn_{kind}", "rnn", "elman", "vanilla", kind, cell.name)
        return facts | {"nonlinearity": Fact(NONLINEARITY, (kind, f"rnn_{kind}")), "cell": Fact(CELL, names)}
    return facts | {"cell": Fact((*CELL, "mode"), (kind, cell.name))}


def _ours(cell: Cell, reads: Order) -> dict[str, str]:
    """The metadata of our own files, in one key: several would have no fixed order, but equal weights must give equal files."""
    said = {"bias": "none", "nonlinearity": "tanh"} if cell is TANH else {"cell": cell.name}
    return {"network": json.dumps(said | {"pixels": "[0, 1]", "reads": reads}, sort_keys=True)}


def write(path: Path, state: Mapping[str, torch.Tensor], cell: Cell, reads: Order) -> None:
    """Writes a safetensors file, completely or not at all, that says which network it holds and how that reads images."""
    tensors = {name: value.cpu().contiguous() for name, value in state.items()}
    durable.write(path, serialized(tensors, metadata=_ours(cell, reads)))


def read(path: Path, reads: Order | None = "rows") -> Held:
    """The weights in a safetensors file, for the registered cell that it names, by default the paper's; `reads` is the order of the
    images that it will be shown, None for the order that it was trained with.

    Raises `InputError` where the file is missing, not a safetensors file, too large, or holds or declares another network.
    """
    with opened(path) as (tensors, said, ours, file):
        cell = cell_said(said, ours, str(path))
        check(tensors, str(path), cell)
        hidden, features = (tensors[cell.names[name]][1][-1] for name in ("recurrent", "input"))
        check_said(said, hidden, features, str(path), cell, reads)
        return Held(cell, {name: file.get_tensor(name) for name in tensors}, unsaid(said, cell))


@contextmanager
def opened(path: Path, accepted: str = SAFETENSORS) -> Iterator[tuple[Tensors, Statements, bool, Any]]:
    """A safetensors file: its tensors' types and shapes, what its metadata say, whether it is this project's, and the open file, to
    read tensors from.

    Raises `InputError` where the file is missing, unreadable, no safetensors file or too large, saying what is `accepted`.
    """
    _plausible(path, accepted)
    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            tensors = {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
            metadata = file.metadata() or {}
            yield tensors, statements(metadata), "network" in metadata, file
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} cannot be read as safetensors ({reason(error)}): expected {accepted}") from None


def described(state: Mapping[str, torch.Tensor]) -> Tensors:
    """The type and shape of each tensor."""
    return {name: (str(value.dtype), tuple(value.shape)) for name, value in state.items()}


def unsaid(said: Statements, cell: Cell) -> tuple[str, ...]:
    """Which properties of `NEEDED` a file does not state."""
    names, facts = {name for name, _ in said}, _facts(cell)
    return tuple(fact for fact in NEEDED if fact in facts and not names & {*facts[fact].names})


def cell_said(said: Statements, ours: bool, origin: str) -> Cell:
    """The registered cell that a file names: any that a file of this project names, or a user's own; else the paper's."""
    for name, value in said:
        if name in CELL and value not in _facts(TANH)["cell"].agree and (ours or (value in CELLS and CELLS[value] not in BUILT_IN)):
            return known(value, f"{origin}: {name}")
    return TANH


def check(tensors: Tensors, origin: str, cell: Cell) -> None:
    """Raises `InputError`, naming `origin` and its content, where the tensors are not those of one network with this cell."""

    def refuse(words: str) -> InputError:
        return InputError(f"{origin} {words}; it holds {listed(tensors)}")

    if cell is TANH and (kind := other_kind(tensors)):
        raise refuse(f"is {kind}: expected the weights of nn.RNN(features, H, bias=False), {computed(cell)}")
    names = state_names(cell)
    expected = names.values()
    if missing := sorted(set(expected) - set(tensors)):
        readout = ", a readout" if {*READOUT.values()} <= set(missing) else ""
        raise refuse(f"lacks {', '.join(missing)}{readout}: expected {', '.join(sorted(expected))}")
    if extra := sorted(set(tensors) - {*expected, *cell.absent}):
        raise refuse(f"holds {quoted(extra[0])}, which is not part of this network: expected only {', '.join(sorted(expected))}")
    axes = {names[name]: len(shape) for name, shape in _shapes(cell, 1, 1, 1).items()} | dict.fromkeys(cell.absent, 1)
    for name, (precision, shape) in tensors.items():
        if len(shape) != axes[name] or precision not in FLOATS:
            raise refuse(
                f"does not fit: {name} has the shape {shape} and the type {precision}, expected {axes[name]} "
                f"dimension{'s' * (axes[name] > 1)} of floating-point numbers of 16, 32 or 64 bits"
            )
    hidden, seen, features, classes = (tensors[names[name]][1][-1] for name in ("recurrent", "readout", "input", "bias"))
    if not hidden or not features or not classes:
        raise refuse(
            f"does not fit: it has {hidden} hidden units, {features} pixels per row and {classes} classes, expected at "
            "least one of each"
        )
    shapes = {names[name]: shape for name, shape in _shapes(cell, seen, features, classes).items()}
    for name, shape in (shapes | dict.fromkeys(cell.absent, (seen,))).items():
        if name in tensors and tensors[name][1] != shape:
            raise refuse(f"does not fit: {name} has the shape {tensors[name][1]}, expected {shape}")


def _shapes(cell: Cell, hidden: int, features: int, classes: int) -> dict[str, tuple[int, ...]]:
    return cell.shapes(hidden, features) | {"readout": (classes, hidden), "bias": (classes,)}


def is_pickled(start: bytes, size: int) -> bool:
    """Whether a file of so many bytes begins as `torch.save` begins one; the length of safetensors' header may look alike."""
    fits = 0 < int.from_bytes(start[:8], "little") <= min(size - 8, MOST_HEADER)
    return not fits and (start[:4] == b"PK\3\4" or start[:1] == b"\x80")


def _plausible(path: Path, accepted: str) -> None:
    """Raises `InputError` where a path is not a file that begins like safetensors: with the length of the header in eight bytes."""
    try:
        with untrusted.opened(path, MOST, follow=True) as file:
            start, size = file.read(8), file.seek(0, 2)
    except FileNotFoundError:
        raise InputError(f"no weights at {path}: expected {accepted}") from None
    except Refused as refusal:
        raise InputError(f"{path} cannot be read as safetensors (it {refusal}): expected {accepted}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read as safetensors ({reason(error)}): expected {accepted}") from None
    header = int.from_bytes(start, "little")
    if is_pickled(start, size):
        raise InputError(
            f"{path} cannot be read as safetensors: it looks like a pickle, as torch.save writes it, which is never "
            "opened; save the state dictionary with safetensors.torch.save_file"
        )
    if size < 8 or not 0 < header <= size - 8:
        raise InputError(
            f"{path} cannot be read as safetensors (it does not begin with the length of a header): expected {accepted}"
        )
    if header > MOST_HEADER:
        raise InputError(
            f"{path} cannot be read as safetensors (its header has {header:,} bytes, expected at most "
            f"{MOST_HEADER:,}): expected the weights of one small network"
        )


def statements(metadata: Mapping[str, str]) -> Statements:
    """Names and values in metadata, including those inside JSON objects, in lower case and without spaces."""
    pairs: list[tuple[str, object]] = []
    for name, value in metadata.items():
        try:
            inner = json.loads(value)
        except (ValueError, RecursionError):
            inner = None
        pairs += inner.items() if isinstance(inner, dict) else [(name, value)]
    return [(name.strip().lower(), re.sub(r"\s", "", str(value).lower())) for name, value in pairs]


def check_said(said: Statements, hidden: int, features: int, origin: str, cell: Cell, reads: Order | None) -> None:
    """Raises `InputError` where a file declares another network than the one measured here, or another order than `reads`."""
    facts = _facts(cell)
    facts |= {"hidden": Fact(("hidden_size",), (str(hidden),)), "input": Fact(("input_size",), (str(features),))}
    if reads is not None:
        facts["reads"] = Fact(facts["reads"].names, SAID[reads])
    for name, value in said:
        for about, fact in facts.items():
            if name in fact.names and value not in fact.agree:
                orders = [f", or order={order}" for order, words in SAID.items() if about == "reads" and value in words]
                raise InputError(
                    f"{origin} says {name}: {quoted(value)}, but it would be measured as {computed(cell, reads)} ({hidden} hidden "
                    f"units, {features} pixels per row): expected {name}: {fact.agree[0]}{''.join(orders)}"
                )


def other_kind(tensors: Tensors) -> str | None:
    """The kind of recurrent network the tensors belong to, judged by PyTorch's names; None where it may be ours."""
    parts = {name: match for name in tensors if (match := re.search(r"weight_(ih|hh|hr)(?:_l(\d+))?(_reverse)?$", name))}
    projected = any(match[1] == "hr" for match in parts.values())
    gates = {
        shape[0] // shape[1]
        for name, match in parts.items()
        if match[1] == "hh"
        for _, shape in [tensors[name]]
        if len(shape) == 2 and shape[1] and not shape[0] % shape[1]
    }
    cell = "an LSTM" if projected or 4 in gates else "a GRU" if 3 in gates else "an RNN"
    layers = len({match[2] for match in parts.values()})
    words = [f"of {layers} layers"] * (layers > 1) + ["with a projection (weight_hr_l0)"] * projected
    if any(match[3] for match in parts.values()):
        words.insert(0, "that reads in both directions")
    return " ".join([cell, *words]) if words or cell != "an RNN" else None


def listed(tensors: Tensors) -> str:
    """The tensors with shapes and types; only the first `LISTED` where there are many."""
    if not tensors:
        return "no tensors"
    shown = [
        f"{quoted(name, 60)} {list(shape)} {precision.removeprefix('torch.')}"
        for name, (precision, shape) in list(tensors.items())[:LISTED]
    ]
    return ", ".join(shown) + (f" and {len(tensors) - LISTED} more" if len(tensors) > LISTED else "")
