"""Linear probes: what a separate classifier can decode from the hidden states at each time step (Alain & Bengio 2017).

Probes are trained on the first training images and tested once, on all test images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

from study.data.sources import Images
from study.measurements.experiments import answers
from study.measurements.logistic import LogisticClassifiers, fit
from study.measurements.of_data import shares_of_data
from study.measurements.recording import Extent, Recording
from study.networks.network import scaled
from study.schema import labelled

LEARNED = 10_000  # training images a probe learns from
CALIBRATED = 2_000  # further training images on which its confidence is calibrated


@dataclass(frozen=True)
class Probes:
    """One probe per step, and its logits on the images it is `calibrated` on `[T, K, M]` and on all `test` images `[T, K, N]`."""

    classifiers: LogisticClassifiers
    calibrated: torch.Tensor
    test: torch.Tensor


def accuracies(recording: Recording) -> Iterator[xr.DataArray]:
    """Yields `probe_accuracy` over (`source`, `time_step`), of the trained network, and `readout_accuracy` over `time_step`, that
    of the network's own readout."""
    yield _labelled([_accuracy(recording.cached(fitted).test, recording.test.labels)], ["trained"], recording)
    readout = [answers(recording, int(step), [0]).accuracy[0] for step in recording.time_steps]
    yield labelled(
        "readout_accuracy",
        np.array(readout),
        {"time_step": recording.time_steps},
        "accuracy of the readout applied at this step",
        role="curve",
        metric="readout/accuracy",
        share=True,
    )


def controls(recording: Recording) -> Iterator[xr.DataArray]:
    """What a probe may be compared with: yields `probe_accuracy` over (`source`, `time_step`), of the untrained network of the same
    seed, if there is one, and of permuted labels (chance)."""
    train, test = recording.train.first(LEARNED), recording.test
    logits = {source: _fitted(one, train.labels).test for source, one in recording.by_source.items() if source != "trained"}
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(recording.seed)).to(train.labels.device)
    logits["permuted"] = _fitted(recording, train.labels[order]).test
    yield _labelled([_accuracy(one, test.labels) for one in logits.values()], list(logits), recording)


def of_pixels(recording: Recording) -> Iterator[xr.DataArray]:
    """What the images themselves tell: yields `probe_accuracy` over (`source`, `time_step`), of the pixels of all rows read so far.

    It is the same for all networks of a study, and is fitted once.
    """
    train, test = recording.train.first(LEARNED), recording.test
    accuracies = shares_of_data("probes of pixels 1", (train, test), (recording.rows,), lambda: _pixels(train, test))
    yield _labelled([accuracies], ["pixels"], recording)


def _labelled(accuracies: list[np.ndarray], sources: list[str], recording: Recording) -> xr.DataArray:
    return labelled(
        "probe_accuracy",
        np.stack(accuracies),
        {"source": sources, "time_step": recording.time_steps},
        "accuracy of a linear probe",
        role="curve",
        metric="probe/accuracy",
        share=True,
    )


def memory(extent: Extent) -> int:
    """Bytes of the states on the training images from which probes learn: a GPU has those of all steps at once."""
    return extent.states(LEARNED + CALIBRATED)


def controls_memory(extent: Extent) -> int:
    """As much, and the untrained network's states."""
    return memory(extent) + extent.states()


def generalisation(recording: Recording) -> Iterator[xr.DataArray]:
    """Yields `temporal_generalisation` over (`probe_step`, `scored_step`): the probe of one step scored at another (King & Dehaene
    2014). Scored are all rows and as many blank rows as two images have."""
    probes, labels, rows = recording.cached(fitted).classifiers, recording.test.labels, recording.rows
    blank = 2 * rows
    correct = torch.zeros(rows, rows + blank, dtype=torch.int64, device=labels.device)
    for start in range(0, len(labels), recording.chunk):
        truth = labels[start : start + recording.chunk]

        def score(step: int, states: torch.Tensor, truth: torch.Tensor = truth) -> None:
            hidden = recording.network.cell.observed(states)
            correct[:, step] += (probes.logits(hidden).argmax(dim=1) == truth).sum(dim=1)

        for step in range(rows):
            score(step, recording.state(step + 1, start, start + len(truth)))
        last = recording.state(rows, start, start + len(truth))
        for step, states in enumerate(recording.network.blank_rows(last, blank)):
            score(rows + step, states)
    yield labelled(
        "temporal_generalisation",
        correct.cpu().numpy() / len(labels),
        {"probe_step": recording.time_steps, "scored_step": np.arange(1, rows + blank + 1)},
        "accuracy of the probe of one step on the states of another",
        share=True,
    )


def fitted(recording: Recording) -> Probes:
    """The probes of a recording's time steps; ask for them with `Recording.cached`."""
    return _fitted(recording, recording.train.first(LEARNED).labels)


def _fitted(recording: Recording, labels: torch.Tensor) -> Probes:
    """Probes of each time step that learn these labels of the first training images."""
    images, observed = recording.train.first(LEARNED + CALIBRATED), recording.network.cell.observed
    if images.images.is_cuda:  # all steps at once
        steps = [(observed(recording.states_of(images)), recording.hidden)]
    else:  # the cache holds the states of one step
        steps = (
            (observed(states)[None], shown[None])
            for states, shown in zip(recording.steps_of(images), recording.hidden, strict=True)
        )
    parts, calibrated, test = [], [], []
    for some, shown in steps:
        probes = fit(some[:, : len(labels)], labels, recording.test.classes)
        parts.append(probes)
        calibrated.append(probes.logits(some[:, len(labels) :]))
        test.append(probes.logits(shown))
    return Probes(_together(parts), torch.cat(calibrated), torch.cat(test))


def _together(parts: Iterable[LogisticClassifiers]) -> LogisticClassifiers:
    pairs = [(part.weights, part.bias) for part in parts]
    return LogisticClassifiers(*(torch.cat(column) for column in zip(*pairs, strict=True)))


def _pixels(train: Images, test: Images) -> np.ndarray:
    """The accuracy `[T]` of probes of the pixels of rows 1 .. t."""
    learned, shown = scaled(train.images), scaled(test.images)
    accuracies, start = [], None
    for rows in range(1, learned.shape[1] + 1):
        probe = fit(learned[None, :, :rows].flatten(2), train.labels, test.classes, start)
        start = torch.nn.functional.pad(probe.weights, (0, learned.shape[2]))  # one more row, with weights 0
        accuracies.append(_accuracy(probe.logits(shown[:, :rows].flatten(1)), test.labels))
    return np.concatenate(accuracies)


def _accuracy(logits: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """The share of images `[T]` that logits `[T, K, N]` label rightly."""
    return ((logits.argmax(dim=1) == labels).sum(dim=1).double() / len(labels)).cpu().numpy()
