"""A finding: the result for one claim at one hidden size, in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from analysis.statistics.bands import FEWEST_NETWORKS
from analysis.statistics.intervals import Estimate, OneSided

LEVEL = 0.95
SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
NOT_TRAINED, NOT_APPLICABLE = "not trained", "not applicable"
Verdict = Literal["supported", "contradicted", "undecided", "not trained", "not applicable"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True)
class Finding:
    """One claim at one hidden size.

    Attributes: `claim` (C1 ..) and `hidden_size`; the `estimate`, with its interval and n, in the units of the data (shares, not
    percent); the `verdict`; `p`, two-sided, of the verdict, NaN where there is no test; `p_adjusted` over all verdicts of the study
    (Holm 1979), NaN until they are there; further `numbers` by name, each a number or a short sequence, which fill the claim's
    phrases (those that are not finite are left out); and, where the claim does not apply, the `reason`.
    """

    claim: str
    hidden_size: int
    estimate: Estimate
    verdict: str
    p: float = float("nan")
    numbers: Mapping[str, float | Sequence[float]] = field(default_factory=dict)
    p_adjusted: float = float("nan")
    reason: str = ""

    def __post_init__(self) -> None:
        plain = {
            name: tuple(map(float, value)) if isinstance(value, Sequence | np.ndarray) else float(value)
            for name, value in self.numbers.items()
            if np.isfinite(value).all()
        }
        object.__setattr__(self, "numbers", plain)


def limits(name: str, estimate: Estimate) -> dict[str, float]:
    """An estimate as numbers of a finding: its value under a name, and its limits as `name_lower` and `name_upper`."""
    return {name: estimate.value, f"{name}_lower": estimate.lower, f"{name}_upper": estimate.upper}


def by_interval(estimate: Estimate, bound: float) -> str:
    """Supported where the whole interval lies above the bound, contradicted where it lies below."""
    if estimate.n < FEWEST_NETWORKS:
        return UNDECIDED
    return SUPPORTED if estimate.lower > bound else CONTRADICTED if estimate.upper < bound else UNDECIDED


def by_tests(tests: Sequence[OneSided], n: int) -> tuple[str, float]:
    """The verdict on a claim that several tests of `n` networks must all support, and its two-sided p value.

    It is supported where each test, at its own level, supports it (intersection-union; Berger 1982), and contradicted where any
    contradicts it, corrected for their number (Bonferroni). Both at 2.5%, so that one test gives the verdict of its two-sided 95%
    interval. Undecided, without p, below 6 networks or where a test has no p.
    """
    supports, contradicts = (np.array([getattr(test, side) for test in tests]) for side in ("greater", "less"))
    if n < FEWEST_NETWORKS or not len(tests) or not np.isfinite(supports + contradicts).all():
        return UNDECIDED, float("nan")
    for_it, against = supports.max(), min(1.0, len(tests) * contradicts.min())
    p = float(min(1.0, 2 * min(for_it, against)))
    if p >= 1 - LEVEL:
        return UNDECIDED, p
    return (SUPPORTED if for_it <= against else CONTRADICTED), p
