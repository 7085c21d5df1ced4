"""How a command that was stopped, or broke, leaves its run."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from study.tracking import JobRun


@contextmanager
def ended_on_error(job: JobRun) -> Iterator[None]:
    """Marks the job's run KILLED or FAILED when it is stopped or breaks; SIGTERM stops it as Ctrl-C does."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, _interrupt) if in_main_thread else None
    try:
        yield
    except BaseException as error:
        with suppress(Exception):  # a store that is gone must not hide what happened
            job.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, previous)


def _interrupt(number, frame):
    raise KeyboardInterrupt
