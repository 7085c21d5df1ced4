"""C10: the period of the oscillation scales with the length of the sequences that the network was trained on."""

from __future__ import annotations

import numpy as np

from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, Finding, by_tests, limits
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.contrast import slope

HALF = 0.5  # between a period that stays as it is (0) and one that is proportional to the length (1)


def judge(sample: Sample) -> Finding | None:
    """Judged on the networks of all lengths that have learned the task and whose state oscillates."""
    arrays = sample.arrays
    lengths = arrays.length.values
    there = arrays.length_accuracy.notnull().any("length_seed").values
    if there.sum() < 2:
        return None  # no other study has networks of this size
    moves = arrays.length_period.notnull().any("length_seed").values
    trained_well = (arrays.length_accuracy.mean("length_seed") >= sample.trained_from).values
    learned = trained_well & moves
    trained = lengths[learned]
    measured = np.log2(arrays.length_period.transpose("length", "length_seed").values[learned])
    periods = [one[np.isfinite(one)] for one in measured]
    estimate, test = slope(np.log2(trained), periods, HALF, LEVEL)
    numbers = {
        "lengths": trained,
        "periods": [2.0 ** float(np.median(one)) if len(one) else np.nan for one in periods],
        "not_learned": lengths[there & ~trained_well],
        "at_rest": lengths[trained_well & ~moves],
    }
    if still := int(np.isfinite(arrays.length_accuracy.values[learned]).sum() - estimate.n):
        numbers["still"] = still
    weights = arrays.length_mode_energy.where(arrays.length_mode_period.notnull())
    centre = (np.log2(arrays.length_mode_period) * weights).sum("neutral_mode") / weights.sum("neutral_mode")
    modes = [one[np.isfinite(one)] for one in centre.transpose("length", "length_seed").values[learned]]
    numbers |= limits("modes", slope(np.log2(trained), modes, HALF, LEVEL)[0])
    numbers = {name: value for name, value in numbers.items() if np.size(value)}
    verdict, p = by_tests([test], min(map(len, periods), default=0))
    return Finding("C10", sample.hidden_size, estimate, verdict, p, numbers)


register_claim(
    Claim(
        id="C10",
        hypothesis="periods scale with the length of the sequence",
        paper="",
        needs=("length_period", "length_mode_period", "length_mode_energy", "length_accuracy"),
        may_be_missing=("length_period", "length_mode_period", "length_mode_energy"),
        judge=judge,
        quantity="change of log period per change of log length (0: none, 1: in proportion)",
        units="",
        test=f"t test of the slope over lengths against {HALF:g}, each length with its own variance (Welch 1947)",
        rule=f"supported if the slope is greater than {HALF:g}, contradicted if it is less",
        phrases=(
            "median periods {periods:.1f} rows at lengths {lengths:.0f}",
            "slope of the modes' mean log period, weighed by energy, {modes:.2f} [{modes_lower:.2f}, {modes_upper:.2f}]",
            "{still:.0f} networks without a period left out",
            "not trained at {not_learned:.0f} rows, left out",
            "no network has a period at {at_rest:.0f} rows, left out",
        ),
        section="Why it oscillates",
        figures=("theory",),
        method="""Studies that differ in the number of rows alone are compared: each image's rows averaged in groups, or
        repeated. The period is that of the state after 2,000 blank rows, its slope the linear contrast of the mean log periods
        over log length, each length with the same weight.""",
        power="curve",
        asks="studies of other lengths beside this one (--beside)",
    )
)
