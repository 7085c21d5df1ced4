"""Measures a network that others trained, and says how its file is interpreted, which the file may not determine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch
from rich.console import Console

from study.config import MeasureConfig
from study.data.images import IN_WORDS
from study.data.sources import Images, load_images, prepare_data
from study.measurements import measure
from study.measurements.recording import Recording
from study.networks import foreign
from study.networks.cells import TANH, WITH_BIAS, Cell, known
from study.networks.network import RecurrentNetwork, accuracy, scaled
from study.record.network_record import write_measurements
from study.terminal.errors import InputError

NEAR_CHANCE = 2 / 9  # of the way from chance to 100%: an accuracy below that, 30% of ten classes, is near chance
TOLERANCE = 0.005  # of an expected accuracy, which may be rounded to whole percents
TRIED = 1000  # the first test images, on which other readings of the weights are tried
BETTER = 0.05  # lead in accuracy that another reading needs to be named: some four standard errors near chance


# What plain PyTorch code would make of the same tensors, ours first.
Map = Callable[[torch.Tensor], torch.Tensor]
OTHER_ORDER = {"rows": "columns", "columns": "rows"}
OTHER_KIND = {"tanh": "relu", "relu": "tanh"}  # whose weights look alike
AS_THEY_ARE = "numbers as they are in the data set"  # if they are no pixels of 0 to 255


def _as_shown(pixels: torch.Tensor) -> torch.Tensor:
    return pixels


SCALES: dict[str, Map] = {
    "pixels in [0, 1]": _as_shown,
    "pixels in [-1, 1]": lambda pixels: 2 * pixels - 1,
    "pixels standardised by 0.1307 and 0.3081": lambda pixels: (pixels - 0.1307) / 0.3081,
    "pixels from 0 to 255": lambda pixels: 255 * pixels,
}


def measure_file(
    config: MeasureConfig, names: Sequence[str], out: Path, console: Console, tensors: Mapping[str, str] | None = None
) -> None:
    """Measures the network in a file of weights (all measurements by default) and writes `out`; for `tensors` see `foreign.read`.

    Its test accuracy is printed, with how the network was recognised, what the file does not say, and a warning where the network
    may be another. Raises `InputError`, with nothing written, where the accuracy is not the expected one or the file holds another
    network.
    """

    def say(line: str) -> None:
        console.print(line, highlight=False)

    path, expected = config.weights, config.expect_accuracy
    held = foreign.read(path, tensors, config.cell, config.order)
    network = held.network
    source = prepare_data(config.dataset, config.data_dir, rows=config.rows, order=config.order)
    test = load_images(source, train=False)
    network.checked_for(test, str(path))
    share = float(accuracy(network, test))
    if expected is not None and abs(share - expected) > TOLERANCE + 1e-9:
        raise InputError(
            f"expect_accuracy={expected:g}: {path} has a test accuracy of {share:.2%}, which differs by more than "
            f"half a point, so nothing was measured: {_what_may_be_wrong(network, test)}"
        )
    for note in held.notes:
        say(note)
    say(f"test accuracy {share:.2%}")
    if held.unsaid:
        say(f"taken as {_taken(network.cell, *_as_read(test))}: the file does not say ({', '.join(held.unsaid)})")
    bound = (1 + NEAR_CHANCE * (test.classes - 1)) / test.classes
    if share < bound:
        say(f"warning: near chance (below {bound:.0%}): {_what_may_be_wrong(network, test)}")
    elif held.unsaid and (better := _better_reading(network, test)):
        say(f"warning: {better}")
    measured = measure(Recording(network, test, load_images(source, train=True), config.blank_rows, config.seed), names or None)
    write_measurements(measured, out)
    say(f"{len(measured)} variables in {out}")


def _taken(cell: Cell, order: str, scale: str) -> str:
    kind = "a tanh network" if cell is TANH else f"a network of {cell.description}"
    return f"{kind} that reads {order} of {scale}"


def _as_read(test: Images) -> tuple[str, str]:
    """The order and the scale in which a network is shown the images, in words."""
    return IN_WORDS[test.order], AS_THEY_ARE if test.images.is_floating_point() else next(iter(SCALES))


def _orders_and_scales(test: Images) -> tuple[dict[str, Map], dict[str, Map]]:
    """What other code may have made of the same images, in words; ours first."""
    words, scale = _as_read(test)
    orders, scales = {words: _as_shown}, {scale: _as_shown} if test.images.is_floating_point() else SCALES
    if words in OTHER_ORDER and test.shape.rows == test.shape.features:
        orders[OTHER_ORDER[words]] = lambda pixels: pixels.mT
    return orders, scales


def _what_may_be_wrong(network: RecurrentNetwork, test: Images) -> str:
    return _better_reading(network, test) or (
        "if it was trained to more, it may have another nonlinearity, read columns instead of rows, see pixels on another scale, "
        "have lost its biases or number its classes differently, or its accuracy was measured on other images"
    )


def _better_reading(network: RecurrentNetwork, test: Images) -> str | None:
    """Another reading of the weights, in words, if it classifies clearly more images correctly; else None.

    Among readings that hardly differ the one that departs least from ours is named. Weights of tanh units may also be those of
    rectified ones, and the reverse.
    """
    ours = network.cell.name.removesuffix(WITH_BIAS)
    networks = {ours: network}
    if other := OTHER_KIND.get(ours):
        networks[other] = replace(network, cell=known(other + network.cell.name.removeprefix(ours)))
    pixels, labels = scaled(test.images[:TRIED]), test.labels[:TRIED]
    orders, scales = _orders_and_scales(test)
    shares = {}
    for reading in product(networks, orders, scales):
        kind, arranged, scale = reading
        last = deque(networks[kind].rows(scales[scale](orders[arranged](pixels))), maxlen=1).pop()
        shares[reading] = float((networks[kind].predict(last) == labels).double().mean())
    first = next(iter(shares))
    if max(shares.values()) <= shares[first] + BETTER:
        return None
    close = [reading for reading, share in shares.items() if share > max(shares.values()) - BETTER]
    likely = min(close, key=lambda reading: sum(part != own for part, own in zip(reading, first, strict=True)))
    return (
        f"as a {likely[0]} network that reads {likely[1]} of {likely[2]} it is right on {shares[likely]:.1%} of the first "
        f"{len(labels):,} test images, as {_taken(network.cell, *first[1:])} on {shares[first]:.1%}"
    )
