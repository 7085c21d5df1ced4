"""The claims C1 to C8, each judged at one hidden size by a rule that is written beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import xarray as xr

from analysis.claims.ledger import CONTRADICTED, LEVEL, NOT_TRAINED, SUPPORTED, UNDECIDED, Finding, by_interval, few
from analysis.statistics.agreement import of_odd_map, period_agreement
from analysis.statistics.bands import FEWEST_NETWORKS, simultaneous_band
from analysis.statistics.decoding import lead
from analysis.statistics.expansion import expansion_then_compression
from analysis.statistics.intervals import Estimate, greater_than, mean_interval, share_interval
from analysis.statistics.oscillation import Oscillation
from study.periodogram import TRANSIENT

# What a mean, or a share of networks, must exceed, where one number decides. C7: steps, a tenth of the image.
MEANS = {"C1": 0.93, "C3": 0.0, "C6": 0.5, "C7": 3}
SHARES = {"C4": 0.5, "C8": 0.5}
# The test accuracy that networks need for a claim about trained ones to be judged: more images right than wrong, five times
# chance with ten classes. Below it many measures still move as the claims say, because those of untrained networks do.
TRAINED = 0.5
OF_ACCURACY = {"C1"}  # claims about how well the networks learn, which their own rule judges
ENOUGH = 150  # rows after the transient, in which a period of 50 rows comes round three times: fewer tell no absence of oscillation


def trained_accuracy(networks: xr.Dataset, _: Oscillation) -> Finding:
    """C1."""
    values = networks.test_accuracy.values
    estimate = mean_interval(values, LEVEL)
    return Finding(
        "C1",
        "test accuracy is over 93%",
        int(networks.hidden_size),
        estimate,
        "test accuracy",
        "%",
        "t interval of the mean",
        greater_than(values, MEANS["C1"]),
        by_interval(estimate, MEANS["C1"]),
        "supported if the whole interval lies above 93%, contradicted if below",
        few(estimate.n),
    )


def blanked_beats_truncated(networks: xr.Dataset, _: Oscillation) -> Finding:
    """C2: the smallest mean difference over all numbers of rows, with the simultaneous band's limits there.

    Left out are numbers of rows at which the two conditions are the same in every network by construction: row 1 of every MNIST
    test image is blank, so after it both read the bias alone.
    """
    difference = (networks.accuracy_blanked - networks.accuracy_truncated).transpose("seed", ...)
    n, tied = difference.sizes["seed"], (difference.values == 0).all(axis=0)
    if not tied.all():
        difference = difference.isel(rows_shown=~tied)
    worst = int(difference.mean("seed").values.argmin())
    verdict, note = UNDECIDED, few(n)
    estimate = mean_interval(difference.values[:, worst], LEVEL)
    if n >= FEWEST_NETWORKS:
        band = simultaneous_band(difference.values, LEVEL, "beta", rng=int(networks.hidden_size))
        estimate = Estimate(float(band.mean[worst]), float(band.lower[worst]), float(band.upper[worst]), n)
        rows = difference.rows_shown.values
        verdict = SUPPORTED if (band.lower > 0).all() else CONTRADICTED if (band.upper < 0).any() else UNDECIDED
        above, below = int((band.lower > 0).sum()), rows[band.upper < 0]
        note = f"above zero at {above} of {len(rows)} numbers of rows" + (f"; below zero at {_ranges(below)}" if len(below) else "")
        if unclear := list(rows[(band.lower <= 0) & (band.upper >= 0)]):
            note += f"; unclear at {_ranges(unclear)}"
        if tied.any() and not tied.all():
            note += f"; {_ranges(networks.rows_shown.values[tied])} left out, where both are the same in every network"
    return Finding(
        "C2",
        "blank rows in place of the rest beat stopping early, at every number of rows",
        int(networks.hidden_size),
        estimate,
        "difference in accuracy where it is smallest",
        "points",
        "simultaneous band of the paired difference",
        float("nan"),
        verdict,
        "supported if the whole band lies above zero, contradicted if it lies below zero at any "
        "number of rows; numbers of rows at which no network's images differ yet are left out",
        note,
    )


def one_blank_row_costs(networks: xr.Dataset, _: Oscillation) -> Finding:
    """C3."""
    loss = networks.accuracy_appended.sel(blank_rows=0) - networks.accuracy_appended.sel(blank_rows=1)
    estimate = mean_interval(loss.values, LEVEL)
    return Finding(
        "C3",
        "one blank row too many already costs accuracy",
        int(networks.hidden_size),
        estimate,
        "loss of accuracy",
        "points",
        "one-sided t test, paired",
        greater_than(loss.values),
        by_interval(estimate, MEANS["C3"]),
        "supported if the whole interval of the loss lies above zero, contradicted if below",
        few(estimate.n),
    )


def accuracy_oscillates(networks: xr.Dataset, rhythm: Oscillation) -> Finding:
    """C4."""
    n, count = len(rhythm.tests), int(rhythm.oscillates.sum())
    estimate = share_interval(count, n, LEVEL)
    verdict = by_interval(estimate, SHARES["C4"])
    too_short = verdict != SUPPORTED and networks.sizes["blank_rows"] < TRANSIENT + ENOUGH
    if too_short:
        estimate, verdict = Estimate(estimate.value, float("nan"), float("nan"), n), UNDECIDED
    words = f"{count} of {n} networks"
    if count:
        least, median, most = np.nanquantile(rhythm.confirmed_periods, (0, 0.5, 1))
        words += f", median period {median:.1f} rows ({least:.1f} to {most:.1f})"
    return Finding(
        "C4",
        f"accuracy oscillates under blank rows ({TRANSIENT} and later)",
        int(networks.hidden_size),
        estimate,
        "share of networks",
        "%",
        "largest peak over red noise, AR(1) surrogates; Benjamini-Hochberg over networks; Wilson interval",
        float("nan"),
        verdict,
        "supported if the interval of the share lies above one half, contradicted if below",
        "; ".join(filter(None, (words, few(n), "too few blank rows to tell slow oscillations from none" if too_short else ""))),
    )


def dimensionality_expands_then_shrinks(networks: xr.Dataset, _: Oscillation) -> Finding:
    """C5, for all images together."""
    return _expansion("C5", "dimensionality expands, then shrinks (all images)", networks, networks.pca90, "group")


def dimensionality_by_digit(networks: xr.Dataset, _: Oscillation) -> Finding:
    """C5, for the images of one digit, averaged over digits."""
    return _expansion(
        "C5b", "dimensionality expands, then shrinks (by digit)", networks, networks.pca90_by_digit.mean("digit"), "digit"
    )


def _expansion(claim: str, hypothesis: str, networks: xr.Dataset, curves: xr.DataArray, parts: str) -> Finding:
    """The test on `curves`; compared with the untrained networks, where they were measured, on equal image numbers by `parts`."""
    size, n = int(networks.hidden_size), curves.sizes["seed"]
    rule = (
        "supported if p < 0.05; else contradicted if at the peak of the mean the interval of the rise or of the fall lies "
        "below one component"
    )
    test = "largest smaller t of rise and fall over all steps, against its resampled null"
    if n < FEWEST_NETWORKS:
        missing = Estimate(float("nan"), float("nan"), float("nan"), n)
        return Finding(
            claim, hypothesis, size, missing, "peak above the last step", "components", test, float("nan"), UNDECIDED, rule, few(n)
        )
    result = expansion_then_compression(curves.transpose("seed", "time_step").values, LEVEL, rng=size)
    ordered = curves.transpose("seed", "time_step").values
    peak = ordered[:, ordered.mean(axis=0).argmax()]
    flat = any(mean_interval(peak - ordered[:, end], LEVEL).upper < 1 for end in (0, -1))
    verdict = SUPPORTED if result.p < 1 - LEVEL else CONTRADICTED if flat else UNDECIDED
    step = int(curves.time_step.values[result.peak])
    height = max(float(ordered[:, result.peak].mean()), 1e-9)
    note = (
        f"at step {step} up {result.rise.value:.1f} from the first step and {result.fall.value:.1f} above the last "
        f"({result.fall.value / height:.0%} of the {height:.1f} there, {height / size:.3f} a hidden unit), "
        f"in {result.share:.0%} of networks"
    )
    matched = f"pca90_matched_by_{parts}"
    if f"{matched}_untrained" in networks:
        excess = (networks[matched] - networks[f"{matched}_untrained"]).mean(parts).transpose("seed", "time_step").values
        paired = mean_interval(excess[:, result.peak] - excess[:, -1], LEVEL)
        note += f"; more than in the untrained networks by {paired.value:.1f} [{paired.lower:.1f}, {paired.upper:.1f}]"
    return Finding(
        claim, hypothesis, size, result.fall, "peak above the last step", "components", test, result.p, verdict, rule, note
    )


def _ranges(rows, unit: str = "row") -> str:
    """Row numbers as ranges: 1-3, 7."""
    groups: list[list[int]] = []
    for row in map(int, rows):
        if groups and row == groups[-1][-1] + 1:
            groups[-1].append(row)
        else:
            groups.append([row])
    return f"{unit}{'s' * (len(rows) > 1)} " + ", ".join(f"{g[0]}-{g[-1]}" if len(g) > 1 else str(g[0]) for g in groups)


def sixes_separate(networks: xr.Dataset, _: Oscillation) -> Finding | None:
    """C6."""
    if "sixes_agreement" not in networks or networks.sixes_agreement.isnull().all():
        return None
    if 6 not in networks.digit or 4 not in networks.time_step:  # no record of ours, which then holds none
        return None
    values = networks.sixes_agreement.values
    others = networks.neighbour_agreement.sel(time_step=4).drop_sel(digit=6).mean().item()
    estimate = mean_interval(values, LEVEL)
    sources = {"untrained": "sixes in the untrained networks", "pixels": "sixes in the pixels of the four rows"}
    nulls = [
        f"{words} {float(networks[f'sixes_agreement_{source}'].mean()):.1%}"
        for source, words in sources.items()
        if f"sixes_agreement_{source}" in networks
    ]
    return Finding(
        "C6",
        "sixes separate by step 4",
        int(networks.hidden_size),
        estimate,
        "share of a six's ten nearest neighbours that are sixes",
        "%",
        "t interval of the mean",
        greater_than(values, MEANS["C6"]),
        by_interval(estimate, MEANS["C6"]),
        "supported if the whole interval lies above one half, contradicted if below",
        "; ".join(filter(None, (f"other digits {others:.1%}", *nulls, few(estimate.n)))),
    )


def probe_reads_first(networks: xr.Dataset, _: Oscillation) -> Finding | None:
    """C7: by how many steps a probe passes 50% before the readout, and where the band of its lead in accuracy is above zero."""
    if "probe_accuracy" not in networks:
        return None
    probe = networks.probe_accuracy.dropna("seed").transpose("seed", ...).values
    if not len(probe):
        return None
    readout = probe - networks.probe_gap.dropna("seed").transpose("seed", ...).values
    half, final = lead(probe, readout, 0.5, LEVEL), lead(probe, readout, 0.9 * readout[:, -1], LEVEL)
    estimate = half.ahead
    reached = {"probe": half.probe, "readout": half.readout}
    notes = [", ".join(f"{who} at step {when.value:.1f}" if when.n else f"{who} at no step" for who, when in reached.items())]
    if final.ahead.n:
        interval = f" [{final.ahead.lower:.1f}, {final.ahead.upper:.1f}]" if np.isfinite(final.ahead.lower) else ""
        notes.append(f"90% of the final accuracy {final.ahead.value:.1f}{interval} steps earlier")
    if len(half.lags) > 1 and np.ptp(half.lags) == 0:
        notes.append("the same number in every network, so that its interval has no width")
    if half.never:
        notes.append(f"{half.never} networks left out, whose probe or readout never passes 50%")
    if len(probe) >= FEWEST_NETWORKS:
        band = simultaneous_band(probe - readout, LEVEL, "beta", rng=int(networks.hidden_size))
        notes.append(
            f"probe above readout beyond doubt at {_ranges(networks.time_step.values[band.lower > 0], 'step')}"
            if (band.lower > 0).any()
            else "probe above readout beyond doubt at no step"
        )
    return Finding(
        "C7",
        "labels are linearly readable long before the readout reads them",
        int(networks.hidden_size),
        estimate,
        "steps by which a probe passes 50% first",
        "steps",
        "paired t interval of the mean",
        greater_than(half.lags, MEANS["C7"]),
        by_interval(estimate, MEANS["C7"]),
        f"supported if the whole interval lies above {MEANS['C7']} steps, contradicted if below",
        "; ".join(filter(None, (*notes, few(estimate.n)))),
    )


def spectrum_predicts_period(networks: xr.Dataset, rhythm: Oscillation) -> Finding | None:
    """C8, for the state; the accuracy is told in the note."""
    if "period_predicted" not in networks or "period_state" not in networks:
        return None
    predicted = networks.period_predicted.values
    odd = of_odd_map(networks.period_predicted)
    state = period_agreement(predicted, networks.period_state.values, LEVEL, odd)
    accuracy = period_agreement(networks.period_state.values, rhythm.confirmed_periods, LEVEL, odd)
    notes = [f"{state.n} of {len(predicted)} networks have both periods"]
    if state.n:
        notes.append(f"the state turns {state.turn.value:+.3f} radians a row from the prediction")
    if accuracy.n:
        notes.append(
            f"accuracy has the state's period or its half in {accuracy.share.value:.0%} of {accuracy.n} networks, "
            f"its half in {accuracy.half.value:.0%}"
            if odd
            else f"accuracy has the state's period in {accuracy.share.value:.0%} of {accuracy.n} networks"
        )
    return Finding(
        "C8",
        "the spectrum of R predicts the period of the state, or its half"
        if odd
        else "the spectrum of the Jacobian at rest predicts the period of the state",
        int(networks.hidden_size),
        state.share,
        "share of networks within 10%",
        "%",
        "Wilson interval of the share",
        float("nan"),
        by_interval(state.share, SHARES["C8"]),
        "supported if the interval of the share lies above one half, contradicted if below",
        "; ".join(filter(None, (*notes, few(state.share.n)))),
    )


CLAIMS: tuple[Callable[[xr.Dataset, Oscillation], Finding | None], ...] = (
    trained_accuracy,
    blanked_beats_truncated,
    one_blank_row_costs,
    accuracy_oscillates,
    dimensionality_expands_then_shrinks,
    dimensionality_by_digit,
    sixes_separate,
    probe_reads_first,
    spectrum_predicts_period,
)


def judged(networks: xr.Dataset, rhythm: Oscillation) -> Iterator[Finding]:
    """The findings on networks of one hidden size, along `seed`; not trained where their mean test accuracy is below `TRAINED`.

    The estimates stay as they are. All networks count, whatever they learned: leaving out those that did not would choose networks
    by their outcome.
    """
    accuracy = mean_accuracy(networks)
    for claim in CLAIMS:
        finding = claim(networks, rhythm)
        if finding is None or finding.claim in OF_ACCURACY:
            yield from filter(None, [finding])
            continue
        finding = replace(finding, rule=f"{finding.rule}; not trained if the mean test accuracy is below {TRAINED:.0%}")
        if not accuracy >= TRAINED:  # or unknown
            note = "; ".join(filter(None, (f"not judged, because the mean test accuracy is {percent(accuracy)}", finding.note)))
            finding = replace(finding, verdict=NOT_TRAINED, note=note)
        yield finding


def mean_accuracy(networks: xr.Dataset) -> float:
    """The mean test accuracy of networks along `seed`; NaN where none is known."""
    return float(networks.test_accuracy.mean())


def percent(share: float) -> str:
    return "unknown" if np.isnan(share) else f"{share:.1%}"
