"""What a worker process does: train a stack of networks and measure each. It knows nothing of MLflow."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from study import checkpoints
from study.checkpoints import Checkpoint
from study.config import NetworkConfig
from study.data import DataSource, Images, load
from study.errors import NetworkDiverged
from study.measurements import measure
from study.measurements.labels import labelled
from study.measurements.recording import Recording
from study.network import RecurrentNetwork
from study.record import Failure, NetworkRecord, network_key
from study.stacks import Stack
from study.training import TrainingStack

CHECKPOINT_EVERY = 5  # epochs: a crash costs at most so many, and writing takes a thousandth of them


def numbered(number: int, stack: Stack, source: DataSource, progress: Path) -> tuple[int, list[NetworkRecord | Failure]]:
    """`train_and_measure`, with the stack's number kept beside results that come out of order."""
    return number, train_and_measure(stack, source, progress)


def train_and_measure(stack: Stack, source: DataSource, progress: Path | None = None) -> list[NetworkRecord | Failure]:
    """Trains the networks of a stack and measures each on all test images.

    Networks go on from their checkpoints, where they have one; those of a stack that stand at different epochs are trained one
    group after another. An allocation that fails halves the width and goes on. `progress`, where given, is a file that holds the
    number of epochs finished so far.
    """
    torch.set_num_threads(1)  # a thread a worker: the same bits however many workers there are
    device = stack.configs[0].device
    test = load(source, train=False).to(device)
    train = load(source, train=True).first(stack.configs[0].train_images).to(device)
    keys = {config: network_key(config, source.digest) for config in stack.configs}
    results: list[NetworkRecord | Failure] = []
    waiting = _by_epoch(stack, {config: checkpoints.load(key) for config, key in keys.items()})
    while waiting:
        part, saved = waiting.pop(0)
        started = time.time()
        try:
            with _precision(part.configs[0]):
                trained = _train(part, saved, keys, train, test, progress)
            results.extend(list(_measured(part, trained, test, started)))
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            if part.width == 1:
                results.append(Failure(part.configs[0], f"out of memory: {str(error).splitlines()[0]}", started, time.time()))
                continue
            torch.cuda.empty_cache()
            again = {config: checkpoints.load(keys[config]) for config in part.configs}
            waiting = [piece for half in part.halves() for piece in _by_epoch(half, again)] + waiting
    return results


def _out_of_memory(error: Exception) -> bool:
    # On a CPU torch raises a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


@contextmanager
def _precision(config: NetworkConfig) -> Iterator[None]:
    """Multiplies in TF32 meanwhile, where the network asks for it; everywhere else a GPU computes in IEEE single precision."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32" if config.precision == "tf32" else "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def _by_epoch(stack: Stack, saved: dict[NetworkConfig, Checkpoint | None]) -> list[tuple[Stack, list[Checkpoint]]]:
    """The stack's networks in groups that stand at the same epoch, each with its checkpoints (none at the start)."""
    groups: dict[int, list[NetworkConfig]] = {}
    for config in stack.configs:
        checkpoint = saved[config]
        groups.setdefault(checkpoint.state.epoch if checkpoint else 0, []).append(config)
    return [(Stack(tuple(group), stack.width), [c for config in group if (c := saved[config])]) for group in groups.values()]


def _train(
    part: Stack, saved: list[Checkpoint], keys: dict[NetworkConfig, str], train: Images, test: Images, progress: Path | None
) -> tuple[TrainingStack, list[list[float]], list[list[float]]]:
    """A trained stack, and by network its losses and test accuracies an epoch."""
    padding = part.width - len(part.configs)
    states = [checkpoint.state for checkpoint in saved]
    stack = TrainingStack(part.padded(), train, states + states[:1] * padding)
    losses = [list(checkpoint.losses) for checkpoint in saved] or [[] for _ in part.configs]
    accuracies = [list(checkpoint.accuracies) for checkpoint in saved] or [[] for _ in part.configs]
    for epoch in stack.train():
        # Padding, which comes last, has no history.
        for history, value in zip(losses, epoch.loss.tolist(), strict=False):
            history.append(value)
        for history, value in zip(accuracies, stack.accuracies(test), strict=False):
            history.append(value)
        if epoch.number % CHECKPOINT_EVERY == 0 and epoch.number < part.configs[0].epochs:
            for config, gone, *kept in zip(part.configs, stack.diverged, stack.states(), losses, accuracies, strict=False):
                if not gone:
                    checkpoints.save(keys[config], Checkpoint(*kept))
        if progress:
            progress.write_text(str(epoch.number))
    return stack, losses, accuracies


def _measured(
    part: Stack, trained: tuple[TrainingStack, list[list[float]], list[list[float]]], test: Images, started: float
) -> Iterable[NetworkRecord | Failure]:
    stack, losses, accuracies = trained
    networks = stack.networks()
    for index, config in enumerate(part.configs):
        if diverged := int(stack.diverged[index]):
            yield Failure(config, str(NetworkDiverged(diverged)), started, time.time())
            continue
        measured = measure_network(networks[index], test, config.blank_rows).merge(_history(losses[index], accuracies[index]))
        yield NetworkRecord(config, networks[index].to("cpu"), measured, started, time.time())


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
