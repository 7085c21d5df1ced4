from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from study.networks.network import RecurrentNetwork, scaled, tanh_network
from study.networks.weights import read
from study.terminal.errors import InputError


class PlainNetwork(nn.Module):
    """What any PyTorch user would write."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.rnn = nn.RNN(28, hidden_size, bias=False, batch_first=True)
        self.readout = nn.Linear(hidden_size, 10)

    def forward(self, images):
        states, _ = self.rnn(images)
        return self.readout(states[:, -1])


def plain(network: RecurrentNetwork) -> PlainNetwork:
    module = PlainNetwork(network.hidden_size)
    module.load_state_dict(network.state_dict())
    return module


def test_states_and_labels_equal_those_of_plain_pytorch(test_images):
    network, images = RecurrentNetwork.initial(3, 40, 28, 10), scaled(test_images.images[:500])
    with torch.no_grad():
        expected = plain(network).rnn(images)[0]
        labels = plain(network)(images).argmax(1)
    states = torch.stack(list(network.rows(images)), dim=1)
    torch.testing.assert_close(states, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(network.predict(states[:, -1]), labels)


def test_blank_rows_are_rows_of_zeros(test_images):
    network, images = RecurrentNetwork.initial(0, 20, 28, 10), scaled(test_images.images[:50])
    *_, last = network.rows(images)
    rolled = [state.clone() for state in network.blank_rows(last, 5)]
    *_, appended = network.rows(torch.cat([images, torch.zeros(50, 5, 28)], dim=1))
    torch.testing.assert_close(rolled[-1], appended)


def test_the_blank_map_is_odd():
    network, state = RecurrentNetwork.initial(1, 30, 28, 10), torch.randn(7, 30)
    forward = [s.clone() for s in network.blank_rows(state, 20)]
    mirrored = [s.clone() for s in network.blank_rows(-state, 20)]
    assert all(torch.equal(a, -b) for a, b in zip(forward, mirrored, strict=True))


def test_initial_weights_are_pytorch_s_bounds_and_the_seed_s_own():
    network = RecurrentNetwork.initial(5, 100, 28, 10)
    for weights in network.state_dict().values():
        assert weights.abs().max() <= 0.1
        assert weights.abs().max() > 0.09 or weights.numel() < 100
    again, other = RecurrentNetwork.initial(5, 100, 28, 10), RecurrentNetwork.initial(6, 100, 28, 10)
    assert torch.equal(network.recurrent, again.recurrent)
    assert not torch.equal(network.recurrent, other.recurrent)


def test_weights_survive_a_file(tmp_path):
    network = RecurrentNetwork.initial(2, 16, 28, 10)
    network.save(tmp_path / "w.safetensors")
    loaded = RecurrentNetwork.load(tmp_path / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), loaded.state_dict().values(), strict=True))


def _altered(**changes):
    state = RecurrentNetwork.initial(0, 16, 28, 10).state_dict() | changes
    return {name: value for name, value in state.items() if value is not None}


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (_altered(**{"readout.bias": None}), "lacks readout.bias"),
        (_altered(**{"rnn.bias_hh_l0": torch.ones(16)}), "rnn.bias_hh_l0"),
        (_altered(**{"rnn.weight_hh_l0": torch.zeros(16, 15)}), "rnn.weight_hh_l0 has the shape"),
        (_altered(**{"rnn.weight_ih_l0": torch.zeros(16)}), "rnn.weight_ih_l0 has the shape"),
        (_altered(**{"rnn.weight_hh_l0": torch.zeros(())}), "rnn.weight_hh_l0 has the shape"),
        (
            _altered(**{"readout.bias": torch.zeros(10, dtype=torch.int64)}),
            "readout.bias has the shape .* and the type torch.int64",
        ),
        (_altered(**{"rnn.bias_ih_l0": torch.full((16,), -0.5)}), "rnn.bias_ih_l0 is not zero"),
        (_altered(**{"rnn.extra": torch.ones(16)}), "holds rnn.extra"),
        (_altered(**{"readout.weight": torch.full((10, 16), float("nan"))}), "readout.weight holds values that are not finite"),
        (_altered(**{"readout.weight": torch.zeros(10, 16, dtype=torch.float8_e4m3fn)}), "type torch.float8_e4m3fn, expected"),
        (_altered(**{"rnn.weight_hh_l0": torch.zeros(16, 16, dtype=torch.complex64)}), "type torch.complex64"),
        (_altered(**{"readout.bias": torch.zeros(10, dtype=torch.bool)}), "type torch.bool"),
        (_altered(**{"rnn.bias_ih_l0": torch.zeros(16, dtype=torch.float8_e5m2)}), "rnn.bias_ih_l0 has the shape"),
        (_altered(**{"rnn.bias_ih_l0": torch.zeros(48)}), "rnn.bias_ih_l0 has the shape .*expected \\(16,\\)"),
        (_altered(**{"rnn.weight_hh_l0": torch.full((16, 16), 1e300, dtype=torch.float64)}), "rnn.weight_hh_l0 holds values"),
        (_altered(**{"readout.bias": torch.zeros(0), "readout.weight": torch.zeros(0, 16)}), "and 0 classes"),
        (_altered(**{"rnn.weight_ih_l0": torch.zeros(16, 0)}), "0 pixels per row"),
        (tanh_network(torch.zeros(0, 28), torch.zeros(0, 0), torch.zeros(10, 0), torch.zeros(10)).state_dict(), "0 hidden units"),
        (_altered(**{"readout.bias": None, "readout.weight": None}), "lacks readout.bias, readout.weight, a readout"),
        ({}, "it holds no tensors"),
    ],
)
def test_weights_that_do_not_fit_are_named(state, word):
    with pytest.raises(InputError, match=word):
        RecurrentNetwork.from_state_dict(state)


def _module(recurrent: nn.Module) -> dict[str, torch.Tensor]:
    return {f"rnn.{name}": value.detach() for name, value in recurrent.state_dict().items()} | _altered(
        **{"rnn.weight_ih_l0": None, "rnn.weight_hh_l0": None}
    )


@pytest.mark.parametrize(
    ("recurrent", "words"),
    [
        (nn.GRU(28, 16), "is a GRU: "),
        (nn.LSTM(28, 16), "is an LSTM: "),
        (nn.LSTM(28, 16, bias=False), "is an LSTM: "),
        (nn.RNN(28, 16, num_layers=3), "is an RNN of 3 layers: "),
        (nn.GRU(28, 16, num_layers=2), "is a GRU of 2 layers: "),
        (nn.RNN(28, 16, bidirectional=True), "is an RNN that reads in both directions: "),
        (nn.LSTM(28, 16, proj_size=8), "is an LSTM with a projection"),
        (nn.GRUCell(28, 16), "is a GRU: "),
    ],
)
def test_another_network_is_named_for_what_it_is_and_its_tensors_are_listed(recurrent, words):
    state = _module(recurrent)
    with pytest.raises(InputError) as caught:
        RecurrentNetwork.from_state_dict(state)
    assert words in str(caught.value)
    name, value = next(iter(state.items()))
    assert f"{name} {list(value.shape)} float32" in str(caught.value)


def test_a_list_of_tensors_is_short_and_plain():
    state = {f"layer\x1b[2J\n.{i}": torch.zeros(2) for i in range(5000)} | {"x" * 10_000: torch.zeros(1)}
    with pytest.raises(InputError) as caught:
        RecurrentNetwork.from_state_dict(state)
    assert "and 4989 more" in str(caught.value)
    assert len(str(caught.value)) < 1500
    assert str(caught.value).isprintable()


def test_biases_that_are_zero_may_be_there():
    state = _altered(**{"rnn.bias_ih_l0": torch.zeros(16), "rnn.bias_hh_l0": torch.zeros(16)})
    assert torch.equal(RecurrentNetwork.from_state_dict(state).recurrent, state["rnn.weight_hh_l0"])


def test_a_file_that_is_no_safetensors_is_named(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"junk")
    with pytest.raises(InputError, match=r"weights\.safetensors cannot be read"):
        RecurrentNetwork.load(path)
    with pytest.raises(InputError, match="no weights at"):
        RecurrentNetwork.load(tmp_path / "absent.safetensors")


def test_a_file_says_what_network_it_holds_and_equal_weights_are_equal_files(tmp_path):
    network = RecurrentNetwork.initial(2, 16, 28, 10)
    save = (
        "from study.networks.network import RecurrentNetwork; from pathlib import Path; "
        "RecurrentNetwork.initial(2, 16, 28, 10).save(Path('{}'))"
    )
    network.save(tmp_path / "a.safetensors")
    subprocess.run([sys.executable, "-c", save.format(tmp_path / "b.safetensors")], cwd=ROOT, check=True)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        [(_, said)] = file.metadata().items()
    assert json.loads(said) == {"bias": "none", "nonlinearity": "tanh", "pixels": "[0, 1]", "reads": "rows"}
    assert read(tmp_path / "a.safetensors").unsaid == ()


def test_the_order_in_which_a_network_reads_images_is_in_its_file_and_is_checked(tmp_path):
    path = tmp_path / "w.safetensors"
    network = RecurrentNetwork.initial(2, 16, 28, 10)
    network.save(path, "columns")
    with pytest.raises(InputError, match=r"that reads rows of pixels.*: expected reads: rows, or order=columns"):
        RecurrentNetwork.load(path)
    with pytest.raises(InputError, match=r"that reads permuted rows of pixels.*: expected reads: permuted, or order=columns"):
        RecurrentNetwork.load(path, "permuted")
    for reads in ("columns", None):
        assert torch.equal(RecurrentNetwork.load(path, reads).recurrent, network.recurrent)


@pytest.mark.parametrize(
    ("metadata", "unsaid"),
    [
        (None, ("nonlinearity", "reads", "pixels")),
        ({"format": "pt", "author": "me", "epochs": "30"}, ("nonlinearity", "reads", "pixels")),
        ({"Nonlinearity": " Tanh "}, ("reads", "pixels")),
        ({"mode": "RNN_TANH", "reads": "rows", "pixels": "[0,1]", "hidden_size": "16", "input_size": "28"}, ()),
        ({"config": '{"activation": "tanh", "num_layers": 1, "bidirectional": false}', "list": "[1, 2]"}, ("reads", "pixels")),
    ],
)
def test_what_a_file_says_is_heard(metadata, unsaid, tmp_path):
    save_file(RecurrentNetwork.initial(0, 16, 28, 10).state_dict(), tmp_path / "w.safetensors", metadata)
    assert read(tmp_path / "w.safetensors").unsaid == unsaid


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"nonlinearity": "relu"}, "says nonlinearity: relu, but it would be measured as a tanh network"),
        ({"format": "pt", "mode": "RNN_RELU"}, "says mode: rnn_relu"),
        ({"reads": "columns"}, "says reads: columns"),
        ({"pixels": "standardised"}, r"says pixels: standardised.*expected pixels: \[0,1\]"),
        ({"bias": "True"}, "says bias: true"),
        ({"config": json.dumps({"nonlinearity": "relu"})}, "says nonlinearity: relu"),
        ({"cell": "GRU"}, "says cell: gru"),
        ({"network": json.dumps({"nonlinearity": "tanh"}), "nonlinearity": "relu"}, "says nonlinearity: relu"),
        ({"hidden_size": "32"}, "says hidden_size: 32.*expected hidden_size: 16"),
        ({"num_layers": "2"}, "says num_layers: 2"),
        ({"nonlinearity": "\x1b[2J" + "x" * 10_000}, r"says nonlinearity: \\x1b\[2jxxx"),
    ],
)
def test_a_file_that_says_to_hold_another_network_is_refused(metadata, words, tmp_path):
    save_file(RecurrentNetwork.initial(0, 16, 28, 10).state_dict(), tmp_path / "w.safetensors", metadata)
    with pytest.raises(InputError, match=words) as caught:
        RecurrentNetwork.load(tmp_path / "w.safetensors")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def _tensor_file(path, header: bytes, content: bytes = b"") -> None:
    path.write_bytes(len(header).to_bytes(8, "little") + header + content)


def _odd_type(kind: str, shape: list[int], size: int):
    header = {"rnn.weight_hh_l0": {"dtype": kind, "shape": shape, "data_offsets": [0, size]}}
    rest = _altered(**{"rnn.weight_hh_l0": None})
    for name, value in rest.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [size, size := size + 4 * value.numel()]}
    return lambda path: _tensor_file(path, json.dumps(header).encode(), bytes(size))


ODD_FILES = {
    "folder": (lambda path: path.mkdir(), "it is a folder"),
    "FIFO": (os.mkfifo, "it is not an ordinary file, but a device, a FIFO or a socket"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "it is not an ordinary file, but a device"),
    "no end": (lambda path: (path.touch(), os.truncate(path, 1 << 40)), "more than the 1,024 MiB"),
    "empty": (lambda path: path.touch(), "does not begin with the length of a header"),
    "cut": (lambda path: path.write_bytes(b"\x10" + bytes(7) + b"{}"), "does not begin with the length of a header"),
    "long header": (lambda path: _tensor_file(path, b" " * (2 << 20)), "header has 2,097,152 bytes"),
    "brackets": (lambda path: _tensor_file(path, b"[" * 100_000), "cannot be read as safetensors"),
    "nested metadata": (lambda path: save_file(_altered(), path, {"a": "[" * 100_000, "reads": "columns"}), "says reads: columns"),
    "pickle": (lambda path: torch.save(_altered(), path), "looks like a pickle"),
    "old pickle": (lambda path: torch.save(_altered(), path, _use_new_zipfile_serialization=False), "looks like a pickle"),
    "F8_E4M3": (_odd_type("F8_E4M3", [16, 16], 256), "the type F8_E4M3"),
    "F8_E8M0": (_odd_type("F8_E8M0", [16, 16], 256), "the type F8_E8M0"),
    "F6_E2M3": (_odd_type("F6_E2M3", [16, 16], 192), "the type F6_E2M3"),
    "F4": (_odd_type("F4", [16, 16], 128), "the type F4"),
    "C64": (_odd_type("C64", [16, 16], 2048), "the type C64"),
    "I64": (_odd_type("I64", [16, 16], 2048), "the type I64"),
    "no dimension": (_odd_type("F32", [], 4), r"rnn.weight_hh_l0 has the shape \(\)"),
    "no unit": (_odd_type("F32", [0, 0], 0), "0 hidden units"),
    "GRU": (lambda path: save_file(_module(nn.GRU(28, 16)), path), r"is a GRU: .*rnn.weight_ih_l0 \[48, 28\] F32"),
}


@pytest.mark.parametrize("name", ODD_FILES)
def test_a_file_that_holds_no_such_network_is_refused_in_one_line(name, tmp_path):
    make, words = ODD_FILES[name]
    path = tmp_path / "w.safetensors"
    make(path)
    with pytest.raises(InputError, match=words) as caught:
        RecurrentNetwork.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_header_of_any_length_is_read(tmp_path):
    """Its length is the file's first bytes: in 384 bytes and in 640 it begins as a pickle does."""
    network, lengths = RecurrentNetwork.initial(0, 16, 28, 10), set()
    for padding in range(0, 400, 8):
        save_file(network.state_dict(), tmp_path / "w.safetensors", {"note": "x" * padding})
        lengths.add(int.from_bytes((tmp_path / "w.safetensors").read_bytes()[:8], "little"))
        assert torch.equal(RecurrentNetwork.load(tmp_path / "w.safetensors").recurrent, network.recurrent)
    assert {384, 640} <= lengths
