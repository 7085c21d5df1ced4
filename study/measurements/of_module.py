"""A recording of a network that someone has in Python."""

from __future__ import annotations

from typing import Any

from study.config import BlankRows, Frozen, Seed, validated
from study.data.given import images_of
from study.data.sources import Images
from study.measurements.recording import Recording
from study.networks.modules import network_of
from study.terminal.errors import InputError

Data = str | tuple[Images, Images] | tuple[Any, Any, Any, Any]  # what `study.data.given.images_of` accepts


class Asked(Frozen):
    """How a network is measured from Python."""

    blank_rows: BlankRows
    seed: Seed


def recording_of(module: object, data: object, blank_rows: int, seed: int, untrained: object = None) -> Recording:
    """The recording of a module shown some data.

    Raises `InputError` where module, data or numbers are not accepted, or where the untrained module has other sizes.
    """
    asked = validated(Asked, {"blank_rows": blank_rows, "seed": seed})
    train, test = images_of(data)
    network = network_of(module, test)
    before = None if untrained is None else network_of(untrained, test)
    if before is not None and before.hidden_size != network.hidden_size:
        raise InputError(f"untrained has {before.hidden_size} hidden units: expected {network.hidden_size}, as the trained module")
    return Recording(network, test, train, asked.blank_rows, asked.seed, before)
