"""Networks from elsewhere: what PyTorch saves is recognised and agrees with the module it was, or is refused in one line."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from safetensors.torch import save_file
from torch import nn

from study.networks.foreign import checked_names, read
from study.networks.network import RecurrentNetwork, scaled
from study.terminal.errors import InputError

LAYERS = {"tanh": nn.RNN, "relu": partial(nn.RNN, nonlinearity="relu"), "gru": nn.GRU, "lstm": nn.LSTM}


class Classifier(nn.Module):
    """As people write one, with names of their own."""

    def __init__(self, kind: str = "gru", bias: bool = True, hidden: int = 16):
        super().__init__()
        torch.manual_seed(1)
        self.encoder = LAYERS[kind](28, hidden, bias=bias, batch_first=True)
        self.head = nn.Linear(hidden, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(pixels)[0][:, -1])


def _logits(network: RecurrentNetwork, pixels: torch.Tensor) -> torch.Tensor:
    *_, last = network.rows(pixels)
    return network.logits(last)


def _written(folder: Path, state: object, how: str) -> Path:
    path = folder / f"w.{how}"
    if how == "safetensors":
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    else:
        torch.save(
            {"state_dict": state, "epoch": 3, "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}}]}
            if how == "ckpt"
            else state,
            path,
        )
    return path


@pytest.mark.parametrize("how", ["safetensors", "pt", "ckpt"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.net."])
@pytest.mark.parametrize(("kind", "bias"), [(kind, bias) for kind in LAYERS for bias in (False, True)])
def test_what_pytorch_saves_is_the_network_it_was(kind, bias, prefix, how, test_images, tmp_path):
    module = Classifier(kind, bias)
    path = _written(tmp_path, {prefix + name: value for name, value in module.state_dict().items()}, how)
    brought = read(path, cell=kind if kind == "relu" else None)
    assert brought.network.cell.name == kind + "_bias" * bias
    pixels = scaled(test_images.images[:100])
    torch.testing.assert_close(_logits(brought.network, pixels), module(pixels), rtol=0, atol=2e-6)
    assert brought.unsaid == (("nonlinearity", "reads", "pixels") if kind == "tanh" else ("reads", "pixels"))
    [note] = brought.notes
    assert "read rows of 28 numbers, and a readout of 10 classes: input " in note and f"readout {prefix}head.weight" in note


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_of_any_precision_are_read(dtype, test_images, tmp_path):
    module = Classifier().to(dtype)
    brought = read(_written(tmp_path, module.state_dict(), "pt"))
    pixels = scaled(test_images.images[:50])
    torch.testing.assert_close(_logits(brought.network, pixels), module.float()(pixels), rtol=0, atol=2e-6)


def test_a_data_parallel_module_and_one_of_cells_are_read(test_images, tmp_path):
    module, pixels = Classifier("lstm"), scaled(test_images.images[:50])
    assert read(_written(tmp_path, nn.DataParallel(module).state_dict(), "pt")).network.cell.name == "lstm_bias"
    cell, head = nn.GRUCell(28, 16), nn.Linear(16, 10, bias=False)
    brought = read(_written(tmp_path, {**cell.state_dict(prefix="cell."), **head.state_dict(prefix="out.")}, "safetensors"))
    assert brought.notes[-1] == "the readout has no bias: taken as 0"
    state = torch.zeros(50, 16)
    for row in pixels.unbind(dim=1):
        state = cell(row, state)
    torch.testing.assert_close(_logits(brought.network, pixels), head(state), rtol=0, atol=2e-6)


def test_a_checkpoint_s_hyper_parameters_say_what_tensors_cannot(tmp_path):
    state = Classifier("relu").state_dict()
    path = tmp_path / "w.ckpt"
    torch.save({"state_dict": state, "hyper_parameters": {"nonlinearity": "relu", "bias": False, "lr": 0.1}}, path)
    brought = read(path)
    assert brought.network.cell.name == "relu_bias"
    assert brought.unsaid == ("reads", "pixels")
    unrelated = {"activation": "relu", "mode": "min", "layers": [64], "nonlinearity": None}
    torch.save({"state_dict": Classifier("gru").state_dict(), "hyper_parameters": unrelated}, path)
    assert read(path).network.cell.name == "gru_bias"
    torch.save({"state_dict": Classifier("tanh").state_dict(), "hyper_parameters": unrelated}, path)
    assert read(path).unsaid == ("nonlinearity", "reads", "pixels")
    torch.save({"state_dict": state, "hyper_parameters": {"pixels": "standardised"}}, path)
    with pytest.raises(InputError, match="says pixels: standardised, but it would be measured as"):
        read(path)


def test_biases_of_zero_are_as_good_as_none(tmp_path):
    module = Classifier("tanh")
    with torch.no_grad():
        module.encoder.bias_ih_l0.zero_()
        module.encoder.bias_hh_l0.zero_()
    assert read(_written(tmp_path, module.state_dict(), "pt")).network.cell.name == "tanh"


def test_what_is_ambiguous_is_named(test_images, tmp_path):
    module, other = Classifier("gru"), nn.Linear(16, 10)
    state = {**module.state_dict(), **other.state_dict(prefix="auxiliary.")}
    path = _written(tmp_path, state, "pt")
    with pytest.raises(InputError, match=r"has 2 tensors that may be .* --names .*it holds encoder.weight_ih_l0 \[48, 28\]"):
        read(path)
    brought = read(path, checked_names(["readout=auxiliary.weight"]))
    assert torch.equal(brought.network.readout, other.weight)
    assert torch.equal(brought.network.bias, other.bias)
    assert brought.notes[-1] == "not used: head.weight, head.bias"
    named = {"a": state["encoder.weight_hh_l0"], "b": state["encoder.weight_ih_l0"], "c": state["head.weight"]}
    path = _written(tmp_path, named, "safetensors")
    with pytest.raises(InputError, match="no recurrent layer that is recognised"):
        read(path)
    brought = read(path, checked_names(["recurrent=a", "input=b", "readout=c"]))
    assert brought.network.cell.name == "gru"
    assert brought.notes[1].startswith("the gates are taken in PyTorch's order (reset, update, new)")


def test_the_order_that_a_file_says_is_that_in_which_it_is_shown_images(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file(Classifier().state_dict(), path, {"reads": "columns"})
    assert read(path, reads="columns").unsaid == ("pixels",)
    with pytest.raises(
        InputError, match=r"says reads: columns, but .* that reads rows of .* expected reads: rows, or order=columns"
    ):
        read(path)


def test_a_file_of_neither_kind_says_what_is_accepted(tmp_path):
    (tmp_path / "w.txt").write_text("no weights at all")
    with pytest.raises(InputError, match=r"expected a .safetensors file, or one of torch.save$"):
        read(tmp_path / "w.txt")
    with pytest.raises(InputError, match=r"no weights at .*: expected a .safetensors file, or one of torch.save$"):
        read(tmp_path / "absent.pt")


def _two_layers():
    return nn.LSTM(28, 16, num_layers=2)


def _both_ways():
    return nn.GRU(28, 16, bidirectional=True)


def _projected():
    return nn.LSTM(28, 16, proj_size=8)


@pytest.mark.parametrize("how", ["safetensors", "pt"])
@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (_two_layers, "is an LSTM of 2 layers: expected one recurrent layer"),
        (_both_ways, "is a GRU that reads in both directions: expected one recurrent layer"),
        (_projected, r"is an LSTM with a projection \(weight_hr_l0\): expected one recurrent layer"),
    ],
)
def test_layers_that_are_not_measured_are_named(layer, words, how, tmp_path):
    made = layer()
    state = {**made.state_dict(prefix="rnn."), **nn.Linear(16, 10).state_dict(prefix="readout.")}
    for names in ({}, {"recurrent": "rnn.weight_hh_l0"}):
        with pytest.raises(InputError, match=words):
            read(_written(tmp_path, state, how), names)


def _state(**changes) -> dict[str, torch.Tensor]:
    return {name: value for name, value in (Classifier("gru").state_dict() | changes).items() if value is not None}


BAD = {
    "no recurrent layer": ({"conv.weight": torch.zeros(3, 3)}, "has no recurrent layer that is recognised"),
    "no input weights": (_state(**{"encoder.weight_ih_l0": None}), "has no input weights beside encoder.weight_hh_l0"),
    "no readout": (_state(**{"head.weight": None, "head.bias": None}), "has no tensors that may be the readout"),
    "a transposed readout": (_state(**{"head.weight": torch.zeros(16, 10)}), "has no tensors that may be the readout"),
    "another layer": (_state(**{"norm.running_mean": torch.zeros(16)}), "holds norm.running_mean, which may be part"),
    "two recurrent layers": (
        _state(**{f"second.{name}": value for name, value in nn.GRU(28, 16).state_dict().items()}),
        "has 2 recurrent layers",
    ),
    "five gates": (_state(**{"encoder.weight_hh_l0": torch.zeros(80, 16)}), "taken as recurrent, has the shape [80, 16]"),
    "a short bias": (_state(**{"encoder.bias_hh_l0": torch.zeros(47)}), "taken as recurrent_bias, has the shape [47]"),
    "integers": (
        _state(**{"head.weight": torch.zeros(10, 16, dtype=torch.int32)}),
        "the type int32; expected 2 dimensions of floating",
    ),
    "not finite": (_state(**{"head.bias": torch.full((10,), torch.nan)}), "holds values that are not finite"),
    "a whole module": (Classifier(), "holds a pickled object (test_foreign.Classifier), which is never opened"),
    "a list": ([torch.zeros(2)], "holds a list: expected a state dictionary"),
    "a checkpoint without weights": ({"epoch": 3, "optimizer": {"lr": 1.0}}, "is a checkpoint with epoch, optimizer"),
    "no values": ({"rnn.weight_hh_l0": torch.empty(16, 16, device="meta")}, "is a checkpoint with rnn.weight_hh_l0"),
    "sparse": (
        _state(**{"head.weight": torch.sparse_coo_tensor(torch.zeros(2, 0), [], (10, 16), check_invariants=True)}),
        "is a checkpoint with encoder.weight_ih_l0",
    ),
    "a view larger than memory": ({"rnn.weight_hh_l0": torch.zeros(1).expand(1 << 16, 1 << 16)}, "holds tensors of 16,384 MiB"),
}


@pytest.mark.parametrize("case", BAD)
def test_files_that_are_something_else_end_in_one_line(case, tmp_path):
    content, words = BAD[case]
    path = tmp_path / "w.pt"
    torch.save(content, path)
    with pytest.raises(InputError) as caught:
        read(path)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps({"rnn.weight_hh_l0": 1}), "is a pickle that torch.save of today does not write"),
        (b"PK\3\4" + b"\0" * 40, "or it is cut short"),
        (b"", "cannot be read as safetensors"),
    ],
)
def test_files_that_are_damaged_end_in_one_line(content, words, tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read(path)


def test_code_in_a_file_is_never_run(tmp_path):
    class Runs:
        def __reduce__(self):
            return Path.touch, (tmp_path / "touched",)

    torch.save({"state_dict": Runs()}, tmp_path / "w.pt")
    with pytest.raises(InputError, match="which is never opened since it may run any code"):
        read(tmp_path / "w.pt")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("words", [["recurrent"], ["weights=a"], ["recurrent="], ["input=a", "input=b"], ["=a"]])
def test_names_are_of_parts(words):
    with pytest.raises(InputError, match=r"names=.*: expected part=tensor, each part once, where part is one of input, recurrent,"):
        checked_names(words)


def test_a_cell_that_the_shapes_contradict_is_named(tmp_path):
    path = _written(tmp_path, Classifier("gru").state_dict(), "pt")
    with pytest.raises(InputError, match=r"cell=tanh: .* has recurrent weights of the shape \[48, 16\], those of gru"):
        read(path, cell="tanh")


def test_the_command_measures_a_checkpoint_and_says_what_it_took_it_for(tmp_path):
    path = tmp_path / "epoch=3.ckpt"
    torch.save({"state_dict": {**Classifier("relu").state_dict(), "other.weight": torch.zeros(10, 16)}}, path)
    command = [sys.executable, "-m", "study", "measure", path.name, "--only", "spectrum", "--cell", "relu", "--data-dir"]
    command += [str(ROOT / "data"), "--names", "recurrent=encoder.weight_hh_l0", "readout=head.weight"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second, third, *_ = done.stdout.splitlines()
    assert first.startswith("recognised as 16 rectified linear units with bias that read rows of 28 numbers")
    assert second == "not used: other.weight"
    assert third.startswith("test accuracy ")
    assert (tmp_path / "measurements.nc").exists()
