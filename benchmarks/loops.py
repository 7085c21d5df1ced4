"""The loops that the engine is compared with, each as people write it: nn.RNN, the tutorial, torch.func, JAX, Equinox.

Each is a function that prepares a network (or several) and returns a function that runs n training steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import nn

from study.config import NetworkConfig, StudyConfig
from study.data.sources import Images, load_images, prepare_data
from study.data.torchvision_operators import import_datasets
from study.training.engine import TrainingStack

Run = Callable[[int], None]
LEARNING_RATE = 1e-4


def training_images(device: str = "cpu") -> Images:
    return load_images(prepare_data("mnist", Path("data")), train=True).to(device)


def test_images() -> Images:
    return load_images(prepare_data("mnist", Path("data")), train=False)


def engine_configs(
    hidden: int, batch: int, networks: int, device: str, precision: str = "fp32", kernels: str = "auto", **cell: object
) -> list[NetworkConfig]:
    return StudyConfig(
        **cell,
        seeds=tuple(range(networks)),
        hidden_sizes=(hidden,),
        batch_size=batch,
        learning_rate=LEARNING_RATE,
        device=device,
        precision=precision,
        kernels=kernels,
    ).networks()


def engine(
    hidden: int, batch: int, networks: int = 1, device: str = "cpu", precision: str = "fp32", kernels: str = "auto", **cell: object
) -> Run:
    """Ours: the lanes of a training stack, by the kernels that are faster here if not others are named, of the paper's cell if no
    other `cell` and `bias` are given."""
    images = training_images(device)
    stack = TrainingStack(engine_configs(hidden, batch, networks, device, precision, kernels, **cell), images)
    length = len(images) // batch * batch

    def batches(lane):
        while True:
            order = torch.stack([torch.randperm(length) for _ in range(networks)])
            yield from lane.batches(order if lane.batched else order[0], batch)

    lanes = [(lane, batches(lane)) for lane in stack.lanes]

    def run(steps: int) -> None:
        for _ in range(steps):
            for lane, each in lanes:
                lane.step(next(each))

    return run


LAYERS = {"tanh": nn.RNN, "relu": partial(nn.RNN, nonlinearity="relu"), "gru": nn.GRU, "lstm": nn.LSTM}


class PlainNetwork(nn.Module):
    """The paper's network, or one of another cell, in plain PyTorch."""

    def __init__(self, hidden: int, cell: str = "tanh", bias: bool = False):
        super().__init__()
        self.rnn = LAYERS[cell](28, hidden, bias=bias, batch_first=True)
        self.readout = nn.Linear(hidden, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.readout(self.rnn(images)[0][:, -1])


def _stepper(hidden: int, batches, device: str = "cpu", compiled: bool = False, **cell) -> Run:
    module = PlainNetwork(hidden, **cell).to(device)
    forward = torch.compile(module) if compiled else module
    adam = torch.optim.Adam(module.parameters(), lr=LEARNING_RATE, fused=True)

    def run(steps: int) -> None:
        for images, labels in itertools.islice(batches, steps):
            adam.zero_grad()
            nn.functional.cross_entropy(forward(images), labels).backward()
            adam.step()

    return run


def plain_loop(hidden: int, batch: int, device: str = "cpu", **cell: object) -> Run:
    """nn.RNN (nn.GRU, nn.LSTM), autograd and fused Adam, all images in memory (on the device) as floats."""
    return _stepper(hidden, _batches_in_memory(batch, device), device, **cell)


def _batches_in_memory(batch: int, device: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    data = training_images(device)
    images = data.images.float() / 255
    while True:
        for indices in torch.randperm(len(data), device=device).split(batch)[:-1]:
            yield images[indices], data.labels[indices]


def compiled_loop(hidden: int, batch: int) -> Run:
    """The same, compiled by torch.compile."""
    return _stepper(hidden, _batches_in_memory(batch, "cpu"), compiled=True)


def tutorial_loop(hidden: int, batch: int) -> Run:
    """The tutorial's: DataLoader, ToTensor, nn.RNN."""
    datasets = import_datasets()
    from torchvision.transforms import ToTensor

    source = prepare_data("mnist", Path("data"))
    dataset = datasets.MNIST(str(source.root), transform=ToTensor())
    loader = torch.utils.data.DataLoader(dataset, batch, shuffle=True, drop_last=True)

    def batches():
        while True:
            for images, labels in loader:
                yield images.squeeze(1), labels

    return _stepper(hidden, batches())


def func_ensemble(hidden: int, batch: int, networks: int = 8) -> Run:
    """torch.func: vmap of grad over stacked weights, the recurrence a Python loop; Adam on the stacks."""
    data = training_images()
    images = data.images.float() / 255
    modules = [PlainNetwork(hidden) for _ in range(networks)]
    weights, _ = torch.func.stack_module_state(modules)
    weights = {name: value.detach() for name, value in weights.items()}

    def loss(weights, x, labels):
        state = torch.tanh(x[:, 0] @ weights["rnn.weight_ih_l0"].t())
        for t in range(1, x.shape[1]):
            state = torch.tanh(x[:, t] @ weights["rnn.weight_ih_l0"].t() + state @ weights["rnn.weight_hh_l0"].t())
        return nn.functional.cross_entropy(state @ weights["readout.weight"].t() + weights["readout.bias"], labels)

    gradient = torch.func.vmap(torch.func.grad(loss))
    adam = torch.optim.Adam(list(weights.values()), lr=LEARNING_RATE, fused=True)

    def run(steps: int) -> None:
        for _ in range(steps):
            indices = torch.randint(len(data), (networks, batch))
            for name, value in gradient(weights, images[indices], data.labels[indices]).items():
                weights[name].grad = value
            adam.step()

    return run


def jax_ensemble(hidden: int, batch: int, networks: int = 8) -> Run | None:
    """JAX: vmap over networks, lax.scan over rows, jit; Adam by hand. None where JAX is not installed."""
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        return None
    data = training_images()
    images, labels = data.images.numpy().astype("float32") / 255, data.labels.numpy()
    key = jax.random.PRNGKey(0)
    shapes = {"w": (networks, hidden, 28), "r": (networks, hidden, hidden), "v": (networks, 10, hidden), "c": (networks, 10)}
    bound = hidden**-0.5
    weights = {name: jax.random.uniform(key, shape, minval=-bound, maxval=bound) for name, shape in shapes.items()}
    zeros = {name: jnp.zeros(shape) for name, shape in shapes.items()}

    def loss(p, x, y):
        drive = x.swapaxes(0, 1) @ p["w"].T
        state, _ = jax.lax.scan(lambda h, d: (jnp.tanh(d + h @ p["r"].T), None), jnp.zeros((x.shape[0], hidden)), drive)
        return -jnp.take_along_axis(jax.nn.log_softmax(state @ p["v"].T + p["c"]), y[:, None], 1).mean()

    @jax.jit
    def step(p, m, v, count, x, y):
        g = jax.vmap(jax.grad(loss))(p, x, y)
        m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, v, g)
        scale = LEARNING_RATE / (1 - 0.9**count)
        p = jax.tree.map(lambda a, b, c: a - scale * b / (jnp.sqrt(c / (1 - 0.999**count)) + 1e-8), p, m, v)
        return p, m, v

    state = [weights, zeros, zeros]
    count = itertools.count(1)

    def run(steps: int) -> None:
        for _ in range(steps):
            indices = torch.randint(len(data), (networks, batch)).numpy()
            state[:] = step(*state, float(next(count)), images[indices], labels[indices])
        jax.block_until_ready(state)

    return run


def equinox_ensemble(hidden: int, batch: int, networks: int = 8) -> Run | None:
    """Equinox and Optax: `filter_vmap` over networks, `lax.scan` over rows, `filter_jit`. None where they are not installed."""
    try:
        import equinox
        import jax
        import jax.numpy as jnp
        import optax
    except ImportError:
        return None
    data = training_images()
    images, labels = data.images.numpy().astype("float32") / 255, data.labels.numpy()

    class Network(equinox.Module):
        input: equinox.nn.Linear
        recurrent: equinox.nn.Linear
        readout: equinox.nn.Linear

        def __init__(self, key):
            keys = jax.random.split(key, 3)
            self.input = equinox.nn.Linear(28, hidden, use_bias=False, key=keys[0])
            self.recurrent = equinox.nn.Linear(hidden, hidden, use_bias=False, key=keys[1])
            self.readout = equinox.nn.Linear(hidden, 10, key=keys[2])

        def __call__(self, rows):
            def step(state, row):
                return jnp.tanh(self.input(row) + self.recurrent(state)), None

            return self.readout(jax.lax.scan(step, jnp.zeros(hidden), rows)[0])

    def loss(network, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(jax.vmap(network)(x), y).mean()

    adam = optax.adam(LEARNING_RATE)
    ensemble = equinox.filter_vmap(Network)(jax.random.split(jax.random.PRNGKey(0), networks))

    @equinox.filter_jit
    def step(ensemble, moments, x, y):
        gradient = equinox.filter_vmap(equinox.filter_grad(loss))(ensemble, x, y)
        updates, moments = adam.update(gradient, moments)
        return equinox.apply_updates(ensemble, updates), moments

    state = [ensemble, adam.init(equinox.filter(ensemble, equinox.is_array))]

    def run(steps: int) -> None:
        for _ in range(steps):
            indices = torch.randint(len(data), (networks, batch)).numpy()
            state[:] = step(*state, images[indices], labels[indices])
        jax.block_until_ready(equinox.filter(state, equinox.is_array))

    return run
