"""What a reader has to know besides the numbers: networks that did not learn, missing measurements, claims that are not judged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from analysis.claims.claim import Claim
from analysis.claims.finding import Finding
from analysis.claims.registry import accuracy_only
from analysis.claims.sample import Sample, present
from analysis.dataset import provenance
from study.schema import NOT_OF_SOURCE


def cautions(dataset: xr.Dataset) -> list[str]:
    """What has to be known before reading the findings of a study, one line each."""
    lines = []
    for size in dataset.hidden_size.values:
        sample = Sample(present(dataset, int(size)))
        if sample.n:
            lines += _not_learned(sample)
    return [*lines, *provenance.made_differently(dataset), *_not_measured(dataset), *_not_defined(dataset)]


def _not_learned(sample: Sample) -> list[str]:
    """A warning where the networks of one hidden size, or some of them, did not learn the task."""
    size, n, mean, least = sample.hidden_size, sample.n, sample.mean_accuracy, sample.trained_from
    learned = int((sample.arrays.test_accuracy >= least).sum())
    if not mean >= least:
        return [
            f"H = {size}: not trained. The mean test accuracy is {'unknown' if np.isnan(mean) else f'{mean:.1%}'}, and {learned} "
            f"of {n} networks reach {least:.0%}. Where the mean is below that, claims other than {', '.join(accuracy_only())} "
            "are not judged."
        ]
    if learned < n:
        return [
            f"H = {size}: {n - learned} of {n} networks did not learn (test accuracy below {least:.0%}, or unknown). They count "
            "in all numbers and verdicts."
        ]
    return []


def _not_defined(dataset: xr.Dataset) -> list[str]:
    """Variables that were measured but have no value in any network of the study, grouped by the reason."""
    if not (dataset.run_id != "").any():
        return []
    names: dict[str, list[str]] = {}
    for name, array in dataset.data_vars.items():
        if "missing" in array.attrs and array.isnull().all():
            names.setdefault(array.attrs["missing"].removesuffix(f"; or {NOT_OF_SOURCE}"), []).append(str(name))
    return [f"No network has a value for {', '.join(group)}: {reason}." for reason, group in names.items()]


def _not_measured(dataset: xr.Dataset) -> list[str]:
    """Measurements that some stored networks of a study lack, because they were not measured again."""
    stored = int((dataset.run_id != "").sum())
    return [
        f"{len(places)} of {stored} networks lack the measurement {measurement}: its results come from the other networks alone."
        for measurement, places in json.loads(dataset.attrs.get("not_measured", "{}")).items()
    ]


def unjudged(dataset: xr.Dataset, ledger: Iterable[Finding], claims: Mapping[str, Claim]) -> list[str]:
    """The `claims` that have no finding at some hidden size with networks, and what they need; one line each."""
    judged = {(finding.claim, finding.hidden_size) for finding in ledger}
    samples = {int(size): present(dataset, int(size)) for size in dataset.hidden_size.values}
    samples = {size: sample for size, sample in samples.items() if sample.sizes["seed"]}
    lines = []
    for claim in claims.values():
        lacking: dict[tuple[str, ...], list[int]] = {}
        for size, sample in samples.items():
            if (claim.id, size) not in judged:
                missing = tuple(claim.missing_in(sample))
                lacking.setdefault(missing or claim.needs, []).append(size)
        for missing, sizes in lacking.items():
            where = "" if len(sizes) == len(samples) else f" at H = {', '.join(map(str, sizes))}"
            needed = claim.asks or f"{' and '.join(missing)}, which the networks do not have"
            lines.append(f"{claim.id}, {claim.hypothesis}: not judged{where}, because it needs {needed}.")
    return lines
