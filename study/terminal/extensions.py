"""Extensions: a user's modules, named in the environment. Each registers cells, data sets, measurements or claims on import.

A stored run cannot name one: only the user of this machine decides what is imported.
"""

from __future__ import annotations

import importlib
import os
from functools import cache

from study.terminal.errors import InputError, quoted, reason

EXTENSIONS = "HIDDEN_ORBITS_EXTENSIONS"


@cache
def load_extensions() -> tuple[str, ...]:
    """Imports the modules named in the environment variable `HIDDEN_ORBITS_EXTENSIONS`, separated by commas; returns their names.

    Raises `InputError` where one cannot be imported.
    """
    names = tuple(name for part in os.environ.get(EXTENSIONS, "").split(",") if (name := part.strip()))
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever a module does when it is imported
            raise InputError(
                f"{EXTENSIONS}={quoted(name)}: this module cannot be imported ({reason(error)}); expected names of Python modules "
                "in the current folder or on PYTHONPATH, separated by commas"
            ) from None
    return names
