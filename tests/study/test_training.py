"""The engine against its oracle: autograd on `nn.RNN`, and torch's own Adam."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from study.config import StudyConfig
from study.data import Images
from study.network import RecurrentNetwork
from study.seeding import permutation
from study.training import TrainingStack


def configs(seeds="0", **changes):
    values = {"seeds": seeds, "hidden_sizes": "24", "epochs": 2, "batch_size": 32, "learning_rate": 1e-3, "device": "cpu"}
    return StudyConfig(**(values | changes)).networks()


@pytest.fixture
def few(train_images) -> Images:
    return train_images.first(250)


def _autograd(network: RecurrentNetwork, images: Images, indices: torch.Tensor):
    rnn = nn.RNN(28, network.hidden_size, bias=False, batch_first=True)
    readout = nn.Linear(network.hidden_size, 10)
    module = nn.ModuleDict({"rnn": rnn, "readout": readout})
    module.load_state_dict(network.state_dict())
    logits = readout(rnn(images.images[indices].float() / 255)[0][:, -1])
    loss = nn.functional.cross_entropy(logits, images.labels[indices])
    loss.backward()
    return module, loss


def test_gradients_equal_autograd_s(few):
    stack = TrainingStack(configs("0-2"), few.images, few.labels)
    indices = torch.stack([permutation(seed, 24, 1, 250)[:32] for seed in range(3)])
    losses = stack.backpropagate(indices)
    for s, network in enumerate(stack.networks()):
        module, loss = _autograd(network, few, indices[s])
        torch.testing.assert_close(losses[s], loss, rtol=1e-5, atol=0)
        ours = (stack.d_input, stack.d_recurrent, stack.d_readout, stack.d_bias)
        for gradient, weight in zip(ours, module.parameters(), strict=True):
            assert (gradient[s] - weight.grad).norm() <= 1e-5 * weight.grad.norm()


def test_training_equals_autograd_with_torch_s_adam(few):
    [config] = configs("4")
    stack = TrainingStack([config], few.images, few.labels)
    module, _ = _autograd(RecurrentNetwork.initial(4, 24), few, torch.arange(2))
    adam = torch.optim.Adam(module.parameters(), lr=config.learning_rate)
    for epoch in stack.train():
        losses = []
        for indices in permutation(4, 24, epoch.number, 250).split(32):
            adam.zero_grad()
            logits = module["readout"](module["rnn"](few.images[indices].float() / 255)[0][:, -1])
            loss = nn.functional.cross_entropy(logits, few.labels[indices])
            loss.backward()
            adam.step()
            losses.append(loss.item() * len(indices))
        assert float(epoch.loss) == pytest.approx(sum(losses) / 250, rel=1e-5)
    trained = stack.networks()[0]
    for ours, theirs in zip(trained.state_dict().values(), module.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def _trained(stack: TrainingStack) -> list[torch.Tensor]:
    for _ in stack.train():
        pass
    return list(stack.weights)


def test_a_network_is_the_same_bit_for_bit_alone_and_in_any_stack(few):
    alone = [_trained(TrainingStack(configs(str(seed)), few.images, few.labels))[0] for seed in (0, 1, 2)]
    together = _trained(TrainingStack(configs("2,0,1"), few.images, few.labels))
    assert torch.equal(alone[2], together[0])
    assert torch.equal(alone[0], together[1])
    assert torch.equal(alone[1], together[2])
    assert not torch.equal(alone[0], alone[1])


def test_a_network_that_diverges_is_told_and_its_neighbours_go_on(few):
    stack = TrainingStack(configs("0-1"), few.images, few.labels)
    expected = _trained(TrainingStack(configs("1"), few.images, few.labels))[0]
    stack.weights[0, 0] = float("inf")
    weights = _trained(stack)
    assert stack.diverged.tolist() == [1, 0]
    assert torch.equal(weights[1], expected)


def test_a_stack_of_mixed_sizes_is_refused(few):
    with pytest.raises(ValueError, match="share hidden size"):
        TrainingStack(configs("0") + configs("0", hidden_sizes="8"), few.images, few.labels)
