"""The data sets: shipped files, checked against their digests, unpacked once, read by torchvision."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch

from study import durable
from study.errors import InputError
from study.torchvision_operators import import_datasets

DATASETS = {"mnist": "MNIST"}  # our name -> torchvision's class
CLASSES = 10
FILES = {f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")}
PROJECT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("HIDDEN_ORBITS_CACHE", PROJECT / ".cache"))


@dataclass(frozen=True)
class DataSource:
    """A checked data set: its name, the folder that holds the folder of its files, and the digest of all its files."""

    name: str
    data_dir: Path
    digest: str

    @property
    def root(self) -> Path:
        """The folder torchvision reads, in the cache of the machine this runs on."""
        return CACHE / "datasets" / f"{self.name}-{self.digest[:12]}"


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
    source = DataSource(name, data_dir, digest)
    raw = source.root / DATASETS[name] / "raw"
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
            durable.write(target, content)
    return source


def prepare_here(source: DataSource) -> None:
    """Prepares a data set that was prepared on another machine, from this machine's files; raises `InputError` if they differ."""
    raw = source.root / DATASETS[source.name] / "raw"
    if all((raw / file).exists() for file in FILES):  # each is put there whole
        return
    places = [place for place in (source.data_dir, PROJECT / source.data_dir) if (place / source.name).is_dir()]
    found = prepare(source.name, places[0] if places else source.data_dir)
    if found.digest != source.digest:
        raise InputError(f"{found.data_dir / source.name} on this machine is another data set than the coordinator's: copy the "
                         "files of one to the other")


def load(source: DataSource, train: bool) -> Images:
    """The training or the test images of a prepared data set."""
    dataset = getattr(import_datasets(), DATASETS[source.name])(str(source.root), train=train)
    return Images(dataset.data, dataset.targets)


def checked_training_images(source: DataSource, count: int) -> None:
    """Raises `InputError` where a data set has fewer than `count` training images."""
    available = len(load(source, train=True))
    if count > available:
        raise InputError(f"train_images={count}: {source.name} has {available} training images; expected at most as many")
