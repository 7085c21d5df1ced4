"""Stacks, checkpoints and what a worker makes of them, with real kills."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT

from study.config import StudyConfig
from study.data.sources import DataShape, prepare_data
from study.execution import checkpoints, workers
from study.execution.checkpoints import Checkpoint
from study.execution.stacks import GPU_WIDTH, Stack, gpu_width, stacks, training_memory, worker_count
from study.execution.workers import train_and_measure
from study.networks.network import RecurrentNetwork
from study.record import spool
from study.record.keys import training_key
from study.record.network_record import WEIGHTS, Failure
from study.terminal.errors import InputError
from study.training.engine import TrainingState
from study.training.history import History

MNIST = DataShape(28, 28, 10)
GRID = {
    "seeds": "0-2",
    "hidden_sizes": "12",
    "epochs": 7,
    "train_images": 400,
    "batch_size": 40,
    "learning_rate": 1e-3,
    "blank_rows": 5,
    "measurements": "paper",
    "device": "auto",
}  # a GPU where there is one


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path)
    return tmp_path


@pytest.fixture
def networks():
    return StudyConfig(**GRID).networks()


def test_mixed_sizes_are_grouped_and_gpu_stacks_fit_the_memory():
    config = StudyConfig(seeds="0-199", hidden_sizes="50,200", device="cpu", kernels="torch")  # as on a GPU
    assert [stack.width for stack in stacks(config.networks(), MNIST)] == [1] * 400
    on_gpu = [network.model_copy(update={"device": "cuda"}) for network in config.networks()]
    planned = stacks(on_gpu, MNIST, free=80 << 30)
    assert [(s.configs[0].hidden_size, len(s.configs), s.width) for s in planned] == [
        (200, 128, 128),
        (200, 72, 128),
        (50, 128, 128),
        (50, 72, 128),
    ]
    assert all(len({config.hidden_size for config in stack.configs}) == 1 for stack in planned)
    assert len(planned[1].padded()) == GPU_WIDTH
    narrow = gpu_width(on_gpu[0], MNIST, free=1 << 30)
    assert 1 <= narrow < GPU_WIDTH
    assert narrow * training_memory(on_gpu[0], MNIST) <= 1 << 30 < 4 * narrow * training_memory(on_gpu[0], MNIST)
    assert 1000 * training_memory(on_gpu[0], MNIST) < 80 << 30


def test_workers_are_no_more_than_fit_into_memory():
    planned = stacks(StudyConfig(seeds="0-9", hidden_sizes="200", measurements="paper", device="cpu").networks(), MNIST)
    everything = stacks(StudyConfig(seeds="0-9", hidden_sizes="200", measurements="full", device="cpu").networks(), MNIST)
    assert worker_count(4, everything, free=3 << 30) < 3
    assert worker_count(4, planned, free=64 << 30) == 4
    assert worker_count(4, planned, free=3 << 30) == 3
    assert worker_count(4, planned, free=2 << 30) == 2
    heavy = [replace(stack, data=replace(stack.data, memory=1 << 30)) for stack in planned]  # each worker has all images
    assert worker_count(4, heavy, free=3 << 30) == 1
    assert worker_count(4, planned, free=1 << 20) == 1
    assert worker_count(4, planned[:1], free=64 << 30) == 1


def test_stacks_of_any_width_give_the_same_records(networks, source, folder):
    # On a GPU the width decides which kernel runs: there the same width, in other company.
    width = 4 if networks[0].device == "cuda" else 1
    alone = [train_and_measure(Stack((network,), source.shape, width), source)[0] for network in networks]
    for network in networks:
        checkpoints.remove(training_key(network, source.digest))
    together = train_and_measure(Stack(tuple(networks), source.shape, 4), source)
    for one, other in zip(alone, together, strict=True):
        assert one.measurements.equals(other.measurements)
        assert torch.equal(one.network.recurrent, other.network.recurrent)


def test_a_killed_worker_goes_on_from_its_checkpoint(networks, source, folder, monkeypatch):
    """A real process, killed with SIGKILL after its checkpoint; the record is the one of undisturbed training."""
    script = (
        "import sys; from pathlib import Path; from study.execution import checkpoints, workers; "
        "from study.data.sources import prepare_data; "
        "from study.execution.stacks import stacks; from study.config import StudyConfig; import time, study.training.engine as t;"
        f"checkpoints.FOLDER = Path({str(folder)!r});"
        "step = t.TrainingStack.train_epoch;"
        "t.TrainingStack.train_epoch = lambda self: (time.sleep(0.3), step(self))[1];"
        f"source = prepare_data('mnist', Path('data'));"
        f"workers.train_and_measure(stacks(StudyConfig(**{GRID!r}).networks(), source.shape)[0], source)"
    )
    key = training_key(networks[0], source.digest)
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    try:
        begun = time.monotonic()
        while not checkpoints.path(key).exists():
            assert process.poll() is None, "the worker ended before it wrote a checkpoint"
            assert time.monotonic() - begun < 60
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    saved = checkpoints.load(key)
    assert saved.state.epoch == 5
    assert len(saved.history.losses) == len(saved.history.accuracies) == 5
    assert len(saved.history.spectra) == 6
    assert saved.history.sampled == [0, 1, 2, 4]
    epochs = []
    train_epoch = workers.TrainingStack.train_epoch
    monkeypatch.setattr(workers.TrainingStack, "train_epoch", lambda self: (epochs.append(self.epoch + 1), train_epoch(self))[1])
    stack = stacks(networks, source.shape)[0]  # of this network alone, but on a GPU
    [continued, *_] = train_and_measure(stack, source)
    assert epochs[:2] == [6, 7]
    assert epochs == [6, 7] or len(stack.configs) > 1  # the killed worker had not written all of a GPU's stack
    for config in stack.configs:
        checkpoints.remove(training_key(config, source.digest))
    assert list(folder.iterdir()) == []
    [undisturbed, *_] = train_and_measure(stack, source)
    assert continued.measurements.equals(undisturbed.measurements)
    assert torch.equal(continued.network.recurrent, undisturbed.network.recurrent)


def test_what_a_kill_leaves_of_a_checkpoint_is_removed_with_it(folder):
    key = "a" * 64
    script = (
        "import os, signal; from pathlib import Path; from study.execution import checkpoints; from study.files import durable;"
        f"checkpoints.FOLDER = Path({str(folder)!r});"
        "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        f"durable.write(checkpoints.path({key!r}), b'half')"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    [left] = folder.iterdir()
    assert left.suffix == ".part"
    checkpoints.remove(key)
    assert not list(folder.iterdir())


def test_a_stack_whose_networks_stand_at_different_epochs_goes_on(networks, source, folder):
    expected = train_and_measure(Stack(tuple(networks), source.shape, 4), source)  # leaves checkpoints of epoch 5
    checkpoints.remove(training_key(networks[1], source.digest))
    continued = {r.config: r for r in train_and_measure(Stack(tuple(networks), source.shape, 4), source)}
    for one in expected:
        assert continued[one.config].measurements.equals(one.measurements)


@pytest.mark.parametrize("damage", ["torn", "foreign", "other version"])
def test_a_checkpoint_that_cannot_be_used_is_named_and_set_aside(damage, folder, caplog):
    state = TrainingState(torch.ones(3), torch.ones(3), torch.ones(3), 5, 50)
    history = History([1.0], [0.5], [np.zeros((3, 2))], [0], [0.0], [np.zeros((8, 2))], [np.zeros(2)])
    checkpoints.save("here", Checkpoint(state, history))
    assert checkpoints.load("here").state.steps == 50
    file = checkpoints.path("here")
    if damage == "torn":
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "foreign":
        checkpoints.save("elsewhere", Checkpoint(state, history))
        checkpoints.path("elsewhere").replace(file)
    else:
        file.write_bytes(file.read_bytes().replace(b'"format":"4"', b'"format":"3"'))
    assert checkpoints.load("here") is None
    assert str(file) in caplog.text
    assert [f.suffix for f in folder.iterdir()] == [".set-aside"]
    assert checkpoints.load("here") is None


def test_the_order_in_which_networks_read_is_kept_with_their_weights(networks, source, folder, monkeypatch, tmp_path):
    monkeypatch.setattr(spool, "FOLDER", tmp_path / "results")
    columns = prepare_data("mnist", source.data_dir, order="columns")
    [record] = train_and_measure(Stack(tuple(networks[:1]), columns.shape), columns)
    entry = spool.Spool("study").add(record, columns.digest)
    assert torch.equal(RecurrentNetwork.load(entry.folder / WEIGHTS, "columns").recurrent, record.network.recurrent)
    with pytest.raises(InputError, match="says reads: columns"):
        RecurrentNetwork.load(entry.folder / WEIGHTS)


def test_a_network_that_diverges_is_a_failure_with_its_epoch(source, folder):
    [network] = StudyConfig(**(GRID | {"seeds": "0", "learning_rate": 1e38})).networks()
    [failure] = train_and_measure(Stack((network,), source.shape), source)
    assert isinstance(failure, Failure)
    assert "diverged in epoch 1" in failure.reason
    assert list(folder.iterdir()) == []


def test_a_network_that_diverges_late_leaves_a_checkpoint_of_before(networks, source, folder, monkeypatch):
    train_epoch = workers.TrainingStack.train_epoch

    def poisoned(self):
        if self.epoch == 5:
            self.lanes[0].weights[..., 0] = float("nan")
        return train_epoch(self)

    monkeypatch.setattr(workers.TrainingStack, "train_epoch", poisoned)
    [failure] = train_and_measure(Stack((networks[0],), source.shape), source)
    assert "diverged in epoch 6" in failure.reason
    assert checkpoints.load(training_key(networks[0], source.digest)).state.epoch == 5


def test_an_allocation_that_fails_halves_the_width(networks, source, folder, monkeypatch):
    expected = [train_and_measure(Stack((network,), source.shape, 2), source)[0] for network in networks]
    for network in networks:
        checkpoints.remove(training_key(network, source.digest))
    widths = []
    init = workers.TrainingStack.__init__

    def cramped(self, configs, *rest, **more):
        widths.append(len(configs))
        if len(configs) > 2:
            raise torch.OutOfMemoryError("out of memory")
        init(self, configs, *rest, **more)

    monkeypatch.setattr(workers.TrainingStack, "__init__", cramped)
    results = train_and_measure(Stack(tuple(networks), source.shape, 4), source)
    assert widths == [4, 2, 2]
    for one, other in zip(expected, results, strict=True):
        assert one.measurements.equals(other.measurements)
