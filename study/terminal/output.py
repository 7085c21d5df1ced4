"""The output of a command: if the disk, pipe or terminal it goes to is gone, the command itself continues."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from study.terminal.credentials import without_credentials


class Output:
    """A replacement for a standard stream, for `print`, loggers and tracebacks: it removes credentials, and what cannot be written
    is dropped; `lost` holds the reason.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        try:
            self._stream.write(without_credentials(text))
            return len(text)
        except OSError as error:
            self.lost = error
            return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self.lost = error

    def close_quietly(self) -> None:
        """Writes what is left before Python does so at exit, with a complaint."""
        self.flush()
        if self.lost is not None:
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def guard() -> None:
    """Replaces standard output and standard error by an `Output`, and opens standard streams that are closed: a file opened later
    would otherwise get their number, and receive what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (it stays)
        if not isinstance(stream, Output):
            stream.reconfigure(errors="backslashreplace")  # for characters that the terminal cannot show
            setattr(sys, name, Output(stream))


def finish(status: int) -> int:
    """Writes what is left and returns the exit status, which is 1 if the command succeeded but its output could not be written.

    A reader that closed its pipe, as `head` does, has what it wanted.
    """
    out, err = sys.stdout, sys.stderr
    if isinstance(out, Output):
        out.close_quietly()
        if status == 0 and out.lost is not None and out.lost.errno != errno.EPIPE:
            status = 1
            print(f"error: the output could not be written ({out.lost.strerror}); the command itself succeeded", file=err)
    if isinstance(err, Output):
        err.close_quietly()
    return status
