"""C1: how well the networks learn."""

from __future__ import annotations

from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, Finding, by_interval
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.intervals import greater_than, mean_interval

BOUND = 0.93


def judge(sample: Sample) -> Finding:
    values = sample.arrays.test_accuracy.values
    estimate = mean_interval(values, LEVEL)
    return Finding("C1", sample.hidden_size, estimate, by_interval(estimate, BOUND), greater_than(values, BOUND))


register_claim(
    Claim(
        id="C1",
        hypothesis="test accuracy is over 93%",
        paper="The trained network classifies a little over 93% of the test images correctly.",
        needs=("test_accuracy",),
        judge=judge,
        quantity="test accuracy",
        units="%",
        test="t interval of the mean",
        rule="supported if the whole interval lies above 93%, contradicted if below",
        section="How well the networks learn",
        method="""C1 checks a calibration rather than a discovery: the default learning rate and batch size were chosen in a search
        with that accuracy as its target.""",
        power="mean",
        bound=BOUND,
        accuracy_only=True,
    )
)
