"""What a person can act on: one line that says what was given, what is accepted and what to do."""

from __future__ import annotations

from pathlib import Path


class InputError(Exception):
    """A mistake in what was handed to a command; it ends the command with this message and status 2."""


def checked_target(name: str, path: Path) -> Path:
    """The path of a file to be written, where it can be; raises `InputError`, naming the parameter, where it cannot."""
    if not path.parent.is_dir() or path.is_dir():
        raise InputError(f"{name}={path}: expected a file name in a folder that exists, such as {path.name or 'report.pdf'}")
    return path
