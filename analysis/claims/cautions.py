"""What a reader has to know before the numbers: networks that did not learn, and measurements that some networks lack."""

from __future__ import annotations

import json

import xarray as xr

from analysis.claims.claims import OF_ACCURACY, TRAINED, mean_accuracy, percent


def not_learned(networks: xr.Dataset) -> list[str]:
    """Whether networks of one hidden size, along `seed`, learned too little to be judged, or some of them did."""
    size, n, mean = int(networks.hidden_size), networks.sizes["seed"], mean_accuracy(networks)
    learned = int((networks.test_accuracy >= TRAINED).sum())
    if not mean >= TRAINED:
        return [
            f"H = {size}: not trained. The mean test accuracy is {percent(mean)}, and {learned} of {n} networks reach "
            f"{TRAINED:.0%}. Where the mean is below that, claims other than {', '.join(sorted(OF_ACCURACY))} are not judged."
        ]
    if learned < n:
        return [
            f"H = {size}: {n - learned} of {n} networks did not learn (test accuracy below {TRAINED:.0%}, or unknown). They "
            "count in all numbers and verdicts."
        ]
    return []


def not_defined(dataset: xr.Dataset) -> list[str]:
    """Numbers that no network of a study has, though they were measured, by the reason."""
    if not (dataset.run_id != "").any():
        return []
    names: dict[str, list[str]] = {}
    for name, array in dataset.data_vars.items():
        if "missing" in array.attrs and array.isnull().all():
            names.setdefault(array.attrs["missing"], []).append(str(name))
    return [f"No network has a value of {', '.join(group)}: {reason}." for reason, group in names.items()]


def not_measured(dataset: xr.Dataset) -> list[str]:
    """Measurements that some networks of a study lack: stored ones, that nobody measured again."""
    stored = int((dataset.run_id != "").sum())
    return [
        f"{len(networks)} of {stored} networks lack the measurement {measurement}: what is said of it comes from the others alone."
        for measurement, networks in json.loads(dataset.attrs.get("not_measured", "{}")).items()
    ]
