"""Output files and folders, checked before any work is done."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from study.terminal.errors import InputError, quoted


def checked_target(name: str, value: str | Path) -> Path:
    """The path of an output file: a new or an ordinary one, in a folder that can be written to.

    The output replaces what is there. Anything but an ordinary file, such as a device or a link, therefore raises `InputError`,
    which names the parameter.
    """
    accepted = "expected a new or an ordinary file, in a folder that exists and that you can write to, such as report.pdf"
    with _said_of(name, value, accepted):
        if str(value).rpartition("/")[2] in ("", ".", ".."):
            raise ValueError("this is not a file name")
        path = Path(nameable(value))
        if _kind(path) not in ("new", "file"):
            raise ValueError(f"this is a {_kind(path)}")
        if path.exists() and not os.access(path, os.W_OK):
            raise ValueError("this file is read-only")
        take_a_file(path.parent)
    return path


def checked_folder(name: str, value: str | Path, files: Iterable[str], inner: str = ".") -> Path:
    """The path of an output folder, which may get an `inner` folder. Both may be new or exist already; files in them whose names
    match the patterns `files` must be ordinary files. Raises `InputError` otherwise.
    """
    accepted = "expected a folder that you can write to, which is created if necessary"
    with _said_of(name, value, accepted):
        path = Path(nameable(value))
        for folder in (path, path / inner):
            if _kind(folder) not in ("new", "folder"):
                raise ValueError(f"{'this' if folder == path else quoted(folder)} is a {_kind(folder)}")
            if odd := [file for pattern in files for file in folder.glob(pattern) if _kind(file) != "file"]:
                raise ValueError(f"{quoted(odd[0])} in it is a {_kind(odd[0])}")
        take_a_file(nearest(path))
    return path


def nameable(path: str | Path) -> str | Path:
    """A path that a file system can have and a line can show; raises `ValueError` for any other."""
    text = str(path)
    if not text or any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError("this is empty" if not text else "this has control characters")
    if len(text.encode()) > 4000 or max(len(part.encode()) for part in text.split("/")) > 255:
        raise ValueError("this is too long for a path")
    return path


@contextmanager
def _said_of(name: str, value: str | Path, accepted: str) -> Iterator[None]:
    """Turns what is wrong with a path into an `InputError`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{name}={quoted(value)}: it cannot be written ({error.strerror or error}); {accepted}") from None
    except ValueError as error:
        raise InputError(f"{name}={quoted(value)}: {error}; {accepted}") from None


def _kind(path: Path) -> str:
    """The kind of file at a path, without following links; ``new`` where there is none."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return "new"
    kinds = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "folder",
        stat.S_IFLNK: "symbolic link",
        stat.S_IFIFO: "pipe",
        stat.S_IFSOCK: "socket",
    }
    return kinds.get(stat.S_IFMT(mode), "device")


def nearest(path: Path) -> Path:
    """The path itself if it exists, else the nearest folder above it that does."""
    return next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))


def take_a_file(folder: Path) -> None:
    """Creates a file in a folder and removes it: access rights alone say little about read-only disks, /proc or root's rights.

    Raises `OSError` where no file can be created.
    """
    probe = folder / f".{uuid4().hex}.part"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise OSError(error.errno, f"no file can be created in {folder}: {error.strerror}") from None
