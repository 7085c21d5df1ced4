"""The training engine: stacks of networks of one cell and hidden size, in lanes that share their products.

On a CPU each network is a lane of its own, so that its arithmetic, and thus every bit of its weights, does not depend on what else
is trained. On a GPU a whole stack is one lane, if the cell's lanes support stacks. A lane computes the gradients of a batch
(`study.training.hand_derived`, `study.training.autograd`); everything else is the same for every cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from threadpoolctl import threadpool_limits

from study.config import NetworkConfig
from study.data.sources import Images
from study.networks import kernels
from study.networks.cells import Cell, known
from study.networks.cells.gated import GatedCell, GruCell, LstmCell
from study.networks.cells.vanilla import VanillaCell
from study.networks.kernels import KernelsName
from study.networks.network import RecurrentNetwork, accuracy
from study.networks.seeding import blanks, permutation
from study.terminal.errors import StudyError
from study.training.autograd import AutogradLane
from study.training.gated_lane import GruLane, LstmLane
from study.training.hand_derived import VanillaLane
from study.training.lane import Lane, Layout
from study.training.numpy_lane import NumpyLane

ENGINE_VERSION = "1"  # raised whenever the same configuration would give other weights
# The hand-derived lanes, by kind of cell and kernels.
LANES: dict[tuple[type[Cell], KernelsName], type[Lane]] = {
    (VanillaCell, "torch"): VanillaLane,
    (VanillaCell, "numpy"): NumpyLane,
    (GruCell, "torch"): GruLane,
    (GruCell, "numpy"): GruLane,
    (LstmCell, "torch"): LstmLane,
    (LstmCell, "numpy"): LstmLane,
}


def lanes_of(config: NetworkConfig) -> type[Lane]:
    """The kind of lane that trains a network."""
    cell = known(config.cell)
    if isinstance(cell, GatedCell) and config.precision == "bf16":
        return AutogradLane
    return next((lane for (kind, name), lane in LANES.items() if isinstance(cell, kind) and name == config.kernels), AutogradLane)


@contextmanager
def arithmetic(config: NetworkConfig) -> Iterator[None]:
    """A context that computes as a network asks for: by its kernels, and on a GPU in TF32 or in IEEE single precision."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32" if config.precision == "tf32" else "ieee"
    try:
        with kernels.using(config.kernels):
            yield
    finally:
        matmul.fp32_precision = before


@dataclass(frozen=True)
class Epoch:
    """One finished epoch of a stack: its number (from 1) and each network's mean training loss `[S]`."""

    number: int
    loss: torch.Tensor


@dataclass(frozen=True)
class TrainingState:
    """The state of one network's training: flat weights and Adam moments `[P]`, and the number of finished epochs and steps."""

    weights: torch.Tensor
    first_moment: torch.Tensor
    second_moment: torch.Tensor
    epoch: int
    steps: int


def train(config: NetworkConfig, images: Images) -> RecurrentNetwork:
    """Trains one network on the first `config.train_images` of `images`; on a CPU, bit for bit the network of a study.

    Raises `StudyError` where the training diverges.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a study's workers
    try:
        with arithmetic(config), threadpool_limits(1):
            stack = TrainingStack([config], images.first(config.train_images).to(config.device))
            for _ in stack.train():
                pass
    finally:
        torch.set_num_threads(threads)
    if stack.diverged.any():
        raise StudyError(f"training diverged in epoch {int(stack.diverged[0])}: the loss or a weight is not finite")
    return stack.networks()[0].to("cpu")


class TrainingStack:
    """S networks that share hidden size, images and regime, each with its own seed, batches and Adam state.

    The built-in cells have hand-derived lanes (`LANES`); every other cell is trained by autograd. Train in a context of
    `arithmetic`.

    Parameters: `configs` of the S networks; `train`, their images, on the device that trains; `states` to continue from, one per
    network and all at the same epoch; `dtype`, float64 for checking gradients. `diverged` `[S]` holds the epoch in which a
    network's loss or weights became non-finite, or 0.
    """

    def __init__(
        self,
        configs: Sequence[NetworkConfig],
        train: Images,
        states: Sequence[TrainingState] | None = None,
        dtype: torch.dtype = torch.float32,
    ):
        shared = {
            (c.cell, c.hidden_size, c.epochs, c.learning_rate, c.batch_size, c.trailing_blanks, c.precision, c.kernels)
            for c in configs
        }
        if len(shared) != 1 or (states and len({state.epoch for state in states}) != 1):
            raise ValueError(
                "the networks of a stack share hidden size, cell, epochs, learning rate, batch size, trailing blanks, precision, "
                "kernels and epoch"
            )
        self.configs, self.train_images = tuple(configs), train
        cell, features = known(configs[0].cell), train.images.shape[2]
        networks = [RecurrentNetwork.initial(c.seed, c.hidden_size, features, train.classes, cell) for c in configs]
        self.layout = Layout.of(networks[0])
        flat = torch.stack([self.layout.flat(network) for network in networks]).to(train.images.device, dtype)
        lane = lanes_of(configs[0])
        rows = [flat] if flat.is_cuda and lane.stacked else list(flat)
        self.lanes = [lane(row, self.layout, configs[0], train) for row in rows]
        self.diverged = torch.zeros(len(configs), dtype=torch.int64)
        self.epoch = states[0].epoch if states else 0
        if states:
            self._continue_from(states)

    def networks(self) -> list[RecurrentNetwork]:
        """Copies of the stack's networks in their present state."""
        return [self.layout.network(row.clone()) for row in self._rows("weights")]

    def states(self) -> list[TrainingState]:
        """The training state of each network, copied to the CPU."""
        weights, first, second = (
            [row.detach().cpu().clone() for row in self._rows(name)] for name in ("weights", "first_moment", "second_moment")
        )
        steps = self.lanes[0].steps
        return [TrainingState(*rows, self.epoch, steps) for rows in zip(weights, first, second, strict=True)]

    def train(self) -> Iterator[Epoch]:
        """Trains to the configured number of epochs, or until every network has diverged, yielding after each epoch."""
        while self.epoch < self.configs[0].epochs and not self.diverged.all():
            yield self.train_epoch()

    def train_epoch(self) -> Epoch:
        length, size = len(self.train_images), self.configs[0].batch_size
        self.epoch += 1
        orders = [permutation(c.seed, c.hidden_size, self.epoch, length) for c in self.configs]
        by_lane = [torch.stack(orders)] if self.lanes[0].batched else orders
        trailing = blanks(self.epoch, -(-length // size), *self.configs[0].trailing())
        for lane, order in zip(self.lanes, by_lane, strict=True):
            lane.loss.zero_()
            lane.pass_over(order, size, trailing)
        loss = torch.cat([lane.loss.cpu().reshape(-1) for lane in self.lanes]) / length
        finite = torch.isfinite(loss) & torch.stack([torch.isfinite(row).all().cpu() for row in self._rows("weights")])
        self.diverged[(self.diverged == 0) & ~finite] = self.epoch
        return Epoch(self.epoch, loss)

    def accuracies(self, test: Images) -> list[float]:
        """Each network's accuracy on `test`."""
        return [float(share) for lane in self.lanes for share in accuracy(lane.network, test).reshape(-1)]

    def _rows(self, name: str) -> list[torch.Tensor]:
        """One flat vector `[P]` per network."""
        return [row for lane in self.lanes for row in getattr(lane, name).view(-1, lane.weights.shape[-1])]

    def _continue_from(self, states: Sequence[TrainingState]) -> None:
        for name in ("weights", "first_moment", "second_moment"):
            for row, state in zip(self._rows(name), states, strict=True):
                row.copy_(getattr(state, name))
        for lane in self.lanes:
            lane.steps = states[0].steps
