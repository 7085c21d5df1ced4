from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
import torch
import xarray as xr
from conftest import ROOT
from rich.console import Console
from safetensors.torch import save_file
from torch import nn

from study.config import MeasureConfig, validated
from study.data.sources import prepare_data
from study.execution.measuring import measure_file
from study.networks.network import RecurrentNetwork, tanh_network
from study.terminal.errors import InputError

GIVEN = {"weights": "w.safetensors", "dataset": "mnist", "data_dir": ROOT / "data", "blank_rows": "5", "seed": "0"}


class Trained(nn.Module):
    """A network as others train one: with plain PyTorch, on what they make of the images."""

    def __init__(self, train, test, nonlinearity="tanh", shown=lambda pixels: pixels):
        super().__init__()
        torch.manual_seed(0)
        self.rnn = nn.RNN(28, 32, bias=False, batch_first=True, nonlinearity=nonlinearity)
        self.readout = nn.Linear(32, 10)
        adam = torch.optim.Adam(self.parameters(), 3e-3)
        pixels, labels = shown(train.images[:5000] / 255), train.labels[:5000]
        for batch in [*torch.randperm(5000).split(50), *torch.randperm(5000).split(50)]:
            adam.zero_grad()
            nn.functional.cross_entropy(self(pixels[batch]), labels[batch]).backward()
            nn.utils.clip_grad_norm_(self.parameters(), 1.0)
            adam.step()
        with torch.no_grad():
            self.accuracy = float((self(shown(test.images / 255)).argmax(1) == test.labels).double().mean())

    def forward(self, pixels):
        return self.readout(self.rnn(pixels)[0][:, -1])


def measured(path, **given):
    """What the command says, and the file it is to write."""
    out, told = path.with_suffix(".nc"), StringIO()
    config = validated(MeasureConfig, GIVEN | {"weights": path} | given)
    measure_file(config, ["spectrum"], out, Console(file=told, width=1000))
    assert "eigenvalue_real" in xr.load_dataset(out)
    return told.getvalue().splitlines()


def wrote(path):
    return f"{len(xr.load_dataset(path).data_vars)} variables in {path}"


TAKEN = "taken as a tanh network that reads rows of pixels in [0, 1]: the file does not say (nonlinearity, reads, pixels)"


def test_a_network_of_this_project_needs_no_words(train_images, test_images, tmp_path):
    trained = Trained(train_images, test_images)
    assert trained.accuracy > 0.35
    RecurrentNetwork.from_state_dict(trained.state_dict()).save(tmp_path / "w.safetensors")
    said = f"test accuracy {trained.accuracy:.2%}"
    assert measured(tmp_path / "w.safetensors", expect_accuracy=f"{trained.accuracy:.2f}") == [said, wrote(tmp_path / "w.nc")]
    save_file(trained.state_dict(), tmp_path / "plain.safetensors")
    assert measured(tmp_path / "plain.safetensors") == [said, TAKEN, wrote(tmp_path / "plain.nc")]
    save_file(trained.state_dict(), tmp_path / "partly.safetensors", {"nonlinearity": "tanh"})
    assert measured(tmp_path / "partly.safetensors")[1] == TAKEN.replace("(nonlinearity, reads", "(reads")


@pytest.mark.parametrize(
    ("nonlinearity", "shown", "words"),
    [
        ("relu", lambda pixels: pixels, "as a relu network that reads rows of pixels in [0, 1] it is right on"),
        ("tanh", lambda pixels: pixels.mT, "as a tanh network that reads columns of pixels in [0, 1] it is right on"),
        ("tanh", lambda pixels: (pixels - 0.1307) / 0.3081, "that reads rows of pixels standardised by 0.1307 and 0.3081"),
    ],
)
def test_a_network_of_another_kind_is_told_by_its_accuracy(nonlinearity, shown, words, train_images, test_images, tmp_path):
    trained = Trained(train_images, test_images, nonlinearity, shown)
    assert trained.accuracy > 0.35
    path = tmp_path / "w.safetensors"
    save_file(trained.state_dict(), path)
    with pytest.raises(InputError, match=r"expect_accuracy=0\.\d+: .*so nothing was measured") as caught:
        measured(path, expect_accuracy=f"{trained.accuracy:.2f}")
    assert words in str(caught.value)
    assert not path.with_suffix(".nc").exists()
    lines = measured(path)
    assert lines[1] == TAKEN
    assert lines[2].startswith("warning: ") and words in lines[2]


def test_the_order_and_the_kind_of_numbers_are_said(train_images, test_images, tmp_path):
    trained = Trained(train_images, test_images, shown=lambda pixels: pixels.mT)
    save_file(trained.state_dict(), tmp_path / "w.safetensors")
    lines = measured(tmp_path / "w.safetensors", order="columns")
    assert lines[:2] == [f"test accuracy {trained.accuracy:.2%}", TAKEN.replace("rows of", "columns of")]
    assert not lines[2].startswith("warning")
    assert "it is right on" in measured(tmp_path / "w.safetensors", order="rows")[2]
    shape = prepare_data("flip-flop", ROOT / "data").shape
    task = RecurrentNetwork.initial(0, 8, shape.features, shape.classes)
    save_file(task.state_dict(), tmp_path / "task.safetensors")
    assert "reads rows of numbers as they are in the data set" in measured(tmp_path / "task.safetensors", dataset="flip-flop")[1]


def test_what_is_near_chance_depends_on_the_number_of_classes(tmp_path):
    sequences = np.random.default_rng(0).normal(size=(40, 5, 3)).astype("f4")
    labels = (sequences[:, -1, 0] > 0).astype(int)
    np.savez(tmp_path / "signs.npz", train_x=sequences, train_y=labels, test_x=sequences, test_y=labels, scale=1)
    readout = torch.tensor([[-1.0], [1.0]])
    right = tanh_network(torch.tensor([[1.0, 0, 0]]), torch.zeros(1, 1), readout, torch.zeros(2))
    right.save(tmp_path / "right.safetensors")
    replace(right, readout=0 * readout).save(tmp_path / "guesses.safetensors")
    said = [measured(tmp_path / name, dataset=str(tmp_path / "signs.npz")) for name in ("right.safetensors", "guesses.safetensors")]
    assert said[0][0] == "test accuracy 100.00%" and not any("near chance" in line for line in said[0])
    assert "warning: near chance (below 61%)" in said[1][1]


def test_an_accuracy_near_chance_says_what_may_be_wrong(tmp_path):
    RecurrentNetwork.initial(0, 16, 28, 10).save(tmp_path / "w.safetensors")
    line = measured(tmp_path / "w.safetensors")[1]
    assert line.startswith("warning: near chance (below 30%)")
    for word in ("nonlinearity", "columns", "scale", "biases", "classes"):
        assert word in line


@pytest.mark.parametrize("value", ["0", "-0.5", "55", "55%", "nan", "inf", "", "half", "1.01"])
def test_an_expected_accuracy_is_a_share(value):
    with pytest.raises(InputError, match=f"expect_accuracy={value}: expected a share of the test images above 0 and at most 1"):
        validated(MeasureConfig, GIVEN | {"expect_accuracy": value})


def test_a_network_of_other_images_is_named(tmp_path):
    RecurrentNetwork.initial(0, 16, 14, 10).save(tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="reads rows of 14 pixels into 10 classes: the data set has rows of 28 pixels"):
        measured(tmp_path / "w.safetensors")


def test_the_command_ends_in_one_line_where_the_accuracy_is_another(tmp_path):
    RecurrentNetwork.initial(0, 16, 28, 10).save(tmp_path / "w.safetensors")
    command = [sys.executable, "-m", "study", "measure", "w.safetensors", "--only", "spectrum", "--expect-accuracy", "0.99"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: expect_accuracy=0.99: w.safetensors has a test accuracy of ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "measurements.nc").exists()
