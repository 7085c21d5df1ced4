"""Shows the progress of a study: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from study.config import NetworkConfig
from study.execution.stacks import Remeasurement, Task

PLAIN_INTERVAL = 60  # seconds of silence after which, without a bar, a line shows that the study is alive


def cost(config: NetworkConfig, rows: int) -> float:
    """The work of one network on images with so many rows, in arbitrary units: products grow with H squared, the rest with H."""
    trained = 1 + sum(config.trailing()) / 2 / rows  # rows of an image and blank ones, on average, over those of an image
    passes = trained * config.epochs * config.train_images / 10_000 + config.blank_rows / rows
    return passes * config.hidden_size * (config.hidden_size + 100)


def work(task: Task) -> float:
    """The work of a task in the same units; measuring a network again counts a tenth of training it."""
    share = 0.1 if isinstance(task, Remeasurement) else 1.0
    return share * sum(cost(config, task.data.rows) for config in task.configs)


def duration(seconds: float) -> str:
    """Seconds in words, in a suitable unit."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class StudyProgress:
    """A context in which networks are reported as they finish.

    Workers write the number of finished epochs to files in a scratch folder (`file`), so that the time left is known before the
    first network is finished. Workers on other machines cannot write there; they count when they are finished.
    """

    def __init__(self, tasks: Sequence[Task], console: Console):
        self.tasks, self.console = tasks, console
        self.networks = sum(len(task.configs) for task in tasks)
        self.total = sum(map(work, tasks))
        self.finished: set[int] = set()
        self.reported = 0
        self.begun = self._last_line = time.monotonic()
        self._folder = tempfile.TemporaryDirectory(prefix="hidden-orbits-", ignore_cleanup_errors=True)
        self._stop = threading.Event()
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("training", total=self.total, left="")
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def file(self, task: int) -> Path:
        """The file in which the worker of a task writes how many epochs are finished."""
        return Path(self._folder.name) / str(task)

    def __enter__(self) -> StudyProgress:
        self._bar.start()
        self._watcher.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._watcher.join()
        self._bar.stop()
        self._folder.cleanup()

    def done(self) -> float:
        """The work finished so far, in the units of `total`."""
        return sum(work(task) * self._share(index, task) for index, task in enumerate(self.tasks))

    def time_left(self) -> str:
        done = self.done()
        if not done:
            return "time left unknown"
        left = (time.monotonic() - self.begun) * (self.total - done) / done
        return f"{duration(left)} left"

    def report(self, task: int, text: str) -> None:
        """Reports one finished network of a task, in words."""
        self.finished.add(task)
        self.reported += 1
        self._print(f"{self.reported}/{self.networks} networks  {text}")

    def _print(self, line: str) -> None:
        self._last_line = time.monotonic()
        self.console.print(line if self.console.is_terminal else f"{line}  ({self.time_left()})", highlight=False)

    def _share(self, index: int, task: Task) -> float:
        if index in self.finished:
            return 1.0
        try:
            return 0.9 * int(self.file(index).read_text()) / task.configs[0].epochs  # the rest is measuring
        except (OSError, ValueError):
            return 0.0

    def _watch(self) -> None:
        while not self._stop.wait(1):
            description = f"{self.reported}/{self.networks} networks"
            self._bar.update(self._task, completed=self.done(), description=description, left=self.time_left())
            if not self.console.is_terminal and time.monotonic() - self._last_line > PLAIN_INTERVAL:
                self._print(f"{description}  {self.done() / self.total:.0%} of the work")
