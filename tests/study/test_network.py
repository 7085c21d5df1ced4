from __future__ import annotations

import pytest
import torch
from torch import nn

from study.errors import InputError
from study.network import RecurrentNetwork, scaled


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
    network, images = RecurrentNetwork.initial(3, 40), scaled(test_images.images[:500])
    with torch.no_grad():
        expected = plain(network).rnn(images)[0]
        labels = plain(network)(images).argmax(1)
    states = torch.stack(list(network.rows(images)), dim=1)
    torch.testing.assert_close(states, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(network.predict(states[:, -1]), labels)


def test_blank_rows_are_rows_of_zeros(test_images):
    network, images = RecurrentNetwork.initial(0, 20), scaled(test_images.images[:50])
    *_, last = network.rows(images)
    rolled = [state.clone() for state in network.blank_rows(last, 5)]
    *_, appended = network.rows(torch.cat([images, torch.zeros(50, 5, 28)], dim=1))
    torch.testing.assert_close(rolled[-1], appended)


def test_the_blank_map_is_odd():
    network, state = RecurrentNetwork.initial(1, 30), torch.randn(7, 30)
    forward = [s.clone() for s in network.blank_rows(state, 20)]
    mirrored = [s.clone() for s in network.blank_rows(-state, 20)]
    assert all(torch.equal(a, -b) for a, b in zip(forward, mirrored, strict=True))


def test_initial_weights_are_pytorch_s_bounds_and_the_seed_s_own():
    network = RecurrentNetwork.initial(5, 100)
    for weights in network.state_dict().values():
        assert weights.abs().max() <= 0.1
        assert weights.abs().max() > 0.09 or weights.numel() < 100
    again, other = RecurrentNetwork.initial(5, 100), RecurrentNetwork.initial(6, 100)
    assert torch.equal(network.recurrent, again.recurrent)
    assert not torch.equal(network.recurrent, other.recurrent)


def test_weights_survive_a_file(tmp_path):
    network = RecurrentNetwork.initial(2, 16)
    network.save(tmp_path / "w.safetensors")
    loaded = RecurrentNetwork.load(tmp_path / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), loaded.state_dict().values(), strict=True))


def _altered(**changes):
    state = RecurrentNetwork.initial(0, 16).state_dict() | changes
    return {name: value for name, value in state.items() if value is not None}


@pytest.mark.parametrize(("state", "word"), [
    (_altered(**{"readout.bias": None}), "lacks readout.bias"),
    (_altered(**{"rnn.bias_hh_l0": torch.ones(16)}), "rnn.bias_hh_l0"),
    (_altered(**{"rnn.weight_hh_l0": torch.zeros(16, 15)}), "rnn.weight_hh_l0 has the shape"),
    (_altered(**{"rnn.weight_ih_l0": torch.zeros(16)}), "rnn.weight_ih_l0 has the shape"),
    (_altered(**{"rnn.weight_hh_l0": torch.zeros(())}), "rnn.weight_hh_l0 has the shape"),
    (_altered(**{"readout.bias": torch.zeros(10, dtype=torch.int64)}), "readout.bias has the shape .* and the type torch.int64"),
    (_altered(**{"rnn.bias_ih_l0": torch.full((16,), -0.5)}), "rnn.bias_ih_l0 is not zero"),
    (_altered(**{"rnn.extra": torch.ones(16)}), "holds rnn.extra"),
    (_altered(**{"readout.weight": torch.full((10, 16), float("nan"))}), "readout.weight holds values that are not finite"),
])
def test_weights_that_do_not_fit_are_named(state, word):
    with pytest.raises(InputError, match=word):
        RecurrentNetwork.from_state_dict(state)


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
