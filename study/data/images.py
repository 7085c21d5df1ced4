"""Images, or any sequences of rows, with their labels, and the orders in which networks read them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch

Order = Literal["rows", "columns", "permuted"]
ORDERS: tuple[Order, ...] = get_args(Order)
IN_WORDS: dict[Order, str] = {"rows": "rows", "columns": "columns", "permuted": "permuted rows"}  # what networks read
LEAST_ROWS, MOST_ROWS = 2, 1_000  # of an image as it is read: one of two can be blank; the states at all of them are kept
PERMUTATION = 0  # the seed of the permutation of pixels


@dataclass(frozen=True)
class DataShape:
    """What a data set's images have in common: `rows`, `features` (the pixels of a row) and `classes`; and the `memory` in bytes
    that all of them take."""

    rows: int
    features: int
    classes: int
    memory: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Images:
    """Images `[N, rows, pixels]`, read row by row, their labels int64 `[N]`, the number of `classes` (by default one more than the
    largest label) and the `names` of the classes (by default their numbers); `order` says what of the stored images the rows are.

    Pixels are uint8, of which networks see a 255th part, or float32, which they see as they are (`study.networks.network.scaled`).
    """

    images: torch.Tensor
    labels: torch.Tensor
    classes: int = 0
    names: tuple[str, ...] = ()
    order: Order = "rows"

    def __post_init__(self) -> None:
        if not self.classes:
            object.__setattr__(self, "classes", int(self.labels.max()) + 1)
        if not self.names:
            object.__setattr__(self, "names", tuple(map(str, range(self.classes))))

    @property
    def shape(self) -> DataShape:
        _, rows, features = self.images.shape
        return DataShape(rows, features, self.classes, self.images.nbytes)

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Images:
        return replace(self, images=self.images[:count], labels=self.labels[:count])

    def to(self, device: torch.device | str) -> Images:
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def in_order(self, order: Order) -> Images:
        """The images as they are read: by ``rows``, by ``columns`` (rows and pixels change places), or with all pixels ``permuted``
        in one way, the same for all images and networks (`permutation`), then by rows."""
        if order == "columns":
            return replace(self, images=self.images.mT.contiguous(), order=order)
        if order == "permuted":
            _, rows, features = self.images.shape
            images = self.images.flatten(1)[:, permutation(rows * features)]
            return replace(self, images=images.unflatten(1, (rows, features)), order=order)
        return self

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


def permutation(pixels: int) -> torch.Tensor:
    """The permutation int64 `[pixels]` of ``order=permuted``: pixels sorted by a hash of the seed and their place.

    No random generator is asked, so that it is the same with all versions of all libraries.
    """
    return torch.tensor(sorted(range(pixels), key=lambda pixel: hashlib.sha256(f"{PERMUTATION} {pixel}".encode()).digest()))
