"""C2: replacing the rest of the image by blank rows, compared with stopping early."""

from __future__ import annotations

from analysis.claims.claim import Claim
from analysis.claims.finding import CONTRADICTED, LEVEL, SUPPORTED, UNDECIDED, Finding
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.bands import FEWEST_NETWORKS, simultaneous_band
from analysis.statistics.intervals import Estimate, mean_interval


def judge(sample: Sample) -> Finding:
    """The smallest mean difference over all numbers of rows, with the limits of the simultaneous band there.

    Numbers of rows at which the two conditions are the same in every network by construction are left out: row 1 of every MNIST
    test image is blank, so after it both read only the bias.
    """
    arrays = sample.arrays
    difference = (arrays.accuracy_blanked - arrays.accuracy_truncated).transpose("seed", ...)
    tied = (difference.values == 0).all(axis=0)
    if not tied.all():
        difference = difference.isel(rows_shown=~tied)
    worst = int(difference.mean("seed").values.argmin())
    if sample.n < FEWEST_NETWORKS:
        return Finding("C2", sample.hidden_size, mean_interval(difference.values[:, worst], LEVEL), UNDECIDED)
    band = simultaneous_band(difference.values, LEVEL, "beta", rng=sample.hidden_size)
    above, below = band.lower > 0, band.upper < 0
    lists = {
        "rows_below": difference.rows_shown.values[below],
        "rows_unclear": difference.rows_shown.values[(band.lower <= 0) & (band.upper >= 0)],
        "rows_tied": arrays.rows_shown.values[tied] if not tied.all() else [],
    }
    numbers = {"rows_above": above.sum(), "rows_compared": len(above)}
    return Finding(
        "C2",
        sample.hidden_size,
        Estimate(float(band.mean[worst]), float(band.lower[worst]), float(band.upper[worst]), sample.n),
        SUPPORTED if above.all() else CONTRADICTED if below.any() else UNDECIDED,
        numbers=numbers | {name: rows for name, rows in lists.items() if len(rows)},
    )


register_claim(
    Claim(
        id="C2",
        hypothesis="replacing the rest by blank rows beats stopping early, at every number of rows",
        paper="Replacing the remaining rows by blank ones costs far less accuracy than reading the network out early.",
        needs=("accuracy_blanked", "accuracy_truncated"),
        judge=judge,
        quantity="difference in accuracy where it is smallest",
        units="points",
        test="simultaneous band of the paired difference",
        rule="supported if the whole band lies above zero, contradicted if it lies below zero at any "
        "number of rows; numbers of rows at which both conditions are the same in every network are left out",
        phrases=(
            "above zero at {rows_above:.0f} of {rows_compared:.0f} numbers of rows",
            "below zero at {rows_below:row}",
            "unclear at {rows_unclear:row}",
            "{rows_tied:row} left out, where both are the same in every network",
        ),
        section="Blank rows against stopping early",
        figures=("truncation", "surface"),
    )
)
