"""The paper's three experiments (Horoi, Lajoie & Wolf 2020, section 3)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr

from study.measurements.labels import labelled
from study.measurements.recording import CHUNK, Recording
from study.spectrum import LOWEST_CYCLES, TRANSIENT, dominant_period


def accuracies(recording: Recording) -> Iterator[xr.DataArray]:
    """Test accuracy when rows are blanked (1), when the sequence is cut short (2) and when blank rows follow it (3).

    Yields `accuracy_blanked` and `accuracy_truncated` over `rows_shown` 1 .. T-1, `accuracy_appended` over
    `blank_rows` 0 .. K, `test_accuracy`, the accuracy on the images as they are, and `period`, that of the appended
    curve's strongest oscillation over red noise (whether it is one at all is tested in `analysis.oscillation`).
    """
    rows, shown = recording.rows, np.arange(1, recording.rows)
    blanked = np.array([_accuracies_after(recording, n, {rows - n})[0] for n in shown])
    truncated = np.array([_accuracies_after(recording, n, {0})[0] for n in shown])
    appended = np.array(_accuracies_after(recording, rows, range(recording.blank_rows + 1)))
    yield labelled("accuracy_blanked", blanked, {"rows_shown": shown},
                   "accuracy with all later rows blank, read after the last row", metric="blanked/accuracy")
    yield labelled("accuracy_truncated", truncated, {"rows_shown": shown},
                   "accuracy of the readout applied as soon as these rows are read", metric="truncated/accuracy")
    yield labelled("accuracy_appended", appended, {"blank_rows": np.arange(len(appended))},
                   "accuracy after the whole image and this many blank rows", metric="appended/accuracy")
    yield labelled("test_accuracy", appended[0], {}, "accuracy on the whole image", metric="test_accuracy")
    settled = appended[TRANSIENT:]
    if len(settled) >= 2 * LOWEST_CYCLES:
        yield labelled("period", dominant_period(settled), {}, "period of the accuracy under appended blank rows",
                       units="rows", metric="period")


def _accuracies_after(recording: Recording, rows_shown: int, read_at: range | set[int]) -> list[float]:
    """The accuracy after `rows_shown` rows and each number of blank rows in `read_at`, in ascending order.

    Images are rolled out in chunks that stay in a core's cache.
    """
    network, labels = recording.network, recording.test.labels
    reads = sorted(read_at)
    correct = dict.fromkeys(reads, 0)
    for state, target in zip(recording.states[rows_shown - 1].split(CHUNK), labels.split(CHUNK), strict=True):
        if 0 in correct:
            correct[0] += _hits(network.predict(state), target)
        for blank, rolled in enumerate(network.blank_rows(state, reads[-1]), start=1):
            if blank in correct:
                correct[blank] += _hits(network.predict(rolled), target)
    return [correct[blank] / len(labels) for blank in reads]


def _hits(predicted: torch.Tensor, target: torch.Tensor) -> int:
    return int((predicted == target).sum())
