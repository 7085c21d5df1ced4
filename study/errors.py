"""What a person can act on: one line that says what was given, what is accepted and what to do."""

from __future__ import annotations

import re
from pathlib import Path


class InputError(Exception):
    """A mistake in what was handed to a command; it ends the command with this message and status 2."""


class StudyError(Exception):
    """Something outside that keeps a study from going on; it ends the command with this message and `status`."""

    def __init__(self, message: str, status: int = 1):
        super().__init__(message)
        self.status = status


def reason(error: BaseException) -> str:
    """What an error says, in one line without any credentials of an address in it."""
    text = str(error).strip() or type(error).__name__
    # Of a chain of errors, told by a library around a network or a database, what lies at the bottom.
    bottom = re.search(r"Caused by \w+\([\"']?(.*?)[\"']?\)\)?$|\(\w+\.\w*Error\) .*", text, re.MULTILINE)
    first = (bottom[1] or bottom[0] if bottom else text).split("\n")[0]
    return " ".join(without_credentials(first).split())[:200]


def without_credentials(text: str) -> str:
    """A text whose addresses have lost their user name and password (``scheme://user:password@host``), and other secrets.

    A password may hold ``/`` and ``@``; where it cannot be told from a path, too much is cut rather than too little.
    """
    text = re.sub(r"://[^/\s]*@", "://", text)
    text = re.sub(r"://[^/:@\s]*:[^@\s]*@", "://", text)
    return re.sub(r"(?i)\b(password|passwd|pwd|token|secret)=[^&\s'\")]+", r"\1=***", text)


def checked_target(name: str, path: Path) -> Path:
    """The path of a file to be written, where it can be; raises `InputError`, naming the parameter, where it cannot."""
    if not path.parent.is_dir() or path.is_dir():
        raise InputError(f"{name}={path}: expected a file name in a folder that exists, such as {path.name or 'report.pdf'}")
    return path
