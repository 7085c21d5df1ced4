"""Files that exist completely or not at all, even after a crash or on a full disk."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from glob import escape
from pathlib import Path
from uuid import uuid4

from study.terminal.errors import StudyError


def write(target: Path, content: bytes) -> None:
    """Replaces the content of `target`; a reader sees the old file or the new one, never a partial one.

    Raises `StudyError` where it cannot be written; in that case nothing has changed.
    """
    temporary = target.with_name(f"{_of(target)}{uuid4().hex}.part")  # tempfile would make it unreadable for others
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
    """Temporary files for `target` that killed processes left behind."""
    return list(target.parent.glob(f"{escape(_of(target))}*.part"))


def _of(target: Path) -> str:
    """The prefix of the temporary files for a target; it is shortened, because a file name has at most 255 bytes."""
    return f".{os.fsencode(target.name)[:150].decode(errors='ignore')}."


def cannot_write(target: Path, error: OSError) -> StudyError:
    """The error for a file that cannot be written."""
    return StudyError(
        f"{target} cannot be written ({error.strerror or error}): make room or give access, then run the same "
        "command again; it resumes from what is stored"
    )


def sync_folder(folder: Path) -> None:
    """Makes the file names in a folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(path: Path) -> str:
    """The sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
