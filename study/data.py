"""The data sets: shipped files, checked against their digests, unpacked once, read by torchvision."""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch

from study.errors import InputError
from study.torchvision_operators import import_datasets

DATASETS = {"mnist": "MNIST"}  # our name -> torchvision's class
CLASSES = 10
FILES = {f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")}
CACHE = Path(os.environ.get("HIDDEN_ORBITS_CACHE", Path(__file__).resolve().parent.parent / ".cache"))


@dataclass(frozen=True)
class DataSource:
    """Where a checked data set lies: its name, the folder torchvision reads, and the digest of all its files."""

    name: str
    root: Path
    digest: str


@dataclass(frozen=True)
class Images:
    """Images uint8 `[N, rows, pixels]`, each read row by row, and their labels int64 `[N]`."""

    images: torch.Tensor
    labels: torch.Tensor
    classes: int = CLASSES

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Images:
        return Images(self.images[:count], self.labels[:count], self.classes)

    def to(self, device: torch.device | str) -> Images:
        return Images(self.images.to(device), self.labels.to(device), self.classes)


def prepare(name: str, data_dir: Path) -> DataSource:
    """Checks the shipped files of a data set and unpacks them into the cache, once.

    `data_dir/name` holds `SHA256SUMS`, the digests of the unpacked files, and each file gzip-compressed. Raises
    `InputError`, naming the file, where one is missing, cut short or altered.
    """
    folder = data_dir / name
    advice = "restore it from the project's repository (git checkout -- data)"
    try:
        lines = (folder / "SHA256SUMS").read_text().splitlines()
        digests = {file: digest for digest, file in (line.split() for line in lines)}
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"no data set {name} under data_dir={data_dir}: {folder / 'SHA256SUMS'} is missing; {advice}, "
                         f"or name the folder that holds {name}/") from None
    except ValueError:
        raise InputError(f"{folder / 'SHA256SUMS'} is no list of digests and file names; {advice}") from None
    if missing := FILES - set(digests):
        raise InputError(f"{folder / 'SHA256SUMS'} does not name {', '.join(sorted(missing))}; {advice}")
    digest = hashlib.sha256("".join(sorted(digests.values())).encode()).hexdigest()
    root = CACHE / "datasets" / f"{name}-{digest[:12]}"
    raw = root / DATASETS[name] / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for file, expected in digests.items():
        packed = folder / f"{file}.gz"
        try:
            content = gzip.decompress(packed.read_bytes())
        except FileNotFoundError:
            raise InputError(f"{packed} is missing; {advice}") from None
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise InputError(f"{packed} is cut short or damaged; {advice}") from None
        if hashlib.sha256(content).hexdigest() != expected:
            raise InputError(f"{packed} is altered: its content has not the digest that SHA256SUMS names; {advice}")
        target = raw / file
        if not target.exists() or hashlib.sha256(target.read_bytes()).hexdigest() != expected:
            _write_atomically(target, content)
    return DataSource(name, root, digest)


def _write_atomically(target: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        file.write(content)
    Path(file.name).replace(target)


def load(source: DataSource, train: bool) -> Images:
    """The training or the test images of a prepared data set."""
    dataset = getattr(import_datasets(), DATASETS[source.name])(str(source.root), train=train)
    return Images(dataset.data, dataset.targets)


def checked_training_images(source: DataSource, count: int) -> None:
    """Raises `InputError` where a data set has fewer than `count` training images."""
    available = len(load(source, train=True))
    if count > available:
        raise InputError(f"train_images={count}: {source.name} has {available} training images")
