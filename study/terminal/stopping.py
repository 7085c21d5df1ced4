"""How a command receives a stop signal, and how it ends what it has begun.

Light to import, so that a command can listen before its slow imports.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

Made = TypeVar("Made")
STAGE = "HIDDEN_ORBITS_STAGE"  # set in the environment of a command that another of our commands waits for and reports for
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN = 2.0  # seconds after which an unheard stop signal is repeated
LEAVE = 10.0  # seconds at most for ending what a command has begun: a tracking store may be gone


class Stop:
    """A context that turns the first SIGINT, SIGTERM or SIGHUP into `KeyboardInterrupt`, and keeps later ones from disturbing the
    clean-up.

    Python drops an exception that is raised while a finaliser runs. The interrupt is therefore repeated until a context of `heard`
    has seen it. An object that was interrupted while it was created can fail later in its finaliser: from the interrupt until the
    process ends, such failures are not reported.
    """

    def __init__(self) -> None:
        self.came = False
        self._heard = threading.Event()
        self._held = 0
        self._previous: dict[signal.Signals, Any] = {}
        self._main = threading.main_thread()
        self._hook = sys.unraisablehook

    def __enter__(self) -> Stop:
        if self._here():
            for number in SIGNALS:
                # nohup sets SIGHUP to be ignored: a closed terminal must then not end the command.
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._interrupt)
            self._hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        return self

    def __exit__(self, *error: object) -> None:
        self._heard.set()
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if not self.came:
            sys.unraisablehook = self._hook

    @contextmanager
    def heard(self) -> Iterator[None]:
        """A context for work that an interrupt ends; afterwards the clean-up is not disturbed."""
        try:
            yield
            self.check()
        except BaseException:
            if self.came and self._here():
                self._heard.set()
            raise

    @contextmanager
    def held(self) -> Iterator[None]:
        """A context for work that must not be interrupted, such as creating a run: the interrupt is delivered right after it."""
        self.hold()
        try:
            yield
        finally:
            self.release()
        self.check()

    def hold(self) -> None:
        """Begins work that must not be interrupted; each call is followed by one of `release`, in the same thread."""
        if self._here():
            self._held += 1

    def release(self) -> None:
        """Ends such work; `check` then delivers an interrupt that was held back."""
        if self._here():
            self._held = max(0, self._held - 1)  # what another thread began may end here

    def check(self) -> None:
        """Raises `KeyboardInterrupt` if a stop signal was held back or dropped."""
        if self.came and not self._held and not self._heard.is_set() and self._here():
            raise KeyboardInterrupt

    def _here(self) -> bool:
        """Whether this is the thread that receives signals."""
        return threading.current_thread() is self._main

    def _interrupt(self, number: int, frame: object) -> None:
        if self._heard.is_set():
            return
        if not self.came:
            self.came = True
            threading.Thread(target=self._repeat, args=(number,), daemon=True).start()
        if not self._held:
            raise KeyboardInterrupt

    def _unraisable(self, dropped: sys.UnraisableHookArgs) -> None:
        if not self.came:
            self._hook(dropped)

    def _repeat(self, number: int) -> None:
        while not self._heard.wait(AGAIN):
            interrupt_main(number)


_process = Stop()
heard, held = _process.heard, _process.held


def listen() -> None:
    """Listens for signals until the process ends; a signal that arrives before the command has `begun` is kept until then."""
    _process.__enter__()
    _process._held = 1


@contextmanager
def begun() -> Iterator[None]:
    """A context for the whole command."""
    with heard():
        _process._held = 0
        _process.check()
        yield


def hold_transactions() -> None:
    """From now on, no interrupt is delivered while a database session of this process has a transaction open.

    An interrupted transaction would keep its locks as long as the error is handled, and our clean-up would wait for them in vain.
    A stop is not heard later than before: a statement that waits for a lock does so in C, where Python hears no signal.
    """
    from sqlalchemy import event
    from sqlalchemy.orm import Session

    for name, listener in (("after_transaction_create", _begins), ("after_transaction_end", _ends)):
        if not event.contains(Session, name, listener):
            event.listen(Session, name, listener)


def _begins(session: object, transaction: object) -> None:
    _process.hold()


def _ends(session: object, transaction: object) -> None:
    _process.release()
    _process.check()


def came() -> bool:
    """Whether this process was told to stop."""
    return _process.came


@contextmanager
def ended(make: Callable[[], Made], end: Callable[[Made, str], object]) -> Iterator[Made]:
    """A context with what `make` creates, such as a run. If the work is stopped or fails, `end` ends it as KILLED or FAILED.

    No interrupt is delivered between the creation and the work.
    """
    made: list[Made] = []
    try:
        with heard():
            with held():
                made.append(make())
            yield made[0]
    except BaseException as error:
        status = "KILLED" if _process.came or isinstance(error, KeyboardInterrupt) else "FAILED"
        for one in made:
            with suppress(Exception):  # a store that is gone must not hide or delay the error
                within(LEAVE, lambda one=one: end(one, status))
        raise


def within(seconds: float, work: Callable[[], Made]) -> Made:
    """Runs `work` in a thread and returns its result; raises `TimeoutError` if it takes longer, and abandons the thread."""
    outcome: Future[Made] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    wait([outcome], seconds)
    if not outcome.done():
        raise TimeoutError(f"no answer within {seconds:g} s")
    return outcome.result()


def interrupt_main(number: int = signal.SIGINT) -> None:
    """Sends a signal to the main thread, so that a blocking call there is interrupted, too."""
    if (main := threading.main_thread().ident) is not None:
        signal.pthread_kill(main, number)
