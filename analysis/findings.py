"""The ledger: each claim of the paper as a hypothesis with a number, an interval, a test and a verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from analysis.bands import FEWEST_NETWORKS, Band, simultaneous_band
from analysis.expansion import expansion_then_compression
from analysis.intervals import Estimate, greater_than, mean_interval, share_interval
from analysis.oscillation import Oscillation, oscillation
from study.spectrum import SHORTEST, TRANSIENT

LEVEL = 0.95
SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"


@dataclass(frozen=True)
class Finding:
    """One claim at one hidden size.

    Attributes: `claim` (C1 ..), `hypothesis` in words, `hidden_size`, the `estimate` of a `quantity` with its interval and
    n, `units` (``%`` and ``points`` for shares and their differences, else as they are), `test` and its `p` (NaN where an
    interval decides), the `verdict`, the `rule` it follows, and a `note` in words.
    """

    claim: str
    hypothesis: str
    hidden_size: int
    estimate: Estimate
    quantity: str
    units: str
    test: str
    p: float
    verdict: str
    rule: str
    note: str = ""


@dataclass(frozen=True)
class CurveBands:
    """The bands of one measured variable at one hidden size, and where the UI shows them."""

    variable: str
    hidden_size: int
    steps: np.ndarray
    band: Band
    metric: str


@dataclass(frozen=True)
class Findings:
    """What a study shows: the ledger, the bands, and each network's periodicity by hidden size."""

    ledger: list[Finding]
    bands: list[CurveBands]
    oscillations: dict[int, Oscillation]
    withheld: dict[int, int] = field(default_factory=dict)  # hidden size -> networks, where too few for a band

    def table(self) -> pd.DataFrame:
        """The ledger as a table, a row a claim and hidden size."""
        rows = [asdict(finding) | asdict(finding.estimate) for finding in self.ledger]
        return pd.DataFrame(rows).drop(columns="estimate", errors="ignore")

    def band(self, variable: str, hidden_size: int) -> CurveBands | None:
        """One variable's band; None where it was withheld or not measured."""
        matches = (b for b in self.bands if (b.variable, b.hidden_size) == (variable, hidden_size))
        return next(matches, None)


def evaluate(dataset: xr.Dataset) -> Findings:
    """Every claim at every hidden size that has networks. Deterministic: resampling is seeded by hidden size."""
    ledger, bands, oscillations, withheld = [], [], {}, {}
    for size in dataset.hidden_size.values:
        networks = present(dataset, int(size))
        if not networks.sizes["seed"]:
            withheld[int(size)] = 0
            continue
        oscillations[int(size)] = oscillation(networks.accuracy_appended.values, rng=int(size))
        if networks.sizes["seed"] < FEWEST_NETWORKS:
            withheld[int(size)] = networks.sizes["seed"]
        else:
            bands.extend(curve_bands(networks))
        for claim in CLAIMS:
            ledger.append(claim(networks, oscillations[int(size)]))
    ledger.sort(key=lambda finding: finding.claim)
    return Findings(ledger, bands, oscillations, withheld)


def present(dataset: xr.Dataset, hidden_size: int) -> xr.Dataset:
    """The networks of one hidden size that the study has, along `seed`."""
    networks = dataset.sel(hidden_size=hidden_size)
    return networks.isel(seed=np.flatnonzero(networks.run_id.values != ""))


def step_curves(variable: xr.DataArray) -> xr.DataArray:
    """A variable over (`seed`, step, ...) as one curve a network: averaged over what follows the step, such as the digit."""
    return variable.mean(variable.dims[2:]) if variable.ndim > 2 else variable


def curve_bands(networks: xr.Dataset) -> Iterator[CurveBands]:
    """A band for every curve that the networks of one hidden size log: shares on the logit scale, the rest raw."""
    for name, variable in networks.data_vars.items():
        if "metric" not in variable.attrs or variable.ndim < 2:
            continue
        curves = step_curves(variable)
        curves = curves.dropna(curves.dims[1], how="all")  # exponents that so few units have not
        dimension = curves.dims[1]
        method = "logit" if "valid_max" in variable.attrs else "raw"  # a share
        band = simultaneous_band(curves.values, LEVEL, method, rng=int(networks.hidden_size))
        yield CurveBands(str(name), int(networks.hidden_size), curves[dimension].values, band, variable.attrs["metric"])


def _by_interval(estimate: Estimate, bound: float) -> str:
    if estimate.n < FEWEST_NETWORKS:
        return UNDECIDED
    return SUPPORTED if estimate.lower > bound else CONTRADICTED if estimate.upper < bound else UNDECIDED


def _few(n: int) -> str:
    return f"{n} networks, fewer than {FEWEST_NETWORKS}: no verdict" if n < FEWEST_NETWORKS else ""


def trained_accuracy(networks: xr.Dataset, _: Oscillation) -> Finding:
    """C1."""
    values = networks.test_accuracy.values
    estimate = mean_interval(values, LEVEL)
    return Finding(
        "C1", "test accuracy is over 93%", int(networks.hidden_size), estimate, "test accuracy", "%", "t interval of the mean",
        greater_than(values, 0.93), _by_interval(estimate, 0.93),
        "supported if the whole interval lies above 93%, contradicted if below", _few(estimate.n),
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
    verdict, note = UNDECIDED, _few(n)
    estimate = mean_interval(difference.values[:, worst], LEVEL)
    if n >= FEWEST_NETWORKS:
        band = simultaneous_band(difference.values, LEVEL, rng=int(networks.hidden_size))
        estimate = Estimate(float(band.mean[worst]), float(band.lower[worst]), float(band.upper[worst]), n)
        rows = difference.rows_shown.values
        verdict = SUPPORTED if (band.lower > 0).all() else CONTRADICTED if (band.upper < 0).any() else UNDECIDED
        above, below = int((band.lower > 0).sum()), rows[band.upper < 0]
        note = f"above zero at {above} of {len(rows)} numbers of rows" + (
            f"; below zero at {_ranges(below)}" if len(below) else "")
        if unclear := list(rows[(band.lower <= 0) & (band.upper >= 0)]):
            note += f"; unclear at {_ranges(unclear)}"
        if tied.any() and not tied.all():
            note += f"; {_ranges(networks.rows_shown.values[tied])} left out, where both are the same in every network"
    return Finding(
        "C2", "blank rows in place of the rest beat stopping early, at every number of rows", int(networks.hidden_size),
        estimate, "difference in accuracy where it is smallest", "points", "simultaneous band of the paired difference",
        float("nan"), verdict, "supported if the whole band lies above zero, contradicted if it lies below zero at any "
        "number of rows; numbers of rows at which no network's images differ yet are left out", note,
    )


def one_blank_row_costs(networks: xr.Dataset, _: Oscillation) -> Finding:
    """C3."""
    loss = networks.accuracy_appended.sel(blank_rows=0) - networks.accuracy_appended.sel(blank_rows=1)
    estimate = mean_interval(loss.values, LEVEL)
    return Finding(
        "C3", "one blank row too many already costs accuracy", int(networks.hidden_size), estimate,
        "loss of accuracy", "points", "one-sided t test, paired", greater_than(loss.values), _by_interval(estimate, 0.0),
        "supported if the whole interval of the loss lies above zero, contradicted if below", _few(estimate.n),
    )


def accuracy_oscillates(networks: xr.Dataset, rhythm: Oscillation) -> Finding:
    """C4."""
    n, count = len(rhythm.tests), int(rhythm.oscillates.sum())
    long_enough = networks.sizes["blank_rows"] >= TRANSIENT + SHORTEST
    estimate = share_interval(count, n, LEVEL)
    periods = [test.period for test, passes in zip(rhythm.tests, rhythm.oscillates, strict=True) if passes]
    words = f"{count} of {n} networks"
    if periods:
        words += f", median period {np.median(periods):.1f} rows ({min(periods):.1f} to {max(periods):.1f})"
    return Finding(
        "C4", f"accuracy oscillates under blank rows ({TRANSIENT} and later)", int(networks.hidden_size), estimate,
        "share of networks", "%",
        "largest peak over red noise, AR(1) surrogates; Benjamini-Hochberg over networks; Wilson interval",
        float("nan"), _by_interval(estimate, 0.5) if long_enough else UNDECIDED,
        "supported if the interval of the share lies above one half, contradicted if below",
        "; ".join(filter(None, (words, _few(n), "" if long_enough else "too few blank rows to tell an oscillation"))),
    )


def dimensionality_expands_then_shrinks(networks: xr.Dataset, _: Oscillation) -> Finding:
    """C5, for all images together."""
    return _expansion("C5", "dimensionality expands, then shrinks (all images)", networks, networks.pca90)


def dimensionality_by_digit(networks: xr.Dataset, _: Oscillation) -> Finding:
    """C5, for the images of one digit, averaged over digits."""
    return _expansion("C5b", "dimensionality expands, then shrinks (by digit)", networks,
                      networks.pca90_by_digit.mean("digit"))


def _expansion(claim: str, hypothesis: str, networks: xr.Dataset, curves: xr.DataArray) -> Finding:
    size, n = int(networks.hidden_size), curves.sizes["seed"]
    rule = ("supported if p < 0.05; else contradicted if at the peak of the mean the interval of the rise or of the fall lies "
            "below one component")
    test = "largest smaller t of rise and fall over all steps, against its resampled null"
    if n < FEWEST_NETWORKS:
        missing = Estimate(float("nan"), float("nan"), float("nan"), n)
        return Finding(claim, hypothesis, size, missing, "peak above the last step", "components", test, float("nan"),
                       UNDECIDED, rule, _few(n))
    result = expansion_then_compression(curves.transpose("seed", "time_step").values, LEVEL, rng=size)
    ordered = curves.transpose("seed", "time_step").values
    peak = ordered[:, ordered.mean(axis=0).argmax()]
    flat = any(mean_interval(peak - ordered[:, end], LEVEL).upper < 1 for end in (0, -1))
    verdict = SUPPORTED if result.p < 1 - LEVEL else CONTRADICTED if flat else UNDECIDED
    step = int(curves.time_step.values[result.peak])
    note = (f"at step {step} up {result.rise.value:.1f} from the first step and {result.fall.value:.1f} above the last, "
            f"in {result.share:.0%} of networks")
    return Finding(claim, hypothesis, size, result.fall, "peak above the last step", "components", test,
                   result.p, verdict, rule, note)


CLAIMS: tuple[Callable[[xr.Dataset, Oscillation], Finding], ...] = (
    trained_accuracy,
    blanked_beats_truncated,
    one_blank_row_costs,
    accuracy_oscillates,
    dimensionality_expands_then_shrinks,
    dimensionality_by_digit,
)


def _ranges(rows) -> str:
    """Row numbers as ranges: 1-3, 7."""
    groups: list[list[int]] = []
    for row in map(int, rows):
        if groups and row == groups[-1][-1] + 1:
            groups[-1].append(row)
        else:
            groups.append([row])
    return ("rows " if len(rows) > 1 else "row ") + ", ".join(f"{g[0]}-{g[-1]}" if len(g) > 1 else str(g[0]) for g in groups)


def markdown(dataset: xr.Dataset, findings: Findings) -> str:
    """The verdicts and the missing networks as Markdown, for the study run's description."""
    missing = json.loads(dataset.attrs["missing"])
    networks = dataset.run_id.size - len(missing)
    lines = [f"**{networks} of {dataset.run_id.size} networks** measured.", ""]
    if findings.ledger:
        lines += ["| claim | hidden size | estimate | verdict |", "|---|---|---|---|"]
        for finding in findings.ledger:
            lines.append(f"| {finding.claim}: {finding.hypothesis} | {finding.hidden_size} | "
                         f"{words(finding)} | **{finding.verdict}** |")
    if missing:
        lines += ["", "Missing:", "", *(f"- {_plain(name)}: {_plain(reason)}" for name, reason in missing.items())]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text that came from outside, so that Markdown and HTML show it as it is."""
    one_line = " ".join(text.split())
    return re.sub(r"[^\w\s,;/'-]", lambda match: f"&#{ord(match[0])};", one_line).replace("_", "&#95;").replace("/", "&#47;")


def words(finding: Finding) -> str:
    """A finding's estimate with its interval and n, in the units a reader expects."""
    estimate, scale = finding.estimate, 100 if finding.units in ("%", "points") else 1
    if np.isnan(estimate.value):
        return "no estimate"
    unit = "%" if finding.units == "%" else f" {finding.units}"
    text = f"{scale * estimate.value:.1f}{unit}"
    if np.isfinite(estimate.lower):
        text += f" [{scale * estimate.lower:.1f}, {scale * estimate.upper:.1f}]"
    return f"{text}, n = {estimate.n}"
