"""C8: the spectrum of the recurrent weights predicts the period of the state."""

from __future__ import annotations

from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, Finding, by_tests
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.agreement import TOLERANCE, of_odd_map, period_agreement
from analysis.statistics.intervals import share_test

BOUND = 0.5


def judge(sample: Sample) -> Finding:
    """Judged on the period of the state; the agreement of the accuracy with it is reported as well."""
    predicted, measured = sample.arrays.period_predicted.values, sample.arrays.period_state.values
    odd = of_odd_map(sample.arrays.period_predicted)
    state = period_agreement(predicted, measured, LEVEL, odd)
    accuracy = period_agreement(measured, sample.oscillation.confirmed_periods, LEVEL, odd)
    numbers = {
        "both": state.n,
        "networks": sample.n,
        "turn": state.turn.value,
        "accuracy_agrees": accuracy.share.value,
        "accuracy_halves": accuracy.half.value if odd else float("nan"),
        "not_odd": float("nan") if odd else 1,
        "accuracy_networks": accuracy.n,
    }
    verdict, p = by_tests([share_test(round(state.share.value * state.n) if state.n else 0, state.n, BOUND)], state.n)
    return Finding("C8", sample.hidden_size, state.share, verdict, p, numbers)


register_claim(
    Claim(
        id="C8",
        hypothesis="the spectrum of R predicts the period of the state, or its half",
        paper="",
        needs=("period_predicted", "period_state", "accuracy_appended"),
        judge=judge,
        quantity="share of networks within 10%",
        units="%",
        test="exact binomial test and Wilson interval of the share",
        rule="supported if the share lies above one half, contradicted if below; one half, because a theory that fails in most "
        "networks does not explain their periods",
        phrases=(
            "{both:.0f} of {networks:.0f} networks have both periods",
            "the state turns {turn:+.3f} radians per row relative to the prediction",
            (
                "accuracy has the state's period or its half in {accuracy_agrees:.0%} of {accuracy_networks:.0f} networks, its "
                "half in {accuracy_halves:.0%}",
                "accuracy has the state's period in {accuracy_agrees:.0%} of {accuracy_networks:.0f} networks",
            ),
            "{not_odd:given}the spectrum is that of the Jacobian at rest, and the map is not odd: half the period does not count",
        ),
        section="Rotations and attractors",
        figures=("spectrum",),
        method=f"""The predicted period is 2 pi over the angle of the leading eigenvalue of R (for a cell other than the paper's, of
        the Jacobian of its map at rest). The measured period is that of the strongest oscillation of the state
        after 2,000 blank rows. They agree if they differ by at most {TOLERANCE:.0%}. Where the map that a blank row applies is odd,
        as h to tanh(R h) is, the measured period may also be half of the predicted one: an orbit that is its own mirror image
        passes the same distances twice in a period.""",
        power="share",
        bound=BOUND,
    )
)
