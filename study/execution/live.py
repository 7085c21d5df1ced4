"""Other commands of the project that a study starts: its figures meanwhile, for those who browse it, and its stages afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from study.terminal.stopping import LEAVE, STAGE

REST = 20  # times as long as a refresh took, there is none: it costs 5% of one core at most


class Refresher:
    """A context in which a command is started again and again, in a process of its own, as results come in.

    It never runs twice at once, nor within `every` seconds of its last end (0, or an empty command: never at all), nor holds
    anything up: what becomes of it is its own affair, and leaving the context ends it.
    """

    def __init__(self, command: Sequence[str], every: float):
        self.command, self.every = command, every
        self._running: subprocess.Popen | None = None
        self._begun = time.monotonic()
        self._next = self._begun + every

    def __enter__(self) -> Refresher:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._running is not None:
            _end(self._running)

    def result(self) -> None:
        """A result came in: starts the command, if it is time."""
        now = time.monotonic()
        if self._running is not None and self._running.poll() is not None:
            self._running = None
            self._next = now + max(self.every, REST * (now - self._begun))
        if self.command and self.every and self._running is None and now >= self._next:
            self._begun = now
            with suppress(OSError):  # no more processes, or files, may be had
                self._running = subprocess.Popen(
                    self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )


def run_stage(arguments: Sequence[str]) -> int:
    """Runs a command of the project to its end; its status. Where this process is stopped meanwhile, so is the command."""
    process = subprocess.Popen([sys.executable, "-m", *arguments], env=os.environ | {STAGE: "1"})
    try:
        return process.wait()
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen) -> None:
    """Stops a process: it has some seconds to end its own runs."""
    process.terminate()
    try:
        process.wait(LEAVE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
