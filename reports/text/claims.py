"""A finding in words: the phrases of its claim, filled with its numbers."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, NOT_APPLICABLE, NOT_TRAINED, Finding
from analysis.claims.findings import estimate_text
from analysis.claims.registry import CLAIMS
from analysis.statistics.bands import FEWEST_NETWORKS

Phrase = str | tuple[str, ...]
UNTRAINED: Phrase = (
    "not judged, because the mean test accuracy is {mean_test_accuracy:.1%}",
    "not judged, because the mean test accuracy is unknown",
)


def sentence(finding: Finding, claim: Claim | None = None) -> str:
    """One claim at one hidden size in words: verdict, estimate and note; the `claim` as it is about the study."""
    quantity = (claim or CLAIMS[finding.claim].about(xr.Dataset())).quantity
    text = f"H = {finding.hidden_size}, {finding.verdict}: {quantity} {estimate_text(finding)}"
    return "; ".join(filter(None, (text, note(finding)))) + "."


def note(finding: Finding) -> str:
    """The remarks after the estimate: why there is no verdict, and the claim's own phrases."""
    n = finding.estimate.n
    judged = finding.verdict != NOT_APPLICABLE
    few = f"{n} network{'s' * (n != 1)}, fewer than {FEWEST_NETWORKS}: no verdict" if judged and n < FEWEST_NETWORKS else ""
    untrained = filled([UNTRAINED], finding.numbers) if finding.verdict == NOT_TRAINED else []
    lost = "p is not below 5% once adjusted over all verdicts of the study" if finding.p < 1 - LEVEL <= finding.p_adjusted else ""
    return "; ".join(filter(None, (finding.reason, *untrained, *filled(CLAIMS[finding.claim].phrases, finding.numbers), few, lost)))


def filled(phrases: Sequence[Phrase], numbers: Mapping[str, float | Sequence[float]]) -> list[str]:
    """The phrases whose numbers are all there, filled in; of alternatives, the first such phrase."""
    words = []
    for phrase in phrases:
        alternatives = (phrase,) if isinstance(phrase, str) else phrase
        words += [FORMATTER.vformat(text, (), numbers) for text in alternatives if _names(text) <= set(numbers)][:1]
    return words


def _names(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


class _PhraseFormatter(string.Formatter):
    """Python's formats, with three additions. Several numbers are listed one after the other; ``{rows:row}``, ``{steps:step}``
    and ``{seeds:seed}`` write whole numbers as ranges; ``{name:given}`` writes nothing."""

    def format_field(self, value: Any, format_spec: str) -> str:
        several = value if isinstance(value, tuple) else (value,)
        if format_spec == "given":
            return ""
        return ranges(several, format_spec) if format_spec in RANGES else ", ".join(format(one, format_spec) for one in several)


RANGES = ("row", "step", "seed")
FORMATTER = _PhraseFormatter()


def ranges(numbers: Sequence[float], unit: str) -> str:
    """Whole numbers as ranges: "rows 1-3, 7"; without numbers, "no row"."""
    groups: list[list[int]] = []
    for number in map(int, numbers):
        if groups and number == groups[-1][-1] + 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    parts = ", ".join(f"{group[0]}-{group[-1]}" if len(group) > 1 else str(group[0]) for group in groups)
    return f"{unit}{'s' * (len(numbers) > 1)} {parts}" if groups else f"no {unit}"
