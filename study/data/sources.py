"""The data sets: shipped files, checked against their digests, unpacked into a cache, read by torchvision.

Nothing on the disk is trusted, neither a foreign folder nor the cache: only the four known files are read or written, up to a size
limit, and their digests are compared before each use.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch

from study.data.torchvision_operators import import_datasets
from study.files import durable, untrusted
from study.files.targets import nameable, nearest
from study.files.untrusted import Refused
from study.terminal.errors import InputError, StudyError, quoted, reason

DATASETS = {"mnist": "MNIST"}  # our name -> the folder torchvision expects
# The data digest covers their digests in this order: that keeps the digest of MNIST, and swapping two files changes it.
FILES = ("t10k-images-idx3-ubyte", "train-labels-idx1-ubyte", "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
TRAIN_LABELS = "train-labels-idx1-ubyte"  # these determine the number of classes
SUMS = "SHA256SUMS"
MOST = 256 << 20  # bytes of a file, packed or unpacked: more than 300,000 images of MNIST's size
PROJECT = Path(__file__).resolve().parents[2]
# Where a relative data folder is searched: the current folder, the checkout, and where an installation puts the project's data.
ROOTS = (Path(), PROJECT, Path(sys.prefix) / "share" / "hidden-orbits")
DATA_DIR = next((root / "data" for root in ROOTS[1:] if (root / "data").is_dir()), PROJECT / "data")
CACHE = Path(
    os.environ.get("HIDDEN_ORBITS_CACHE")
    or (PROJECT / ".cache" if (PROJECT / "MLproject").is_file() else Path.home() / ".cache" / "hidden-orbits")
)
ADVICE = "restore it from the project's repository (git checkout -- data)"


@dataclass(frozen=True)
class DataShape:
    """What a data set's images have in common: `rows`, `features` (the pixels of a row) and `classes`."""

    rows: int
    features: int
    classes: int


@dataclass(frozen=True)
class DataSource:
    """A checked data set: its name, the parent of its folder, the sha256 of each unpacked file, and the number of `rows` that
    networks read of an image, None for the image's own."""

    name: str
    data_dir: Path
    digests: Mapping[str, str]
    rows: int | None = None

    @property
    def digest(self) -> str:
        """The digest of all files together and of another number of rows, which identifies the data of studies and networks."""
        return self._of_files if self.rows is None else hashlib.sha256(f"{self._of_files} rows={self.rows}".encode()).hexdigest()

    @property
    def _of_files(self) -> str:
        return hashlib.sha256("".join(self.digests[file] for file in FILES).encode()).hexdigest()

    @property
    def root(self) -> Path:
        """The folder that torchvision reads, in this machine's cache."""
        return CACHE / "datasets" / f"{self.name}-{self._of_files[:12]}"

    @property
    def folder(self) -> Path:
        """The folder of the shipped files on this machine; a relative one is searched for in `ROOTS`."""
        here = self.data_dir / self.name
        return next((root / here for root in ROOTS if _is_folder(root / here)), here)

    @property
    def raw(self) -> Path:
        """The folder of the unpacked files."""
        return self.root / DATASETS[self.name] / "raw"

    @cached_property
    def shape(self) -> DataShape:
        """The shape of the images, from the prepared files."""
        return load_images(self, train=False).shape

    def packed(self, file: str) -> Path:
        """The shipped file that unpacks to `file`."""
        return self.folder / f"{file}.gz"


@dataclass(frozen=True)
class Images:
    """Images `[N, rows, pixels]`, read row by row, their labels int64 `[N]`, the number of `classes` (by default one more than the
    largest label) and the `names` of the classes (by default their numbers).

    Pixels are uint8, of which networks see a 255th part, or float32, which they see as they are (`study.networks.network.scaled`).
    """

    images: torch.Tensor
    labels: torch.Tensor
    classes: int = 0
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.classes:
            object.__setattr__(self, "classes", int(self.labels.max()) + 1)
        if not self.names:
            object.__setattr__(self, "names", tuple(map(str, range(self.classes))))

    @property
    def shape(self) -> DataShape:
        _, rows, features = self.images.shape
        return DataShape(rows, features, self.classes)

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Images:
        return replace(self, images=self.images[:count], labels=self.labels[:count])

    def to(self, device: torch.device | str) -> Images:
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def with_rows(self, rows: int) -> Images:
        """The images with fewer rows, each the mean of as many neighbours, or with more, each shown several times in a row.

        Raises `ValueError` where neither number of rows divides the other.
        """
        _, present, features = self.images.shape
        if present % rows == 0:
            together = present // rows
            parts = self.images.unflatten(1, (rows, together))
            if parts.is_floating_point():
                images = parts.mean(dim=2)
            else:
                images = ((parts.sum(dim=2, dtype=torch.int32) + together // 2) // together).to(torch.uint8)  # rounded
        elif rows % present == 0:
            images = self.images.repeat_interleave(rows // present, dim=1)
        else:
            raise ValueError(f"{rows} rows of images that have {present}")
        return replace(self, images=images.reshape(-1, rows, features))


def prepare_data(name: str, data_dir: Path, digest: str | None = None, rows: int | Literal["all"] = "all") -> DataSource:
    """Checks the shipped files of a data set and unpacks them into the cache.

    `data_dir/name` holds `SHA256SUMS` with the digests of the unpacked files, and each file gzip-compressed. A relative `data_dir`
    is searched for in `ROOTS`. Raises `InputError`, naming the file, where one is missing, cut short, altered, not a regular file
    or too large, and where the files do not form a data set. If a `digest` is given and is not this data set's, it raises before
    anything is unpacked. Networks read `rows` of an image, ``all`` or another number of them (`Images.with_rows`).
    """
    source = _described(name, data_dir)
    if rows != "all":
        source = _with_rows(source, rows)
    if digest not in (None, source.digest):
        raise InputError(
            f"{source.folder} is not the study's data set (digest {source.digest[:12]}, expected "
            f"{str(digest)[:12]!r}): restore that data set, or name the folder that holds it"
        )
    _unpack(source)
    train, test = load_images(source, train=True), load_images(source, train=False)
    if train.images.shape[1:] != test.images.shape[1:]:
        sizes = [f"{images.images.shape[1]} x {images.images.shape[2]}" for images in (train, test)]
        raise InputError(
            f"{source.packed(FILES[0])} holds images of {sizes[1]} pixels, but the training images have {sizes[0]}: "
            "expected one size"
        )
    return source


def _with_rows(source: DataSource, rows: int) -> DataSource:
    """The same data set with another number of rows; raises `InputError` where its images cannot have so many."""
    present = source.shape.rows
    if present % rows and rows % present:
        raise InputError(
            f"rows={rows}: images of {source.name} have {present} rows; expected all, or a number that divides {present} (rows are "
            "then averaged) or is a multiple (each row is then shown several times)"
        )
    return replace(source, rows=None if rows == present else rows)


def prepare_here(source: DataSource, files: Iterable[str] = FILES) -> None:
    """Unpacks a data set again if this machine's cache does not hold its `files` as they were prepared.

    Raises `InputError` where this machine's files are missing or differ from those prepared.
    """
    if all(_holds(source.raw / file, source.digests[file]) for file in files):
        return
    here = _described(source.name, source.data_dir)
    if here.digests != source.digests:
        raise InputError(f"{here.folder} on this machine is not the coordinator's data set: copy the files from one to the other")
    _unpack(here)


def load_images(source: DataSource, train: bool) -> Images:
    """The training or the test images of a prepared data set, which is unpacked again if the cache does not hold it.

    Raises `InputError`, naming the file, where they are not images with one label each.
    """
    part = "train" if train else "t10k"
    images, labels = (f"{part}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1"))
    prepare_here(source, (images, labels, TRAIN_LABELS))
    import_datasets()
    from torchvision.datasets.mnist import read_image_file, read_label_file

    train_labels = _read(read_label_file, source, TRAIN_LABELS, "[labels]")
    read = Images(
        _read(read_image_file, source, images, "[images, rows, pixels]"),
        train_labels if train else _read(read_label_file, source, labels, "[labels]"),
        int(train_labels.max()) + 1,
    )
    if len(read.images) != len(read.labels):
        raise InputError(
            f"{source.packed(labels)} holds {len(read.labels)} labels for {len(read.images)} images: expected one label per image"
        )
    if read.labels.max() >= read.classes:
        raise InputError(
            f"{source.packed(labels)} holds the label {int(read.labels.max())}: expected labels from 0 to {read.classes - 1}"
        )
    return read if source.rows is None else read.with_rows(source.rows)


def checked_data_dir(value: str | None) -> Path:
    """The data folder that a user names, else the project's; raises `InputError` where it holds no data set."""
    accepted = "expected the folder that holds the data set's folder, such as data"
    if value is None:
        return DATA_DIR
    try:
        path = Path(nameable(value))
        if not any((place / name).is_dir() for place in (root / path for root in ROOTS) for name in DATASETS):
            raise ValueError("there is no data set in it")
    except (ValueError, OSError) as error:
        raise InputError(f"data_dir={quoted(value)}: {reason(error)}; {accepted}") from None
    return path


def checked_training_images(source: DataSource, count: int) -> None:
    """Raises `InputError` where a data set has fewer than `count` training images."""
    available = len(load_images(source, train=True))
    if count > available:
        raise InputError(f"train_images={count}: {source.name} has {available} training images; expected at most as many")


def _described(name: str, data_dir: Path) -> DataSource:
    """The data set according to `SHA256SUMS`, before any other file is read."""
    if name not in list(DATASETS):  # a stored study may name anything, even something that cannot be a key
        raise InputError(f"dataset={str(name)[:40]!r}: expected one of: {', '.join(DATASETS)}")
    source = DataSource(name, data_dir, {})
    sums = source.folder / SUMS
    try:
        lines = untrusted.content(sums, 1 << 16, follow=True).decode().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"no data set {name} under data_dir={data_dir}: {sums} is missing; {ADVICE}, or name the folder that holds {name}/"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{sums} is not a text file: expected lines with a digest and a file name; {ADVICE}") from None
    except Refused as refusal:
        raise InputError(f"{sums} {refusal}; {ADVICE}") from None
    except OSError as error:
        raise InputError(f"{sums} cannot be read ({reason(error)}); {ADVICE}") from None
    digests: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        fields = re.fullmatch(r"([0-9a-fA-F]{64})\s+(\S+)", line)
        if fields is None or fields[2] not in FILES or fields[2] in digests:
            raise InputError(
                f"line {number} of {sums} is {line[:120]!r}: expected 64 hexadecimal digits and one of the names "
                f"{', '.join(sorted(FILES))}, each once; {ADVICE}"
            )
        digests[fields[2]] = fields[1].lower()
    if missing := sorted(set(FILES) - set(digests)):
        raise InputError(f"{sums} does not name {', '.join(missing)}; {ADVICE}")
    return replace(source, digests=digests)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # for example, the name is too long
        return False


def _unpack(source: DataSource) -> None:
    """Checks every shipped file, and unpacks those that the cache lacks; raises `InputError` where the cache cannot be a folder."""
    try:
        nameable(CACHE)
        if not nearest(CACHE).is_dir():
            raise ValueError("this is a file")
    except (ValueError, OSError) as error:
        raise InputError(
            f"HIDDEN_ORBITS_CACHE={quoted(CACHE)}: {reason(error)}; expected a folder that you can write to, which is "
            "created if necessary, or leave it unset"
        ) from None
    for file, digest in source.digests.items():
        content = _content(source.packed(file))
        if hashlib.sha256(content).hexdigest() != digest:
            raise InputError(f"{source.packed(file)} is altered: its content does not match {SUMS}; {ADVICE}")
        if not _holds(source.raw / file, digest):
            durable.write(source.raw / file, content)


def _content(packed: Path) -> bytes:
    """The unpacked content of a gzip file, up to the size that a data set may have."""
    unpacking = zlib.decompressobj(wbits=31)
    try:
        content = unpacking.decompress(untrusted.content(packed, MOST, follow=True), MOST)
    except FileNotFoundError:
        raise InputError(f"{packed} is missing; {ADVICE}") from None
    except zlib.error:
        raise InputError(f"{packed} is cut short or damaged; {ADVICE}") from None
    except Refused as refusal:
        raise InputError(f"{packed} {refusal}; {ADVICE}") from None
    except OSError as error:
        raise InputError(f"{packed} cannot be read ({reason(error)}); {ADVICE}") from None
    if len(content) == MOST:
        raise InputError(f"{packed} is too large: it unpacks to {MOST >> 20} MiB or more; {ADVICE}")
    if not unpacking.eof or unpacking.unused_data:
        raise InputError(f"{packed} is cut short or damaged; {ADVICE}")
    return content


def _holds(path: Path, digest: str) -> bool:
    """Whether there is a regular file with this digest."""
    try:
        return untrusted.digest(path, MOST) == digest
    except (OSError, Refused):
        return False


def _read(reader: Callable[[str], torch.Tensor], source: DataSource, file: str, shape: str) -> torch.Tensor:
    """Reads an IDX file with one of torchvision's readers, whose errors say little."""
    path = source.raw / file
    try:
        return reader(str(path))
    except OSError as error:
        raise StudyError(f"{path} was removed while it was read ({reason(error)}): run the same command again") from None
    except (AssertionError, KeyError, TypeError, ValueError, RuntimeError):
        raise InputError(
            f"{source.packed(file)} does not unpack to an IDX file of at least one unsigned byte, {shape}, as many as "
            f"its header says; {ADVICE}"
        ) from None
