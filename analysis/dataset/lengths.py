"""Studies of other sequence lengths, beside a study: what their networks' periods are."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr
from mlflow import MlflowClient

from analysis.dataset import runs
from study.terminal.errors import InputError

NAMES = {  # of a record's variables, here
    "period_state": "length_period",
    "mode_period": "length_mode_period",
    "mode_energy": "length_mode_energy",
    "test_accuracy": "length_accuracy",
}


def beside(dataset: xr.Dataset, studies: Sequence[str], client: MlflowClient | None = None) -> xr.Dataset:
    """A study's dataset, with the periods and accuracies of `studies` (run ids) that differ from it in the number of rows alone.

    Raises `InputError` where the studies differ in something else, two have the same length, or one lacks the periods.
    """
    return with_lengths(dataset, [runs.load(study, client) for study in studies])


def with_lengths(dataset: xr.Dataset, others: Sequence[xr.Dataset]) -> xr.Dataset:
    """A dataset with the periods of itself and of the `others` along `length`, the rows of an image, and `length_seed`, at its own
    hidden sizes; the variables are named in `NAMES`. Unchanged where there are no others.
    """
    if not others:
        return dataset
    every = [dataset, *others]
    if len({one.attrs["study"] for one in every}) < len(every):
        raise InputError("beside: the study itself, or a study twice; expected studies of other lengths")
    runs.check_alike([runs.configuration(one) for one in every], "rows")
    for one in every:
        if lacking := [name for name in NAMES if name not in one]:
            raise InputError(
                f"beside: study {one.attrs['study']} lacks {', '.join(lacking)}; expected one with networks, run with "
                "measurements=standard"
            )
    lengths = [one.sizes["time_step"] for one in every]
    if len(set(lengths)) < len(lengths):
        raise InputError(
            f"beside: the studies have images of {', '.join(map(str, lengths))} rows; expected a different number for each"
        )
    chosen = [
        one[list(NAMES)].drop_attrs().reindex(hidden_size=dataset.hidden_size).rename(NAMES | {"seed": "length_seed"})
        for one in every
    ]
    joined = xr.concat(chosen, "length", join="outer").assign_coords(length=lengths).sortby("length")
    return dataset.assign({str(name): variable for name, variable in joined.data_vars.items()})
