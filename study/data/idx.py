"""MNIST and the data sets in its format: four files, checked against digests, unpacked into a cache, read by torchvision.

Nothing on the disk is trusted, neither a foreign folder nor the cache: only the four known files are read or written, up to a size
limit, and their digests are compared before each use.
"""

from __future__ import annotations

import hashlib
import re
import socket
import zlib
from collections.abc import Callable, Iterable
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import torch

from study.data import places
from study.data.images import Images
from study.data.source import DataSource
from study.data.torchvision_operators import import_datasets
from study.files import durable, untrusted
from study.files.targets import nameable, nearest
from study.files.untrusted import Refused
from study.terminal.errors import InputError, StudyError, quoted, reason

# The data digest covers their digests in this order: that keeps the digest of MNIST, and swapping two files changes it.
FILES = ("t10k-images-idx3-ubyte", "train-labels-idx1-ubyte", "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
TRAIN_LABELS = "train-labels-idx1-ubyte"  # these determine the number of classes
SUMS = "SHA256SUMS"
MOST = 256 << 20  # bytes of a file, packed or unpacked: more than 300,000 images of MNIST's size
DEBIAN = Path("/usr/share/datasets")  # where packages such as dataset-fashion-mnist put theirs
SILENCE = 20  # seconds without an answer that end a download
IN_REPOSITORY = "restore it from the project's repository (git checkout -- data)"


@dataclass(frozen=True)
class Known:
    """A data set of this format: torchvision's name for it, the number of its training images, the names of its classes (their
    numbers, where none are given) and the sha256 of its unpacked `FILES`.

    Without digests they stand in `SHA256SUMS` beside the files (``shipped``), or the packed files are compared with the md5 that
    torchvision knows.
    """

    torchvision: str
    training_images: int = 60_000
    shipped: bool = False
    classes: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()


KNOWN = {
    "mnist": Known("MNIST", shipped=True),
    "fashion-mnist": Known(
        "FashionMNIST",
        classes=("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"),
        digests=(
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    "kmnist": Known("KMNIST", classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")),
}


@dataclass(frozen=True)
class IdxSource(DataSource):
    """A data set of four gzip-compressed files in the format of MNIST; the digests are those of the unpacked files."""

    @classmethod
    def found(cls, name: str, data_dir: Path) -> IdxSource:
        source, known = cls(name, data_dir, {}), KNOWN[name]
        if known.shipped:
            return cls(name, data_dir, source._listed())
        if not _complete(source.folder):
            source._download()
        return cls(name, data_dir, dict(zip(FILES, known.digests, strict=True)) if known.digests else source._checked_by_md5())

    def prepare(self, files: Iterable[str] = FILES) -> None:
        """Unpacks the data set if this machine's cache does not hold its `files` as they were prepared."""
        if all(_holds(self.raw / file, self.digests[file]) for file in files):
            return
        here = self.found(self.name, self.data_dir)
        if here.digests != self.digests:
            raise InputError(
                f"{here.folder} on this machine is not the coordinator's data set: copy the files from one to the other"
            )
        here.unpack()

    def stored(self, train: bool) -> Images:
        part = "train" if train else "t10k"
        images, labels = (f"{part}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1"))
        self.prepare((images, labels, TRAIN_LABELS))
        import_datasets()
        from torchvision.datasets.mnist import read_image_file, read_label_file

        train_labels = self._read(read_label_file, TRAIN_LABELS, "[labels]")
        classes = int(train_labels.max()) + 1
        read = Images(
            self._read(read_image_file, images, "[images, rows, pixels]"),
            train_labels if train else self._read(read_label_file, labels, "[labels]"),
            classes,
            KNOWN[self.name].classes if classes == len(KNOWN[self.name].classes) else (),
        )
        if len(read.images) != len(read.labels):
            raise InputError(
                f"{self.packed(labels)} holds {len(read.labels)} labels for {len(read.images)} images: expected one label per image"
            )
        if read.labels.max() >= classes:
            raise InputError(
                f"{self.packed(labels)} holds the label {int(read.labels.max())}: expected labels from 0 to {classes - 1}"
            )
        return read

    def unpack(self) -> None:
        """Checks every packed file, unpacks those that the cache lacks, and checks that they belong together.

        Raises `InputError`, naming the file, where one is missing, cut short, altered, not a regular file or too large, where the
        files do not form a data set, and where the cache cannot be a folder.
        """
        _check_cache()
        for file, digest in self.digests.items():
            content = self._unpacked(file)
            if hashlib.sha256(content).hexdigest() != digest:
                against = SUMS if KNOWN[self.name].shipped else "the known digest"
                raise InputError(f"{self.packed(file)} is altered: its content does not match {against}; {self.advice}")
            if not _holds(self.raw / file, digest):
                durable.write(self.raw / file, content)
        sizes = [self.stored(train).images.shape[1:] for train in (True, False)]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"{self.packed(FILES[0])} holds images of {sizes[1][0]} x {sizes[1][1]} pixels, but the training images have "
                f"{sizes[0][0]} x {sizes[0][1]}: expected one size"
            )

    @property
    def root(self) -> Path:
        """The folder that torchvision reads, in this machine's cache."""
        return places.CACHE / "datasets" / f"{self.name}-{self.of_parts[:12]}"

    @property
    def raw(self) -> Path:
        """The folder of the unpacked files."""
        return self.root / KNOWN[self.name].torchvision / "raw"

    @property
    def folder(self) -> Path:
        """The folder of the packed files on this machine: `data_dir/name`; other data sets than the shipped one are also taken from
        torchvision's folder in `data_dir`, a package of Debian's, or an earlier download."""
        here = self.data_dir / self.name
        for place in places.searched(here):
            if places.is_folder(place):
                return place
        if not KNOWN[self.name].shipped:
            of_torchvision = Path(KNOWN[self.name].torchvision, "raw")
            others = (*places.searched(self.data_dir / of_torchvision), DEBIAN / self.name, _downloads() / of_torchvision)
            return next(filter(_complete, others), here)
        return here

    @property
    def whereabouts(self) -> str:
        return str(self.folder)

    @property
    def advice(self) -> str:
        if KNOWN[self.name].shipped:
            return IN_REPOSITORY
        return f"put the original {', '.join(f'{file}.gz' for file in sorted(FILES))} into {self.data_dir / self.name}"

    def packed(self, file: str) -> Path:
        """The file that unpacks to `file`."""
        return self.folder / f"{file}.gz"

    def _listed(self) -> dict[str, str]:
        """The digests in `SHA256SUMS`, before any other file is read."""
        sums = self.folder / SUMS
        absent = f"no data set {self.name} under data_dir={self.data_dir}: {sums} is missing"
        content = _content(sums, 1 << 16, self.advice, f"{absent}; {self.advice}, or name the folder that holds {self.name}/")
        try:
            lines = content.decode().splitlines()
        except UnicodeDecodeError:
            raise InputError(f"{sums} is not a text file: expected lines with a digest and a file name; {self.advice}") from None
        digests: dict[str, str] = {}
        for number, line in enumerate(lines, start=1):
            fields = re.fullmatch(r"([0-9a-fA-F]{64})\s+(\S+)", line)
            if fields is None or fields[2] not in FILES or fields[2] in digests:
                raise InputError(
                    f"line {number} of {sums} is {line[:120]!r}: expected 64 hexadecimal digits and one of the names "
                    f"{', '.join(sorted(FILES))}, each once; {self.advice}"
                )
            digests[fields[2]] = fields[1].lower()
        if missing := sorted(set(FILES) - set(digests)):
            raise InputError(f"{sums} does not name {', '.join(missing)}; {self.advice}")
        return {file: digests[file] for file in FILES}

    def _checked_by_md5(self) -> dict[str, str]:
        """The digests of the unpacked files, whose packed files have the md5 that torchvision knows."""
        known = dict(_of_torchvision(self.name).resources)
        for file in FILES:
            packed = _content(self.packed(file), MOST, self.advice)
            if hashlib.md5(packed, usedforsecurity=False).hexdigest() != known[f"{file}.gz"]:
                raise InputError(f"{self.packed(file)} is altered: its md5 is not the one that torchvision knows; {self.advice}")
        return {file: hashlib.sha256(self._unpacked(file)).hexdigest() for file in FILES}

    def _download(self) -> None:
        """Has torchvision download the data set, which compares its md5, into the cache."""
        _check_cache()
        downloaded = _of_torchvision(self.name).__new__(_of_torchvision(self.name))
        downloaded.root = str(_downloads())
        try:
            with _of_short_patience(), redirect_stderr(StringIO()):  # its progress bars
                downloaded.download()
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"no data set {self.name} under data_dir={self.data_dir}, and it cannot be downloaded "
                f"({reason(error.__cause__ or error)}): {self.advice}"
            ) from None

    def _unpacked(self, file: str) -> bytes:
        """The unpacked content of a file, up to the size that a data set may have."""
        packed, unpacking = self.packed(file), zlib.decompressobj(wbits=31)
        try:
            content = unpacking.decompress(_content(packed, MOST, self.advice), MOST)
        except zlib.error:
            raise InputError(f"{packed} is cut short or damaged; {self.advice}") from None
        if len(content) == MOST:
            raise InputError(f"{packed} is too large: it unpacks to {MOST >> 20} MiB or more; {self.advice}")
        if not unpacking.eof or unpacking.unused_data:
            raise InputError(f"{packed} is cut short or damaged; {self.advice}")
        return content

    def _read(self, reader: Callable[[str], torch.Tensor], file: str, shape: str) -> torch.Tensor:
        """Reads an IDX file with one of torchvision's readers, whose errors say little."""
        path = self.raw / file
        try:
            return reader(str(path))
        except OSError as error:
            raise StudyError(f"{path} was removed while it was read ({reason(error)}): run the same command again") from None
        except (AssertionError, KeyError, TypeError, ValueError, RuntimeError):
            raise InputError(
                f"{self.packed(file)} does not unpack to an IDX file of at least one unsigned byte, {shape}, as many as "
                f"its header says; {self.advice}"
            ) from None


def _of_torchvision(name: str):
    """torchvision's class of a data set: it knows where to download it, and the md5 of its files."""
    return getattr(import_datasets(), KNOWN[name].torchvision)


def _downloads() -> Path:
    return places.CACHE / "downloads"


def _complete(folder: Path) -> bool:
    """Whether a folder has the four packed files."""
    return all(places.is_file(folder / f"{file}.gz") for file in FILES)


@contextmanager
def _of_short_patience():
    """Ends connections that do not answer, for which torchvision would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _check_cache() -> None:
    try:
        nameable(places.CACHE)
        if not nearest(places.CACHE).is_dir():
            raise ValueError("this is a file")
    except (ValueError, OSError) as error:
        raise InputError(
            f"HIDDEN_ORBITS_CACHE={quoted(places.CACHE)}: {reason(error)}; expected a folder that you can write to, which is "
            "created if necessary, or leave it unset"
        ) from None


def _content(file: Path, most: int, advice: str, absent: str = "") -> bytes:
    """The content of a file of the data folder; `absent` is said where there is none, if not the usual."""
    try:
        return untrusted.content(file, most, follow=True)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(absent or f"{file} is missing; {advice}") from None
    except Refused as refusal:
        raise InputError(f"{file} {refusal}; {advice}") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({reason(error)}); {advice}") from None


def _holds(path: Path, digest: str) -> bool:
    """Whether there is a regular file with this digest."""
    try:
        return untrusted.digest(path, MOST) == digest
    except (OSError, Refused):
        return False
