"""A claim: a hypothesis about networks, the test that judges it, and every word that the report has for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import xarray as xr

from analysis.claims.finding import NOT_APPLICABLE, Finding
from analysis.claims.sample import Sample, least_accuracy
from analysis.dataset.records import in_words
from analysis.statistics.intervals import Estimate
from study.schema import NOBODY, NOT_OF_SOURCE, SOURCES, measurements_of, of_source

NULLS = {"untrained": "untrained networks", "pixels": "the pixels", "permuted": "permuted labels", "row": "image rows"}
SHORTEST = 2  # rows: with one there is nothing to stop early at


@dataclass(frozen=True)
class Claim:
    """A claim, judged separately at each hidden size.

    Attributes that define it: `id`, such as C1; the `hypothesis`; `paper`, what the paper says about it, in our words (empty: the
    claim is ours); `judge`, which turns the networks of one hidden size into a finding, or None where no network has a value of
    what it needs; `power`, how the number of networks needed for a verdict is computed (``mean`` or ``share``: that quantity must
    lie on one side of the `bound`; ``curve``: no single number decides); `accuracy_only`, for claims about how well networks learn,
    which are judged for untrained networks, too.

    Attributes that say what it needs: `needs`, the variables of the dataset it uses, with a source where it is not the trained
    network (``probe_accuracy:pixels``); it is not judged where one was not measured, and does not apply where one has no value in
    any network, but for those in `may_be_missing`, of which that says something; `rows`, the least number of rows; `unless`, which
    gives the reason why it does not apply to networks that have all this, or an empty text; `asks`, what a reader has to bring
    where the needs are not the networks' own.

    Attributes that describe it: the `quantity` that is estimated and its `units` (``%`` and ``points`` for shares and their
    differences, which are multiplied by 100); the `test` and the `rule` that gives the verdict; `phrases` about a finding;
    `method`, a paragraph, where the test needs one; the `section` of the report, which claims may share, and the `figures` there.
    `words` gives the parts of these texts that a study's data decide: ``{class}`` in a text is what it has under ``class``.
    `trained_from` is the mean test accuracy below which networks are not trained.

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
    may_be_missing: tuple[str, ...] = ()
    rows: int = SHORTEST
    unless: Callable[[Sample], str] | None = None
    words: Callable[[xr.Dataset], Mapping[str, str]] | None = None
    trained_from: float = 0.5

    def about(self, dataset: xr.Dataset) -> Claim:
        """The claim about the networks of a study: its texts with the `words` of the study's data, and the accuracy from which on
        networks of these data count as trained."""
        words = self.words(dataset) if self.words else {}

        def filled(text: str) -> str:
            return re.sub(r"{(\w+)}", lambda found: words.get(found[1], found[0]), text)

        texts = {name: filled(getattr(self, name)) for name in ("hypothesis", "quantity", "test", "rule", "method")}
        return replace(self, **texts, trained_from=least_accuracy(dataset))

    def missing_in(self, arrays: xr.Dataset) -> list[str]:
        """What of its needs was not measured on any of some networks, in words."""
        found = []
        for need in self.needs:
            name, _, source = need.partition(":")
            if name not in arrays or _was_not_measured(arrays, arrays[name], source or SOURCES[0]):
                found.append(f"{name} of {NULLS[source]}" if source else name)
        return found

    def finding(self, sample: Sample) -> Finding | None:
        """The finding on the networks of one hidden size; not applicable, with the reason, where they or the data are not what the
        claim is about; None where what it needs was not measured."""
        if self.missing_in(sample.arrays):
            return None
        if reason := self.undefined_in(sample.arrays):
            nan = float("nan")
            return Finding(self.id, sample.hidden_size, Estimate(nan, nan, nan, 0), NOT_APPLICABLE, reason=reason)
        found = self.judge(sample)
        if found is not None and (reason := self.unless(sample) if self.unless else ""):
            return replace(found, verdict=NOT_APPLICABLE, p=float("nan"), reason=reason)
        return found

    def undefined_in(self, arrays: xr.Dataset) -> str:
        """The reason why what the claim is about does not exist for some networks or their data; empty where it does."""
        rows = arrays.sizes.get("time_step", self.rows)
        if rows < self.rows:
            return f"sequences have {rows} rows, and it takes {self.rows}"
        for need in self.needs:
            name, _, source = need.partition(":")
            array = of_source(arrays[name], source or SOURCES[0])
            if need not in self.may_be_missing and array.size and array.isnull().all():
                return _why_missing(array) or f"no network has a value for {name}"
        return ""

    def reason(self, sample: Sample) -> str:
        """Why the claim does not apply to some networks; empty where it does, or its finding's numbers say why."""
        return self.undefined_in(sample.arrays) or (self.unless(sample) if self.unless else "")

    @property
    def decision_rule(self) -> str:
        """The rule, and the verdict "not trained", which takes precedence where networks have not learned the task."""
        return (
            self.rule
            if self.accuracy_only
            else f"{self.rule}; not trained if the mean test accuracy is below {self.trained_from:.0%}"
        )

    @property
    def scale(self) -> float:
        """The factor that converts an estimate to the claim's units."""
        return 100.0 if self.units in ("%", "points") else 1.0


def _was_not_measured(arrays: xr.Dataset, array: xr.DataArray, source: str) -> bool:
    """Whether a variable has no value because none of the networks was measured, or not this source of it."""
    if not array.size or of_source(array, source).notnull().any():
        return False
    if source != SOURCES[0] and not _why_missing(array):
        return True
    measurements = measurements_of(array)
    measurement = measurements[SOURCES.index(source)] if len(measurements) == len(SOURCES) else " ".join(measurements)
    size, without = int(arrays.hidden_size), json.loads(str(arrays.attrs.get("not_measured", "{}"))).get(measurement, ())
    return measurement == NOBODY or {in_words((size, int(seed))) for seed in np.atleast_1d(arrays.seed.values)} <= set(without)


def _why_missing(array: xr.DataArray) -> str:
    """The reason that a variable gives for missing values, but for the one that all with sources give."""
    return str(array.attrs.get("missing", "")).removesuffix(NOT_OF_SOURCE).removesuffix("; or ")
