"""What a person can act on: one line that says what was given, what is accepted and what to do."""

from __future__ import annotations

from pathlib import Path

from study.credentials import without_credentials, without_user_names

__all__ = ["InputError", "StudyError", "checked_target", "reason", "without_credentials"]


class InputError(Exception):
    """A mistake in what was handed to a command; it ends the command with this message and status 2."""

    def __init__(self, message: str):
        super().__init__(without_credentials(message))


class StudyError(Exception):
    """Something outside that keeps a study from going on; it ends the command with this message and `status`."""

    def __init__(self, message: str, status: int = 1):
        super().__init__(without_credentials(message))
        self.status = status


def reason(error: BaseException) -> str:
    """What an error says, in one line without any credentials in it."""
    first = (str(error).strip() or type(error).__name__).split("\n")[0]
    return " ".join(without_user_names(without_credentials(first)).split())[:200]


def checked_target(name: str, path: Path) -> Path:
    """The path of a file to be written, where it can be; raises `InputError`, naming the parameter, where it cannot."""
    if not path.parent.is_dir() or path.is_dir():
        raise InputError(f"{name}={path}: expected a file name in a folder that exists, such as {path.name or 'report.pdf'}")
    return path
