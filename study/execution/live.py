"""Commands that a study starts: figure refreshes during the run, and analysis and report afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from study.terminal.stopping import LEAVE, STAGE

PAUSE = 20  # times the duration of a refresh, before the next one: refreshes cost at most 5% of one core


class Refresher:
    """A context in which a command is started repeatedly, in a separate process, as results arrive.

    The command never runs twice at the same time, nor within `every` seconds of its last end (0, or an empty command: never). It
    delays nothing, its outcome is ignored, and leaving the context ends it.
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
        """Called for each result: starts the command if it is time."""
        now = time.monotonic()
        if self._running is not None and self._running.poll() is not None:
            self._running = None
            self._next = now + max(self.every, PAUSE * (now - self._begun))
        if self.command and self.every and self._running is None and now >= self._next:
            self._begun = now
            with suppress(OSError):  # no more processes or files are available
                self._running = subprocess.Popen(
                    self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )


def run_stage(arguments: Sequence[str]) -> int:
    """Runs a command of the project and returns its status. If this process is stopped, so is the command."""
    process = subprocess.Popen([sys.executable, "-m", *arguments], env=os.environ | {STAGE: "1"})
    try:
        return process.wait()
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen) -> None:
    """Stops a process, which gets some seconds to end its own runs."""
    process.terminate()
    try:
        process.wait(LEAVE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
