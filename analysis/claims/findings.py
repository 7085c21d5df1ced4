"""The findings of a study: the ledger of claims, the bands, and the periodicity of each network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import xarray as xr

from analysis.claims.cautions import cautions, unjudged
from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, NOT_APPLICABLE, NOT_TRAINED, Finding
from analysis.claims.registry import CLAIMS
from analysis.claims.sample import Sample, present
from analysis.claims.summary import Summary, adjusted, summaries
from analysis.statistics.bands import FEWEST_NETWORKS, Band, TooFewNetworks, simultaneous_band
from analysis.statistics.intervals import Estimate, share_interval
from analysis.statistics.oscillation import Oscillation
from analysis.statistics.phase import PHASES, Cycle, cycle
from analysis.statistics.trend import Difference, Trend, planned_pairs, size_trend
from study.schema import SOURCES, by_source, metric_name, of_source, role_of
from study.terminal.visible import visible

COUNTED = "components"  # the units of curves of whole numbers
GRID = ("hidden_size", "seed")  # dimensions of a study's dataset, beside those of a network's record


@dataclass(frozen=True)
class CurveBands:
    """The band of one curve of one source at one hidden size, and where the UI shows it."""

    variable: str
    source: str
    hidden_size: int
    steps: np.ndarray
    band: Band
    metric: str


@dataclass(frozen=True)
class Change:
    """How one number of one source changes with the hidden size: its `trend`, and the `pairs` of sizes compared."""

    variable: str
    source: str
    trend: Trend
    pairs: list[Difference]


@dataclass(frozen=True)
class Findings:
    """The findings of a study: the `ledger` of claims; the `bands`; by hidden size, the `oscillations` of all networks and the
    `cycles` of those that oscillate; the `trends` over hidden sizes; the `cautions` to read first; the claims left `unjudged`; and
    the `claims` with the words of the study's data.
    """

    ledger: list[Finding]
    bands: list[CurveBands]
    oscillations: dict[int, Oscillation]
    cycles: dict[int, Cycle] = field(default_factory=dict)
    withheld: dict[int, int] = field(default_factory=dict)  # hidden size -> number of networks, where too few for a band
    trends: list[Change] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)
    claims: Mapping[str, Claim] = field(default_factory=dict)  # as they are about this study

    def claim(self, name: str) -> Claim:
        """A claim by its id, about this study."""
        return self.claims.get(name) or CLAIMS[name].about(xr.Dataset())

    def inapplicable(self) -> list[str]:
        """The claims that do not apply to networks of the study, and why; one line per reason."""
        sizes: dict[tuple[str, str], list[int]] = {}
        for finding in self.ledger:
            if finding.verdict == NOT_APPLICABLE and finding.reason:
                sizes.setdefault((finding.claim, finding.reason), []).append(finding.hidden_size)
        every = len({finding.hidden_size for finding in self.ledger})
        where = {place: "" if len(some) == every else f" at H = {', '.join(map(str, some))}" for place, some in sizes.items()}
        return [f"{name}, {self.claim(name).hypothesis}: not applicable{where[name, why]}, because {why}." for name, why in sizes]

    def overall(self) -> dict[str, Summary]:
        """The answer to each claim over all hidden sizes."""
        return summaries(self.ledger)

    @property
    def tested(self) -> int:
        """How many verdicts rest on a p value: those over which it is adjusted."""
        return sum(np.isfinite(finding.p) for finding in self.ledger)

    def table(self) -> pd.DataFrame:
        """The ledger as a table: one row per claim and hidden size; value and limits are in the `units` of their row, and `numbers`
        are JSON.
        """
        rows = []
        for finding in self.ledger:
            claim, estimate = self.claim(finding.claim), in_units(finding)
            rows.append(
                {
                    "claim": claim.id,
                    "hypothesis": claim.hypothesis,
                    "hidden_size": finding.hidden_size,
                    "quantity": claim.quantity,
                    "units": claim.units,
                    "test": claim.test,
                    "p": finding.p,
                    "p_adjusted": finding.p_adjusted,
                    "verdict": finding.verdict,
                    "reason": finding.reason,
                    "rule": claim.decision_rule,
                    "value": estimate.value,
                    "lower": estimate.lower,
                    "upper": estimate.upper,
                    "n": estimate.n,
                    "numbers": json.dumps(dict(finding.numbers)),
                }
            )
        return pd.DataFrame(rows)

    def trend_table(self) -> pd.DataFrame:
        """The trends over hidden sizes: one row per number, with the Holm-adjusted p value of each pair of sizes."""
        rows = [
            {
                "variable": change.variable,
                "source": change.source,
                "slope_per_doubling": change.trend.slope,
                "p": change.trend.p,
                "n": change.trend.n,
            }
            | {f"p_{pair.sizes[0]}_{pair.sizes[1]}": pair.p_adjusted for pair in change.pairs}
            for change in self.trends
        ]
        return pd.DataFrame(rows)

    def spectrum_table(self) -> pd.DataFrame:
        """The mean power spectrum of the accuracy under blank rows, over the background: one row per hidden size and frequency."""
        frames = [
            pd.DataFrame(
                {
                    "hidden_size": size,
                    "frequency": oscillation.frequencies,
                    "period": 1 / oscillation.frequencies,
                    "power_over_background": oscillation.mean_spectrum,
                    "n": len(oscillation.moving_spectra),
                }
            )
            for size, oscillation in self.oscillations.items()
        ]
        return _joined(frames)

    def cycle_table(self) -> pd.DataFrame:
        """The accuracy over a cycle, about its mean: one row per hidden size and phase, with the band if networks suffice."""
        frames = []
        for size, one in self.cycles.items():
            limits = {"lower": one.band.lower, "upper": one.band.upper} if one.band else {"lower": np.nan, "upper": np.nan}
            frames.append(
                pd.DataFrame(
                    {
                        "hidden_size": size,
                        "phase": np.arange(PHASES) / PHASES,
                        "accuracy": one.curves.mean(axis=0),
                        "n": len(one.curves),
                    }
                    | limits
                )
            )
        return _joined(frames)

    def band(self, variable: str, hidden_size: int, source: str = SOURCES[0]) -> CurveBands | None:
        """One curve's band; None where it was withheld or not measured."""
        matches = (b for b in self.bands if (b.variable, b.hidden_size, b.source) == (variable, hidden_size, source))
        return next(matches, None)


def category_table(dataset: xr.Dataset) -> pd.DataFrame:
    """How many networks of each hidden size are of each category of a variable, and the Wilson interval of their share.

    One row per variable, hidden size and category.
    """
    rows = []
    for name, variable in dataset.data_vars.items():
        if role_of(variable, GRID) != "category":
            continue
        for size in map(int, dataset.hidden_size.values):
            values = variable.sel(hidden_size=size).dropna("seed").values
            for code, category in enumerate(variable.attrs["flag_meanings"].split() if len(values) else []):
                count = int((values == code).sum())
                share = share_interval(count, len(values), LEVEL)
                limits = {"share": share.value, "lower": share.lower, "upper": share.upper}
                rows.append(
                    {"variable": name, "hidden_size": size, "category": category, "networks": count, "n": len(values)} | limits
                )
    return pd.DataFrame(rows)


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def evaluate(dataset: xr.Dataset) -> Findings:
    """Every claim at every hidden size that has networks. Deterministic: resampling is seeded by hidden size."""
    ledger, bands, oscillations, cycles = [], [], {}, {}
    for size in map(int, dataset.hidden_size.values):
        sample = Sample(present(dataset, size))
        if not sample.n:
            continue
        oscillations[size] = sample.oscillation
        if oscillating := cycle(sample.arrays, sample.oscillation, LEVEL):
            cycles[size] = oscillating
        if sample.n >= FEWEST_NETWORKS:
            bands.extend(curve_bands(sample.arrays))
        ledger.extend(judged(sample))
    return summed_up(dataset, ledger, bands, oscillations, cycles, list(_changes(dataset)))


def summed_up(
    dataset: xr.Dataset,
    ledger: list[Finding],
    bands: list[CurveBands],
    oscillations: dict[int, Oscillation],
    cycles: dict[int, Cycle],
    trends: list[Change],
) -> Findings:
    """Findings in the order of claims, with p values adjusted over them all, completed from the dataset: withheld bands, cautions
    and unjudged claims."""
    order = list(CLAIMS)
    ledger = adjusted(sorted(ledger, key=lambda finding: order.index(finding.claim)))
    counts = {int(size): present(dataset, int(size)).sizes["seed"] for size in dataset.hidden_size.values}
    withheld = {size: n for size, n in counts.items() if n < FEWEST_NETWORKS}
    about = {claim.id: claim.about(dataset) for claim in CLAIMS.values()}
    left = unjudged(dataset, ledger, about)
    return Findings(ledger, bands, oscillations, cycles, withheld, trends, cautions(dataset), left, about)


def judged(sample: Sample) -> Iterator[Finding]:
    """The findings on the networks of one hidden size; not trained where their mean test accuracy is below `Sample.trained_from`.

    The estimates are kept. All networks count, whether or not they learned: leaving out those that did not would select networks by
    their outcome.
    """
    for claim in CLAIMS.values():
        finding = claim.finding(sample)
        if finding is None:
            continue
        applies = finding.verdict != NOT_APPLICABLE and not claim.accuracy_only
        if applies and not sample.mean_accuracy >= sample.trained_from:  # or unknown
            numbers = {**finding.numbers, "mean_test_accuracy": sample.mean_accuracy}
            finding = replace(finding, verdict=NOT_TRAINED, p=float("nan"), numbers=numbers)
        yield finding


def in_units(finding: Finding | Summary) -> Estimate:
    """A finding's estimate, or that of a summary, in the units of its claim."""
    scale, estimate = CLAIMS[finding.claim].scale, finding.estimate
    return replace(estimate, value=scale * estimate.value, lower=scale * estimate.lower, upper=scale * estimate.upper)


def estimate_text(finding: Finding | Summary) -> str:
    """The estimate of a finding or a summary with its interval and n, in the units a reader expects: 12.3 points [5.2, 19.3], n =
    7."""
    estimate, units = in_units(finding), CLAIMS[finding.claim].units
    if np.isnan(estimate.value):
        return "no estimate"
    text = f"{estimate.value:.1f}{'%' if units == '%' else f' {units}' if units else ''}"
    if np.isfinite(estimate.lower):
        text += f" [{estimate.lower:.1f}, {estimate.upper:.1f}]"
    return f"{text}, n = {estimate.n}"


def _changes(dataset: xr.Dataset) -> Iterator[Change]:
    """The change of every number that networks log with the hidden size."""
    sizes, _ = np.broadcast_arrays(dataset.hidden_size.values[:, None], dataset.run_id.values)
    for name, variable in dataset.data_vars.items():
        if role_of(variable, GRID) != "number":
            continue
        for source, number in by_source(variable):
            values = number.transpose("hidden_size", "seed").values
            trend = size_trend(sizes.ravel(), values.ravel())
            pairs = planned_pairs({int(size): row for size, row in zip(dataset.hidden_size.values, values, strict=True)})
            yield Change(str(name), source, trend, pairs)


def representatives(dataset: xr.Dataset) -> dict[int, int]:
    """The seed of each hidden size whose network is nearest the median test accuracy (the first where none is known); sizes without
    networks are left out.
    """
    chosen = {}
    for size in dataset.hidden_size.values if "test_accuracy" in dataset else []:
        accuracies = present(dataset, int(size)).test_accuracy
        if len(accuracies):
            distances = np.abs(accuracies - accuracies.median()).values
            chosen[int(size)] = int(accuracies.seed[np.nan_to_num(distances, nan=np.inf).argmin()])
    return chosen


def step_curves(variable: xr.DataArray, source: str = SOURCES[0]) -> xr.DataArray:
    """A variable over (`seed`, step, ...), of one source, as one curve per network.

    It is averaged over further dimensions, such as the label.
    """
    curves = of_source(variable, source)
    return curves.mean(curves.dims[2:]) if curves.ndim > 2 else curves


def curve_bands(networks: xr.Dataset) -> Iterator[CurveBands]:
    """A band for every curve that the networks of one hidden size log, over the steps at which there are values.

    Counts have none: where all networks agree on a whole number, a band has no width, although the expected count is not whole.
    """
    for name, variable in networks.data_vars.items():
        if role_of(variable, GRID) != "curve" or variable.attrs.get("units") == COUNTED:
            continue
        for source, part in by_source(variable):
            curves = step_curves(part)
            curves = curves.dropna(curves.dims[1], how="all")  # exponents that do not exist with so few units
            steps = curves[curves.dims[1]].values
            try:
                band = simultaneous_band(curves.values, LEVEL, "beta", rng=int(networks.hidden_size))
            except TooFewNetworks:  # measured on some networks only
                continue
            if "valid_max" in variable.attrs:
                least, most = variable.attrs["valid_min"], variable.attrs["valid_max"]
                band = replace(band, lower=band.lower.clip(least, most), upper=band.upper.clip(least, most))
            yield CurveBands(str(name), source, int(networks.hidden_size), steps, band, metric_name(variable, source))


def markdown(dataset: xr.Dataset, findings: Findings, running: bool = False, room: int = 8000) -> str:
    """The verdicts and the missing networks as Markdown, for the study run's description; of a `running` study, those so far.

    In at most `room` characters, if its first line fits: if necessary without the list of missing networks, and with as many rows
    of the table as fit.
    """
    missing = json.loads(dataset.attrs["missing"])
    networks = dataset.run_id.size - len(missing)
    state = "measured so far: the study is still running, and these verdicts are preliminary" if running else "measured"
    head = f"**{networks} of {dataset.run_id.size} networks** {state}."
    verdicts = "; ".join(f"{claim} {one.verdict}" for claim, one in findings.overall().items())
    overall = f"Over the hidden sizes at which each is judged: {verdicts}." if verdicts else ""
    hypotheses = {finding.claim: _literal(findings.claim(finding.claim).hypothesis) for finding in findings.ledger}
    rows = [
        f"| {one.claim}: {hypotheses[one.claim]} | {one.hidden_size} | {estimate_text(one)} | **{one.verdict}** |"
        for one in findings.ledger
    ]
    notes = "\n\n".join(f"**To be read with caution:** {_plain(caution)}" for caution in findings.cautions)
    listed = counted = ""
    if missing and not running:
        listed = "\n".join(["Missing:", "", *(f"- {_plain(name)}: {_plain(reason)}" for name, reason in missing.items())])
        counted = f"({len(missing)} networks are missing; report.pdf lists them)"
    begun = _paragraphs(f"{head}\n{overall}" if overall else head, notes)
    unjudged = "\n".join(f"- {_plain(line)}" for line in (*findings.inapplicable(), *findings.unjudged))
    texts = [_paragraphs(begun, _table(rows, len(rows)), unjudged, listed)]
    texts += [_paragraphs(begun, _table(rows, kept), unjudged, counted) for kept in range(len(rows), -1, -1)]
    return next((text for text in texts if len(text) <= room), head)


def _table(rows: list[str], kept: int) -> str:
    left_out = f"({len(rows) - kept} rows are left out here: report.pdf has all)"
    lines = ["| claim | hidden size | estimate | verdict |", "|---|---|---|---|", *rows[:kept]] if kept else []
    return _paragraphs("\n".join(lines), left_out if kept < len(rows) else "")


def _paragraphs(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def _literal(text: str) -> str:
    """A text of ours that may name a class of somebody's data: what Markdown or HTML would take for more than text is escaped."""
    return re.sub(r"[|<>\[\]`*_\\#&!]", _entity, text)


def _plain(text: str) -> str:
    """A foreign text, escaped so that Markdown and HTML show it literally."""
    one_line = visible(text, 1000)
    return re.sub(r"[^\w\s,;'-]|_", _entity, one_line)


def _entity(character: re.Match) -> str:
    return f"&#{ord(character[0])};"
