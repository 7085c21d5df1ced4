"""What a worker process does: train a stack of networks and measure each. It knows nothing of MLflow."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from study.config import NetworkConfig
from study.data import DataSource, Images, load
from study.errors import NetworkDiverged
from study.measurements import measure
from study.measurements.labels import labelled
from study.measurements.recording import Recording
from study.network import RecurrentNetwork, accuracy
from study.record import Failure, NetworkRecord
from study.training import TrainingStack

GPU_STACK = 128  # networks trained in lockstep on a GPU; a CPU core trains one at a time


def stacks(configs: Sequence[NetworkConfig]) -> list[tuple[NetworkConfig, ...]]:
    """Groups networks into stacks that are trained in lockstep: one hidden size each, in the order given."""
    groups: dict[int, list[NetworkConfig]] = {}
    for config in configs:
        groups.setdefault(config.hidden_size, []).append(config)
    width = GPU_STACK if configs and configs[0].device == "cuda" else 1
    return [tuple(group[i : i + width]) for group in groups.values() for i in range(0, len(group), width)]


def train_and_measure(
    configs: Sequence[NetworkConfig], source: DataSource, progress: Path | None = None
) -> list[NetworkRecord | Failure]:
    """Trains the networks of one stack on one thread and measures each on all test images.

    `progress`, where given, is a file that holds the number of epochs finished so far.
    """
    torch.set_num_threads(1)  # a thread a worker: the same bits however many workers there are
    device = configs[0].device
    test = load(source, train=False).to(device)
    train = load(source, train=True).first(configs[0].train_images).to(device)
    started = time.time()
    stack = TrainingStack(configs, train.images, train.labels)
    losses, accuracies = [], []
    for epoch in stack.train():
        losses.append(epoch.loss.tolist())
        accuracies.append([accuracy(network, test.images, test.labels) for network in stack.networks()])
        if progress:
            progress.write_text(str(epoch.number))
    results: list[NetworkRecord | Failure] = []
    for index, (config, network) in enumerate(zip(configs, stack.networks(), strict=True)):
        if diverged := int(stack.diverged[index]):
            results.append(Failure(config, str(NetworkDiverged(diverged)), started, time.time()))
            continue
        history = _history([row[index] for row in losses], [row[index] for row in accuracies])
        measured = measure_network(network, test, config.blank_rows).merge(history)
        results.append(NetworkRecord(config, network.to("cpu"), measured, started, time.time()))
    return results


def numbered(
    number: int, configs: Sequence[NetworkConfig], source: DataSource, progress: Path
) -> tuple[int, list[NetworkRecord | Failure]]:
    """`train_and_measure`, with the stack's number kept beside results that come out of order."""
    return number, train_and_measure(configs, source, progress)


def measure_network(network: RecurrentNetwork, test: Images, blank_rows: int) -> xr.Dataset:
    """All measurements of one network, wherever it comes from."""
    return measure(Recording(network, test, blank_rows))


def _history(losses: list[float], accuracies: list[float]) -> xr.Dataset:
    epochs = {"epoch": np.arange(1, len(losses) + 1)}
    return xr.Dataset({
        "train_loss": labelled("train_loss", np.array(losses), epochs, "mean cross-entropy over the epoch",
                               units="nat", metric="train/loss"),
        "test_accuracy_by_epoch": labelled("test_accuracy_by_epoch", np.array(accuracies), epochs,
                                           "test accuracy after the epoch", metric="test/accuracy"),
    })
