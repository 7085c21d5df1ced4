"""The data sets by name, whatever their kind: found, checked, and read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from study.data import digits, idx, own, places, tasks
from study.data.images import LEAST_ROWS, MOST_ROWS, ORDERS, DataShape, Images, Order
from study.data.own import FILES, OWN, OwnSource, name_and_folder
from study.data.places import DATA_DIR
from study.data.source import DataSource
from study.files.targets import nameable
from study.terminal.errors import InputError, quoted, reason

__all__ = [
    "ACCEPTED",
    "DATASETS",
    "DATA_DIR",
    "ORDERS",
    "OWN",
    "DataShape",
    "DataSource",
    "Images",
    "Order",
    "checked_data_dir",
    "kind_of",
    "known_as",
    "load_images",
    "name_and_folder",
    "prepare_data",
    "training_images",
]

DATASETS = {  # by name, in words
    "mnist": "MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "kmnist": "KMNIST",
    "digits": "scikit-learn's digits",
    "delayed-match": "delayed match-to-sample",
    "flip-flop": "three-bit flip-flop",
}
KINDS: dict[str, type[DataSource]] = {
    **dict.fromkeys(idx.KNOWN, idx.IdxSource),
    "digits": digits.DigitsSource,
    **dict.fromkeys(tasks.TASKS, tasks.TaskSource),
}
ACCEPTED = f"one of: {', '.join(DATASETS)}; or a path to your own data: an .npz, an .nc, or a folder of .npy files (docs/data.md)"


def kind_of(name: object) -> type[DataSource]:
    """What reads the data set of this name; raises `InputError` where there is none, and for a path.

    A stored study may name anything, even something that cannot be a key.
    """
    if isinstance(name, str) and name in KINDS:
        return KINDS[name]
    if own.is_name(name):
        return OwnSource
    raise InputError(f"dataset={str(name)[:40]!r}: expected {ACCEPTED}")


def known_as(name: str) -> str:
    """The name by which stored networks know their data set: that of one's own is known by its digest alone."""
    return name if name in DATASETS else OWN


def training_images(name: str) -> int | None:
    """How many training images the data set of this name has; None where that is known only once it is found."""
    if name in idx.KNOWN:
        return idx.KNOWN[name].training_images
    return {"digits": digits.TRAINING_IMAGES, **dict.fromkeys(tasks.TASKS, tasks.TRAINING_IMAGES)}.get(name)


def prepare_data(
    name: str, data_dir: Path, digest: str | None = None, rows: int | Literal["all"] = "all", order: Order = "rows"
) -> DataSource:
    """Finds a data set, checks it, and makes it readable on this machine.

    `name` is one of `DATASETS`, or that of a file or folder of one's own in `data_dir` (`name_and_folder`). A relative `data_dir`
    is searched for in `places.ROOTS`. Networks read the images in this `order` (`Images.in_order`), and so many `rows` of them,
    ``all`` or another number (`Images.with_rows`). Raises `InputError`, naming the file, where one is missing, damaged or none of a
    data set. If a `digest` is given and is not this data set's, it raises before anything is unpacked.
    """
    source = replace(kind_of(name).found(name, data_dir), order=order)
    if rows != "all":
        source = source.with_rows(rows)
    if digest not in (None, source.digest):
        raise InputError(
            f"{source.whereabouts} is not the study's data set (digest {source.digest[:12]}, expected "
            f"{str(digest)[:12]!r}): restore that data set, or name the folder that holds it"
        )
    source.prepare()
    if not LEAST_ROWS <= (read := source.shape.rows) <= MOST_ROWS:
        raise InputError(
            f"images of {name} have {read} row{'s' * (read != 1)} as they are read (rows={rows}, order={order}); expected "
            f"{LEAST_ROWS} to {MOST_ROWS:,}, of which some can be blank"
        )
    return source


def load_images(source: DataSource, train: bool) -> Images:
    """The training or the test images of a prepared data set, which is prepared again if necessary.

    Raises `InputError`, naming the file, where they are not images with one label each.
    """
    return source.images(train)


def checked_data_dir(value: str | None) -> Path:
    """The data folder that a user names, else the project's; raises `InputError` where it holds no data set.

    It may also be a data set of the user's own itself.
    """
    accepted = f"expected the folder that holds the data set's, such as data, or a data set of your own ({', '.join(FILES)}, .npy)"
    if value is None:
        return DATA_DIR
    try:
        path = Path(nameable(value))
        if not any(own.holds_data(place) or any((place / name).is_dir() for name in idx.KNOWN) for place in places.searched(path)):
            raise ValueError("there is no data set in it")
    except (ValueError, OSError) as error:
        raise InputError(f"data_dir={quoted(value)}: {reason(error)}; {accepted}") from None
    return path
