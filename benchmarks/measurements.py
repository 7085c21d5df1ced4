"""What measuring one network costs a core: ``python -m benchmarks.measurements``.

Each measurement is timed after those before it, whose results it may use; the sets are timed each on its own, against the
training of the same network, which is timed over two epochs.
"""

from __future__ import annotations

import resource
import time

import torch
from threadpoolctl import threadpool_limits

from analysis.states.embedding import embed
from analysis.states.similarity import similarity
from benchmarks import loops
from benchmarks.machine import describe
from study.config import StudyConfig
from study.measurements import MEASUREMENTS, SETS, measure, names_in_set
from study.measurements.recording import Recording
from study.networks.kernels import fastest, using
from study.networks.network import RecurrentNetwork
from study.training.engine import TrainingStack

SIZES = (200, 100, 50)
EPOCHS = 2


def main() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train, test = loops.training_images(), loops.test_images()
    print(f"{describe()}\n")
    trained = {size: _trained(size, train) for size in SIZES}
    network, _ = trained[SIZES[0]]
    print(f"| measurement | seconds on one core, {SIZES[0]} units |\n|---|---|")
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    recording = Recording(network, test, train)
    for name, measurement in MEASUREMENTS.items():
        with using(fastest()), threadpool_limits(1):
            took = _seconds(lambda: list(measurement.function(recording)))  # noqa: B023
        print(f"| `{name}` | {took:.1f} |", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"\nMemory above the loaded libraries and data: {(peak - base) / 1024:.0f} MiB.\n")
    print("| hidden units | set | seconds on one core | share of the training time |\n|---|---|---|---|")
    for size, (network, seconds) in trained.items():
        for part in SETS:
            with using(fastest()):
                took = _seconds(lambda: measure(Recording(network, test, train), names_in_set(part)))  # noqa: B023
            print(f"| {size} | `{part}` | {took:.1f} | {took / seconds:.2f} |", flush=True)
    torch.set_num_threads(threads)
    network, _ = trained[SIZES[0]]
    others = {seed: RecurrentNetwork.initial(seed, SIZES[0], 28, 10) for seed in range(9)}
    print("\n| analysis, all cores | seconds |\n|---|---|")
    print(f"| t-SNE of steps 4, 16 and 28, 10,000 images | {_seconds(lambda: embed(network, test)):.0f} |", flush=True)
    print(
        f"| CKA and SVCCA of ten networks of {SIZES[0]} units, 28 steps, trained and untrained | "
        f"{_seconds(lambda: similarity(others | {9: network}, test)):.0f} |"
    )


def _trained(size: int, train) -> tuple[RecurrentNetwork, float]:
    """A network after two epochs, and the seconds that all of the default regime's would take."""
    [config] = StudyConfig(seeds="0", hidden_sizes=str(size), epochs=EPOCHS, device="cpu").networks()
    stack = TrainingStack([config], train)
    with threadpool_limits(1):
        seconds = _seconds(lambda: list(stack.train()))
    return stack.networks()[0], seconds * StudyConfig().epochs / EPOCHS


def _seconds(work) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
