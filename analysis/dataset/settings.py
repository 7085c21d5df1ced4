"""A study's stored configuration, checked before use: anyone may have written it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from study.config import MOST_NETWORKS, MOST_ROWS, TrailingBlanks
from study.data.sources import Order
from study.files.untrusted import Refused, json_object, one_line
from study.networks.cells import WITH_BIAS

PLAIN = str | int | float | bool | None  # values that settings of other versions may have
LONGEST = 500  # characters

Count = Annotated[int, Field(gt=0, lt=2**63)]
Text = Annotated[str, Field(max_length=LONGEST)]


class Settings(BaseModel):
    """The fields of a configuration that the analysis and the report need; further fields, from other versions, are kept."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(min_length=1, max_length=MOST_NETWORKS)]
    hidden_sizes: Annotated[list[Count], Field(min_length=1, max_length=MOST_NETWORKS)]
    cell: Text = "tanh"
    bias: bool = False
    epochs: Count
    learning_rate: Annotated[float, Field(gt=0)]
    batch_size: Count
    dataset: Text
    data_dir: Text
    rows: Literal["all"] | Annotated[int, Field(gt=0, le=MOST_ROWS)] = "all"
    order: Order = "rows"
    train_images: Count
    trailing_blanks: TrailingBlanks = "0"
    blank_rows: Count
    measurements: Text = "paper"
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    kernels: Literal["auto", "torch", "numpy"] = "torch"

    @model_validator(mode="after")
    def _a_grid(self) -> Settings:
        for name, numbers in (("seeds", self.seeds), ("hidden_sizes", self.hidden_sizes)):
            if len(set(numbers)) < len(numbers):
                raise ValueError(f"{name} are repeated")
        if len(self.seeds) * len(self.hidden_sizes) > MOST_NETWORKS:
            raise ValueError(f"more than {MOST_NETWORKS:,} networks")
        return self


def stored_settings(text: str | bytes) -> dict:
    """A study's configuration, whose `cell` is the name under which the cell, with biases or without, is registered.

    Raises `Refused` where the text is not a valid one.
    """
    try:
        settings = Settings(**json_object(text)).model_dump()
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"][:2]))
        raise Refused(f"is not a valid configuration of a study: {one_line(' '.join((where, first['msg'])))}") from None
    settings["cell"] += WITH_BIAS * settings.pop("bias")
    known = set(Settings.model_fields)
    return {
        name: value
        for name, value in settings.items()
        if name in known or (isinstance(value, PLAIN) and len(str(value)) <= LONGEST and len(name) <= LONGEST)
    }
