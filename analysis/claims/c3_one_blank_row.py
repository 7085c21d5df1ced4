"""C3: one blank row too many."""

from __future__ import annotations

from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, Finding, by_interval
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.intervals import greater_than, mean_interval

BOUND = 0.0


def judge(sample: Sample) -> Finding:
    appended = sample.arrays.accuracy_appended
    loss = (appended.sel(blank_rows=0) - appended.sel(blank_rows=1)).values
    estimate = mean_interval(loss, LEVEL)
    return Finding("C3", sample.hidden_size, estimate, by_interval(estimate, BOUND), greater_than(loss, BOUND))


register_claim(
    Claim(
        id="C3",
        hypothesis="one blank row too many already costs accuracy",
        paper="A single blank row after the whole image is enough to ruin the accuracy.",
        needs=("accuracy_appended",),
        judge=judge,
        quantity="loss of accuracy",
        units="points",
        test="one-sided t test, paired",
        rule="supported if the whole interval of the loss lies above zero, contradicted if below",
        section="Too many blank rows",
        figures=("oscillation", "predicted"),
        power="mean",
        bound=BOUND,
    )
)
