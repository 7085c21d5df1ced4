"""A finding: the result for one claim at one hidden size, as numbers only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from analysis.statistics.bands import FEWEST_NETWORKS
from analysis.statistics.intervals import Estimate

LEVEL = 0.95
SUPPORTED, CONTRADICTED, UNDECIDED, NOT_TRAINED = "supported", "contradicted", "undecided", "not trained"
Verdict = Literal["supported", "contradicted", "undecided", "not trained"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True)
class Finding:
    """One claim at one hidden size.

    Attributes: `claim` (C1 ..) and `hidden_size`; the `estimate`, with its interval and n, in the units of the data (shares, not
    percent); the `verdict`; `p`, NaN where an interval decides; and further `numbers` by name, each a number or a short sequence,
    which fill the claim's phrases. Numbers that are not finite are left out.
    """

    claim: str
    hidden_size: int
    estimate: Estimate
    verdict: str
    p: float = float("nan")
    numbers: Mapping[str, float | Sequence[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        plain = {
            name: tuple(map(float, value)) if isinstance(value, Sequence | np.ndarray) else float(value)
            for name, value in self.numbers.items()
            if np.isfinite(value).all()
        }
        object.__setattr__(self, "numbers", plain)


def by_interval(estimate: Estimate, bound: float) -> str:
    """Supported where the whole interval lies above the bound, contradicted where it lies below."""
    if estimate.n < FEWEST_NETWORKS:
        return UNDECIDED
    return SUPPORTED if estimate.lower > bound else CONTRADICTED if estimate.upper < bound else UNDECIDED


def overall(findings: Sequence[Finding]) -> str:
    """The verdict on one claim over all hidden sizes: the common verdict where they agree, else undecided.

    A size whose networks are not trained keeps a claim from being supported overall, since nothing was shown there. "Supported at
    every size" needs no correction for the number of sizes, since all must hold (intersection-union; Berger 1982).
    """
    verdicts = {finding.verdict for finding in findings}
    return verdicts.pop() if len(verdicts) == 1 else UNDECIDED
