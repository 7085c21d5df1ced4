"""The keys of a network: a training key for everything that determines its weights, and a record key that also covers what was
measured.

Weights and checkpoints are identified by the training key. A network whose training key is stored is not trained again: whatever
its record lacks is measured on the stored weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType

from study.config import NetworkConfig
from study.networks.cells import TANH
from study.training.engine import ENGINE_VERSION

# The fields of a `NetworkConfig` that determine the weights; all others define what is measured.
PLACE = ("seed", "hidden_size")  # in which the networks of one study differ
OF_ALL_CELLS = (*PLACE, "epochs", "learning_rate", "batch_size", "dataset", "train_images", "device", "precision")
TRAINING_FIELDS = ("cell", *OF_ALL_CELLS, "kernels", "trailing_blanks")

# Older stores have a single key, the tag `network_key`, made from these fields and the record's version. All their networks have
# the paper's cell.
FUSED_FIELDS = (*OF_ALL_CELLS, "blank_rows", "measurements")
FUSED_VERSION = 4
# Fields that came later, and the value that all networks had before: they are left out of the keys of such networks, which are thus
# found.
CAME_LATER = {"kernels": "torch", "trailing_blanks": "0"}
NO_CHANGES: Mapping[str, object] = MappingProxyType({})


def training_key(config: NetworkConfig, data_digest: str) -> str:
    """The identity of a network's weights: sha256 of the fields that decide them, the data's digest and the engine's version."""
    return _of_training(config, data_digest, TRAINING_FIELDS)


def regime_key(config: NetworkConfig, data_digest: str) -> str:
    """The identity of a training regime: what networks of all seeds and hidden sizes share, however they are measured."""
    return _of_training(config, data_digest, [name for name in TRAINING_FIELDS if name not in PLACE])


def record_key(training: str, measured: Mapping[str, int], blank_rows: int) -> str:
    """The identity of a record: the training key, the version of each measurement it holds, and the number of blank rows."""
    return _digest(_canonical({"training": training, "measurements": dict(measured), "blank_rows": blank_rows}))


def fused_network_key(config: NetworkConfig, data_digest: str) -> str:
    """The `network_key` that a store written before there were two keys has for a network."""
    return _fused(_fields_then(config, FUSED_FIELDS), data_digest)


def fused_regime_key(config: NetworkConfig, data_digest: str, changes: Mapping[str, object] = NO_CHANGES) -> str:
    """The `regime_key` of a study in such a store, which also said what is measured; `changes` replace fields of `config`."""
    return _fused(_fields_then(config, [name for name in FUSED_FIELDS if name not in PLACE]) | dict(changes), data_digest)


def _of_training(config: NetworkConfig, data_digest: str, names: tuple[str, ...] | list[str]) -> str:
    return _digest(_canonical(_fields(config, names) | {"data_digest": data_digest, "engine_version": ENGINE_VERSION}))


def _fused(fields: Mapping[str, object], data_digest: str) -> str:
    return _digest(f"{_canonical(fields)}\n{data_digest}\n{FUSED_VERSION}")


def _fields_then(config: NetworkConfig, names: tuple[str, ...] | list[str]) -> dict[str, object]:
    """Fields as stores of one cell and of no later field knew them; of networks with any others they hold no key."""
    return _fields(config, [*names, *CAME_LATER]) | ({"cell": config.cell} if config.cell != TANH.name else {})


def _fields(config: NetworkConfig, names: tuple[str, ...] | list[str]) -> dict[str, object]:
    fields = config.model_dump(mode="json", include=set(names))
    return {name: value for name, value in fields.items() if name not in CAME_LATER or CAME_LATER[name] != value}


def _canonical(content: Mapping[str, object]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
