"""Files and texts that anyone may have written: opened only if that is harmless, and read only up to a size limit."""

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
    """Content that is refused; the message says why and continues a sentence that begins with the file's name."""


@contextmanager
def opened(path: Path, most: int, follow: bool = False) -> Iterator[BufferedReader]:
    """An ordinary file of at most `most` bytes, open for reading; links are followed only if `follow` is set.

    Never blocks. Raises `Refused` for a link, a folder, a FIFO, a device and a larger file, and `OSError` where the file is missing
    or unreachable.
    """
    _ordinary((path.stat() if follow else path.lstat()).st_mode)
    handle = os.open(path, os.O_RDONLY | (0 if follow else os.O_NOFOLLOW) | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        _ordinary(status.st_mode)  # it may have been replaced
        bounded(status.st_size, most)
        yield file


def bounded(size: int | None, most: int) -> None:
    """Raises `Refused` where a file has more than `most` bytes; an unknown size (None) passes."""
    if size is not None and size > most:
        raise Refused(f"has {size / MEBIBYTE:,.0f} MiB, more than the {most / MEBIBYTE:,.0f} MiB allowed")


def content(path: Path, most: int, follow: bool = False) -> bytes:
    """All of an ordinary file. Raises as `opened` does."""
    with opened(path, most, follow) as file:
        read = file.read(most + 1)  # it may have grown
    bounded(len(read), most)
    return read


def digest(path: Path, most: int) -> str:
    """The sha256 of an ordinary file. Raises as `opened` does."""
    with opened(path, most) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_object(text: str | bytes, most: int = MOST_TEXT) -> dict:
    """A JSON object; raises `Refused` where the text is too long, is not JSON or is not an object."""
    bounded(len(text), most)
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):  # such as a hundred thousand nested brackets
        raise Refused("cannot be read as JSON") from None
    if not isinstance(value, dict):
        raise Refused("is not a JSON object")
    return value


def strings(values: dict) -> dict[str, str]:
    """A JSON object whose values are all texts; raises `Refused` where one is not."""
    if odd := [name for name, value in values.items() if not isinstance(value, str)]:
        raise Refused(f"holds a value for {odd[0][:50]!r} that is not a text")
    return values


def one_line(text: object, most: int = 200) -> str:
    """A foreign text as one printable line."""
    line = "".join(letter if letter.isprintable() else " " for letter in str(text)[: 4 * most])
    return " ".join(line.split())[:most]


def _ordinary(mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise Refused("is a link")
    if stat.S_ISDIR(mode):
        raise Refused("is a folder")
    if not stat.S_ISREG(mode):
        raise Refused("is not an ordinary file, but a device, a FIFO or a socket")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")
