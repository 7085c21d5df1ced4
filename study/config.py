"""What a study is: one typed, frozen configuration, validated once, at the door."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import torch
from joblib import cpu_count
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from study.credentials import has_user
from study.data import DATASETS
from study.errors import InputError

Config = TypeVar("Config", bound=BaseModel)

# The regime of the paper. It names 30 epochs and "a little over 93%" test accuracy, but neither the learning rate nor
# the batch size: these two are ours, found by `python -m study tune` (see the README for the ten accuracies).
PAPER_EPOCHS = 30
PAPER_LEARNING_RATE = 8e-5
PAPER_BATCH_SIZE = 200


def integers(text: str | int | list[int] | tuple[int, ...]) -> tuple[int, ...]:
    """Reads a list with ranges, such as ``0-9`` or ``0,3,7-9``, in the order given.

    Raises `ValueError` where the text is no such list, a range runs backwards or a number stands twice.
    """
    if not isinstance(text, str):
        return tuple(text) if isinstance(text, list | tuple) else (text,)
    accepted = "expected whole numbers and ranges such as 0-9 or 0,3,7-9"
    numbers: list[int] = []
    for part in text.split(","):
        ends = part.strip().split("-")
        if not all(end.isdecimal() for end in ends) or len(ends) > 2:
            raise ValueError(accepted)
        first, last = int(ends[0]), int(ends[-1])
        if first > last:
            raise ValueError(f"the range {part.strip()} runs backwards; {accepted}")
        numbers.extend(range(first, last + 1))
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"a number stands twice; {accepted}")
    return tuple(numbers)


def ranges(numbers: Iterable[int]) -> str:
    """The inverse of `integers`: ``0-9,12``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)


def _known_dataset(name: str) -> str:
    if name not in DATASETS:
        raise ValueError(f"expected one of: {', '.join(DATASETS)}")
    return name


def _without_user(address: str) -> str:
    # It is stored with the study; and no scheduler knows users.
    if has_user(address):
        raise ValueError("expected an address without user name and password, such as tcp://host:8786")
    return address


Integers = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(integers)]
Sizes = Annotated[tuple[PositiveInt, ...], BeforeValidator(integers)]
DatasetName = Annotated[str, BeforeValidator(_known_dataset)]


class Frozen(BaseModel):
    """A configuration that cannot change, knows all its fields and holds finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NetworkConfig(Frozen):
    """Everything that decides what one network becomes and how it is measured."""

    seed: int
    hidden_size: int
    epochs: int
    learning_rate: float
    batch_size: int
    dataset: str
    train_images: int
    blank_rows: int
    measurements: Literal["paper", "standard", "full"]
    device: Literal["cpu", "cuda"]
    precision: Literal["fp32", "tf32", "bf16"]


class StudyConfig(Frozen):
    """A grid of networks (`seeds` x `hidden_sizes`), the regime they share and where they are trained."""

    seeds: Integers = tuple(range(10))
    hidden_sizes: Sizes = (50, 100, 200)
    epochs: PositiveInt = PAPER_EPOCHS
    learning_rate: PositiveFloat = PAPER_LEARNING_RATE
    batch_size: PositiveInt = PAPER_BATCH_SIZE
    dataset: DatasetName = "mnist"
    data_dir: Path = Path("data")
    train_images: PositiveInt = 60000
    blank_rows: Annotated[int, Field(ge=1)] = 500
    measurements: Literal["paper", "standard", "full"] = "standard"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    jobs: PositiveInt | Literal["auto"] = "auto"
    resume: Literal["auto", "never"] = "auto"
    backend: Literal["loky", "dask"] = "loky"
    scheduler: Annotated[str, AfterValidator(_without_user)] = "none"
    patience: Annotated[int, Field(ge=0)] = 300
    refresh: Annotated[int, Field(ge=0)] = 120

    def networks(self) -> list[NetworkConfig]:
        """One configuration a network, the largest hidden size first: long tasks first keep all cores busy to the end."""
        shared = self.model_dump(include=set(NetworkConfig.model_fields)) | {"device": self.resolved_device()}
        return [
            NetworkConfig(**shared, seed=seed, hidden_size=size)
            for size in sorted(self.hidden_sizes, reverse=True)
            for seed in self.seeds
        ]

    def resolved_device(self) -> Literal["cpu", "cuda"]:
        """The kind of device that trains; raises `InputError` where a GPU is asked for and absent.

        On a cluster only its workers know what they have: there ``auto`` is the CPU, and ``cuda`` is taken at its word.
        """
        present = torch.cuda.is_available() if self.backend == "loky" else self.device == "cuda"
        if self.device == "cuda" and not present:
            raise InputError("device=cuda was asked for, but PyTorch finds no CUDA GPU here: use device=cpu or auto")
        device = "cuda" if present and self.device != "cpu" else "cpu"
        if self.precision == "tf32" and device == "cpu":
            raise InputError("precision=tf32 is an arithmetic of NVIDIA GPUs: on a CPU use precision=fp32")
        return device

    def resolved_jobs(self) -> int:
        """The number of worker processes to start at most: one a usable core on a CPU, one on a GPU."""
        if self.resolved_device() == "cuda":
            return 1
        return cpu_count() if self.jobs == "auto" else self.jobs


def validated(model: type[Config], values: dict[str, Any]) -> Config:
    """Builds a configuration from what a person wrote; raises `InputError` with one line on the first mistake."""
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = first["loc"][0]
        reason = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
        raise InputError(f"{name}={values.get(str(name))}: {reason[0].lower()}{reason[1:]}") from None
