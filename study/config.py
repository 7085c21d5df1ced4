"""The configuration of a study: one typed, frozen object, validated once on input."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import torch
from joblib import cpu_count
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from study.data.images import MOST_ROWS
from study.data.sources import ACCEPTED, DATASETS, DataSource, Order, kind_of, known_as, name_and_folder, training_images
from study.files.targets import nameable
from study.networks import kernels
from study.networks.cells import CELLS, TANH, WITH_BIAS, known, with_bias
from study.networks.kernels import KernelsName
from study.terminal.credentials import has_user
from study.terminal.errors import InputError, quoted
from study.terminal.extensions import EXTENSIONS

Config = TypeVar("Config", bound=BaseModel)

# The regime of the paper. It gives 30 epochs and "a little over 93%" test accuracy, but neither learning rate nor batch size:
# these two are ours, found by `python -m study tune` (see the README for the ten accuracies).
PAPER_EPOCHS = 30
PAPER_DATA = "70b244150994313f20a52e933022b2da75ecd199b3529346b7a5ec58ddca2749"  # the digest of MNIST
PAPER_HIDDEN_SIZE = 200
PAPER_LEARNING_RATE = 8e-5
PAPER_BATCH_SIZE = 200
TUNED_ON = range(16)  # seeds of the networks, of 200 units, on which the two were chosen: they prove nothing of them
# Seeds of networks, of the default learning rate and batch size, on which the theory of the period was found: likewise.
EXPLORED_ON = (*range(10), *range(20, 30), *range(100, 110))

MOST_NETWORKS = 100_000  # per study: more do not fit into MLflow's stores and our dataset
LAST_SEED = 2**63 - 1  # netCDF and NumPy label networks with 64-bit integers
MOST_UNITS = 100_000  # their recurrent weights take 40 GB; `study.execution.stacks` checks what fits into this machine's memory
MOST_EPOCHS = 100_000  # each adds a point to the stored curves, and a set of eigenvalues
MOST_BLANK_ROWS = 100_000  # likewise, and all test images are rolled out over them
LEARNING_RATES = 1.2e-38, 3.4e38  # beyond, single precision has only 0 and infinity
WEEK = 7 * 24 * 3600


def integers(text: str | int | list[int] | tuple[int, ...]) -> tuple[int, ...]:
    """Reads a list with ranges, such as ``0-9`` or ``0,3,7-9``, in the order given.

    Raises `ValueError` where the text is not such a list, has more than `MOST_NETWORKS` numbers, runs backwards or repeats a
    number."""
    if not isinstance(text, str):
        return tuple(text) if isinstance(text, list | tuple) else (text,)
    numbers: list[int] = []
    for part in text.split(","):
        ends = part.strip(" ").split("-")
        if len(ends) > 2 or not all(re.fullmatch(r"[0-9]{1,19}", end) for end in ends):
            raise ValueError(f"{quoted(part)} is neither a number nor a range" if "," in text else "")
        first, last = int(ends[0]), int(ends[-1])
        if first > last:
            raise ValueError(f"the range {part.strip(' ')} runs backwards")
        if len(numbers) + last - first >= MOST_NETWORKS:  # before it is expanded
            raise ValueError("these are too many numbers")
        numbers.extend(range(first, last + 1))
    [(number, times)] = Counter(numbers).most_common(1)
    if times > 1:
        raise ValueError(f"{number} is repeated")
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


def whole(text: object) -> object:
    """Converts a text of plain digits: Python would also accept ``1_000`` and ``１``, and pydantic ``1.0``."""
    if isinstance(text, bool) or (isinstance(text, str) and not re.fullmatch(r"-?[0-9]{1,30}", text)):
        raise ValueError
    return int(text) if isinstance(text, str) else text


def number(text: object) -> object:
    """Converts a text in decimal or exponential notation; Python would also accept ``inf`` and ``1_0``."""
    written = r"-?([0-9]+\.?|[0-9]*\.[0-9]+)([eE][+-]?[0-9]+)?"
    if isinstance(text, bool) or (isinstance(text, str) and not re.fullmatch(written, text)):
        raise ValueError
    return float(text) if isinstance(text, str) else text


def whole_or_auto(text: object) -> object:
    return text if text == "auto" else whole(text)


def whole_or_all(text: object) -> object:
    return text if text == "all" else whole(text)


def _number_or_range(text: object) -> object:
    """A number, or a range of two different ones, as it is stored; where both ends are the same, one number is left."""
    found = re.fullmatch("([0-9]{1,4})(?:-([0-9]{1,4}))?", str(text)) if isinstance(text, str | int) else None
    if isinstance(text, bool) or not found:
        raise ValueError
    least, most = int(found[1]), int(found[2] or found[1])
    if least > most:
        raise ValueError(f"the range {text} runs backwards")
    if most > MOST_ROWS:
        raise ValueError
    return f"{least}-{most}" if least < most else str(least)


def ends(number_or_range: str) -> tuple[int, int]:
    """The least and the most of a number or a range, as `_number_or_range` writes it."""
    least, _, most = number_or_range.partition("-")
    return int(least), int(most or least)


def _known_dataset(name: object) -> object:
    try:
        kind_of(nameable(name) if isinstance(name, str) else name)
    except InputError:
        raise ValueError from None
    return name


def path_apart(given: Any) -> Any:
    """What was given, where the path of a data set is its name in a `data_dir`."""
    if isinstance(given, dict) and isinstance(dataset := given.get("dataset"), str) and dataset not in DATASETS:
        with suppress(ValueError):
            name, folder = name_and_folder(dataset)
            return given | {"dataset": name} | ({} if folder is None else {"data_dir": folder})
    return given


def _known_cell(name: object) -> object:
    if not isinstance(name, str) or name not in CELLS:
        raise ValueError(
            f"no cell of this name is registered; accepted are {', '.join(CELLS)}, and cells registered by a module in {EXTENSIONS}"
        )
    return name


def _without_bias(name: object) -> object:
    """Of a cell that has biases, the parameter `bias` says it: in studies it has no name of its own."""
    plain = name.removesuffix(WITH_BIAS) if isinstance(name, str) else name
    if plain != name and plain in CELLS:
        raise ValueError(f"this is the cell {plain} with biases; give cell={plain} and bias=true")
    return name


def _true_or_false(text: object) -> object:
    if not isinstance(text, bool) and text not in ("true", "false"):
        raise ValueError
    return text in (True, "true")


def _nameable(path: object) -> object:
    """A path that a file system can have; its reader finds out whether something is there."""
    return nameable(path) if isinstance(path, str | Path) else path


def _address(text: object) -> object:
    """The address of a Dask scheduler, or ``none``."""
    if not isinstance(text, str):
        raise ValueError
    found = re.fullmatch(r"none|[a-z]+://[!-~]+:([0-9]{1,5})", text)
    if not found or int(found[1] or 1) not in range(1, 65536):
        raise ValueError
    if has_user(text):  # it is stored with the study, and schedulers have no users
        raise ValueError("this contains a user name or a password")
    return text


# What each parameter accepts. A description completes the sentence "expected ..." and gives the reason for each bound.
Seed = Annotated[
    int,
    BeforeValidator(whole),
    Field(ge=0, le=LAST_SEED, description=f"one integer from 0 to {LAST_SEED}, the largest of 64 bits, such as 0"),
]
Seeds = Annotated[
    tuple[Seed, ...],
    BeforeValidator(integers),
    Field(
        description=f"whole numbers and ranges such as 0-9 or 0,3,7-9, of integers from 0 to {LAST_SEED}, the largest of 64 bits; "
        f"at most {MOST_NETWORKS:,} of them, one network each"
    ),
]
HiddenSize = Annotated[
    int,
    BeforeValidator(whole),
    Field(
        gt=0,
        le=MOST_UNITS,
        description=f"an integer greater than 0 and at most {MOST_UNITS}, whose weights take 40 GB, such as 200",
    ),
]
HiddenSizes = Annotated[
    tuple[HiddenSize, ...],
    BeforeValidator(integers),
    Field(
        description=f"whole numbers and ranges such as 50,100,200, of integers greater than 0 and at most {MOST_UNITS}, whose "
        "weights take 40 GB"
    ),
]
Epochs = Annotated[
    int,
    BeforeValidator(whole),
    Field(
        gt=0,
        le=MOST_EPOCHS,
        description=f"an integer greater than 0 and at most {MOST_EPOCHS}, one point of the stored curves each, such as 30",
    ),
]
LearningRate = Annotated[
    float,
    BeforeValidator(number),
    Field(
        ge=LEARNING_RATES[0],
        le=LEARNING_RATES[1],
        description="a finite number greater than 0, from {} to {}, what single precision holds, such as 8e-5".format(
            *LEARNING_RATES
        ),
    ),
]
BatchSize = Annotated[
    int,
    BeforeValidator(whole),
    Field(gt=0, description="an integer greater than 0 and at most the number of images to train on, such as 200"),
]
TrainImages = Annotated[
    Literal["all"] | Annotated[int, Field(gt=0)],
    BeforeValidator(whole_or_all),
    Field(description="all, or an integer greater than 0 and at most the number of training images there are, such as 60000"),
]
BlankRows = Annotated[
    int,
    BeforeValidator(whole),
    Field(
        ge=1,
        le=MOST_BLANK_ROWS,
        description=f"an integer greater than or equal to 1 and at most {MOST_BLANK_ROWS}, one point of the stored "
        "curves each, such as 500",
    ),
]
ExpectedAccuracy = Annotated[
    Annotated[float, Field(gt=0, le=1)] | None,
    BeforeValidator(number),
    Field(description="a share of the test images above 0 and at most 1, such as 0.55"),
]
Jobs = Annotated[
    Literal["auto"] | Annotated[int, Field(gt=0, le=1000)],
    BeforeValidator(whole_or_auto),
    Field(description="auto, or an integer greater than 0 and at most 1000, one process each"),
]
Seconds = Annotated[
    int, BeforeValidator(whole), Field(ge=0, le=WEEK, description=f"an integer from 0 to {WEEK}, the seconds in a week")
]
Rows = Annotated[
    Literal["all"] | Annotated[int, Field(gt=0, le=MOST_ROWS)],
    BeforeValidator(whole_or_all),
    Field(
        description=f"all, or an integer from 1 to {MOST_ROWS} that divides the number of rows of an image or is a multiple of it, "
        "such as 14"
    ),
]
TrailingBlanks = Annotated[
    str,
    BeforeValidator(_number_or_range),
    Field(
        description=f"a whole number, or a range such as 0-56 from which the number for each batch is drawn, of integers from 0 to "
        f"{MOST_ROWS}"
    ),
]
DatasetName = Annotated[str, BeforeValidator(_known_dataset), Field(description=ACCEPTED)]
ReadingOrder = Annotated[Order, Field(description="'rows', 'columns' or 'permuted'")]
CellName = Annotated[str, BeforeValidator(_known_cell), Field(description="tanh, relu, gru, lstm, or another registered cell")]
Bias = Annotated[bool, BeforeValidator(_true_or_false), Field(description="true or false")]
DataFolder = Annotated[
    Path, BeforeValidator(_nameable), Field(description="the folder that holds the data set's folder, such as data")
]
Scheduler = Annotated[
    str, BeforeValidator(_address), Field(description="none, or the address that dask scheduler prints, such as tcp://host:8786")
]
MeasurementSet = Annotated[Literal["paper", "standard", "full"], Field(description="'paper', 'standard' or 'full'")]
Precision = Annotated[Literal["fp32", "tf32", "bf16"], Field(description="'fp32', 'tf32' or 'bf16'")]


class Frozen(BaseModel):
    """A configuration that is immutable, has only known fields and holds only finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NetworkConfig(Frozen):
    """Everything that decides what one network becomes and how it is measured."""

    seed: int
    hidden_size: int
    cell: CellName = TANH.name  # the default for networks stored before there were other cells
    epochs: int
    learning_rate: float
    batch_size: int
    dataset: str
    rows: Literal["all"] | int = "all"  # likewise; the data's digest says it, too
    order: Order = "rows"  # likewise
    train_images: int
    trailing_blanks: str = "0"  # likewise: the only number there was
    blank_rows: int
    measurements: MeasurementSet
    device: Literal["cpu", "cuda"]
    precision: Precision
    kernels: KernelsName = "torch"  # the only ones there were when networks did not name theirs

    def trailing(self) -> tuple[int, int]:
        """The least and the most blank rows that follow an image in training."""
        return ends(self.trailing_blanks)


class StudyConfig(Frozen):
    """A grid of networks (`seeds` x `hidden_sizes`), the regime they share, and where they are trained."""

    seeds: Seeds = tuple(range(20, 30))
    hidden_sizes: HiddenSizes = (50, 100, 200)
    cell: Annotated[CellName, AfterValidator(_without_bias)] = TANH.name
    bias: Bias = False
    epochs: Epochs = PAPER_EPOCHS
    learning_rate: LearningRate = PAPER_LEARNING_RATE
    batch_size: BatchSize = PAPER_BATCH_SIZE
    dataset: DatasetName = "mnist"
    data_dir: DataFolder = Path("data")
    rows: Rows = "all"
    order: ReadingOrder = "rows"
    train_images: TrainImages = "all"
    trailing_blanks: TrailingBlanks = "0"
    blank_rows: BlankRows = 500
    measurements: MeasurementSet = "standard"
    device: Annotated[Literal["auto", "cpu", "cuda"], Field(description="'auto', 'cpu' or 'cuda'")] = "auto"
    precision: Precision = "fp32"
    kernels: Annotated[Literal["auto", "torch", "numpy"], Field(description="'auto', 'torch' or 'numpy'")] = "auto"
    jobs: Jobs = "auto"
    resume: Annotated[Literal["auto", "never"], Field(description="'auto' or 'never'")] = "auto"
    backend: Annotated[Literal["loky", "dask"], Field(description="'loky' or 'dask'")] = "loky"
    scheduler: Scheduler = "none"
    patience: Seconds = 300
    refresh: Seconds = 120

    _place = model_validator(mode="before")(path_apart)

    @model_validator(mode="after")
    def _of_a_size_to_be_stored(self) -> StudyConfig:
        count = len(self.seeds) * len(self.hidden_sizes)
        if count > MOST_NETWORKS:
            grid = f"seeds={quoted(ranges(self.seeds))}, hidden_sizes={quoted(ranges(self.hidden_sizes))}"
            raise ValueError(f"{grid}: these are {count:,} networks; expected at most {MOST_NETWORKS:,} per study")
        return self

    @model_validator(mode="after")
    def _of_a_cell_that_can_have_biases(self) -> StudyConfig:
        if self.bias and with_bias(self.cell) is None:
            able = ", ".join(name for name in CELLS if with_bias(name))
            raise ValueError(f"bias=true: cell={self.cell} is not registered with biases; expected one of {able}, or bias=false")
        return self

    def resolved_cell(self) -> str:
        """The name under which the cell, with biases or without, is registered."""
        return self.cell + WITH_BIAS * self.bias

    def of_data(self, source: DataSource) -> StudyConfig:
        """The study of a data set, with the number of its training images for ``all``; raises `InputError` where it has too few."""
        count = counted(self.train_images, source)
        if self.batch_size > count:
            raise InputError(f"batch_size={self.batch_size}: more than train_images={count}; expected at most as many")
        return self.model_copy(update={"train_images": count})

    def networks(self) -> list[NetworkConfig]:
        """One configuration per network, largest hidden size first: starting with long tasks keeps all cores busy to the end.

        Raises `InputError` where all images of a data set of one's own are to be trained on, and `of_data` has not counted them.
        """
        images = training_images(self.dataset) if self.train_images == "all" else self.train_images
        if images is None:
            raise InputError(f"train_images=all: how many {self.dataset} has is known once it is found; expected a number")
        shared = self.model_dump(include=set(NetworkConfig.model_fields))
        shared |= {"dataset": known_as(self.dataset), "train_images": images, "cell": self.resolved_cell()}
        shared |= {"device": self.resolved_device(), "kernels": self.resolved_kernels()}
        return [
            NetworkConfig.model_validate(shared | {"seed": seed, "hidden_size": size})
            for size in sorted(self.hidden_sizes, reverse=True)
            for seed in self.seeds
        ]

    def resolved_device(self) -> Literal["cpu", "cuda"]:
        """The kind of device that trains; raises `InputError` where a GPU is asked for and absent.

        On a cluster only the workers know which devices they have: there ``auto`` means the CPU, and ``cuda`` is not checked.
        """
        present = torch.cuda.is_available() if self.backend == "loky" else self.device == "cuda"
        if self.device == "cuda" and not present:
            raise InputError("device=cuda was asked for, but PyTorch finds no CUDA GPU here: use device=cpu or auto")
        device = "cuda" if present and self.device != "cpu" else "cpu"
        if self.precision == "tf32" and device == "cpu":
            raise InputError("precision=tf32 is an arithmetic of NVIDIA GPUs: on a CPU use precision=fp32")
        return device

    def usable_kernels(self) -> tuple[KernelsName, ...]:
        """The kernels that can train and measure these networks: only torch's on a GPU, in bf16, and for a cell without others."""
        if self.resolved_device() == "cuda" or self.precision != "fp32":
            return ("torch",)
        return known(self.resolved_cell()).kernels

    def resolved_kernels(self) -> KernelsName:
        """The kernels that compute: those asked for, or the fastest ones here; raises `InputError` where they cannot be used."""
        usable = self.usable_kernels()
        if self.kernels == "auto":
            return kernels.fastest() if kernels.fastest() in usable else "torch"
        if self.kernels not in usable:
            raise InputError(
                f"kernels={self.kernels}: with cell={self.cell}, device={self.resolved_device()} and precision={self.precision} "
                f"expected {' or '.join(usable)}, or auto"
            )
        return self.kernels

    def resolved_jobs(self) -> int:
        """The maximum number of worker processes: one per usable core on a CPU, one on a GPU."""
        if self.resolved_device() == "cuda":
            return 1
        return cpu_count() if self.jobs == "auto" else self.jobs


class MeasureConfig(Frozen):
    """How a network without a study is measured; `seed` is that of the untrained network it is compared with."""

    weights: Annotated[Path, BeforeValidator(_nameable), Field(description="a file of a network's weights, as .safetensors")]
    dataset: DatasetName
    data_dir: DataFolder
    rows: Rows = "all"
    order: ReadingOrder = "rows"
    blank_rows: BlankRows
    seed: Seed
    cell: Annotated[
        Literal["tanh", "relu", "gru", "lstm"] | None, Field(description="tanh, relu, gru or lstm, where the file does not say it")
    ] = None
    expect_accuracy: ExpectedAccuracy = None

    _place = model_validator(mode="before")(path_apart)


def counted(train_images: int | Literal["all"], source: DataSource, least: int = 1) -> int:
    """How many training images are asked for; raises `InputError` where the data set has fewer, or they are fewer than `least`."""
    available = len(source.images(train=True))
    count = available if train_images == "all" else train_images
    if not least <= count <= available:
        accepted = "at most" if least == 1 else f"{least} to"
        raise InputError(
            f"train_images={count}: {source.name} has {available} training images; expected {accepted} as many, or all"
        )
    return count


def validated(model: type[Config], values: dict[str, Any]) -> Config:
    """Builds a configuration from user input; raises `InputError` with one line about the first mistake."""
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        reason = str(first.get("ctx", {}).get("error", "")) if first["type"] == "value_error" else ""
        if not first["loc"]:  # a mistake in a combination of parameters
            raise InputError(reason) from None
        name, fields = str(first["loc"][0]), model.model_fields
        accepted = fields[name].description if name in fields else f"one of the parameters {', '.join(fields)}"
        raise InputError(f"{name}={quoted(values.get(name))}: {reason and reason + '; '}expected {accepted}") from None
