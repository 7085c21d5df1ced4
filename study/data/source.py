"""What all kinds of data sets have in common: a checked, picklable description, from which images are read again."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

from study.data.images import DataShape, Images, Order
from study.terminal.errors import InputError


@dataclass(frozen=True)
class DataSource(ABC):
    """A checked data set: its name, the folder it is looked for in, and the sha256 of each of its parts.

    Networks read `rows` of an image, None for the image's own, in this `order`. It is small and can be pickled: workers and later
    commands read the images from it again, on their own machine, and compare the digests.
    """

    name: str
    data_dir: Path
    digests: Mapping[str, str]
    rows: int | None = None
    order: Order = "rows"

    @classmethod
    @abstractmethod
    def found(cls, name: str, data_dir: Path) -> Self:
        """The data set of this name on this machine, with its digests; raises `InputError` where there is none."""

    @abstractmethod
    def prepare(self) -> None:
        """Makes this data set readable on this machine; raises `InputError` where its files are missing, damaged or others."""

    @abstractmethod
    def stored(self, train: bool) -> Images:
        """The training or the test images as they are stored, checked against the digests. Raises as `prepare` does."""

    @property
    @abstractmethod
    def whereabouts(self) -> str:
        """Where the data set is on this machine, for messages."""

    @property
    def digest(self) -> str:
        """The digest of all parts together, of another number of rows and of another order, which identifies the data of studies
        and networks."""
        read = [f"rows={self.rows}"] * (self.rows is not None) + [f"order={self.order}"] * (self.order != "rows")
        return hashlib.sha256(" ".join([self.of_parts, *read]).encode()).hexdigest() if read else self.of_parts

    @property
    def of_parts(self) -> str:
        """The digest of all parts together."""
        return hashlib.sha256("".join(self.digests.values()).encode()).hexdigest()

    @cached_property
    def shape(self) -> DataShape:
        """The shape of the images as they are read, and the memory of all of them."""
        train, test = (self.images(part).shape for part in (True, False))
        return replace(test, memory=train.memory + test.memory)

    def images(self, train: bool) -> Images:
        """The training or the test images in the order, and with as many rows, as networks read them. Raises as `prepare` does."""
        ordered = self.stored(train).in_order(self.order)
        return ordered if self.rows is None else ordered.with_rows(self.rows)

    def with_rows(self, rows: int) -> Self:
        """The same data set with another number of rows; raises `InputError` where its images cannot have so many."""
        present = self.images(train=False).shape.rows
        if present % rows and rows % present:
            raise InputError(
                f"rows={rows}: images of {self.name} have {present} rows{read_in(self.order)}; expected all, or a number that "
                f"divides {present} (rows are then averaged) or is a multiple (each row is then shown several times)"
            )
        return replace(self, rows=None if rows == present else rows)


def read_in(order: Order) -> str:
    """An order other than by rows, in words that continue a sentence."""
    return {"rows": "", "columns": " (their columns)", "permuted": " (of permuted pixels)"}[order]
