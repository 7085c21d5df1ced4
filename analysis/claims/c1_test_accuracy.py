"""C1: how well the networks learn, where the paper says it: at 200 units."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, NOT_APPLICABLE, Finding, by_tests
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.intervals import mean_interval, mean_test
from study.config import PAPER_BATCH_SIZE, PAPER_HIDDEN_SIZE, PAPER_LEARNING_RATE, TUNED_ON

LEAST, MOST = 0.92, 0.95


def judge(sample: Sample) -> Finding:
    values, left_out = sample.arrays.test_accuracy.values, np.zeros(sample.n, dtype=bool)
    if sample.hidden_size != PAPER_HIDDEN_SIZE:
        return Finding("C1", sample.hidden_size, mean_interval(values, LEVEL), NOT_APPLICABLE, numbers={"another_size": 1})
    if tuned(sample.arrays):
        left_out = np.isin(sample.arrays.seed.values, TUNED_ON)
    kept = values[~left_out]
    verdict, p = by_tests([mean_test(kept, LEAST), mean_test(kept, MOST).reversed()], len(kept))
    numbers = {"left_out": sample.arrays.seed.values[left_out]} if left_out.any() else {}
    return Finding("C1", sample.hidden_size, mean_interval(kept, LEVEL), verdict, p, numbers)


def tuned(arrays: xr.Dataset) -> bool:
    """Whether a study uses the learning rate and batch size that were chosen on the networks of `TUNED_ON`."""
    config = json.loads(arrays.attrs.get("config", "{}"))
    return (config.get("learning_rate"), config.get("batch_size")) == (PAPER_LEARNING_RATE, PAPER_BATCH_SIZE)


register_claim(
    Claim(
        id="C1",
        hypothesis=f"test accuracy at {PAPER_HIDDEN_SIZE} units is near the paper's 93%: between {LEAST:.0%} and {MOST:.0%}",
        paper="The trained network classifies a little over 93% of the test images correctly.",
        needs=("test_accuracy",),
        judge=judge,
        quantity="test accuracy",
        units="%",
        test="two one-sided t tests of equivalence",
        rule=f"supported if the whole interval lies between {LEAST:.0%} and {MOST:.0%}, contradicted if it lies outside; at other "
        f"sizes than the paper's {PAPER_HIDDEN_SIZE} units the accuracy is described, not judged",
        phrases=(
            f"described only, since the paper speaks of {PAPER_HIDDEN_SIZE} units{{another_size:given}}",
            "{left_out:seed} left out, on which the learning rate was chosen",
        ),
        section="How well the networks learn",
        method=f"""C1 checks a calibration rather than a discovery: the default learning rate and batch size were chosen with that
        accuracy as their target, on networks of seeds {TUNED_ON[0]} to {TUNED_ON[-1]}, which do not count in its verdict.
        Equivalence is shown by two one-sided tests (Schuirmann 1987).""",
        accuracy_only=True,
    )
)
