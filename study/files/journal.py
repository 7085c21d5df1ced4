"""The journal of a search: a file of JSON records, one per line, which Optuna writes and replays.

A record that was cut off by a kill or a full disk is ignored: its writer never continued. It is removed before anything is added,
since otherwise the next record would be lost as well. One process at a time holds a journal, with a lock of the operating system,
which ends with the process; Optuna's own locks are files that a process can leave behind.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from study.files import durable
from study.terminal.errors import InputError, quoted, reason

LARGEST = 256 << 20  # bytes; ten thousand trials take some ten million
START = b'{"op_code":'  # of every record


class Journal(JournalFileBackend):
    """A journal that this process holds; raises `StudyError` where the disk is full."""

    def __init__(self, path: Path):
        super().__init__(str(path), _Held(str(path)))
        self.path = path

    def append_logs(self, logs: list[dict]) -> None:
        try:
            super().append_logs(logs)
        except OSError as error:
            raise durable.cannot_write(self.path, error) from None


class _Held(JournalFileOpenLock):
    """Replaces Optuna's lock, which is for single records: the whole journal is locked already."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


@contextmanager
def held(path: Path) -> Iterator[tuple[Journal, int]]:
    """The journal in a file, created if necessary and locked for the context, and how many bytes of torn records were removed.

    Raises `InputError` where another process holds it, or where the file is not a journal; the file is then unchanged.
    """
    try:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666), "r+b")
    except OSError as error:
        raise no_journal(path, error) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"storage={quoted(path)}: another search is using this journal; wait until it ends, or name another file"
            ) from None
        except OSError as error:
            raise no_journal(path, error) from None
        try:
            yield Journal(path), _mended(file, path)
        finally:
            if not os.fstat(file.fileno()).st_size:  # the search never began
                path.unlink(missing_ok=True)


def replayed(journal: Journal) -> JournalStorage:
    """The content of a journal; raises `InputError` where it makes no sense."""
    try:
        return JournalStorage(journal)
    except Exception as error:  # whatever a record that is not Optuna's leads to
        raise no_journal(journal.path, error) from None


def no_journal(path: Path, why: Exception | str) -> InputError:
    """The error for a file that is not a journal."""
    words = why if isinstance(why, str) else reason(why)
    return InputError(f"storage={quoted(path)} cannot be read as an Optuna journal ({words}): restore it, or name another file")


def _mended(file: BinaryIO, path: Path) -> int:
    """Removes torn records from a journal and returns how many bytes they had. Raises `InputError` where a line is not a record.

    A torn record at the end is cut off. Elsewhere another program has continued on the same line: the torn part is blanked.
    """
    size = os.fstat(file.fileno()).st_size
    if size > LARGEST:
        raise no_journal(path, f"it has {size >> 20:,} MiB; at most {LARGEST >> 20} are read")
    *lines, last = file.read().split(b"\n")
    blanks, offset = [], 0
    for number, line in enumerate(lines, 1):
        torn = 0 if _is_record(line) else line.rfind(START)
        if torn and not (torn > 0 and line.startswith(START[:torn]) and _is_record(line[torn:])):
            raise no_journal(path, f"line {number} is not one of its records; nothing was changed")
        blanks += [(offset, torn)] if torn else []
        offset += len(line) + 1
    whole = bool(last) and _is_record(last)
    if not lines and not whole and not last.startswith(START[: len(last)]):
        raise no_journal(path, "line 1 is not one of its records; nothing was changed")
    for start, length in blanks:
        file.seek(start)
        file.write(b" " * length)
    if whole:
        file.seek(size)
        file.write(b"\n")
    elif last:
        file.truncate(offset)
    file.flush()
    return sum(length for _, length in blanks) + (len(last) if not whole else 0)


def _is_record(line: bytes) -> bool:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and isinstance(record.get("op_code"), int)
