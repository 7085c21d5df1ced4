"""C2: replacing the rest of the image by blank rows beats stopping early at every number of rows; C2b: by far, on average."""

from __future__ import annotations

import numpy as np

from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, Finding, by_tests
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.bands import FEWEST_NETWORKS, below_anywhere
from analysis.statistics.intervals import OneSided, mean_interval, mean_test

GAP = 0.1  # the smallest mean gap that is called great: one image in ten


def at_every_row(sample: Sample) -> Finding:
    """Each number of rows is tested at its own level.

    Numbers of rows at which the two conditions are the same in every network by construction are left out: row 1 of every MNIST
    test image is blank, so after it both read only the bias.
    """
    arrays = sample.arrays
    gaps, rows = _gaps(sample), arrays.rows_shown.values
    tied = (gaps == 0).all(axis=0)
    tied &= not tied.all()
    compared, names = gaps[:, ~tied], rows[~tied]
    worst = int(compared.mean(axis=0).argmin())
    tests = [mean_test(gap) for gap in compared.T]
    against = below_anywhere(compared, rng=sample.hidden_size) if sample.n >= FEWEST_NETWORKS else float("nan")
    verdict, p = by_tests([OneSided(max(test.greater for test in tests), against)], sample.n)
    above, below = (np.array([getattr(test, side) < (1 - LEVEL) / 2 for test in tests]) for side in ("greater", "less"))
    lists = {"rows_below": names[below], "rows_unclear": names[~above & ~below], "rows_tied": rows[tied]}
    numbers = {"rows_above": above.sum(), "rows_compared": len(above), "worst": names[worst]}
    numbers |= {name: found for name, found in lists.items() if len(found)}
    return Finding("C2", sample.hidden_size, mean_interval(compared[:, worst], LEVEL), verdict, p, numbers)


def by_far(sample: Sample) -> Finding:
    """The gap averaged over all numbers of rows, those included at which both conditions are the same."""
    gap = _gaps(sample).mean(axis=1)
    verdict, p = by_tests([mean_test(gap, GAP)], sample.n)
    return Finding("C2b", sample.hidden_size, mean_interval(gap, LEVEL), verdict, p)


def _gaps(sample: Sample) -> np.ndarray:
    """The paired differences `[n, rows]`."""
    return sample.curves("accuracy_blanked") - sample.curves("accuracy_truncated")


TOLD = {
    "needs": ("accuracy_blanked", "accuracy_truncated"),
    "units": "points",
    "section": "Blank rows against stopping early",
    "figures": ("truncation", "surface"),
}
register_claim(
    Claim(
        id="C2",
        hypothesis="replacing the rest by blank rows beats stopping early, at every number of rows",
        paper="Replacing the remaining rows by blank ones costs less accuracy than reading the network out early.",
        judge=at_every_row,
        quantity="difference in accuracy where it is smallest",
        test="a paired t test at each number of rows, all of which must hold (intersection-union)",
        rule="supported if the difference is above zero at each number of rows, tested at its own level; contradicted if a "
        "simultaneous band lies below zero at any; numbers of rows at which both conditions are the same in every network are "
        "left out",
        phrases=(
            "smallest after {worst:row}",
            "above zero at {rows_above:.0f} of {rows_compared:.0f} numbers of rows",
            "below zero at {rows_below:row}",
            "unclear at {rows_unclear:row}",
            "{rows_tied:row} left out, where both are the same in every network",
        ),
        method="""That C2 holds at every number of rows needs no correction for their number, since all of them must pass, each at
        its own level (Berger 1982). The simultaneous band in the figure answers another question, whether one of them is an
        exception.""",
        **TOLD,
    )
)
register_claim(
    Claim(
        id="C2b",
        hypothesis=f"replacing the rest by blank rows is far better than stopping early, by more than {100 * GAP:.0f} points on "
        "average",
        paper="Blank rows are greatly superior to stopping early.",
        judge=by_far,
        quantity="difference in accuracy, averaged over the numbers of rows",
        test="paired t test against the smallest gap of interest",
        rule=f"supported if the whole interval lies above {100 * GAP:.0f} points (one image in ten), contradicted if below",
        power="mean",
        bound=GAP,
        **TOLD,
    )
)
