"""How a command that is stopped, or breaks, leaves its run."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from study.tracking import JobRun
from study.tracking.store import impatient

AGAIN = 2.0  # seconds after which a stop that was not heard is repeated


class Stop:
    """Turns the first SIGINT or SIGTERM into `KeyboardInterrupt`, and keeps those that follow from breaking the clean-up.

    Python drops an exception that is raised while a finaliser runs. The interrupt is therefore repeated until a context of `heard`
    has seen it. And an object that it left half made can fail in its finaliser, whenever that runs: from the interrupt on, until
    the process ends, no such failure is told.
    """

    def __init__(self) -> None:
        self._heard = threading.Event()
        self._previous: dict[signal.Signals, object] = {}
        self._main = threading.main_thread()
        self._repeater: threading.Thread | None = None
        self._hook = sys.unraisablehook

    def __enter__(self) -> Stop:
        if threading.current_thread() is self._main:
            self._previous = {number: signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
            sys.unraisablehook = self._unraisable
        return self

    def __exit__(self, *error: object) -> None:
        self._heard.set()
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if not self._came:
            sys.unraisablehook = self._hook

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Work that an interrupt ends; outside of it, once one came, the clean-up is left in peace."""
        try:
            yield
        except KeyboardInterrupt:
            self._heard.set()
            raise

    @property
    def _came(self) -> bool:
        return self._repeater is not None

    def _interrupt(self, number: int, frame: object) -> None:
        if self._heard.is_set():
            return
        if not self._came:
            self._repeater = threading.Thread(target=self._repeat, args=(number,), daemon=True)
            self._repeater.start()
        raise KeyboardInterrupt

    def _unraisable(self, dropped: sys.UnraisableHookArgs) -> None:
        if not self._came:
            self._hook(dropped)

    def _repeat(self, number: int) -> None:
        while not self._heard.wait(AGAIN):
            signal.pthread_kill(self._main.ident, number)


@contextmanager
def ended_on_error(job: JobRun) -> Iterator[Stop]:
    """Marks the job's run KILLED or FAILED when it is stopped, by Ctrl-C or SIGTERM, or breaks."""
    with Stop() as stop:
        try:
            with stop.heard():
                yield stop
        except BaseException as error:
            with suppress(Exception), impatient():  # a store that is gone must not hide what happened, or hold it up
                job.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            raise
