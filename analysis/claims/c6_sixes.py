"""C6: sixes separate from the other digits within four rows."""

from __future__ import annotations

from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, Finding, by_interval
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.intervals import greater_than, mean_interval
from study.schema import by_source

BOUND = 0.5


def judge(sample: Sample) -> Finding | None:
    networks = sample.arrays
    by_sources = dict(by_source(networks.sixes_agreement))
    if "trained" not in by_sources or 6 not in networks.digit or 4 not in networks.time_step:
        return None
    values = by_sources.pop("trained").values
    estimate = mean_interval(values, LEVEL)
    numbers = {"other_digits": networks.neighbour_agreement.sel(time_step=4).drop_sel(digit=6).mean().item()}
    numbers |= {source: float(agreement.mean()) for source, agreement in by_sources.items()}
    return Finding("C6", sample.hidden_size, estimate, by_interval(estimate, BOUND), greater_than(values, BOUND), numbers)


register_claim(
    Claim(
        id="C6",
        hypothesis="sixes separate by step 4",
        paper="Early hidden states resemble the labels already: sixes stand apart after four rows.",
        needs=("sixes_agreement", "neighbour_agreement"),
        judge=judge,
        quantity="share of a six's ten nearest neighbours that are sixes",
        units="%",
        test="t interval of the mean",
        rule="supported if the whole interval lies above one half, contradicted if below",
        phrases=(
            "other digits {other_digits:.1%}",
            "sixes in the untrained networks {untrained:.1%}",
            "sixes in the pixels of the four rows {pixels:.1%}",
        ),
        section="The hidden states in two dimensions",
        figures=("embedding", "embedding_steps"),
        method="""For C6 the ten nearest neighbours of each six are found among the hidden states of the first 2,500 test
        images at step 4, in all dimensions rather than in a picture of them, and the share of them that are sixes is counted: a
        tenth by chance. The same share in the untrained networks and in the pixels of the four rows, where they were measured,
        shows what training adds.""",
        power="mean",
        bound=BOUND,
    )
)
