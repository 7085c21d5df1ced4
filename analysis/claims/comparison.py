"""Two studies compared: the difference of what each claim estimates, and of each number, with intervals and tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from analysis.claims.finding import LEVEL, Finding
from analysis.claims.findings import GRID, Findings
from analysis.claims.registry import CLAIMS
from analysis.claims.sample import present
from analysis.statistics.intervals import Estimate
from analysis.statistics.trend import holm
from study.schema import by_source, role_of, with_source


@dataclass(frozen=True)
class Contrast:
    """What differs between two studies at one hidden size.

    Attributes: the `name` of a claim or of a number; `hidden_size`; its value in each study, `first` and `second`; the
    `difference`, second minus first, with its interval and the networks of both together, all in the data's units; the two-sided
    `p` of no difference, and `p_adjusted` over all contrasts of its kind (Holm 1979). NaN where a study has too few networks.
    """

    name: str
    hidden_size: int
    first: float
    second: float
    difference: Estimate
    p: float
    p_adjusted: float = float("nan")


def compare_claims(first: Findings, second: Findings) -> list[Contrast]:
    """The difference in each claim's estimate, at each hidden size that both studies judge.

    Means are compared by Welch's (1947) t test; shares by Fisher's exact test, with Newcombe's (1998, method 10) interval. Networks
    of the two studies count as independent, even if they share seeds, which costs power where these are alike. A smallest value
    that lies elsewhere in the other study (C2) is not compared.
    """
    others = {(finding.claim, finding.hidden_size): finding for finding in second.ledger}
    pairs = [(one, others[one.claim, one.hidden_size]) for one in first.ledger if (one.claim, one.hidden_size) in others]
    alike = [(one, other) for one, other in pairs if one.numbers.get("worst") == other.numbers.get("worst")]
    return _adjusted([_of_findings(one, other) for one, other in alike])


def compare_numbers(first: xr.Dataset, second: xr.Dataset) -> list[Contrast]:
    """The difference of the means of each number that both studies have, at each common hidden size (Welch 1947)."""
    sizes = [int(size) for size in first.hidden_size.values if size in second.hidden_size.values]
    found = []
    for size in sizes:
        one, other = (dict(_numbers(present(dataset, size))) for dataset in (first, second))
        found += [_of_means(name, size, _mean(one[name]), _mean(other[name])) for name in one if name in other]
    return _adjusted(found)


def table(contrasts: Sequence[Contrast]) -> pd.DataFrame:
    """Contrasts as a table, one row each, in the data's units."""
    return pd.DataFrame(
        [
            {
                "name": one.name,
                "hidden_size": one.hidden_size,
                "first": one.first,
                "second": one.second,
                "difference": one.difference.value,
                "lower": one.difference.lower,
                "upper": one.difference.upper,
                "p": one.p,
                "p_adjusted": one.p_adjusted,
                "n": one.difference.n,
            }
            for one in contrasts
        ]
    )


def in_words(contrast: Contrast) -> str:
    """A contrast in the units a reader expects: A 18.0, B 12.0 points, difference -6.0 [-9.1, -2.9], p = 0.001 (Holm 0.012)."""
    claim = CLAIMS.get(contrast.name)
    scale, units = (claim.scale, claim.units) if claim else (1.0, "")
    value = "{:.1f}" if claim else "{:.4g}"
    sides = ", ".join(
        f"{letter} {value.format(scale * side) if np.isfinite(side) else 'unknown'}"
        for letter, side in (("A", contrast.first), ("B", contrast.second))
    )
    return f"{sides}{f' {units}' if units else ''}, {difference_in_words(contrast)}"


def difference_in_words(contrast: Contrast) -> str:
    """The difference alone, with its interval and both p values."""
    claim, one = CLAIMS.get(contrast.name), contrast.difference
    scale, form = (claim.scale, "{:+.1f}") if claim else (1.0, "{:+.4g}")
    if not np.isfinite(one.value):
        return "no difference known"
    text = f"difference {form.format(scale * one.value)}"
    if np.isfinite(one.lower):
        text += f" [{form.format(scale * one.lower)}, {form.format(scale * one.upper)}], p = {contrast.p:.2g}"
    return f"{text} (Holm {contrast.p_adjusted:.2g})" if np.isfinite(contrast.p_adjusted) else text


@dataclass(frozen=True)
class _Mean:
    value: float
    error: float  # standard
    n: int


def _numbers(networks: xr.Dataset) -> Iterator[tuple[str, np.ndarray]]:
    for name, variable in networks.data_vars.items():
        if role_of(variable, GRID) == "number":
            for source, values in by_source(variable):
                yield with_source(str(name), source), values.values


def _mean(values: np.ndarray) -> _Mean:
    values = values[np.isfinite(values)]
    n = len(values)
    return _Mean(float(values.mean()) if n else np.nan, float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan, n)


def _of_findings(one: Finding, other: Finding) -> Contrast:
    if CLAIMS[one.claim].power == "share":
        return _of_shares(one.claim, one.hidden_size, one.estimate, other.estimate)
    return _of_means(one.claim, one.hidden_size, *(_from_interval(finding.estimate) for finding in (one, other)))


def _from_interval(estimate: Estimate) -> _Mean:
    """A mean and its standard error, from Student's interval."""
    if estimate.n < 2:
        return _Mean(estimate.value, np.nan, estimate.n)
    error = (estimate.upper - estimate.lower) / 2 / stats.t.ppf((1 + LEVEL) / 2, estimate.n - 1)
    return _Mean(estimate.value, float(error), estimate.n)


def _of_means(name: str, size: int, one: _Mean, other: _Mean) -> Contrast:
    value, n, nan = other.value - one.value, one.n + other.n, float("nan")
    error = float(np.hypot(one.error, other.error))
    if not np.isfinite(error):
        return Contrast(name, size, one.value, other.value, Estimate(value, nan, nan, n), nan)
    if error == 0:  # neither varies
        return Contrast(name, size, one.value, other.value, Estimate(value, value, value, n), float(value == 0))
    degrees = error**4 / (one.error**4 / (one.n - 1) + other.error**4 / (other.n - 1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, degrees)) * error
    p = float(2 * stats.t.sf(abs(value) / error, degrees))
    return Contrast(name, size, one.value, other.value, Estimate(value, value - half, value + half, n), p)


def _of_shares(name: str, size: int, one: Estimate, other: Estimate) -> Contrast:
    value, n, nan = other.value - one.value, one.n + other.n, float("nan")
    if not one.n or not other.n or not np.isfinite([value, one.lower, other.lower]).all():
        return Contrast(name, size, one.value, other.value, Estimate(value, nan, nan, n), nan)
    lower = value - float(np.hypot(other.value - other.lower, one.upper - one.value))
    upper = value + float(np.hypot(other.upper - other.value, one.value - one.lower))
    counts = [[round(part.value * part.n), part.n - round(part.value * part.n)] for part in (one, other)]
    p = float(stats.fisher_exact(np.array(counts)).pvalue)
    return Contrast(name, size, one.value, other.value, Estimate(value, lower, upper, n), p)


def _adjusted(contrasts: list[Contrast]) -> list[Contrast]:
    tested = [place for place, one in enumerate(contrasts) if np.isfinite(one.p)]
    for place, p in zip(tested, holm([contrasts[place].p for place in tested]), strict=True):
        contrasts[place] = replace(contrasts[place], p_adjusted=float(p))
    return contrasts
