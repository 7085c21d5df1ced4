"""Files and texts that anyone may have written: opened only where that is harmless, bounded before they are read."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import NoReturn

MEBIBYTE = 2**20
MOST_TEXT = 4 * MEBIBYTE  # of JSON: a hundred thousand seeds


class Refused(ValueError):
    """Content that is not taken; the message says why, in words that follow a file's name."""


@contextmanager
def opened(path: Path, most: int, follow: bool = False) -> Iterator[BufferedReader]:
    """An ordinary file of at most `most` bytes, open for reading; a link to one only where links are to be followed.

    Nothing blocks: raises `Refused` for a link, a folder, a FIFO, a device, and for a larger file, and `OSError` where there is
    none, or where it cannot be reached.
    """
    _ordinary((path.stat() if follow else path.lstat()).st_mode)
    handle = os.open(path, os.O_RDONLY | (0 if follow else os.O_NOFOLLOW) | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        _ordinary(found.st_mode)  # it may have been replaced
        bounded(found.st_size, most)
        yield file


def bounded(size: int | None, most: int) -> None:
    """Raises `Refused` where a file has more than `most` bytes; a size that is not known is let through."""
    if size is not None and size > most:
        raise Refused(f"has {size / MEBIBYTE:,.0f} MiB, more than the {most / MEBIBYTE:,.0f} MiB that are read")


def content(path: Path, most: int, follow: bool = False) -> bytes:
    """All of an ordinary file. Raises as `opened` does."""
    with opened(path, most, follow) as file:
        found = file.read(most + 1)  # it may have grown
    bounded(len(found), most)
    return found


def digest(path: Path, most: int) -> str:
    """The sha256 of an ordinary file. Raises as `opened` does."""
    with opened(path, most) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_object(text: str | bytes, most: int = MOST_TEXT) -> dict:
    """A JSON object; raises `Refused` where the text is too long, is no JSON or something else than an object."""
    bounded(len(text), most)
    try:
        found = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):  # brackets, a hundred thousand deep
        raise Refused("is no JSON that can be read") from None
    if not isinstance(found, dict):
        raise Refused("is no JSON object")
    return found


def strings(found: dict) -> dict[str, str]:
    """A JSON object whose values are all texts; raises `Refused` where one is not."""
    if odd := [name for name, value in found.items() if not isinstance(value, str)]:
        raise Refused(f"holds a value for {odd[0][:50]!r} that is no text")
    return found


def one_line(text: object, most: int = 200) -> str:
    """A text from outside in one line that can be printed."""
    line = "".join(letter if letter.isprintable() else " " for letter in str(text)[: 4 * most])
    return " ".join(line.split())[:most]


def _ordinary(mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise Refused("is a link")
    if stat.S_ISDIR(mode):
        raise Refused("is a folder")
    if not stat.S_ISREG(mode):
        raise Refused("is no ordinary file, but a device, a FIFO or a socket")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
