"""Errors that a user can act on: one line that says what was given, what is accepted and what to do."""

from __future__ import annotations

import re

from study.terminal.credentials import without_credentials, without_user_names

LONGEST = 4096  # characters of a foreign text that are examined: regular expressions would be slow on more


class InputError(Exception):
    """A mistake in the input of a command; it ends the command with this message and status 2."""

    def __init__(self, message: str):
        super().__init__(without_credentials(message))


class StudyError(Exception):
    """An external failure that stops a study; it ends the command with this message and `status`."""

    def __init__(self, message: str, status: int = 1):
        super().__init__(without_credentials(message))
        self.status = status


def reason(error: BaseException) -> str:
    """The message of an error in one line, without credentials."""
    text = str(error).strip() or type(error).__name__
    # Of a chain of errors from a network or database library, the root cause.
    bottom = re.search(r"Caused by \w+\([\"']?(.*?)[\"']?\)\)?$|\(\w+\.\w*Error\) .*", text, re.MULTILINE)
    first = (bottom[1] or bottom[0] if bottom else text).split("\n")[0][:LONGEST]
    return " ".join(without_user_names(without_credentials(first)).split())[:200]


def quoted(value: object, most: int = 80) -> str:
    """A value as messages quote it: in one line, cut to `most` characters, control characters escaped, without credentials."""
    text = str(value)
    shown = without_credentials(text[:LONGEST])
    cut = printable(shown[:most])
    return cut if len(shown) <= most else f"{cut}... ({len(text):,} characters)"


def printable(text: str) -> str:
    """A text with its control characters escaped: none of them moves the cursor or starts a line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


RUN_ID = "[0-9a-f]{32}"


def checked_study(study: str) -> str:
    """Checks that a text can name a study (an MLflow run id, or ``latest``); raises `InputError` before any store is asked."""
    if not re.fullmatch(f"latest|{RUN_ID}", study):
        raise InputError(
            f"study={quoted(study)}: the tracking store has no such run; expected a study's run id, of 32 hexadecimal "
            "digits, or latest"
        )
    return study


def checked_studies(name: str, text: str) -> list[str]:
    """Run ids separated by commas, or none of them (``none``); raises `InputError` as `checked_study` does."""
    studies = [] if text == "none" else text.split(",")
    if len(set(studies)) < len(studies) or not all(re.fullmatch(RUN_ID, study) for study in studies):
        raise InputError(
            f"{name}={quoted(text)}: expected run ids of studies, of 32 hexadecimal digits each, separated by commas and none of "
            "them twice, or none"
        )
    return studies
