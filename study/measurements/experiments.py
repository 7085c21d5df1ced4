"""Accuracy after some rows of the image and some blank rows: the paper's three experiments (Horoi, Lajoie & Wolf 2020, section
3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
import xarray as xr

from study.harmonics import ACCURACY_TRANSIENT, SHORTEST, clear_period
from study.measurements.recording import Recording
from study.schema import labelled


@dataclass(frozen=True)
class Answers:
    """The readout's answers after some numbers of `blank` rows, int64 `[B]` in rising order: the share of correct images, float64
    `[B]`, the same for even and odd image numbers, `[B, 2]`, and the share of images given each label, `[B, classes + 1]`, the last
    of which stands for none: the logits are not finite."""

    blank: np.ndarray
    accuracy: np.ndarray
    by_half: np.ndarray
    predicted: np.ndarray

    def after(self, blank: np.ndarray) -> Answers:
        """The answers after some of the numbers of blank rows."""
        at = np.searchsorted(self.blank, blank)
        return Answers(blank, self.accuracy[at], self.by_half[at], self.predicted[at])


def accuracies(recording: Recording) -> Iterator[xr.DataArray]:
    """The three experiments, on images of T rows.

    Yields `accuracy_blanked` (1: all later rows blank) and `accuracy_truncated` (2: read at once) over `rows_shown` 1 .. T-1,
    `accuracy_appended` (3) over `blank_rows` 0 .. K, with `accuracy_appended_by_half`, that of each half of the images, and
    `predicted`, the share of images given each label; of cells whose states are not bounded `overflowed`, the share given none.
    Besides, `test_accuracy`, that on the images as they are, and `period`, that of the appended curve, NaN where it does not
    oscillate beyond noise (whether the oscillation lasts is tested in `analysis.statistics.oscillation`).
    """
    rows, shown = recording.rows, np.arange(1, recording.rows)
    partial = np.array([answers(recording, n, [0, rows - n]).accuracy for n in map(int, shown)]).reshape(-1, 2)
    whole = answers(recording, rows, range(recording.blank_rows + 1))
    blank = {"blank_rows": whole.blank}
    yield labelled(
        "accuracy_blanked",
        partial[:, 1],
        {"rows_shown": shown},
        "accuracy with all later rows blank, read after the last row",
        role="curve",
        metric="blanked/accuracy",
        share=True,
    )
    yield labelled(
        "accuracy_truncated",
        partial[:, 0],
        {"rows_shown": shown},
        "accuracy of the readout applied as soon as these rows are read",
        role="curve",
        metric="truncated/accuracy",
        share=True,
    )
    yield labelled(
        "accuracy_appended",
        whole.accuracy,
        blank,
        "accuracy after the whole image and this many blank rows",
        role="curve",
        metric="appended/accuracy",
        share=True,
    )
    yield labelled(
        "accuracy_appended_by_half",
        whole.by_half,
        blank | {"half": np.arange(2)},
        "accuracy under appended blank rows of the images of even and of odd number",
        share=True,
    )
    yield labelled(
        "predicted",
        whole.predicted[:, :-1],
        blank | {"label": np.arange(recording.test.classes)},
        "share of images to which the readout gives this label",
        share=True,
    )
    if not recording.network.cell.bounded:
        yield labelled(
            "overflowed",
            whole.predicted[:, -1],
            blank,
            "share of images whose logits are too large to be numbers, and which count as wrong, under appended blank rows",
            role="curve",
            metric="appended/overflowed",
            share=True,
        )
    yield labelled("test_accuracy", whole.accuracy[0], {}, "accuracy on the whole image", role="number", share=True)
    settled = whole.accuracy[ACCURACY_TRANSIENT:]
    if len(settled) >= SHORTEST:
        yield labelled(
            "period",
            clear_period(settled),
            {},
            "period of the accuracy under appended blank rows",
            units="rows",
            role="number",
            missing="the accuracy shows no oscillation beyond noise",
        )


def surface(recording: Recording) -> Iterator[xr.DataArray]:
    """Yields `accuracy` over `shown` 0 .. T and `blank` 0 .. 2T: the experiments are lines on it."""
    rows, extent = recording.rows, 2 * recording.rows
    answers(recording, rows, range(max(extent, recording.blank_rows) + 1))  # as far as the experiments need it too
    yield labelled(
        "accuracy",
        np.stack([answers(recording, n, range(extent + 1)).accuracy for n in range(rows + 1)]),
        {"shown": np.arange(rows + 1), "blank": np.arange(extent + 1)},
        "accuracy after these rows of the image and then these blank rows",
        share=True,
    )


def answers(recording: Recording, shown: int, blank: Sequence[int]) -> Answers:
    """The readout's answers after `shown` rows and each of some numbers of blank rows, in rising order; a roll-out that has them is
    reused."""
    known, wanted = recording.cached(_rolled), np.array(blank)
    if shown not in known or not np.isin(wanted, known[shown].blank).all():
        known[shown] = _roll(recording, shown, wanted)
    return known[shown].after(wanted)


def _rolled(_: Recording) -> dict[int, Answers]:
    """The roll-outs of a recording so far, by the rows shown."""
    return {}


def _roll(recording: Recording, shown: int, blank: np.ndarray) -> Answers:
    """Rolls images out in chunks, in place, so that a core's cache holds them from the first step to the last.

    If a cell rests at 0, a state of exactly 0 stays there: images that are blank so far are not rolled out.
    """
    network, labels, classes = recording.network, recording.test.labels, recording.test.classes
    state = recording.state(shown, 0, len(labels))
    moving = state.any(dim=1) if network.cell.rests_at_zero else torch.ones_like(labels, dtype=torch.bool)
    # A code for each answer: the label given, the true one, the half of the images and the step, in that order of significance.
    given = classes + 1  # or none
    of_image = given * labels + given * classes * (torch.arange(len(labels), device=labels.device) % 2)
    size, read = 2 * given * classes, {int(rows): at for at, rows in enumerate(blank)}
    codes = network.predict(torch.zeros_like(state[:1])) + of_image[~moving]
    counts = torch.bincount(codes, minlength=size).expand(len(read), size).clone()
    for states, image in zip(state[moving].split(recording.chunk), of_image[moving].split(recording.chunk), strict=True):
        predicted = torch.empty(len(read), len(image), dtype=torch.int64, device=labels.device)
        for rows, rolled in enumerate(chain([states], network.blank_rows(states, int(blank[-1])))):
            if rows in read:
                predicted[read[rows]] = network.predict(rolled)
        codes = predicted + image + size * torch.arange(len(read), device=labels.device)[:, None]
        counts += torch.bincount(codes.flatten(), minlength=counts.numel()).view_as(counts)
    confusion = counts.view(len(read), 2, classes, given).cpu().numpy()  # [step, half, true label, predicted label]
    right = np.trace(confusion, axis1=2, axis2=3)
    halves = np.maximum(confusion.sum(axis=(2, 3)), 1)
    return Answers(blank, right.sum(axis=1) / len(labels), right / halves, confusion.sum(axis=(1, 2)) / len(labels))
