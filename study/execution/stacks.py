"""Plans, from the available memory, which networks are trained together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import torch

from study.config import NetworkConfig
from study.data.sources import DataShape
from study.measurements import memory, names_in_set
from study.measurements.recording import Extent
from study.networks.cells import known
from study.record.remeasuring import StoredNetwork
from study.terminal.errors import InputError
from study.training.engine import lanes_of

GPU_WIDTH = 128  # networks in lockstep on a GPU; more gain nothing once its multiprocessors are busy
WORKER = 500 << 20  # bytes of a worker process that has loaded its libraries, without the data
SHARE = 0.8  # of the free memory; the rest is for the libraries' workspaces and for fragmentation


@dataclass(frozen=True)
class Stack:
    """Networks of one hidden size that are trained in lockstep, on images of one shape, `data`.

    For another number of products in a batch, a GPU's library may choose another kernel with other rounding. On a GPU the stack is
    therefore padded to `width`: a network is the same bit for bit in any stack of that width.
    """

    configs: tuple[NetworkConfig, ...]
    data: DataShape
    width: int = 1

    def padded(self) -> tuple[NetworkConfig, ...]:
        """The networks, and repeats of the first up to the width."""
        return self.configs + self.configs[:1] * (self.width - len(self.configs))

    def halves(self) -> list[Stack]:
        """The same networks in stacks of half the width."""
        half = self.width // 2
        return [Stack(self.configs[i : i + half], self.data, half) for i in range(0, len(self.configs), half)]


@dataclass(frozen=True)
class Remeasurement:
    """A stored network, to be measured again on `data`, by the measurements `names` only."""

    stored: StoredNetwork
    data: DataShape
    names: tuple[str, ...]

    @property
    def configs(self) -> tuple[NetworkConfig, ...]:
        return (self.stored.config,)


Task = Stack | Remeasurement


def stacks(configs: Sequence[NetworkConfig], data: DataShape, free: int | None = None) -> list[Stack]:
    """Groups networks into stacks, in the order given.

    Networks of mixed hidden sizes are grouped by size. On a CPU each network is a stack of its own: a core's cache does not hold
    more. On a GPU the width is a power of two that fits into `free` bytes (those free now, where not given), and 1 for a cell whose
    networks are not trained as stacks.
    """
    groups: dict[int, list[NetworkConfig]] = {}
    for config in configs:
        groups.setdefault(config.hidden_size, []).append(config)
    planned: list[Stack] = []
    for group in groups.values():
        stacked = group[0].device == "cuda" and lanes_of(group[0]).stacked
        width = gpu_width(group[0], data, free if free is not None else free_gpu_memory()) if stacked else 1
        planned.extend(Stack(tuple(group[start : start + width]), data, width) for start in range(0, len(group), width))
    return planned


def gpu_width(config: NetworkConfig, data: DataShape, free: int) -> int:
    """The widest stack, at most `GPU_WIDTH` and a power of two, that fits into `free` bytes beside the data."""
    width = GPU_WIDTH
    while width > 1 and width * training_memory(config, data) > SHARE * free:
        width //= 2
    return width


def training_memory(config: NetworkConfig, data: DataShape) -> int:
    """Bytes that training one network takes: weights with moments and gradient, working memory, and the epoch's order.

    The working memory is counted twice, since an epoch's last batch may have a size of its own; so are the batch's images, which
    are gathered before they are converted.
    """
    cell, hidden, features = known(config.cell), config.hidden_size, data.features
    rows = data.rows + max(config.trailing())
    parameters = sum(map(math.prod, cell.shapes(hidden, features).values())) + (hidden + 1) * data.classes
    batch = rows * config.batch_size * (lanes_of(config).kept * cell.state_size(hidden) + features)
    gathered = rows * config.batch_size * features
    scored = 3 * 500 * cell.state_size(hidden)  # test images are scored in chunks: two states and what is between them
    return 4 * (4 * parameters + 2 * batch + scored) + 2 * gathered + 8 * config.train_images


def measuring_memory(config: NetworkConfig, data: DataShape, test_images: int = 10_000) -> int:
    """Bytes that measuring one network takes."""
    size = known(config.cell).state_size(config.hidden_size)
    extent = Extent(size, data.rows, data.features, data.classes, test_images)
    return memory(extent, names_in_set(config.measurements))


def checked_memory(config: NetworkConfig, data: DataShape, name: str = "hidden_sizes") -> None:
    """Raises `InputError`, naming the parameter, where a network needs more memory than this machine has."""
    history = 3 * 2 * 8 * config.hidden_size * config.epochs  # eigenvalues of each epoch: gathered, converted and stored
    answers = 3 * 8 * config.blank_rows * (500 + 200)  # of a chunk of images at each step, and their counts by label
    needed = max(training_memory(config, data), measuring_memory(config, data)) + history + answers + WORKER + data.memory
    present = psutil.virtual_memory().total
    if config.device == "cuda":
        needed, present = training_memory(config, data), torch.cuda.get_device_properties(0).total_memory
    if needed > present:
        raise InputError(
            f"{name}={config.hidden_size}: with epochs={config.epochs}, batch_size={config.batch_size} and "
            f"blank_rows={config.blank_rows} each takes {needed / 2**30:,.1f} GiB of memory; expected what fits into "
            f"the {present / 2**30:,.1f} GiB of this machine"
        )


def free_gpu_memory() -> int:
    """Free bytes on the GPU; unlimited where the GPUs are on other machines, whose workers halve a stack that does not fit."""
    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else 1 << 60


def worker_count(jobs: int, planned: Sequence[Task], free: int | None = None) -> int:
    """The number of worker processes: at most `jobs`, the number of tasks, and what fits into `free` bytes of main memory."""
    largest = max(measuring_memory(config, task.data) + task.data.memory for task in planned for config in task.configs)
    available = free if free is not None else psutil.virtual_memory().available
    fitting = int(SHARE * available) // (largest + WORKER)
    return max(1, min(jobs, len(planned), fitting))
