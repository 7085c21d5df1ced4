"""Plans which networks are trained together, from the memory there is, and which stored ones are measured again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import torch

from study.config import NetworkConfig
from study.measurements.probes import CALIBRATED, LEARNED
from study.record.remeasuring import StoredNetwork
from study.terminal.errors import InputError

GPU_WIDTH = 128  # networks in lockstep on a GPU; more gain nothing once its multiprocessors are full
WORKER = 500 << 20  # bytes of a worker process that has loaded its libraries and the data
SHARE = 0.8  # of the free memory; the rest is for the libraries' workspaces and for fragmentation


@dataclass(frozen=True)
class Stack:
    """Networks of one hidden size that are trained in lockstep.

    A GPU's library may choose another kernel, and so other roundings, for another number of products in a batch. The stack is
    therefore padded to `width` there: a network comes out bit for bit the same in any stack of that width.
    """

    configs: tuple[NetworkConfig, ...]
    width: int = 1

    def padded(self) -> tuple[NetworkConfig, ...]:
        """The networks, and repeats of the first up to the width."""
        return self.configs + self.configs[:1] * (self.width - len(self.configs))

    def halves(self) -> list[Stack]:
        """The same networks in stacks of half the width."""
        half = self.width // 2
        return [Stack(self.configs[i : i + half], half) for i in range(0, len(self.configs), half)]


@dataclass(frozen=True)
class Remeasurement:
    """A stored network, to be measured again by the measurements of these `names` alone."""

    stored: StoredNetwork
    names: tuple[str, ...]

    @property
    def configs(self) -> tuple[NetworkConfig, ...]:
        return (self.stored.config,)


Task = Stack | Remeasurement


def stacks(configs: Sequence[NetworkConfig], free: int | None = None) -> list[Stack]:
    """Groups networks into stacks, in the order given.

    Networks of mixed hidden sizes are grouped by size. On a CPU each network is a stack of its own: a core's cache holds no more.
    On a GPU the width is a power of two that fits into `free` bytes (those free now, where not given).
    """
    groups: dict[int, list[NetworkConfig]] = {}
    for config in configs:
        groups.setdefault(config.hidden_size, []).append(config)
    planned: list[Stack] = []
    for group in groups.values():
        width = 1 if group[0].device == "cpu" else gpu_width(group[0], free if free is not None else free_gpu_memory())
        planned.extend(Stack(tuple(group[start : start + width]), width) for start in range(0, len(group), width))
    return planned


def gpu_width(config: NetworkConfig, free: int) -> int:
    """The widest stack, at most `GPU_WIDTH` and a power of two, that fits into `free` bytes beside the data."""
    width = GPU_WIDTH
    while width > 1 and width * training_memory(config) > SHARE * free:
        width //= 2
    return width


def training_memory(config: NetworkConfig, rows: int = 28, features: int = 28) -> int:
    """Bytes that training one network takes: weights with moments and gradient, working memory, and the epoch's order.

    The working memory is counted twice, since an epoch's last batch may have a size of its own; so are the batch's images, which
    are gathered before they are converted.
    """
    hidden = config.hidden_size
    parameters = hidden * (features + hidden + 10) + 10
    batch = rows * config.batch_size * (2 * hidden + features)
    gathered = rows * config.batch_size * features
    scored = 3 * 500 * hidden  # test images are scored in chunks: two states and what is between them
    return 4 * (4 * parameters + 2 * batch + scored) + 2 * gathered + 8 * config.train_images


def measuring_memory(config: NetworkConfig, test_images: int = 10_000, rows: int = 28) -> int:
    """Bytes that measuring one network takes: its hidden states on all test images, and one step's in float64; where probes are
    fitted, its states on training images; and in full all of these for the untrained network, too."""
    states = 4 * rows * config.hidden_size
    step = 3 * 8 * test_images * config.hidden_size
    probed = (config.measurements != "paper") * states * (LEARNED + CALIBRATED)
    untrained = (config.measurements == "full") * states * test_images
    return states * test_images + step + probed + untrained


def checked_memory(config: NetworkConfig, name: str = "hidden_sizes") -> None:
    """Raises `InputError`, naming the parameter, where a network takes more memory than this machine has in all."""
    history = 3 * 2 * 8 * config.hidden_size * config.epochs  # a spectrum an epoch, gathered, converted and stored
    answers = 3 * 8 * config.blank_rows * (500 + 200)  # of a chunk of images at each step, and their counts by label
    needed = max(training_memory(config), measuring_memory(config)) + history + answers + WORKER
    present = psutil.virtual_memory().total
    if config.device == "cuda":
        needed, present = training_memory(config), torch.cuda.get_device_properties(0).total_memory
    if needed > present:
        raise InputError(
            f"{name}={config.hidden_size}: with epochs={config.epochs}, batch_size={config.batch_size} and "
            f"blank_rows={config.blank_rows} each takes {needed / 2**30:,.1f} GiB of memory; expected what fits into "
            f"the {present / 2**30:,.1f} GiB of this machine"
        )


def free_gpu_memory() -> int:
    """Bytes free on the GPU; without bound where the GPUs are another machine's, whose workers halve what does not fit."""
    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else 1 << 60


def workers(jobs: int, planned: Sequence[Task], free: int | None = None) -> int:
    """How many workers of `jobs` to start: no more than there are tasks, and than fit into `free` bytes of main memory."""
    largest = max(measuring_memory(config) for task in planned for config in task.configs)
    available = free if free is not None else psutil.virtual_memory().available
    fitting = int(SHARE * available) // (largest + WORKER)
    return max(1, min(jobs, len(planned), fitting))
