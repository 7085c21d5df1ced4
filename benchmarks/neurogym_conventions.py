"""Is our delayed match-to-sample that of NeuroGym? Its trials are set up as ours, without noise, and compared value by value.

NeuroGym 2.3.1 pins other versions of NumPy and matplotlib than this project, and therefore runs in an environment of its own:

    python -m venv neurogym && neurogym/bin/pip install neurogym==2.3.1 torch
    python -m benchmarks.neurogym_conventions neurogym/bin/python
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TRIALS = 500
DT = 100  # ms


def ours(file: Path) -> None:
    """Writes sequences of our task without noise, and their labels."""
    from study.data import tasks

    noise, tasks.NOISE = tasks.NOISE, 0
    sequences, labels = tasks.delayed_match(TRIALS, np.random.default_rng(1))
    np.savez(file, sequences=sequences, labels=labels, ring=tasks.RING, noise=noise)


def theirs(file: Path) -> dict[str, object]:
    """What NeuroGym makes of the same trials, and of trials of its own; runs in its environment."""
    import neurogym  # pyright: ignore[reportMissingImports] - it is not part of this environment
    from neurogym.envs.native.delaymatchsample import DelayMatchSample  # pyright: ignore[reportMissingImports]

    given = np.load(file)
    ring, differences, answers = int(given["ring"]), [], []
    for sequence, label in zip(given["sequences"], given["labels"], strict=True):
        shown = np.flatnonzero(sequence[:, 1:].any(axis=1))
        onset, test = int(shown[0]), int(shown[-5])
        timing = {"fixation": onset, "delay": test - onset - 5, "decision": len(sequence) - test - 5}
        env = DelayMatchSample(dt=DT, sigma=0, dim_ring=ring, timing={name: steps * DT for name, steps in timing.items()})
        env.reset(seed=0)
        env.new_trial(ground_truth=int(label) + 1, sample_theta=env.theta[sequence[onset, 1:].argmax()])
        differences.append(np.abs(env.ob - sequence).max() if env.ob.shape == sequence.shape else np.inf)
        answers.append(env.gt[-1] == label + 1 and not env.gt[: test + 5].any())
    env = DelayMatchSample(dt=DT, dim_ring=ring)
    env.reset(seed=0)
    trials = [env.new_trial() for _ in range(4 * TRIALS)]
    residuals = []
    for _ in range(TRIALS):
        trial = env.new_trial()
        for period in ("sample", "test"):
            mean = 0.5 * np.cos(env.theta - trial[f"{period}_theta"]) + 0.5
            residuals.append(env.view_ob(period)[:, 1:] - mean)
    quiet = [float(np.abs(env.view_ob(period)[:, 1:]).max()) for period in ("fixation", "delay", "decision")]
    return {
        "NeuroGym": neurogym.__version__,
        "trials compared": len(differences),
        "largest difference of an observation": float(max(differences)),
        "trials whose answer is label + 1, in the decision only": int(np.sum(answers)),
        "observation": env.observation_space.name | {"stimulus": list(env.observation_space.name["stimulus"])},
        "actions": env.action_space.name,
        "timing (ms)": env.timing,
        "standard deviation of the noise in sample and test": round(float(np.std(residuals)), 4),
        "largest stimulus outside of them": max(quiet),
        "share of matches": float(np.mean([trial["ground_truth"] == 1 for trial in trials])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", help="the Python of an environment with neurogym and torch")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ours.npz"
        ours(file)
        done = subprocess.run([parser.parse_args().python, __file__, str(file)], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{parser.parse_args().python} failed: {done.stderr.strip().splitlines()[-1]}")
    for name, value in json.loads(done.stdout.splitlines()[-1]).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].endswith(".npz"):
        print(json.dumps(theirs(Path(sys.argv[1]))))
    else:
        main()
