"""C3: the readout works at exactly one length: one row too many, or one too few, ruins the accuracy."""

from __future__ import annotations

import numpy as np

from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, Finding, by_tests, limits
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.intervals import mean_interval, mean_test, share_test

LOSS = 0.05  # the smallest loss of interest: one image in twenty
BOUND = 0.5


def judge(sample: Sample) -> Finding:
    appended, truncated = sample.curves("accuracy_appended"), sample.curves("accuracy_truncated")
    whole = appended[:, 0]
    losses = {
        "one_more": whole - appended[:, 1],
        "two_more": whole - appended[:, min(2, appended.shape[1] - 1)],
        "one_less": whole - truncated[:, -1],
    }
    others = np.concatenate([truncated, appended[:, 1:]], axis=1)
    best = int((whole > others.max(axis=1)).sum())
    tests = [*(mean_test(loss, LOSS) for loss in losses.values()), share_test(best, sample.n, BOUND)]
    verdict, p = by_tests(tests, sample.n)
    numbers = {"best": best, "networks": sample.n, "steps": others.shape[1] + 1}
    for name, loss in losses.items():
        numbers |= limits(name, mean_interval(100 * loss, LEVEL))
    return Finding("C3", sample.hidden_size, mean_interval(losses["one_more"], LEVEL), verdict, p, numbers)


register_claim(
    Claim(
        id="C3",
        hypothesis="the readout works at one length: one row more or less costs much accuracy",
        paper="Accuracy drops dramatically as soon as rows are added; the network depends on a fixed length.",
        needs=("accuracy_appended", "accuracy_truncated"),
        judge=judge,
        quantity="loss of accuracy after one blank row",
        units="points",
        test="paired t tests of the losses after one and two blank rows and one row early, and an exact binomial test of the "
        "share of networks that are best at the last row; all must hold",
        rule=f"supported if each of the three losses lies above {100 * LOSS:.0f} points (one image in twenty), and the share of "
        "networks whose accuracy is highest exactly at the last row above one half, that is, if most are; contradicted if any "
        "lies below",
        phrases=(
            "after two blank rows {two_more:.1f} points [{two_more_lower:.1f}, {two_more_upper:.1f}]",
            "one row early {one_less:.1f} [{one_less_lower:.1f}, {one_less_upper:.1f}]",
            "of {steps:.0f} steps the last row is the best in {best:.0f} of {networks:.0f} networks",
        ),
        section="Too many blank rows",
        figures=("oscillation", "predicted"),
    )
)
