"""What measuring one network costs a core: ``python -m benchmarks.experiments``.

An untrained network costs what a trained one does,
as long as its states do not fall to 0; its recurrent weights are scaled so that they keep moving."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import torch

from benchmarks.machine import describe
from study.data import load, prepare
from study.measurements import MEASUREMENTS, measure
from study.measurements.recording import Recording
from study.network import RecurrentNetwork

HIDDEN = 200


def main() -> None:
    torch.set_num_threads(1)
    test = load(prepare("mnist", Path("data")), train=False)
    initial = RecurrentNetwork.initial(0, HIDDEN)
    network = RecurrentNetwork(initial.input, 2.5 * initial.recurrent, initial.readout, initial.bias)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(describe())
    print("| measurement | seconds on one core, 200 units, 10,000 images |\n|---|---|")
    recording = Recording(network, test)
    begun = time.perf_counter()
    _ = recording.states
    print(f"| hidden states on 28 rows | {time.perf_counter() - begun:.1f} |")
    for name, function in MEASUREMENTS.items():
        begun = time.perf_counter()
        list(function(recording))
        print(f"| {name} | {time.perf_counter() - begun:.1f} |")
    begun = time.perf_counter()
    measure(Recording(network, test))
    print(f"| all of them | {time.perf_counter() - begun:.1f} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"\nMemory above the loaded libraries and data: {(peak - base) / 1024:.0f} MiB.")


if __name__ == "__main__":
    main()
