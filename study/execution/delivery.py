"""Carries results from the spool to the tracking store, beside the training, and waits where the store does not answer."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from study.record import spool
from study.record.spool import Entry
from study.terminal.errors import reason
from study.tracking import StudyRun

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0  # seconds between two attempts


class Delivery:
    """A context in which results that are handed over are logged one after another by a thread of its own.

    A result leaves the spool when the store has all of it. `trouble` says in words why the store took nothing the last time, and is
    empty where it takes results; `removed` counts results that someone removed from the spool before the store had them.
    """

    def __init__(self, study: StudyRun, say: Callable[[str], None]):
        self.study, self.say = study, say
        self.trouble, self.removed = "", 0
        self._queue: queue.SimpleQueue[tuple[Entry, str] | None] = queue.SimpleQueue()
        self._left = 0
        self._refused: float | None = None  # since when, on the monotonic clock, the store takes nothing; None where it does
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._now = threading.Event()  # ends a pause
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Delivery:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Lets the result at hand be finished, for a few seconds; what is left stays in the spool."""
        self._stop.set()
        self._now.set()
        self._queue.put(None)
        self._thread.join(timeout=5)

    def hand_over(self, entry: Entry, counted: str = "trained") -> None:
        """Takes a result of the spool; returns at once."""
        with self._changed:
            self._left += 1
        self._queue.put((entry, counted))

    def finish(self, patience: float) -> int:
        """Waits for what is on its way; how many results are left where the store, tried again, takes none for `patience` seconds.

        While it takes results, however slowly, it is waited for.
        """
        with self._changed:
            self._refused = None
            self._now.set()
            while self._left:
                left = None if self._refused is None else self._refused + patience - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            return self._left

    def _work(self) -> None:
        while not self._stop.is_set() and (item := self._queue.get()) is not None:
            if self._deliver(*item):
                with self._changed:
                    self._left -= 1
                    self._changed.notify_all()

    def _deliver(self, entry: Entry, counted: str) -> bool:
        """Logs one result, as often as it takes; False where it was told to stop first."""
        pause, again = FIRST_PAUSE, False
        while not self._stop.is_set():
            try:
                # The answer to an earlier attempt may have been lost after the store had taken it.
                if not (again and self.study.has(entry.key)):
                    self.study.log_result(entry)
                spool.remove(entry)
            except Exception as error:  # each kind of store raises its own
                if not entry.folder.is_dir():
                    self.removed += 1
                    return True
                if not self.trouble:
                    self.say(
                        f"the tracking store took no result ({reason(error)}): training goes on, results wait in "
                        f"{entry.folder.parent}"
                    )
                again = True
                with self._changed:
                    self.trouble = reason(error)
                    self._refused = self._refused or time.monotonic()
                    self._changed.notify_all()
                self._now.wait(pause)
                self._now.clear()
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            if self.trouble:
                self.trouble, self._refused = "", None
                self.say("the tracking store takes results again")
            self.study.count("failed" if entry.failure else counted)
            return True
        return False
