"""The journal of a search: a file of JSON records, one a line, which Optuna writes and replays.

A record that was cut off, by a kill or a full disk, counts for nothing: what wrote it never went on. It is taken out before
anything is added, since behind it the next record would be lost as well. One process at a time holds a journal, by a lock of the
operating system, which ends with the process; Optuna's own are files that a process can leave behind.
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
    """A journal that this process holds; raises `StudyError` where the disk takes no more."""

    def __init__(self, path: Path):
        super().__init__(str(path), _Held(str(path)))
        self.path = path

    def append_logs(self, logs: list[dict]) -> None:
        try:
            super().append_logs(logs)
        except OSError as error:
            raise durable.cannot_write(self.path, error) from None


class _Held(JournalFileOpenLock):
    """Stands in for Optuna's lock, of single records: the whole journal is held already."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


@contextmanager
def held(path: Path) -> Iterator[tuple[Journal, int]]:
    """The journal in a file, made if need be and held meanwhile, and how many bytes of torn records were taken out of it.

    Raises `InputError` where another process holds it, or where the file is no journal; it is then as it was.
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
    """What a journal tells; raises `InputError` where it makes no sense."""
    try:
        return JournalStorage(journal)
    except Exception as error:  # whatever a record that is not Optuna's leads to
        raise no_journal(journal.path, error) from None


def no_journal(path: Path, why: Exception | str) -> InputError:
    """What to say of a file that is no journal."""
    words = why if isinstance(why, str) else reason(why)
    return InputError(f"storage={quoted(path)} cannot be read as an Optuna journal ({words}): restore it, or name another file")


def _mended(file: BinaryIO, path: Path) -> int:
    """Takes torn records out of a journal; how many bytes they had. Raises `InputError` where another line is no record.

    One at the end is cut off. Behind one that is not, a program that knew no better has gone on in the same line: it is blanked.
    """
    size = os.fstat(file.fileno()).st_size
    if size > LARGEST:
        raise no_journal(path, f"it has {size >> 20:,} MiB, and {LARGEST >> 20} are the most")
    *lines, last = file.read().split(b"\n")
    blanks, offset = [], 0
    for number, line in enumerate(lines, 1):
        torn = 0 if _is_record(line) else line.rfind(START)
        if torn and not (torn > 0 and line.startswith(START[:torn]) and _is_record(line[torn:])):
            raise no_journal(path, f"line {number} is no record of it; nothing was changed")
        blanks += [(offset, torn)] if torn else []
        offset += len(line) + 1
    whole = bool(last) and _is_record(last)
    if not lines and not whole and not last.startswith(START[: len(last)]):
        raise no_journal(path, "line 1 is no record of it; nothing was changed")
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
