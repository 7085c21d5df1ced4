"""Commands that a study starts: in the background while networks are trained, and analysis and report afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from study.terminal.stopping import LEAVE, STAGE

PATIENCE = 300.0  # seconds at most for a command that runs ahead, once all results are there
PAUSE = 20  # times the duration of a refresh, before the next one: refreshes cost at most 5% of one core
Command = Sequence[str]


class Background:
    """A context in which commands are started as results arrive, in processes of their own, one at a time.

    The command `refresh` is repeated, never within `every` seconds of its last end (0, or an empty command: never). Commands that
    do early what must be done anyway are run once (`ahead`), and go first; with `every` = 0 there are none. No command delays a
    result, their outcomes are ignored, and leaving the context ends what runs.
    """

    def __init__(self, refresh: Command, every: float):
        self.refresh, self.every = refresh, every
        self._ahead: deque[Command] = deque()
        self._running: subprocess.Popen | None = None
        self._refreshes = False  # whether that is a refresh
        self._begun = time.monotonic()
        self._next = self._begun + every

    def __enter__(self) -> Background:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._running is not None:
            _end(self._running)

    def ahead(self, command: Command) -> None:
        """Runs a command once, after those that wait already."""
        if self.every:
            self._ahead.append(command)

    def result(self) -> None:
        """Called for each result: starts a command if it is time."""
        now = time.monotonic()
        if self._running is not None and self._running.poll() is not None:
            if self._refreshes:
                self._next = now + max(self.every, PAUSE * (now - self._begun))
            self._running = None
        if self._running is not None:
            return
        if self._ahead:
            self._start(self._ahead.popleft(), refreshes=False)
        elif self.refresh and self.every and now >= self._next:
            self._start(self.refresh, refreshes=True)

    def finish(self) -> None:
        """Waits for a command that runs ahead, since what comes now would do the same again, but not for long: it may hang. Those
        that have not begun are forgotten."""
        self._ahead.clear()
        if self._running is not None and not self._refreshes:
            with suppress(subprocess.TimeoutExpired):
                self._running.wait(PATIENCE)

    def _start(self, command: Command, refreshes: bool) -> None:
        self._begun, self._refreshes = time.monotonic(), refreshes
        with suppress(OSError):  # no more processes or files are available
            self._running = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Threads that wait for others give their core to a worker.
                env=os.environ | {"OMP_WAIT_POLICY": "passive"},
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
