"""Tasks of neuroscience as sequences with one label each, which is asked for at the end; generated from a seed.

A row is a time step of 100 ms. A blank row is one without any input: in delayed match-to-sample the time until the response, in the
flip-flop a time without pulses, over which a network has to hold what it knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from study.data.images import Images
from study.data.source import DataSource
from study.terminal.errors import InputError

SEED = 0
TRAINING_IMAGES, TEST_IMAGES = 20_000, 5_000
# Values are multiples of this: the last bits, in which machines may differ, are gone.
GRAIN = 2.0**-10

# Delayed match-to-sample, as NeuroGym's DelayMatchSample-v0 (`benchmarks/neurogym_conventions.py`), in steps of its dt of 100 ms.
# Its delay is 10 steps; here it varies, and the fixation before the sample is longer where the delay is shorter.
RING = 8  # directions, one channel each, after the channel of the fixation point
FIXATION, SAMPLE, DELAY, TEST, DECISION = 3, 5, (5, 15), 5, 2
NOISE = 0.1  # of the stimulus channels while a stimulus is shown: NeuroGym's sigma of 1 over the square root of dt in ms
# The three-bit flip-flop (Sussillo & Barak 2013).
STEPS, BITS = 30, 3
PULSE = 0.1  # probability of a pulse per channel and step; at the first step each channel has one


def delayed_match(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sequences float32 `[count, 30, 9]` of delayed match-to-sample, and their labels int64 `[count]`: 0 match, 1 non-match.

    Channel 0 is 1 until the decision, when it is 0; the others are the ring, 1/2 cos(difference of directions) + 1/2 during sample
    and test, with noise, and 0 at all other times. The test is the sample, or its opposite, with equal probability.
    """
    length = FIXATION + SAMPLE + DELAY[1] + TEST + DECISION
    directions = 2 * np.pi * np.arange(RING) / RING
    labels, sample, delays = (
        rng.integers(2, size=count),
        rng.integers(RING, size=count),
        rng.integers(DELAY[0], DELAY[1], size=count, endpoint=True),
    )
    tuning = np.cos(directions[:, None] - directions) * 0.5 + 0.5  # of a direction, over the channels
    test = (sample + labels * RING // 2) % RING
    sequences = np.zeros((count, length, 1 + RING), dtype=np.float32)
    sequences[:, : length - DECISION, 0] = 1
    steps, begin = np.arange(length), length - DECISION - TEST
    for shown, start, duration in ((sample, begin - delays - SAMPLE, SAMPLE), (test, np.full(count, begin), TEST)):
        during = (steps >= start[:, None]) & (steps < start[:, None] + duration)
        noise = NOISE * rng.standard_normal((count, length, RING), dtype=np.float32)
        sequences[:, :, 1:] += during[:, :, None] * (tuning[shown][:, None] + noise)
    return sequences, labels


def flip_flop(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sequences float32 `[count, 30, 3]` of the three-bit flip-flop, and their labels int64 `[count]`.

    Each channel has a pulse of 1 or -1 at the first step and now and then later, and is 0 otherwise. The label is the state of the
    three bits at the end, the signs of their last pulses, as a binary number (+ is 1, the first channel comes first).
    """
    pulses = rng.random((count, STEPS, BITS)) < PULSE
    pulses[:, 0] = True
    signs = 2 * rng.integers(2, size=pulses.shape) - 1
    last = STEPS - 1 - pulses[:, ::-1].argmax(axis=1)  # the step of each channel's last pulse
    bits = np.take_along_axis(signs, last[:, None], axis=1)[:, 0] > 0
    return (pulses * signs).astype(np.float32), bits @ (1 << np.arange(BITS)[::-1])


@dataclass(frozen=True)
class Task:
    """A task: what generates its sequences, and the names of its labels."""

    generate: Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]
    names: tuple[str, ...]


TASKS = {
    "delayed-match": Task(delayed_match, ("match", "non-match")),
    "flip-flop": Task(flip_flop, tuple(f"{state:0{BITS}b}".replace("0", "-").replace("1", "+") for state in range(1 << BITS))),
}


@dataclass(frozen=True)
class TaskSource(DataSource):
    """A generated task; nothing is read from the data folder. The digests are those of the sequences."""

    @classmethod
    def found(cls, name: str, data_dir: Path) -> TaskSource:
        return cls(name, data_dir, {"train": _made(name, True)[1], "test": _made(name, False)[1]})

    def prepare(self) -> None:
        if self.found(self.name, self.data_dir).digests != self.digests:
            raise InputError(
                f"{self.whereabouts} has other sequences than the data set: use the versions that it was generated with"
            )

    def stored(self, train: bool) -> Images:
        self.prepare()
        return _made(self.name, train)[0]

    @property
    def whereabouts(self) -> str:
        return f"{self.name}, as it is generated here (NumPy {np.__version__}),"


@lru_cache(maxsize=4)  # both parts of two tasks, some 30 MB each
def _made(name: str, train: bool) -> tuple[Images, str]:
    """The sequences of a task, and their digest."""
    rng = np.random.default_rng([SEED, list(TASKS).index(name), int(train)])
    sequences, labels = TASKS[name].generate(TRAINING_IMAGES if train else TEST_IMAGES, rng)
    rounded, labels = np.round(sequences / GRAIN).astype(np.float32) * np.float32(GRAIN), labels.astype(np.int64)
    digest = hashlib.sha256(rounded.tobytes() + labels.tobytes()).hexdigest()
    return Images(torch.from_numpy(rounded), torch.from_numpy(labels), len(TASKS[name].names), TASKS[name].names), digest
