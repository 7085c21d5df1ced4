"""The engine that serves every cell, against the hand-derived one and against plain PyTorch."""

from __future__ import annotations

import pytest
import torch
from biased_cell import BIASED
from test_training import DEVICES, _trained, configs
from torch import nn

from study.data.sources import Images
from study.networks.cells.vanilla import VanillaCell
from study.networks.seeding import permutation
from study.training import engine
from study.training.autograd import AutogradLane
from study.training.engine import TrainingStack, lanes_of
from study.training.gated_lane import GruLane, LstmLane
from study.training.hand_derived import VanillaLane
from study.training.lane import Batch


@pytest.fixture(params=DEVICES)
def few(train_images, request) -> Images:
    return train_images.first(250).to(request.param)


def test_the_built_in_cells_have_hand_derived_lanes_and_others_are_differentiated():
    for cell, lane in {"tanh": VanillaLane, "relu": VanillaLane, "gru": GruLane, "lstm": LstmLane}.items():
        for bias in (False, True):
            assert lanes_of(configs(cell=cell, bias=bias)[0]) is lane
    assert lanes_of(configs(cell=BIASED.name)[0]) is AutogradLane
    assert lanes_of(configs(cell="gru", precision="bf16")[0]) is AutogradLane


@pytest.mark.parametrize("trailing", ["0", "0-9"])
def test_both_engines_agree_on_the_paper_s_cell(few, trailing, monkeypatch):
    fast = _trained(TrainingStack(configs("0-1", trailing_blanks=trailing), few))
    monkeypatch.delitem(engine.LANES, (VanillaCell, "torch"))
    stack = TrainingStack(configs("0-1", trailing_blanks=trailing), few)
    assert all(isinstance(lane, AutogradLane) for lane in stack.lanes)
    for one, other in zip(fast, _trained(stack), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_gradients_of_both_engines_agree_in_double_precision(few):
    [config] = configs("3")
    fast = TrainingStack([config], few, dtype=torch.float64).lanes[0]
    slow = AutogradLane(fast.weights.reshape(-1).clone(), TrainingStack([config], few).layout, config, few)
    order = permutation(3, 24, 1, 250)[:32].to(few.labels.device)
    [batch] = fast.batches(order[None] if fast.batched else order, 32)
    losses = fast.backpropagate(batch).reshape(()), slow.backpropagate(Batch(order))
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-12)
    assert (fast.gradient.reshape(-1) - slow.gradient).norm() <= 1e-6 * slow.gradient.norm()


def test_a_biased_cell_trains_as_pytorch_s_own_layer(few):
    """`nn.RNN` with its input bias held at 0, and torch's Adam."""
    [config] = configs("4", cell="biased_tanh")
    stack = TrainingStack([config], few)
    rnn, readout = nn.RNN(28, 24, batch_first=True), nn.Linear(24, 10)
    module = nn.ModuleDict({"rnn": rnn, "readout": readout}).to(few.labels.device)
    module.load_state_dict(stack.networks()[0].state_dict() | {"rnn.bias_ih_l0": torch.zeros(24)})
    rnn.bias_ih_l0.requires_grad_(False)
    adam = torch.optim.Adam([weight for weight in module.parameters() if weight.requires_grad], lr=config.learning_rate)
    for epoch in stack.train():
        losses = []
        for indices in permutation(4, 24, epoch.number, 250).to(few.labels.device).split(32):
            adam.zero_grad()
            loss = nn.functional.cross_entropy(readout(rnn(few.images[indices] / 255)[0][:, -1]), few.labels[indices])
            loss.backward()
            adam.step()
            losses.append(loss.item() * len(indices))
        assert float(epoch.loss) == pytest.approx(sum(losses) / 250, rel=1e-5)
    for name, value in stack.networks()[0].state_dict().items():
        torch.testing.assert_close(value, module.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_a_network_is_the_same_bit_for_bit_beside_others(few):
    together = _trained(TrainingStack(configs("0-2", cell="biased_tanh"), few))
    alone = [_trained(TrainingStack(configs(str(seed), cell="biased_tanh"), few))[0] for seed in range(3)]
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


@pytest.mark.parametrize("interrupted_after", [1, 2])
def test_training_goes_on_bit_for_bit_from_any_epoch(few, interrupted_after):
    whole = _trained(TrainingStack(configs("0-1", cell="biased_tanh"), few))
    first = TrainingStack(configs("0-1", cell="biased_tanh"), few)
    for _ in range(interrupted_after):
        first.train_epoch()
    continued = TrainingStack(configs("0-1", cell="biased_tanh"), few, first.states())
    assert all(torch.equal(one, other) for one, other in zip(_trained(continued), whole, strict=True))


def test_divergence_is_told_and_bf16_learns(few):
    stack = TrainingStack(configs("0", cell="biased_tanh", learning_rate=1e38), few)
    _trained(stack)
    assert stack.diverged.item() == stack.epoch < 3
    stack = TrainingStack(configs("0", cell="biased_tanh", precision="bf16", epochs=20), few)
    losses = [float(epoch.loss) for epoch in stack.train()]
    assert losses[-1] < 0.85 * losses[0]


def test_networks_of_two_cells_are_no_stack(few):
    with pytest.raises(ValueError, match="share hidden size, cell"):
        TrainingStack(configs("0") + configs("0", cell="biased_tanh"), few)
