"""How time grows with networks, hidden units, images and blank rows: ``python -m benchmarks.scaling [--figure docs/growth.png]``.

Training and measuring are those of one network on one core; networks are whole studies, on all cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mlflow import MlflowClient
from threadpoolctl import threadpool_limits

from benchmarks import loops
from benchmarks.machine import describe
from reports.figures.style import BLUE, GREEN, GREY, VERMILION, panels, styled
from study.measurements import measure, names_in_set
from study.measurements.recording import Recording
from study.networks.kernels import fastest, using
from study.networks.network import RecurrentNetwork
from study.training.engine import TrainingStack

HIDDEN_SIZES = (25, 50, 100, 200, 400, 800)
IMAGES = (7_500, 15_000, 30_000, 60_000)
BLANK_ROWS = (50, 100, 200, 500, 1000, 2000)
NETWORKS = (10, 100, 1000)
HIDDEN, BATCH = 100, 200  # the default study's, where they are not varied
# Networks as small as can be: what is left is what a study does around them.
SMALL = {"hidden-sizes": 25, "epochs": 1, "train-images": 1000, "batch-size": 50, "measurements": "paper", "blank-rows": 60}
STAGES = ("train, measure and track", "analyse", "report")

Seconds = dict[str, list[float]]  # by what was timed, one for each value of what was varied


def epoch_seconds(hidden_size: int = HIDDEN, images: int = 60_000) -> float:
    """The faster of two epochs."""
    stack = TrainingStack(loops.engine_configs(hidden_size, BATCH, 1, "cpu"), loops.training_images().first(images))
    times = []
    for _ in range(2):
        begun = time.perf_counter()
        stack.train_epoch()
        times.append(time.perf_counter() - begun)
    return min(times)


def measuring_seconds(hidden_size: int = HIDDEN, blank_rows: int = 500) -> float:
    """The measurements `standard` of a network as it is initialised."""
    train, test = loops.training_images(), loops.test_images()
    network = RecurrentNetwork.initial(0, hidden_size, test.images.shape[2], 10)
    begun = time.perf_counter()
    with using(fastest()):
        measure(Recording(network, test, train, blank_rows=blank_rows), names_in_set("standard"))
    return time.perf_counter() - begun


def study_seconds(networks: int) -> list[float]:
    """Each stage of a study of so many small networks, from its command's start to its end."""
    with tempfile.TemporaryDirectory() as here:
        folder = Path(here)
        store = f"sqlite:///{folder / 'mlflow.db'}"
        MlflowClient(store).create_experiment("hidden-orbits", artifact_location=(folder / "runs").as_uri())
        own = {"MLFLOW_TRACKING_URI": store, "HIDDEN_ORBITS_CACHE": str(folder / "cache"), "PYTHONPATH": str(Path.cwd())}
        options = [part for name, value in SMALL.items() for part in (f"--{name}", str(value))]
        commands = (
            ["study", "run", "--no-report", "--seeds", f"0-{networks - 1}", *options],
            ["analysis"],
            ["reports", "--out", str(folder / "report.pdf")],
        )
        seconds = []
        for command in commands:
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-m", *command], env=os.environ | own, stdout=subprocess.DEVNULL, check=True)
            seconds.append(time.perf_counter() - begun)
        return seconds


def slopes(values: tuple[int, ...], seconds: list[float]) -> list[float]:
    """The exponent between each value and the next: 1 where time is proportional."""
    return list(np.diff(np.log(seconds)) / np.diff(np.log(values)))


def of_one_core(time_one: Callable[..., float], name: str, values: tuple[int, ...]) -> list[float]:
    torch.set_num_threads(1)
    with threadpool_limits(1):
        return [time_one(**{name: value}) for value in values]


def draw(panes: list[tuple[str, tuple[int, ...], Seconds]], file: Path) -> None:
    """A panel for each thing that was varied, on logarithmic axes, with a line to show what proportional would be."""
    with styled():
        figure, rows = panels(2, 2, height=2.6)
        for axes, (name, values, seconds) in zip([axes for row in rows for axes in row], panes, strict=True):
            for (what, times), colour, style in zip(seconds.items(), (BLUE, VERMILION, GREEN), ("o-", "s--", "^:"), strict=False):
                axes.loglog(values, times, style, color=colour, markersize=3.5, label=what)
            lowest = min(times[0] for times in seconds.values())
            axes.loglog(values, lowest / 2 * np.array(values) / values[0], color=GREY, linewidth=0.8, label="proportional")
            axes.set_xlabel(name)
            axes.set_ylabel("seconds")
            axes.set_xticks(values, [f"{value:,}" for value in values])
            axes.minorticks_off()
            axes.legend(loc="upper left")
        figure.savefig(file, dpi=200, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", type=Path, help="also draw a figure")
    parser.add_argument("--networks", type=int, default=NETWORKS[-1], help="the greatest number of networks")
    options = parser.parse_args()
    networks = tuple(number for number in NETWORKS if number <= options.networks)
    panes = [
        (
            "hidden units",
            HIDDEN_SIZES,
            {
                "an epoch": of_one_core(epoch_seconds, "hidden_size", HIDDEN_SIZES),
                "measure": of_one_core(measuring_seconds, "hidden_size", HIDDEN_SIZES),
            },
        ),
        ("images", IMAGES, {"an epoch": of_one_core(epoch_seconds, "images", IMAGES)}),
        ("blank rows", BLANK_ROWS, {"measure": of_one_core(measuring_seconds, "blank_rows", BLANK_ROWS)}),
        ("networks", networks, dict(zip(STAGES, zip(*map(study_seconds, networks), strict=True), strict=True))),
    ]
    print(describe())
    print("| varied | what | seconds | exponent from one to the next |\n|---|---|---|---|")
    for name, values, seconds in panes:
        for what, times in seconds.items():
            each = ", ".join(f"{value}: {taken:.3g}" for value, taken in zip(values, times, strict=True))
            print(f"| {name} | {what} | {each} | {', '.join(f'{slope:.2f}' for slope in slopes(values, list(times)))} |")
    if options.figure:
        draw(panes, options.figure)


if __name__ == "__main__":
    main()
