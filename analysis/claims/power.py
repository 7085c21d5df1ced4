"""How many seeds a study needs, from a pilot study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, Field
from scipy import stats

from analysis.claims.finding import LEVEL, NOT_APPLICABLE, NOT_TRAINED, Finding
from analysis.claims.registry import CLAIMS
from analysis.statistics.bands import FEWEST_NETWORKS, simultaneous_band
from study.config import Frozen, number

MOST = 1000  # networks; beyond, the answer is "more"
DRAWS = 3  # simulated studies of each size, over which the width of the band is averaged
CANDIDATES = (6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 70, 100, 150, 200, 300, 500, 700, MOST)


class PowerConfig(Frozen):
    """The question put to a pilot study."""

    width: Annotated[
        float,
        BeforeValidator(number),
        Field(gt=0, le=100, description="a number greater than 0 and at most 100 (percentage points), such as 5"),
    ]


@dataclass(frozen=True)
class Need:
    """The least number of `networks` of a hidden size that a goal needs; None where `MOST` are not enough."""

    networks: int | None


def for_mean(mean: float, spread: float, bound: float, power: float = 0.8, level: float = LEVEL) -> Need:
    """Networks needed for the t interval of a mean to lie wholly on one side of `bound` with a probability of `power`.

    `mean` and `spread` (the standard deviation between networks) come from a pilot. The t statistic of a new study then has a
    noncentral t distribution (Cohen 1988, chapter 2).
    """
    if mean == bound:
        return Need(None)
    for n in range(FEWEST_NETWORKS, MOST + 1):
        critical = stats.t.ppf((1 + level) / 2, n - 1)
        if spread == 0 or stats.nct.sf(critical, n - 1, np.sqrt(n) * abs(mean - bound) / spread) >= power:
            return Need(n)
    return Need(None)


def for_share(share: float, bound: float = 0.5, power: float = 0.8, level: float = LEVEL) -> Need:
    """Networks needed for the exact binomial test to find a share on its side of `bound` with that power."""
    for n in range(FEWEST_NETWORKS, MOST + 1):
        counts = np.arange(n + 1)
        p = stats.binom.sf(counts - 1, n, bound) if share > bound else stats.binom.cdf(counts, n, bound)
        decided = 2 * p < 1 - level
        if stats.binom.pmf(counts, n, share)[decided].sum() >= power:
            return Need(n)
    return Need(None)


def for_band(pilot: np.ndarray, width: float, level: float = LEVEL, rng: np.random.Generator | int = 0) -> Need:
    """Networks needed for a simultaneous band of curves (Beta-weighted, as in a study) to be at most `width` wide at every point,
    from lower to upper limit.

    Studies of other sizes are simulated by drawing from the networks of the `pilot` `[n, P]`; larger ones are drawn with
    replacement and rescaled to the pilot's standard deviation.
    """
    pilot = np.asarray(pilot, dtype=float)
    pilot = pilot[~np.isnan(pilot).any(axis=1)]
    if len(pilot) < 2:
        return Need(None)
    rng, mean = np.random.default_rng(rng), pilot.mean(axis=0)

    def width_of(n: int) -> float:
        replace = n > len(pilot)
        rescaling = np.sqrt(len(pilot) / (len(pilot) - 1)) if replace else 1.0  # drawing with replacement reduces the spread
        drawn = (mean + rescaling * (rng.choice(pilot, n, replace=replace) - mean) for _ in range(DRAWS))
        bands = [simultaneous_band(curves, level, "beta", rng) for curves in drawn]
        return float(np.mean([(band.upper - band.lower).max() for band in bands]))

    return Need(next((n for n in CANDIDATES if width_of(n) <= width), None))


def for_claim(finding: Finding, verdicts: int = 1, power: float = 0.8) -> Need | None:
    """Networks that a claim needs for a verdict other than undecided, if the pilot's estimate is right, in a study of so many
    verdicts.

    The level is that of the smallest of so many p values (Bonferroni), which Holm's adjustment asks for at most. None for claims
    that several tests or a whole curve decide, where the pilot has no interval, where its networks are not trained, and where the
    claim does not apply.
    """
    estimate, level = finding.estimate, 1 - (1 - LEVEL) / max(1, verdicts)
    if finding.verdict in (NOT_TRAINED, NOT_APPLICABLE) or not np.isfinite(estimate.lower) or estimate.n < 2:
        return None
    claim = CLAIMS[finding.claim]
    if claim.bound is None:
        return None
    if claim.power == "share":
        return for_share(estimate.value, claim.bound, power, level)
    if claim.power == "mean":
        spread = (estimate.upper - estimate.lower) / 2 / stats.t.ppf((1 + LEVEL) / 2, estimate.n - 1) * np.sqrt(estimate.n)
        return for_mean(estimate.value, spread, claim.bound, power, level)
    return None


def why_no_number(finding: Finding) -> str:
    """The reason why `for_claim` gives no number for a finding."""
    if finding.verdict == NOT_TRAINED:
        return "the pilot's networks are not trained"
    if finding.verdict == NOT_APPLICABLE:
        return "the claim does not apply to this hidden size"
    several = "several tests, or a whole curve, decide it"
    return several if CLAIMS[finding.claim].power == "curve" else "the pilot has no interval for it"
