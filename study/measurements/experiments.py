"""The accuracy surface, and on it the paper's three experiments (Horoi, Lajoie & Wolf 2020, section 3)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr

from study.measurements.labels import labelled
from study.measurements.recording import Recording
from study.spectrum import SHORTEST, TRANSIENT, dominant_period


def accuracies(recording: Recording) -> Iterator[xr.DataArray]:
    """Test accuracy after any number of the image's T rows and any number of blank rows.

    Yields `accuracy`, the surface over `shown` 0 .. T and `blank` 0 .. 2T, and the three experiments, which are lines on it:
    `accuracy_blanked` (1: all later rows blank) and `accuracy_truncated` (2: read at once) over `rows_shown` 1 .. T-1,
    `accuracy_appended` (3) over `blank_rows` 0 .. K. Besides, `test_accuracy`, that on the images as they are, and `period`, of
    the appended curve's strongest oscillation over red noise (whether it is one at all is tested in `analysis.oscillation`).
    """
    rows, extent = recording.rows, 2 * recording.rows
    longest = _rolled(recording, rows, max(extent, recording.blank_rows))
    surface = np.stack([*(_rolled(recording, n, extent) for n in range(rows)), longest[: extent + 1]])
    shown, appended = np.arange(1, rows), longest[: recording.blank_rows + 1]
    yield labelled("accuracy", surface, {"shown": np.arange(rows + 1), "blank": np.arange(extent + 1)},
                   "accuracy after these rows of the image and then these blank rows")
    yield labelled("accuracy_blanked", surface[shown, rows - shown], {"rows_shown": shown},
                   "accuracy with all later rows blank, read after the last row", metric="blanked/accuracy")
    yield labelled("accuracy_truncated", surface[shown, 0], {"rows_shown": shown},
                   "accuracy of the readout applied as soon as these rows are read", metric="truncated/accuracy")
    yield labelled("accuracy_appended", appended, {"blank_rows": np.arange(len(appended))},
                   "accuracy after the whole image and this many blank rows", metric="appended/accuracy")
    yield labelled("test_accuracy", appended[0], {}, "accuracy on the whole image", metric="test_accuracy")
    settled = appended[TRANSIENT:]
    if len(settled) >= SHORTEST:
        yield labelled("period", dominant_period(settled), {}, "period of the accuracy under appended blank rows",
                       units="rows", metric="period")


def _rolled(recording: Recording, shown: int, blank: int) -> np.ndarray:
    """The accuracy after `shown` rows and 0 .. `blank` blank rows; float64 `[blank + 1]`.

    Images are rolled out in chunks, in place, so that a core's cache holds them from the first step to the last.
    """
    network, test = recording.network, recording.test
    correct = torch.zeros(blank + 1, dtype=torch.int64, device=test.labels.device)
    for start, labels in zip(range(0, len(test), recording.chunk), test.labels.split(recording.chunk), strict=True):
        state = recording.state(shown, start, start + len(labels))
        correct[0] += (network.predict(state) == labels).sum()
        for step, rolled in enumerate(network.blank_rows(state, blank), start=1):
            correct[step] += (network.predict(rolled) == labels).sum()
    return correct.cpu().numpy() / len(test)
