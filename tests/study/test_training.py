"""The engine against its oracle: autograd on `nn.RNN`, and torch's own Adam. On every kind of device there is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product

import pytest
import torch
from torch import nn

from study.config import StudyConfig
from study.data.sources import Images
from study.networks.cells import known
from study.networks.kernels import KERNELS
from study.networks.network import RecurrentNetwork
from study.networks.seeding import blanks, permutation
from study.networks.weights import state_names
from study.training.engine import TrainingStack
from study.training.gated_lane import GruLane, LstmLane
from study.training.hand_derived import VanillaLane
from study.training.numpy_lane import NumpyLane

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here"))]
REGIME = {"hidden_sizes": "24", "epochs": 3, "batch_size": 32, "learning_rate": 1e-3, "device": "cpu", "kernels": "torch"}


def configs(seeds="0", **changes):
    return StudyConfig(**({"seeds": seeds} | REGIME | changes)).networks()


@pytest.fixture(params=[*DEVICES, "numpy"])
def few(train_images, request, monkeypatch) -> Images:
    """Some images, on each kind of device; and on a CPU with NumPy's kernels."""
    if request.param == "numpy":
        monkeypatch.setitem(REGIME, "kernels", "numpy")
    return train_images.first(250).to("cuda" if request.param == "cuda" else "cpu")


LAYERS = {"tanh": nn.RNN, "relu": partial(nn.RNN, nonlinearity="relu"), "gru": nn.GRU, "lstm": nn.LSTM}
CELLS_AND_BIASES = [(cell, bias) for cell in LAYERS for bias in (False, True)]


def _plain_module(network: RecurrentNetwork) -> nn.ModuleDict:
    device, dtype, cell = network.input.device, network.input.dtype, network.cell.name
    rnn = LAYERS[cell.removesuffix("_bias")](28, network.hidden_size, bias=cell.endswith("_bias"), batch_first=True)
    module = nn.ModuleDict({"rnn": rnn, "readout": nn.Linear(network.hidden_size, 10)}).to(device, dtype)
    module.load_state_dict(network.state_dict())
    return module


def _loss(module: nn.ModuleDict, images: Images, indices: torch.Tensor, blanks: int = 0) -> torch.Tensor:
    pixels = nn.functional.pad(images.images[indices].to(module["readout"].weight.dtype) / 255, (0, 0, 0, blanks))
    return nn.functional.cross_entropy(module["readout"](module["rnn"](pixels)[0][:, -1]), images.labels[indices])


# After many blank rows a gradient is the small difference of large terms: only double precision has digits enough to compare.
@pytest.mark.parametrize(
    ("dtype", "tolerance", "blanks"),
    [(torch.float32, 1e-5, 0), (torch.float32, 1e-5, 1), *((torch.float64, 1e-10, blanks) for blanks in (0, 1, 9))],
)
@pytest.mark.parametrize(("cell", "bias"), CELLS_AND_BIASES)
def test_gradients_equal_autograd_s(few, dtype, tolerance, blanks, cell, bias):
    stack = TrainingStack(configs("0-2", trailing_blanks="0-9", cell=cell, bias=bias), few, dtype=dtype)
    orders = torch.stack([permutation(seed, 24, 1, 250)[:32] for seed in range(3)]).to(few.labels.device)
    for lane, indices in zip(stack.lanes, [orders] if stack.lanes[0].batched else orders, strict=True):
        [batch] = lane.batches(indices, 32)
        losses = lane.backpropagate(replace(batch, blanks=blanks))
        for s, order in enumerate(batch.indices.view(-1, 32)):
            weights, ours = (
                [
                    part.view(-1, *part.shape[-len(shape) :])[s]
                    for part, shape in zip(network.state_dict().values(), stack.layout.shapes.values(), strict=True)
                ]
                for network in (lane.network, lane.gradients)
            )
            names = state_names(lane.network.cell).values()
            state = {name: part.clone() for name, part in zip(names, weights, strict=True)}
            module = _plain_module(RecurrentNetwork.from_state_dict(state, cell=lane.network.cell).to(order.device))
            module.to(dtype).load_state_dict(state)
            loss = _loss(module, few, order, blanks)
            loss.backward()
            assert float(losses.reshape(-1)[s]) == pytest.approx(loss.item(), rel=tolerance)
            theirs = dict(module.named_parameters())
            for name, gradient in zip(names, ours, strict=True):
                assert (gradient - theirs[name].grad).norm() <= tolerance * theirs[name].grad.norm(), name


@pytest.mark.parametrize(
    ("cell", "bias", "trailing"),
    [(*one, "0-9") for one in CELLS_AND_BIASES] + [("tanh", False, trailing) for trailing in ("0", "3")],
)
def test_training_equals_autograd_with_torch_s_adam(few, cell, bias, trailing):
    [config] = configs("4", trailing_blanks=trailing, cell=cell, bias=bias)
    stack = TrainingStack([config], few)
    module = _plain_module(stack.networks()[0])
    adam = torch.optim.Adam(module.parameters(), lr=config.learning_rate)
    for epoch in stack.train():
        losses, drawn = [], blanks(epoch.number, 8, *config.trailing())
        assert len(set(drawn)) > 1 if "-" in trailing else set(drawn) == {int(trailing)}
        for indices, count in zip(permutation(4, 24, epoch.number, 250).to(few.labels.device).split(32), drawn, strict=True):
            adam.zero_grad()
            loss = _loss(module, few, indices, count)
            loss.backward()
            adam.step()
            losses.append(loss.item() * len(indices))
        assert float(epoch.loss) == pytest.approx(sum(losses) / 250, rel=1e-5)
    for name, theirs in module.state_dict().items():
        torch.testing.assert_close(stack.networks()[0].state_dict()[name], theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("cell", "bias"), CELLS_AND_BIASES)
def test_states_and_logits_are_those_of_pytorch_s_layers(test_images, cell, bias):
    [config] = configs("4", cell=cell, bias=bias)
    network = RecurrentNetwork.initial(4, 24, 28, 10, known(config.cell))
    module, pixels = _plain_module(network), test_images.images[:50] / 255
    hidden = torch.stack([network.cell.observed(state) for state in network.rows(pixels)], dim=1)
    theirs = module["rnn"](pixels)[0]
    torch.testing.assert_close(hidden, theirs, rtol=0, atol=1e-6)
    *_, last = network.rows(pixels)
    torch.testing.assert_close(network.logits(last), module["readout"](theirs[:, -1]), rtol=0, atol=2e-6)


def _trained(stack: TrainingStack) -> list[torch.Tensor]:
    for _ in stack.train():
        pass
    return [state.weights for state in stack.states()]


@pytest.mark.parametrize("trailing", ["0", "0-9"])
def test_a_network_is_the_same_bit_for_bit_in_any_stack(few, trailing, monkeypatch):
    """On a CPU alone or beside others; on a GPU in any stack of the same width."""
    monkeypatch.setitem(REGIME, "trailing_blanks", trailing)
    three = [_trained(TrainingStack(configs(seeds), few)) for seeds in ("0,1,2", "2,0,1", "1,5,6")]
    assert torch.equal(three[0][0], three[1][1])
    assert torch.equal(three[0][1], three[1][2])
    assert torch.equal(three[0][2], three[1][0])
    assert torch.equal(three[0][1], three[2][0])
    assert not torch.equal(three[0][0], three[0][1])
    if few.labels.device.type == "cpu":
        alone = [_trained(TrainingStack(configs(str(seed)), few))[0] for seed in (0, 1, 2)]
        assert all(torch.equal(one, other) for one, other in zip(alone, three[0], strict=True))


@pytest.mark.parametrize(("interrupted_after", "trailing"), [(1, "0"), (2, "0"), (1, "0-9")])
def test_training_goes_on_bit_for_bit_from_any_epoch(few, interrupted_after, trailing, monkeypatch):
    monkeypatch.setitem(REGIME, "trailing_blanks", trailing)
    whole = _trained(TrainingStack(configs("0-1"), few))
    first = TrainingStack(configs("0-1"), few)
    for _ in range(interrupted_after):
        first.train_epoch()
    continued = TrainingStack(configs("0-1"), few, first.states())
    assert continued.epoch == interrupted_after
    assert all(torch.equal(one, other) for one, other in zip(_trained(continued), whole, strict=True))


def test_a_network_that_diverges_is_told_and_its_neighbours_go_on(few):
    expected = _trained(TrainingStack(configs("0-1"), few))[1]
    stack = TrainingStack(configs("0-1"), few)
    stack._rows("weights")[0][0] = float("inf")
    weights = _trained(stack)
    assert stack.diverged.tolist() == [1, 0]
    assert stack.epoch == 3
    assert torch.equal(weights[1], expected)


def test_training_stops_where_every_network_has_diverged(few):
    stack = TrainingStack(configs("0", learning_rate=1e38), few)
    _trained(stack)
    assert stack.diverged.item() == stack.epoch < 3


def test_bf16_rounds_the_products_and_still_learns(few):
    exact, coarse = (
        TrainingStack(configs("0", precision=precision, kernels="torch", epochs=30), few) for precision in ("fp32", "bf16")
    )
    losses = [[float(epoch.loss) for epoch in stack.train()] for stack in (exact, coarse)]
    assert losses[0] != losses[1]
    assert losses[1][-1] < 0.75 * losses[1][0]
    assert losses[1][-1] == pytest.approx(losses[0][-1], rel=0.2)


def test_accuracies_are_each_network_s_own(few, test_images):
    stack = TrainingStack(configs("0-2"), few)
    test = test_images.first(1000).to(few.labels.device)
    for network, share in zip(stack.networks(), stack.accuracies(test), strict=True):
        with torch.no_grad():
            module = _plain_module(network)
            labels = module["readout"](module["rnn"](test.images.float() / 255)[0][:, -1]).argmax(1)
        assert share == pytest.approx(float((labels == test.labels).double().mean()), abs=1e-3)


def test_a_stack_of_mixed_sizes_is_refused(few):
    with pytest.raises(ValueError, match="share hidden size"):
        TrainingStack(configs("0") + configs("0", hidden_sizes="8"), few)


def test_a_cpu_and_a_gpu_agree_in_distribution(train_images, test_images):
    """Not bit for bit: a GPU rounds otherwise. Eight networks on each, one mean accuracy within the spread of the seeds."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA GPU here")
    shares = []
    for device in ("cpu", "cuda"):
        stack = TrainingStack(configs("0-7"), train_images.first(5000).to(device))
        _trained(stack)
        shares.append(torch.tensor(stack.accuracies(test_images.to(device))))
    assert abs(shares[0].mean() - shares[1].mean()) < shares[0].std()


def test_both_kernels_agree_in_distribution_and_no_network_is_the_same(train_images, test_images):
    """They round differently. Eight networks with each, one mean accuracy within a tenth of the spread of the seeds."""
    shares, weights = [], []
    for kernels in ("torch", "numpy"):
        stack = TrainingStack(configs("0-7", kernels=kernels), train_images.first(5000))
        weights.append(_trained(stack))
        shares.append(torch.tensor(stack.accuracies(test_images)))
    assert abs(shares[0].mean() - shares[1].mean()) < 0.1 * shares[0].std()
    assert not any(torch.equal(one, other) for one, other in zip(*weights, strict=True))


def test_the_lanes_are_those_of_the_kernels(train_images):
    lanes = {kernels: TrainingStack(configs(kernels=kernels), train_images.first(10)).lanes[0] for kernels in ("torch", "numpy")}
    assert {name: type(lane) for name, lane in lanes.items()} == {"torch": VanillaLane, "numpy": NumpyLane}
    for name, (cell, kind) in product(lanes, (("gru", GruLane), ("lstm", LstmLane))):
        [lane] = TrainingStack(configs(kernels=name, cell=cell), train_images.first(10)).lanes
        assert type(lane) is kind and lane.kernels is KERNELS[name]


def test_batches_with_blank_images_are_trained_on(train_images):
    """An image without ink never begins: its state is 0 at the end, and only the bias learns from it."""
    images = train_images.first(40).images.clone()
    images[::3] = 0
    few = Images(images, train_images.labels[:40], 10)
    for kernels in ("torch", "numpy"):
        for blank, count in product((few, Images(torch.zeros_like(images), few.labels, 10)), (0, 5)):
            lane = TrainingStack(configs(kernels=kernels, trailing_blanks="0-9"), blank, dtype=torch.float64).lanes[0]
            [batch] = lane.batches(torch.arange(40), 40)
            loss = lane.backpropagate(replace(batch, blanks=count))
            module = _plain_module(lane.network.each(torch.clone))
            expected = _loss(module, blank, torch.arange(40), count)
            expected.backward()
            assert float(loss) == pytest.approx(expected.item(), rel=1e-10)
            for gradient, weight in zip(lane.gradients.state_dict().values(), module.parameters(), strict=True):
                torch.testing.assert_close(gradient, weight.grad, rtol=1e-9, atol=1e-14)
