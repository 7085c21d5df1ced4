"""C8: R predicts the period of the state, by the quasi-linear theory; C9: the period of the accuracy is one of its modes."""

from __future__ import annotations

import numpy as np

from analysis.claims.c1_test_accuracy import tuned
from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, NOT_APPLICABLE, Finding, by_tests
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.agreement import PERMUTATIONS, TOLERANCE, agrees, paired_test, permutation_test
from analysis.statistics.intervals import share_interval
from study.config import EXPLORED_ON

TIE = 0.85  # energies of two modes that differ by less are nearly equal
ON_WHICH = (
    "described only, since the theory was found on these networks{explored:given}",
    "{left_out:seed} left out, on which the theory was found",
)
THEORY = "quasilinear_iterations"  # has a value wherever the cell's blank map has the form that the theory is of
UNTURNED = ("period_selected", "period_quasilinear", "period_predicted", "mode_period", "mode_tie")  # missing where no mode turns
PREDICTIONS = ("period_selected", "period_quasilinear", "period_predicted")


def unexplored(sample: Sample) -> tuple[Sample, dict]:
    """The networks on which the theory was not found, all where there is none, and what to say of the others."""
    explored = np.isin(sample.arrays.seed.values, EXPLORED_ON) & tuned(sample.arrays)
    if not explored.any():
        return sample, {}
    if explored.all():
        return sample, {"explored": 1}
    return Sample(sample.arrays.isel(seed=np.flatnonzero(~explored))), {"left_out": sample.arrays.seed.values[explored]}


def judge_period(sample: Sample) -> Finding:
    """Judged on all networks: where prediction or state has no period, they agree if neither has."""
    sample, told = unexplored(sample)
    measured, n = sample.arrays.period_state.values, sample.n
    theory, gaussian, leading = (agrees(sample.arrays[name].values, measured) for name in PREDICTIONS)
    of_others, chance = permutation_test(agrees(sample.arrays.period_selected.values[:, None], measured), sample.hidden_size)
    among = (np.abs(sample.curves("mode_period") / measured[:, None] - 1) <= TOLERANCE).any(axis=1)
    tied, real = sample.arrays.mode_tie.values > TIE, np.isnan(sample.arrays.period_selected.values)
    clear = ~tied & ~real
    numbers = {
        "right": int(theory.sum()),
        "networks": n,
        "gaussian": int(gaussian.sum()),
        "leading": int(leading.sum()),
        "chance": chance,
        "among": int(among.sum()),
        "stable": int((sample.arrays.modes_stable > 0).sum()),
        "tied": int(tied.sum()),
        "tied_right": int((theory & tied).sum()),
        "real": int(real.sum()),
        "clear": int(clear.sum()),
        "clear_right": int((theory & clear).sum()),
    }
    estimate = share_interval(int(theory.sum()), n, LEVEL)
    if "explored" in told:
        return Finding("C8", sample.hidden_size, estimate, NOT_APPLICABLE, numbers=numbers | told)
    verdict, p = by_tests([of_others, paired_test(theory, leading)], n)
    return Finding("C8", sample.hidden_size, estimate, verdict, p, numbers | told)


def judge_accuracy(sample: Sample) -> Finding:
    """Judged on the networks whose accuracy oscillates."""
    sample, told = unexplored(sample)
    measured = sample.oscillation.confirmed_periods
    oscillates = np.isfinite(measured)
    modes, measured = sample.curves("mode_period")[oscillates], measured[oscillates]
    right = np.asarray((np.abs(modes[:, None] / measured[:, None] - 1) <= TOLERANCE).any(axis=2))
    n = len(measured)
    test, chance = permutation_test(right, sample.hidden_size)
    count = int(np.trace(right))
    numbers = {"right": count, "both": n, "networks": sample.n, "chance": chance}
    estimate = share_interval(count, n, LEVEL)
    if "explored" in told:
        return Finding("C9", sample.hidden_size, estimate, NOT_APPLICABLE, numbers=numbers | told)
    verdict, p = by_tests([test], n)
    return Finding("C9", sample.hidden_size, estimate, verdict, p, numbers | told)


register_claim(
    Claim(
        id="C8",
        hypothesis="R predicts the period of the state, by the quasi-linear theory",
        paper="",
        needs=(THEORY, "period_state", "modes_stable", *UNTURNED),
        may_be_missing=UNTURNED,
        judge=judge_period,
        quantity="share of networks within 10%",
        units="%",
        test=f"{PERMUTATIONS:,} permutations of predictions over networks, and McNemar's exact test against the leading eigenvalue",
        rule="supported if predictions are right of their own networks more often than of others, and more often than the leading "
        "eigenvalue of R; contradicted if less often",
        phrases=(
            "{right:.0f} of {networks:.0f} networks",
            "{gaussian:.0f} by the mode of most energy alone, {leading:.0f} by the leading eigenvalue of R; a prediction is right "
            "of {chance:.0%} of all networks",
            "in {among:.0f} networks the period is that of some mode",
            "in {stable:.0f} some mode's own orbit is stable",
            "nearly equal energies in {tied:.0f} networks, right in {tied_right:.0f} of these",
            "the mode of most energy does not turn, or there is none, in {real:.0f}",
            "{clear_right:.0f} of the {clear:.0f} other networks are right",
            *ON_WHICH,
        ),
        section="Why it oscillates",
        figures=("theory", "learning", "interventions", "spectrum"),
        method=f"""Training pushes eigenvalues of R out of the unit circle; saturation lowers the gain of each unit until those of
        D R that are left stand at modulus 1, D being the diagonal matrix of gains. The gains follow from R alone: u = R h is
        taken as Gaussian, unit i has the gain E[u f(u)]/E[u^2], and the covariance of h is iterated to its fixed point
        (describing functions for random input, Gelb and Vander Velde 1968). A mode can win if its own orbit, a sinusoid of one
        frequency with the describing function of each unit, is stable: no other mode then grows beside it. The predicted period
        is that of the mode with most energy among those, or, where none is stable, of the mode with most energy. It is compared
        with the strongest oscillation of the state after 2,000 blank rows; they agree if they differ by at most {TOLERANCE:.0%},
        or if there is neither. Energies are nearly equal where the second is over {TIE:.0%} of the first. The rule was fixed on
        networks of the default regime with seeds 20 to 29, and the theory on those of 0 to 9 and 100 to 109; none of them count
        in its verdict.""",
        power="curve",
    )
)
register_claim(
    Claim(
        id="C9",
        hypothesis="the period of the accuracy is that of a mode",
        paper="",
        needs=(THEORY, "mode_period", "accuracy_appended"),
        may_be_missing=("mode_period",),
        judge=judge_accuracy,
        quantity="share of networks within 10%",
        units="%",
        test=f"{PERMUTATIONS:,} permutations of modes over networks",
        rule="supported if periods are among the network's own modes more often than among those of other networks, contradicted "
        "if less often",
        phrases=(
            "{right:.0f} of {both:.0f} networks whose accuracy oscillates",
            "the modes of another network hold the period in {chance:.0%}",
            *ON_WHICH,
        ),
        section="Why it oscillates",
        figures=("theory",),
        method="The modes are all those that the quasi-linear theory leaves at modulus 1, from R alone.",
        power="curve",
    )
)
