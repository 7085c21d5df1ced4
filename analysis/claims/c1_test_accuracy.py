"""C1: how well the networks learn: as well as the paper's, where they are of its kind, or as well as was asked for."""

from __future__ import annotations

import json
import re

import numpy as np
import xarray as xr

from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, Finding, by_tests
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.intervals import mean_interval, mean_test
from study.config import PAPER_BATCH_SIZE, PAPER_DATA, PAPER_HIDDEN_SIZE, PAPER_LEARNING_RATE, TUNED_ON
from study.networks.cells import TANH
from study.terminal.errors import InputError, quoted

LEAST, MOST = 0.92, 0.95  # near the paper's
ASKED = "accuracy"  # the attribute of a dataset that holds the accuracy asked for: a range such as 0.93-0.94
RANGE = re.compile(r"([01]?\.?[0-9]{0,6})-([01]?\.?[0-9]{0,6})", re.ASCII)
NOTHING_ASKED = (
    f"no accuracy was asked for (--accuracy), and the paper's is that of {PAPER_HIDDEN_SIZE} tanh units without bias that read "
    "MNIST row by row"
)
CALIBRATED = (
    "C1 checks a calibration rather than a discovery: the default learning rate and batch size were chosen with that accuracy as "
    f"their target, on networks of seeds {TUNED_ON[0]} to {TUNED_ON[-1]}, which do not count in its verdict."
)


def checked_accuracy(text: str) -> str:
    """The accuracy that a user asks for, a range of shares such as ``0.93-0.94``, or ``none``; raises `InputError` for anything
    else."""
    if text != "none":
        _ends(text)
    return text


def _ends(text: str) -> tuple[float, float]:
    try:
        least, most = map(float, found.groups()) if (found := RANGE.fullmatch(text)) else (1.0, 0.0)
    except ValueError:
        least, most = 1.0, 0.0
    if not 0 <= least < most <= 1:
        raise InputError(
            f"accuracy={quoted(text)}: expected a range of shares between 0 and 1, the smaller one first, such as 0.93-0.94, or "
            "none"
        )
    return least, most


def limits(arrays: xr.Dataset) -> tuple[float, float] | None:
    """The range in which the mean test accuracy is to lie: the one asked for, or the paper's; None where there is neither."""
    if (text := str(arrays.attrs.get(ASKED, "none"))) != "none":
        return _ends(text)
    return (LEAST, MOST) if of_the_papers_kind(arrays) else None


def of_the_papers_kind(arrays: xr.Dataset) -> bool:
    """Whether networks are tanh units without bias that were trained to read MNIST row by row, as the paper's."""
    config = json.loads(str(arrays.attrs.get("config", "{}")))
    usual = {"cell": TANH.name, "dataset": "mnist", "order": "rows", "rows": "all", "trailing_blanks": "0"}
    alike = all(config.get(name, value) == value for name, value in usual.items())
    return alike and arrays.attrs.get("data_digest", "") in ("", PAPER_DATA)


def judge(sample: Sample) -> Finding:
    values, left_out = sample.arrays.test_accuracy.values, np.zeros(sample.n, dtype=bool)
    if sample.hidden_size == PAPER_HIDDEN_SIZE and tuned(sample.arrays):
        left_out = np.isin(sample.arrays.seed.values, TUNED_ON)
    kept = values[~left_out]
    least, most = limits(sample.arrays) or (0.0, 1.0)
    verdict, p = by_tests([mean_test(kept, least), mean_test(kept, most).reversed()], len(kept))
    numbers = {"left_out": sample.arrays.seed.values[left_out]} if left_out.any() else {}
    return Finding("C1", sample.hidden_size, mean_interval(kept, LEVEL), verdict, p, numbers)


def unless(sample: Sample) -> str:
    if limits(sample.arrays) is None:
        return NOTHING_ASKED
    if ASKED not in sample.arrays.attrs and sample.hidden_size != PAPER_HIDDEN_SIZE:
        return f"it is described only, since the paper speaks of {PAPER_HIDDEN_SIZE} units"
    return ""


def words(dataset: xr.Dataset) -> dict[str, str]:
    """What the accuracy is compared with, in words."""
    least, most = limits(dataset) or (np.nan, np.nan)
    between = f"between {100 * least:g}% and {100 * most:g}%"
    if ASKED in dataset.attrs:
        about = "C1 is about the accuracy that was asked for (--accuracy)."
        return {"accuracy": f"is the one asked for, {between}", "between": between, "others": "", "about": about}
    others = f"; at other sizes than the paper's {PAPER_HIDDEN_SIZE} units the accuracy is described, not judged"
    if np.isnan(least):
        about = "C1 is about an accuracy that is asked for (--accuracy), and none was."
        return {"accuracy": "is the one asked for", "between": "in the range asked for", "others": "", "about": about}
    near = f"at {PAPER_HIDDEN_SIZE} units is near the paper's 93%: {between}"
    return {"accuracy": near, "between": between, "others": others, "about": CALIBRATED}


def tuned(arrays: xr.Dataset) -> bool:
    """Whether a study uses the learning rate and batch size that were chosen on the networks of `TUNED_ON`."""
    config = json.loads(arrays.attrs.get("config", "{}"))
    return (config.get("learning_rate"), config.get("batch_size")) == (PAPER_LEARNING_RATE, PAPER_BATCH_SIZE)


register_claim(
    Claim(
        id="C1",
        hypothesis="test accuracy {accuracy}",
        paper="The trained network classifies a little over 93% of the test images correctly.",
        needs=("test_accuracy",),
        judge=judge,
        unless=unless,
        words=words,
        quantity="test accuracy",
        units="%",
        test="two one-sided t tests of equivalence",
        rule="supported if the whole interval lies {between}, contradicted if it lies outside{others}",
        phrases=("{left_out:seed} left out, on which the learning rate was chosen",),
        section="How well the networks learn",
        method="{about} Equivalence is shown by two one-sided tests (Schuirmann 1987).",
        accuracy_only=True,
    )
)
