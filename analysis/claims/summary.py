"""The verdicts of one study together: p values adjusted over all of them, and one answer a claim over all hidden sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from analysis.claims.finding import CONTRADICTED, LEVEL, NOT_APPLICABLE, SUPPORTED, UNDECIDED, Finding
from analysis.claims.registry import CLAIMS
from analysis.statistics.intervals import Estimate
from analysis.statistics.trend import holm


def adjusted(ledger: Sequence[Finding]) -> list[Finding]:
    """The findings with p values adjusted over all verdicts of the study (Holm 1979); one that is not below 5% then is
    undecided."""
    tested = [place for place, finding in enumerate(ledger) if np.isfinite(finding.p)]
    done = list(ledger)
    for place, p in zip(tested, holm([ledger[place].p for place in tested]), strict=True):
        finding = ledger[place]
        lost = p >= 1 - LEVEL and finding.verdict in (SUPPORTED, CONTRADICTED)
        done[place] = replace(finding, p_adjusted=float(p), verdict=UNDECIDED if lost else finding.verdict)
    return done


@dataclass(frozen=True)
class Summary:
    """One claim over all hidden sizes: its `verdict`, the `estimate` averaged over sizes, with n networks in all, how many `sizes`
    it is judged at, and the `verdicts` there."""

    claim: str
    verdict: str
    estimate: Estimate
    sizes: int
    verdicts: tuple[str, ...]


def summaries(ledger: Sequence[Finding]) -> dict[str, Summary]:
    """One answer a claim, in the order of the ledger.

    The estimate is the mean over hidden sizes, each with the same weight: the sizes are those chosen, the networks (seeds) a random
    sample within each, and an equal seed at another size is another network. Its interval is Student's with the degrees of freedom
    of Satterthwaite (1946), for shares the one that combines the intervals of each (Newcombe 1998). The claim is supported, or
    contradicted, where it is at each size, which needs no correction for their number (intersection-union; Berger 1982). Sizes at
    which the claim does not apply are left out.
    """
    groups: dict[str, list[Finding]] = {}
    for finding in ledger:
        groups.setdefault(finding.claim, []).append(finding)
    return {claim: _summary(findings) for claim, findings in groups.items()}


def _summary(findings: list[Finding]) -> Summary:
    claim = CLAIMS[findings[0].claim]
    kept = [finding for finding in findings if finding.verdict != NOT_APPLICABLE] or findings
    verdicts = tuple(dict.fromkeys(finding.verdict for finding in kept))
    average = _average([finding.estimate for finding in kept], shares=claim.power == "share")
    verdict = verdicts[0] if len(verdicts) == 1 else UNDECIDED
    return Summary(claim.id, verdict, average, len(kept), verdicts)


def _average(estimates: Sequence[Estimate], shares: bool) -> Estimate:
    if len(estimates) == 1:
        return estimates[0]
    n, count = sum(one.n for one in estimates), len(estimates)
    value, lower, upper = (np.array([getattr(one, part) for one in estimates]) for part in ("value", "lower", "upper"))
    mean = float(value.mean())
    if shares:
        below, above = (float(np.sqrt(np.sum((value - limit) ** 2))) / count for limit in (lower, upper))
        return Estimate(mean, mean - below, mean + above, n)
    degrees = np.array([one.n - 1 for one in estimates])
    if degrees.min() < 1:
        return Estimate(mean, float("nan"), float("nan"), n)
    squares = ((upper - value) / stats.t.ppf((1 + LEVEL) / 2, degrees)) ** 2  # of the standard errors
    total = squares.sum()
    if not total > 0:  # no network differs, or an interval is not known
        return Estimate(mean, mean if total == 0 else float("nan"), mean if total == 0 else float("nan"), n)
    half = stats.t.ppf((1 + LEVEL) / 2, total**2 / np.sum(squares**2 / degrees)) * np.sqrt(total) / count
    return Estimate(mean, float(mean - half), float(mean + half), n)
