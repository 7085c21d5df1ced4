"""What a reader has to know before the numbers: networks that did not learn, and networks that were not made alike."""

from __future__ import annotations

import json
import re

import xarray as xr

from analysis import provenance
from analysis.claims import OF_ACCURACY, TRAINED, mean_accuracy, percent

MOST_NAMED = 4  # values of one version that a sentence names


def not_learned(networks: xr.Dataset) -> list[str]:
    """Whether networks of one hidden size, along `seed`, learned too little to be judged, or some of them did."""
    size, n, mean = int(networks.hidden_size), networks.sizes["seed"], mean_accuracy(networks)
    learned = int((networks.test_accuracy >= TRAINED).sum())
    if not mean >= TRAINED:
        return [f"H = {size}: not trained. The mean test accuracy is {percent(mean)}, and {learned} of {n} networks reach "
                f"{TRAINED:.0%}. Where the mean is below that, claims other than {', '.join(sorted(OF_ACCURACY))} are not judged."]
    if learned < n:
        return [f"H = {size}: {n - learned} of {n} networks did not learn (test accuracy below {TRAINED:.0%}, or unknown). They "
                "count in all numbers and verdicts."]
    return []


def not_measured(dataset: xr.Dataset) -> list[str]:
    """Measurements that some networks of a study lack, because they were stored before there was such a measurement."""
    stored = int((dataset.run_id != "").sum())
    return [f"{len(networks)} of {stored} networks lack the measurement {measurement}, which was added "
            "after they were measured: what is said of it comes from the others alone."
            for measurement, networks in json.loads(dataset.attrs.get("not_measured", "{}")).items()]


def made_differently(*datasets: xr.Dataset) -> list[str]:
    """What is not the same for all networks of one study, or of several: versions, and kinds of device."""
    mixed = provenance.mixed(*datasets)
    of_device = [name for name in ("device", "precision") if name in mixed]
    of_versions = [name for name in mixed if name not in of_device]
    lines = []
    for names, words in ((of_versions, "by different versions"), (of_device, "on different kinds of device")):
        if names:
            found = "; ".join(f"{name} {_values(mixed[name])}" for name in names)
            lines.append(f"The networks were made {words}, which may explain some of their differences: {found}.")
    return lines


def _values(counts: dict[str, int]) -> str:
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    words = [f"{_short(value)} ({count} network{'s' * (count != 1)})" for value, count in most[:MOST_NAMED]]
    return ", ".join(words) + (f" and {len(most) - MOST_NAMED} more" if len(most) > MOST_NAMED else "")


def _short(value: str) -> str:
    """A version, of a commit its first digits."""
    return re.sub(r"^([0-9a-f]{12})[0-9a-f]{28}", r"\1", value)
