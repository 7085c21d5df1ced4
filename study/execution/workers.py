"""The work of a worker process: train and measure a stack of networks, or measure a stored one. It does not use MLflow."""

from __future__ import annotations

import ctypes
import gc
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
import xarray as xr
from threadpoolctl import threadpool_limits

from study.config import NetworkConfig
from study.data.sources import DataSource, Images, load_images
from study.execution import checkpoints
from study.execution.checkpoints import Checkpoint
from study.execution.stacks import Remeasurement, Stack
from study.files.untrusted import Refused
from study.measurements import measure, names_in_set
from study.measurements.recording import Recording
from study.networks import kernels
from study.networks.network import RecurrentNetwork
from study.record.keys import training_key
from study.record.network_record import Failure, NetworkRecord, check, made_with
from study.terminal.errors import InputError
from study.terminal.extensions import load_extensions
from study.training.engine import TrainingStack, arithmetic
from study.training.history import History

CHECKPOINT_EVERY = 5  # epochs, the most that a crash costs; writing takes a thousandth of their time


def train_and_measure(stack: Stack, source: DataSource, progress: Path | None = None) -> list[NetworkRecord | Failure]:
    """Trains the networks of a stack and measures each on all test images.

    Networks resume from their checkpoints, if they have one; networks of a stack at different epochs are trained in separate
    groups. If memory runs out, the width is halved. `progress`, if given, is a file that receives the number of epochs finished so
    far."""
    _prepare()
    device = stack.configs[0].device
    # Probes learn from the same images, however few the network was trained on.
    all_train, test = _images(source, device)
    train = all_train.first(stack.configs[0].train_images)
    keys = {config: training_key(config, source.digest) for config in stack.configs}
    results: list[NetworkRecord | Failure] = []
    waiting = _by_epoch(stack, {config: checkpoints.load(key) for config, key in keys.items()})
    while waiting:
        part, saved = waiting.pop(0)
        started, exhausted = time.time(), ""
        try:
            results.extend(_measured(_train(part, saved, keys, train, test, progress), all_train, test, started))
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            exhausted = f"out of memory: {str(error).splitlines()[0]}"
        # Outside the handler: the error keeps the frames, and thus the memory, of what failed.
        if exhausted and part.width == 1:
            results.append(Failure(part.configs[0], exhausted, started, time.time()))
        elif exhausted:
            if device == "cuda":
                torch.cuda.empty_cache()
            again = {config: checkpoints.load(keys[config]) for config in part.configs}
            waiting = [piece for half in part.halves() for piece in _by_epoch(half, again)] + waiting
    return results


def measure_again(task: Remeasurement, source: DataSource) -> list[NetworkRecord | Failure]:
    """Makes the measurements that a stored network lacks, on its stored weights, and puts them into its record."""
    _prepare()
    stored, config, started = task.stored, task.stored.config, time.time()
    train, test = _images(source, config.device)
    try:
        network = stored.network.checked_for(test, "the stored network").to(config.device)
        with kernels.using(config.kernels):
            made = measure(Recording(network, test, train, config.blank_rows, config.seed), task.names)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        return [Failure(config, f"out of memory: {str(error).splitlines()[0]}", started, time.time())]
    try:
        record = _kept(stored.merged(made))
    except Refused as refused:
        reason = f"its stored record {refused}; resume=never trains it anew"
        return [Failure(config, reason, started, time.time())]
    return [NetworkRecord(config, network.to("cpu"), record, started, time.time(), stored.origin, test.order)]


def _prepare() -> None:
    load_extensions()  # a worker does not inherit the coordinator's imports
    torch.set_num_threads(1)  # one thread per worker: the same bits for any number of workers
    threadpool_limits(1)


def _kept(record: xr.Dataset) -> xr.Dataset:
    """The record, unchanged; raises `InputError` where no reader would accept it, as may happen with an extension's measurement."""
    try:
        check(record.variables, record.attrs)
    except Refused as refused:
        raise InputError(f"what was measured cannot be stored: the record {refused}") from None
    return record


def _images(source: DataSource, device: str) -> tuple[Images, Images]:
    """The training and the test images. What reading them took, and the networks before these, is given back to the system."""
    images = load_images(source, train=True).to(device), load_images(source, train=False).to(device)
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library; glibc keeps much of what is freed
        ctypes.CDLL(None).malloc_trim(0)
    return images


def _out_of_memory(error: Exception) -> bool:
    # Failed allocations on a CPU, and in the libraries beneath torch, have no exception of their own.
    words = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in str(error) for word in words)


def _by_epoch(stack: Stack, saved: dict[NetworkConfig, Checkpoint | None]) -> list[tuple[Stack, list[Checkpoint]]]:
    """The stack's networks in groups that are at the same epoch, each with its checkpoints (none at the start)."""
    groups: dict[int, list[NetworkConfig]] = {}
    for config in stack.configs:
        checkpoint = saved[config]
        groups.setdefault(checkpoint.state.epoch if checkpoint else 0, []).append(config)
    return [
        (Stack(tuple(group), stack.data, stack.width), [c for config in group if (c := saved[config])]) for group in groups.values()
    ]


@dataclass(frozen=True)
class _Trained:
    """One network after its training; `diverged` is the epoch in which it diverged, or 0."""

    config: NetworkConfig
    network: RecurrentNetwork
    diverged: int
    history: History


def _train(
    part: Stack, saved: list[Checkpoint], keys: dict[NetworkConfig, str], train: Images, test: Images, progress: Path | None
) -> list[_Trained]:
    """Trains a stack; its working memory is free again on return."""
    states = [checkpoint.state for checkpoint in saved]
    padding = part.width - len(part.configs)
    histories = [checkpoint.history for checkpoint in saved] or [History() for _ in part.configs]
    with arithmetic(part.configs[0]):
        stack = TrainingStack(part.padded(), train, states + states[:1] * padding)
        # Padding, at the end, has no history.
        for history, network in zip(histories, stack.networks(), strict=False):
            history.begin(network, test)
        for epoch in stack.train():
            columns = zip(histories, epoch.loss.tolist(), stack.accuracies(test), stack.networks(), stack.diverged, strict=False)
            for history, loss, accuracy, network, gone in columns:
                if not gone:
                    history.add(loss, float(accuracy), network, test, epoch.number == part.configs[0].epochs)
            if epoch.number % CHECKPOINT_EVERY == 0 and epoch.number < part.configs[0].epochs:
                for config, gone, state, history in zip(part.configs, stack.diverged, stack.states(), histories, strict=False):
                    if not gone:
                        checkpoints.save(keys[config], Checkpoint(state, history))
            if progress and progress.parent.is_dir():
                with suppress(OSError):  # on a full disk only the progress bar suffers
                    progress.write_text(str(epoch.number))
    columns = zip(part.configs, stack.networks(), stack.diverged.tolist(), histories, strict=False)
    return [_Trained(*column) for column in columns]


def _measured(trained: list[_Trained], train: Images, test: Images, started: float) -> list[NetworkRecord | Failure]:
    results: list[NetworkRecord | Failure] = []
    for one in trained:
        config = one.config
        if one.diverged:
            reason = f"training diverged in epoch {one.diverged}: the loss or a weight is not finite"
            results.append(Failure(config, reason, started, time.time()))
            continue
        with kernels.using(config.kernels):
            recording = Recording(one.network, test, train, config.blank_rows, config.seed)
            measured = measure(recording, names_in_set(config.measurements))
        history = one.history.labelled(one.network)
        record = _kept(measured.merge(history).assign_attrs(versions=json.dumps(made_with(config))))
        results.append(NetworkRecord(config, one.network.to("cpu"), record, started, time.time(), reads=test.order))
    return results
