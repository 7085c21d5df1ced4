"""Early classification: a network stops reading as soon as its probe is confident enough."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr

from study.measurements.probes import CALIBRATED, LEARNED, fitted
from study.measurements.recording import Recording
from study.schema import labelled

CONFIDENCES = np.array([20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99, 100])  # percent; 100 reads every row
TEMPERATURES = torch.logspace(-1, 1, 81, dtype=torch.float64)


def early_classification(recording: Recording) -> Iterator[xr.DataArray]:
    """The cost in accuracy of stopping early, and the rows it saves.

    An image is read until the probe of that step gives a label at least the probability `confidence`, or to its end, and is
    labelled by the probe of the row it stopped at. Probabilities are calibrated by one temperature per step, on training images
    that no probe was trained on (Guo et al. 2017, section 4.2). Yields `early_accuracy` and `early_rows`, the mean number of rows
    read, over `confidence` in percent.
    """
    probes, train, test = recording.cached(fitted), recording.train.labels, recording.test.labels
    held_out = train[LEARNED : LEARNED + CALIBRATED]
    sure, label = [], []
    for calibrated, shown in zip(probes.calibrated, probes.test, strict=True):
        probability, chosen = (shown.double() / temperature(calibrated, held_out)).softmax(dim=0).max(dim=0)
        sure.append(probability)
        label.append(chosen)
    sure, label = torch.stack(sure), torch.stack(label)  # [T, N]
    accuracy, rows = [], []
    for confidence in CONFIDENCES:
        enough = sure >= confidence / 100 if confidence < 100 else torch.zeros_like(sure, dtype=torch.bool)
        enough[-1] = True
        stopped = enough.int().argmax(dim=0)  # the first
        accuracy.append(float((label.gather(0, stopped[None])[0] == test).double().mean()))
        rows.append(float((stopped + 1).double().mean()))
    at = {"confidence": CONFIDENCES}
    yield labelled(
        "early_accuracy",
        np.array(accuracy),
        at,
        "accuracy when reading stops at this confidence of the probe",
        role="curve",
        metric="early/accuracy",
        share=True,
    )
    yield labelled(
        "early_rows",
        np.array(rows),
        at,
        "mean rows read when reading stops at this confidence of the probe",
        units="rows",
        role="curve",
        metric="early/rows",
    )


def temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The divisor of logits `[K, M]`, of `TEMPERATURES`, under which the labels are most likely; 1 where there are none."""
    if not len(labels):
        return 1.0
    # The loss is convex in the inverse of the temperature: it falls and then rises along the temperatures.
    exact, losses = logits.mT.double(), {}

    def loss(index: int) -> float:
        if index not in losses:
            losses[index] = float(torch.nn.functional.cross_entropy(exact / TEMPERATURES[index], labels))
        return losses[index]

    first, last = 0, len(TEMPERATURES) - 1
    while first < last:
        middle = (first + last) // 2
        if loss(middle) <= loss(middle + 1):
            last = middle
        else:
            first = middle + 1
    return float(TEMPERATURES[first])
