"""Half-trained networks on disk: one small file per network, so that any grouping of networks can resume from them.

A file is named by the network's training key: it does not matter how the network will be measured.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized

from study.data.places import CACHE
from study.files import durable, untrusted
from study.networks.kernels import KERNELS
from study.record.network_record import LARGEST_FILE, versions
from study.training.engine import TrainingState
from study.training.history import HISTORY, History

FOLDER = CACHE / "checkpoints"
FORMAT = "4"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A network's training `state` and its `history` so far."""

    state: TrainingState
    history: History


def path(key: str) -> Path:
    """The file of a network's checkpoint."""
    return FOLDER / f"{key}.safetensors"


def save(key: str, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint; raises `StudyError` where it cannot be written, and then keeps the previous one."""
    state = checkpoint.state
    tensors = {
        "weights": state.weights,
        "first_moment": state.first_moment,
        "second_moment": state.second_moment,
        **{name: torch.from_numpy(values) for name, values in checkpoint.history.arrays().items()},
    }
    marks = _marks(key) | {"epoch": str(state.epoch), "steps": str(state.steps)}
    durable.write(path(key), serialized(tensors, metadata=marks))


def load(key: str) -> Checkpoint | None:
    """The checkpoint of a network; None where there is none to resume from.

    A file that is unreadable, or was written for another network or by other library versions, is set aside with a warning.
    """
    here = path(key)
    if not os.path.lexists(here):
        return None
    try:
        with untrusted.opened(here, LARGEST_FILE):  # otherwise a FIFO with this name would block
            pass
        with safe_open(here, "pt") as file:
            marks = file.metadata() or {}
            foreign = [name for name, value in _marks(key).items() if marks.get(name) != value]
            if foreign:
                raise ValueError(f"it differs in {', '.join(foreign)}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            state = TrainingState(
                tensors["weights"], tensors["first_moment"], tensors["second_moment"], int(marks["epoch"]), int(marks["steps"])
            )
            return Checkpoint(state, History.of_arrays({name: tensors[name].numpy() for name in HISTORY}))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        aside = here.with_suffix(".set-aside")
        here.replace(aside)
        log.warning("checkpoint %s cannot be used (%s): set aside as %s, training starts anew", here, error, aside.name)
        return None


def remove(key: str) -> None:
    """Removes the checkpoint of a network that is stored now, and temporary files that a kill left behind."""
    for file in (path(key), *durable.left_behind(path(key))):
        file.unlink(missing_ok=True)


def _marks(key: str) -> dict[str, str]:
    """What a checkpoint must have in common with the network that resumes from it."""
    # Which of the two kernels a network has is part of its key.
    libraries = {name: versions()[name] for name in ("torch", "numpy")}
    return {"training_key": key, **libraries, "kernels": "; ".join(one.in_words() for one in KERNELS.values()), "format": FORMAT}
