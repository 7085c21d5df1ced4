"""How training time grows with images, networks and hidden units, on one core: ``python -m benchmarks.scaling``."""

from __future__ import annotations

import time

import torch

from benchmarks import loops
from benchmarks.machine import describe
from study.training.engine import TrainingStack

BATCH = 100
REFERENCE = {"images": 15_000, "networks": 1, "hidden_size": 100}
VARIED = {"images": (15_000, 30_000, 60_000), "networks": (1, 2, 4), "hidden_size": (25, 50, 100, 200, 400, 800)}


def epoch_seconds(images: int, networks: int, hidden_size: int) -> float:
    """The faster of two epochs."""
    stack = TrainingStack(loops.engine_configs(hidden_size, BATCH, networks, "cpu"), loops.training_images().first(images))
    times = []
    for _ in range(2):
        begun = time.perf_counter()
        stack.train_epoch()
        times.append(time.perf_counter() - begun)
    return min(times)


def main() -> None:
    torch.set_num_threads(1)
    print(describe())
    print("| varied | from | to | seconds an epoch | times the first |\n|---|---|---|---|---|")
    for name, values in VARIED.items():
        seconds = [epoch_seconds(**(REFERENCE | {name: value})) for value in values]
        for value, taken in zip(values, seconds, strict=True):
            print(f"| {name} | {values[0]} | {value} | {taken:.2f} | {taken / seconds[0]:.2f} |")


if __name__ == "__main__":
    main()
