"""A finding: one claim at one hidden size, with its number, its interval and its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.statistics.bands import FEWEST_NETWORKS
from analysis.statistics.intervals import Estimate

LEVEL = 0.95
SUPPORTED, CONTRADICTED, UNDECIDED, NOT_TRAINED = "supported", "contradicted", "undecided", "not trained"


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

    def scaled(self) -> Estimate:
        """The estimate in its units."""
        scale = 100 if self.units in ("%", "points") else 1
        return replace(
            self.estimate, value=scale * self.estimate.value, lower=scale * self.estimate.lower, upper=scale * self.estimate.upper
        )


def by_interval(estimate: Estimate, bound: float) -> str:
    if estimate.n < FEWEST_NETWORKS:
        return UNDECIDED
    return SUPPORTED if estimate.lower > bound else CONTRADICTED if estimate.upper < bound else UNDECIDED


def few(n: int) -> str:
    return f"{n} networks, fewer than {FEWEST_NETWORKS}: no verdict" if n < FEWEST_NETWORKS else ""


def overall(findings: Sequence[Finding]) -> str:
    """The verdict on one claim over all hidden sizes: theirs where they agree, else undecided.

    A size whose networks are not trained keeps a claim from being supported overall, since nothing was shown there. Supported at
    every size needs no correction for their number, since all must hold (intersection-union; Berger 1982).
    """
    verdicts = {finding.verdict for finding in findings}
    return verdicts.pop() if len(verdicts) == 1 else UNDECIDED


def words(finding: Finding) -> str:
    """A finding's estimate with its interval and n, in the units a reader expects."""
    estimate = finding.scaled()
    if np.isnan(estimate.value):
        return "no estimate"
    unit = "%" if finding.units == "%" else f" {finding.units}"
    text = f"{estimate.value:.1f}{unit}"
    if np.isfinite(estimate.lower):
        text += f" [{estimate.lower:.1f}, {estimate.upper:.1f}]"
    return f"{text}, n = {estimate.n}"
