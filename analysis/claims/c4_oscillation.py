"""C4: accuracy oscillates under blank rows."""

from __future__ import annotations

import numpy as np

from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, SUPPORTED, UNDECIDED, Finding, by_interval
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.intervals import Estimate, share_interval
from analysis.statistics.oscillation import SMALLEST_AMPLITUDE, SURROGATES
from study.periodogram import ACCURACY_TRANSIENT

BOUND = 0.5
ENOUGH = 150  # rows after the transient, three periods of 50 rows: fewer cannot show that there is no oscillation


def judge(sample: Sample) -> Finding:
    result = sample.oscillation
    count = int(result.oscillates.sum())
    estimate = share_interval(count, sample.n, LEVEL)
    verdict = by_interval(estimate, BOUND)
    numbers = {"oscillating": count, "networks": sample.n}
    if count:
        least, median, most = np.nanquantile(result.confirmed_periods, (0, 0.5, 1))
        numbers |= {"shortest_period": least, "median_period": median, "longest_period": most}
    wanting = ACCURACY_TRANSIENT + ENOUGH - sample.arrays.sizes["blank_rows"]
    if verdict != SUPPORTED and wanting > 0:
        estimate, verdict = Estimate(estimate.value, float("nan"), float("nan"), sample.n), UNDECIDED
        numbers["rows_wanting"] = wanting
    return Finding("C4", sample.hidden_size, estimate, verdict, numbers=numbers)


register_claim(
    Claim(
        id="C4",
        hypothesis=f"accuracy oscillates under blank rows ({ACCURACY_TRANSIENT} and later)",
        paper="Under hundreds of blank rows, accuracy rises and falls again and again.",
        needs=("accuracy_appended",),
        judge=judge,
        quantity="share of networks",
        units="%",
        test="largest peak over red noise, AR(1) surrogates; Benjamini-Hochberg over networks; Wilson interval",
        rule="supported if the interval of the share lies above one half, contradicted if below",
        phrases=(
            (
                "{oscillating:.0f} of {networks:.0f} networks, median period {median_period:.1f} rows "
                "({shortest_period:.1f} to {longest_period:.1f})",
                "{oscillating:.0f} of {networks:.0f} networks",
            ),
            "too few blank rows to rule out slow oscillations{rows_wanting:given}",
        ),
        section="Too many blank rows",
        figures=("oscillation", "predicted"),
        method=f"""A network oscillates if it passes two tests. The first is significance: the periodogram of its accuracy curve,
        after {ACCURACY_TRANSIENT} blank rows, is divided by the spectrum of a fitted AR(1) process, and its largest peak is
        compared with those of {SURROGATES} simulated AR(1) curves, at 5% after adjustment over networks (Benjamini and Hochberg).
        The second is size: an amplitude of at least {100 * SMALLEST_AMPLITUDE:g} percentage points. Its period is that of the
        largest peak, or of a clear subharmonic of it; the curve need not repeat itself exactly. For the cycle, each half of the
        images (even and odd numbers) is aligned by the phase of the other half, because a phase fitted to the same images would
        create a peak out of noise.""",
        power="share",
        bound=BOUND,
    )
)
