"""C4: accuracy oscillates under blank rows, because the state settles into a recurring pattern."""

from __future__ import annotations

import numpy as np

from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, SUPPORTED, UNDECIDED, Finding, by_tests
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.intervals import Estimate, share_interval, share_test
from analysis.statistics.oscillation import COHERENT, SMALLEST_AMPLITUDE, SURROGATES, SUSTAINED
from study.harmonics import ACCURACY_TRANSIENT

BOUND = 0.5
ENOUGH = 150  # rows after the transient, three periods of 50 rows: fewer cannot show that there is no oscillation
RECURS = 0.2  # of the state's size: what a torus of two frequencies comes back to within 500 rows
REGULAR = ("cycle", "closed_curve", "torus")


def judge(sample: Sample) -> Finding | None:
    """Of the networks whose attractor is known."""
    result, arrays = sample.oscillation, sample.arrays
    known = np.isfinite(arrays.attractor_kind.values) & np.isfinite(arrays.attractor_recurrence.values)
    n = int(known.sum())
    if not n:
        return None
    kind, kinds = arrays.attractor_kind.values, arrays.attractor_kind.attrs["flag_meanings"].split()
    parts = {
        "significant": result.significant,
        "large": result.large,
        "persistent": result.persistent,
        "recurrent": arrays.attractor_recurrence.values <= RECURS,
        "regular": np.isin(kind, [code for code, name in enumerate(kinds) if name in REGULAR]),
    }
    parts = {name: which & known for name, which in parts.items()}
    passes = np.logical_and.reduce(list(parts.values()))
    count = int(passes.sum())
    estimate = share_interval(count, n, LEVEL)
    verdict, p = by_tests([share_test(count, n, BOUND)], n)
    numbers = {"passing": count, "networks": n} | {name: int(which.sum()) for name, which in parts.items()}
    numbers |= {f"kind_{name}": np.sum(kind == code) or np.nan for code, name in enumerate(kinds)}
    if count:
        least, median, most = np.nanquantile(result.confirmed_periods[passes], (0, 0.5, 1))
        numbers |= {"shortest_period": least, "median_period": median, "longest_period": most}
    wanting = ACCURACY_TRANSIENT + ENOUGH - arrays.sizes["blank_rows"]
    if verdict != SUPPORTED and wanting > 0:
        estimate, verdict, p = Estimate(estimate.value, float("nan"), float("nan"), n), UNDECIDED, float("nan")
        numbers["rows_wanting"] = wanting
    return Finding("C4", sample.hidden_size, estimate, verdict, p, numbers)


register_claim(
    Claim(
        id="C4",
        hypothesis=f"accuracy oscillates under blank rows ({ACCURACY_TRANSIENT} and later), and the state recurs",
        paper="Under hundreds of blank rows, accuracy rises and falls again and again, in a recurring pattern.",
        needs=("accuracy_appended", "attractor_kind", "attractor_recurrence"),
        judge=judge,
        quantity="share of networks that pass all five tests",
        units="%",
        test="harmonic F test, Benjamini-Hochberg over networks; amplitude; persistence; recurrence and kind of attractor; exact "
        "binomial test and Wilson interval of the share",
        rule="supported if the share of networks that pass all lies above one half, contradicted if below; one half, because to "
        "say that such networks oscillate is to say that most do",
        phrases=(
            (
                "{passing:.0f} of {networks:.0f} networks, median period {median_period:.1f} rows ({shortest_period:.1f} to "
                "{longest_period:.1f})",
                "{passing:.0f} of {networks:.0f} networks",
            ),
            "beyond noise {significant:.0f}, large enough {large:.0f}, lasting {persistent:.0f}, with a state that recurs "
            "{recurrent:.0f}, on a cycle, closed curve or torus {regular:.0f}",
            "fixed points {kind_fixed_point:.0f}",
            "cycles {kind_cycle:.0f}",
            "closed curves {kind_closed_curve:.0f}",
            "tori {kind_torus:.0f}",
            "chaotic {kind_chaos:.0f}",
            "unresolved {kind_unresolved:.0f}",
            "too few blank rows to rule out slow oscillations{rows_wanting:given}",
        ),
        section="Too many blank rows",
        figures=("oscillation", "predicted"),
        method=f"""For C4 a network must pass five tests, each reported. (1) Its accuracy, after {ACCURACY_TRANSIENT} blank rows,
        holds a sinusoid that noise does not explain: the multitaper harmonic F test (Thomson 1982) compares each frequency with its
        neighbourhood in the same curve, so that noise of any smooth spectrum is the null; the search over frequencies is corrected
        by {SURROGATES:,} series of white noise, and p is adjusted over networks (Benjamini and Hochberg), at 5%. (2) The largest
        sinusoid has an amplitude of at least {100 * SMALLEST_AMPLITUDE:g} percentage points. (3) It persists: its amplitude in the
        last third of the curve is at least {SUSTAINED:g} of that in the first, and it keeps its phase (coherence at least
        {COHERENT:g}). (4) The state itself, after 2,000 blank rows, comes back within 500 rows to within
        {RECURS:g} of its size. (5) The attractor that most images reach is a cycle, a closed curve or a torus, by its Lyapunov
        exponents. The period is that of the strongest line of the spectrum, or the longer one of which most lines are harmonics.
        For the cycle, each half of the images (even and odd numbers) is aligned by the phase of the other half, because a phase
        fitted to the same images would create a peak out of noise.""",
        power="share",
        bound=BOUND,
    )
)
