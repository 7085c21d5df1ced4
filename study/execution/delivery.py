"""Delivers results from the spool to the tracking store during the training, and waits while the store does not answer."""

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
    """A context in which a thread logs the results that are handed over, one after another.

    A result leaves the spool when the store has all of it. `trouble` is the reason why the store refused the last result, empty
    while it takes results; `removed` counts results that were removed from the spool before the store had them.
    """

    def __init__(self, study: StudyRun, say: Callable[[str], None]):
        self.study, self.say = study, say
        self.trouble, self.removed = "", 0
        self._queue: queue.SimpleQueue[tuple[Entry, str] | None] = queue.SimpleQueue()
        self._left = 0
        self._refused: float | None = None  # time on the monotonic clock since when the store takes nothing; None while it does
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._now = threading.Event()  # ends a pause
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Delivery:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Waits a few seconds for the current result; the others stay in the spool."""
        self._stop.set()
        self._now.set()
        self._queue.put(None)
        self._thread.join(timeout=5)

    @property
    def waiting(self) -> int:
        """How many results are not logged yet."""
        return self._left

    def hand_over(self, entry: Entry, counted: str = "trained") -> None:
        """Queues a result of the spool for logging; returns immediately."""
        with self._changed:
            self._left += 1
        self._queue.put((entry, counted))

    def finish(self, patience: float) -> int:
        """Waits until all results are logged, or until the store, asked repeatedly, has taken none for `patience` seconds; returns
        the number of results left.

        As long as the store takes results, however slowly, the wait continues.
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
        """Logs one result, with as many attempts as necessary; False if it was stopped first."""
        pause, again = FIRST_PAUSE, False
        while not self._stop.is_set():
            try:
                # The store may have taken the result in an earlier attempt whose answer was lost.
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
