"""Where data sets are looked for, and the cache."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# Where a relative data folder is searched: the current folder, the checkout, and where an installation puts the project's data.
ROOTS = (Path(), PROJECT, Path(sys.prefix) / "share" / "hidden-orbits")
DATA_DIR = next((root / "data" for root in ROOTS[1:] if (root / "data").is_dir()), PROJECT / "data")
CACHE = Path(
    os.environ.get("HIDDEN_ORBITS_CACHE")
    or (PROJECT / ".cache" if (PROJECT / "MLproject").is_file() else Path.home() / ".cache" / "hidden-orbits")
)


def searched(path: Path) -> Iterator[Path]:
    """The places where a relative path may lie; an absolute one has one place only."""
    yield from dict.fromkeys(root / path for root in ROOTS)


def is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # for example, the name is too long
        return False


def is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False
