"""A claim: a hypothesis about networks, the test that judges it, and every word that the report has for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import xarray as xr

from analysis.claims.finding import Finding
from analysis.claims.sample import Sample
from study.schema import SOURCES, of_source

# The mean test accuracy at which claims about trained networks are judged: more images right than wrong, five times chance with ten
# classes. Below it many measures still behave as the claims say, because those of untrained networks do.
TRAINED = 0.5
NULLS = {"untrained": "untrained networks", "pixels": "the pixels", "permuted": "permuted labels", "row": "image rows"}


@dataclass(frozen=True)
class Claim:
    """A claim, judged separately at each hidden size.

    Attributes that define it: `id`, such as C1; the `hypothesis`; `paper`, what the paper says about it, in our words (empty: the
    claim is ours); `needs`, the variables of the dataset it uses, with
    a source where it is not the trained network (``probe_accuracy:pixels``); `judge`, which turns the networks of one hidden size
    into a finding, or None where no network has a value of what it needs; `power`, how the number of networks needed for a verdict
    is computed (``mean`` or ``share``: that quantity must lie on one side of the `bound`; ``curve``: no single number decides);
    `accuracy_only`, for claims about how well networks learn, which are judged for untrained networks, too; `asks`, what a reader
    has to bring where the needs are not the networks' own.

    Attributes that describe it: the `quantity` that is estimated and its `units` (``%`` and ``points`` for shares and their
    differences, which are multiplied by 100); the `test` and the `rule` that gives the verdict; `phrases` about a finding;
    `method`, a paragraph, where the test needs one; the `section` of the report, which claims may share, and the `figures` there.

    A phrase is a format string over the numbers of a finding. It is used where the finding has all of them; of a tuple of
    alternatives, the first usable one is. Besides Python's own formats there are ``{steps:step}``, which writes whole numbers as
    ranges (steps 1-3, 7; likewise ``row`` and ``seed``), and ``{name:given}``, which writes nothing but makes the phrase depend on
    that number.
    """

    id: str
    hypothesis: str
    paper: str
    needs: tuple[str, ...]
    judge: Callable[[Sample], Finding | None]
    quantity: str
    units: str
    test: str
    rule: str
    section: str
    figures: tuple[str, ...] = ()
    phrases: tuple[str | tuple[str, ...], ...] = ()
    method: str = ""
    power: Literal["mean", "share", "curve"] = "curve"
    bound: float | None = None
    accuracy_only: bool = False
    asks: str = ""

    def missing_in(self, arrays: xr.Dataset) -> list[str]:
        """What of its needs some networks' arrays lack, in words."""
        found = []
        for need in self.needs:
            name, _, source = need.partition(":")
            if name not in arrays:
                found.append(name)
            elif of_source(arrays[name], source or SOURCES[0]).isnull().all():
                found.append(f"{name} of {NULLS[source]}" if source else name)
        return found

    @property
    def decision_rule(self) -> str:
        """The rule, and the verdict "not trained", which takes precedence where networks have not learned the task."""
        return self.rule if self.accuracy_only else f"{self.rule}; not trained if the mean test accuracy is below {TRAINED:.0%}"

    @property
    def scale(self) -> float:
        """The factor that converts an estimate to the claim's units."""
        return 100.0 if self.units in ("%", "points") else 1.0
