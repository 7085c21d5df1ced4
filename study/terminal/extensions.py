"""Modules of a person's own, named in the environment: each registers cells, data sets, measurements or claims when it is imported.

No stored run can name one: what is imported is for the person at this machine to say.
"""

from __future__ import annotations

import importlib
import os
from functools import cache

from study.terminal.errors import InputError, quoted, reason

EXTENSIONS = "HIDDEN_ORBITS_EXTENSIONS"


@cache
def load_extensions() -> tuple[str, ...]:
    """Imports the modules that the environment variable `HIDDEN_ORBITS_EXTENSIONS` names, separated by commas; their names.

    Raises `InputError` where one cannot be imported.
    """
    names = tuple(name for part in os.environ.get(EXTENSIONS, "").split(",") if (name := part.strip()))
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever a module does when it is imported
            raise InputError(
                f"{EXTENSIONS}={quoted(name)}: this module cannot be imported ({reason(error)}); expected names of Python modules "
                "that the current folder or PYTHONPATH holds, separated by commas"
            ) from None
    return names
