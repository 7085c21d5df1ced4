"""Files that are there whole or not at all, also after a crash or on a full disk."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from glob import escape
from pathlib import Path
from uuid import uuid4

from study.terminal.errors import StudyError


def write(target: Path, content: bytes) -> None:
    """Puts `content` into the place of `target`; a reader finds the old file or the new one, never a torn one.

    Raises `StudyError` where it cannot be written; then nothing has changed.
    """
    temporary = target.with_name(f"{_of(target)}{uuid4().hex}.part")  # not tempfile's: that lets nobody else read it
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise cannot_write(target, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def left_behind(target: Path) -> list[Path]:
    """What kills have left of files that were to take the place of `target`."""
    return list(target.parent.glob(f"{escape(_of(target))}*.part"))


def _of(target: Path) -> str:
    """How the names of temporary files begin, which say whose they are; a name has 255 bytes at most."""
    return f".{os.fsencode(target.name)[:150].decode(errors='ignore')}."


def cannot_write(target: Path, error: OSError) -> StudyError:
    """What to say where the disk refuses."""
    return StudyError(
        f"{target} cannot be written ({error.strerror or error}): make room or give access, then run the same "
        "command again; it goes on from what is stored"
    )


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(path: Path) -> str:
    """The sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
