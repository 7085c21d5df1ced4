"""C7: a linear probe reads the labels long before the network's own readout does."""

from __future__ import annotations

import numpy as np

from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, Finding, by_interval
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.bands import FEWEST_NETWORKS, simultaneous_band
from analysis.statistics.decoding import lead
from analysis.statistics.intervals import greater_than
from study.schema import of_source

BOUND = 3  # steps, a tenth of the image


def judge(sample: Sample) -> Finding | None:
    """By how many steps a probe passes 50% before the readout, and where the band of its lead in accuracy is above zero."""
    networks = sample.arrays
    probe = of_source(networks.probe_accuracy).dropna("seed").transpose("seed", ...).values
    if not len(probe):
        return None
    readout = networks.readout_accuracy.dropna("seed").transpose("seed", ...).values
    half, final = lead(probe, readout, 0.5, LEVEL), lead(probe, readout, 0.9 * readout[:, -1], LEVEL)
    numbers = {
        "probe_step": half.probe.value,
        "readout_step": half.readout.value,
        "final_ahead": final.ahead.value,
        "final_ahead_lower": final.ahead.lower,
        "final_ahead_upper": final.ahead.upper,
    }
    if len(half.lags) > 1 and np.ptp(half.lags) == 0:
        numbers["same_in_all"] = half.lags[0]
    if half.never:
        numbers["never"] = half.never
    if len(probe) >= FEWEST_NETWORKS:
        band = simultaneous_band(probe - readout, LEVEL, "beta", rng=sample.hidden_size)
        numbers["steps_above"] = networks.time_step.values[band.lower > 0]
    return Finding("C7", sample.hidden_size, half.ahead, by_interval(half.ahead, BOUND), greater_than(half.lags, BOUND), numbers)


register_claim(
    Claim(
        id="C7",
        hypothesis="labels are linearly readable long before the readout reads them",
        paper="Hidden states come to resemble the labels many rows before the last, where the network is read out.",
        needs=("probe_accuracy", "readout_accuracy"),
        judge=judge,
        quantity="steps by which a probe passes 50% first",
        units="steps",
        test="paired t interval of the mean",
        rule=f"supported if the whole interval lies above {BOUND} steps, contradicted if below",
        phrases=(
            (
                "probe at step {probe_step:.1f}, readout at step {readout_step:.1f}",
                "probe at step {probe_step:.1f}, readout at no step",
                "probe at no step, readout at step {readout_step:.1f}",
                "probe at no step, readout at no step",
            ),
            (
                "90% of the final accuracy {final_ahead:.1f} [{final_ahead_lower:.1f}, {final_ahead_upper:.1f}] steps earlier",
                "90% of the final accuracy {final_ahead:.1f} steps earlier",
            ),
            "the same number in every network, so that its interval has no width{same_in_all:given}",
            "{never:.0f} networks left out, whose probe or readout never passes 50%",
            "probe above readout beyond doubt at {steps_above:step}",
        ),
        section="What can be read off the hidden states",
        figures=("decoding", "generalisation", "early_classification"),
        method="""A probe is a multinomial logistic regression with a squared penalty (as scikit-learn's with C = 1), fitted
        at each step to the hidden states of 10,000 training images and scored once on all test images. The lead is the
        number of steps between the first at which the probe exceeds 50% accuracy and the first at which the readout does,
        paired by network.""",
        power="mean",
        bound=BOUND,
    )
)
