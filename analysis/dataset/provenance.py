"""Which versions, on which kind of device, made the networks of a study."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import xarray as xr

from study.config import integers, ranges
from study.files.untrusted import Refused, json_object, one_line
from study.record.network_record import LIBRARIES

# What a record says about how it was made. A study has one precision; it is listed for readers who compare studies.
NAMES = ("python", *LIBRARIES, "commit", "kernels", "device", "precision")
UNKNOWN = "unknown"
MOST_NAMED = 4  # values of one name that a sentence lists
Place = tuple[int, int]  # a hidden size and a seed


def made_by(attributes: Mapping[str, str]) -> dict[str, str]:
    """What made a network, by name (`NAMES`), from the attributes of its record; `UNKNOWN` where they do not say."""
    stored = _mapping(attributes.get("config")) | _mapping(attributes.get("versions"))
    return {name: one_line(stored.get(name, UNKNOWN), 100) for name in NAMES}


def gathered(networks: Mapping[Place, Mapping[str, str]]) -> str:
    """What made which networks, as JSON: for each name its values, and for each value the seeds by hidden size.

    A library with two versions reads ``{"torch": {"2.13.0": {"50": "0-9", "100": "0-8"}, "2.12.1": {"100": "9"}}}``.
    """
    seeds_by: dict[str, dict[str, dict[str, list[int]]]] = {}
    for (size, seed), made in sorted(networks.items()):
        for name, value in made.items():
            seeds_by.setdefault(name, {}).setdefault(value, {}).setdefault(str(size), []).append(seed)
    return json.dumps(
        {
            name: {value: {size: ranges(seeds) for size, seeds in places.items()} for value, places in values.items()}
            for name, values in seeds_by.items()
        }
    )


def versions(dataset: xr.Dataset) -> dict[str, dict[str, dict[str, str]]]:
    """What `gathered` put into the attribute `versions` of a dataset; empty for datasets saved by earlier versions."""
    stored = json.loads(dataset.attrs.get("versions", "{}"))
    return {name: values for name, values in stored.items() if isinstance(values, dict)}


def mixed(*datasets: xr.Dataset) -> dict[str, dict[str, int]]:
    """The names that have more than one value among the networks of one study, or of several, with the networks per value."""
    counts: dict[str, dict[str, int]] = {}
    for dataset in datasets:
        for name, values in versions(dataset).items():
            for value, places in values.items():
                known = counts.setdefault(name, {})
                known[value] = known.get(value, 0) + sum(len(integers(seeds)) for seeds in places.values())
    return {name: values for name, values in counts.items() if len(values) > 1}


def places_in_words(places: Mapping[str, str]) -> str:
    """Networks by hidden size and seeds: H = 50 seeds 0-9; H = 100 seed 3."""
    return "; ".join(f"H = {size} seed{'s' * (not seeds.isdecimal())} {seeds}" for size, seeds in places.items())


def _mapping(text: str | None) -> dict:
    """The JSON object in an attribute; empty where there is none."""
    try:
        return json_object(text or "")
    except (TypeError, Refused):
        return {}


def made_differently(*datasets: xr.Dataset) -> list[str]:
    """What differs among the networks of one study, or of several: versions and kinds of device; one sentence each."""
    several = mixed(*datasets)
    of_device = [name for name in ("device", "precision") if name in several]
    of_versions = [name for name in several if name not in of_device]
    lines = []
    for names, words in ((of_versions, "by different versions"), (of_device, "on different kinds of device")):
        if names:
            listed = "; ".join(f"{name} {_values(several[name])}" for name in names)
            lines.append(f"The networks were made {words}, which may explain some of their differences: {listed}.")
    return lines


def _values(counts: dict[str, int]) -> str:
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    words = [f"{_short(value)} ({count} network{'s' * (count != 1)})" for value, count in most[:MOST_NAMED]]
    return ", ".join(words) + (f" and {len(most) - MOST_NAMED} more" if len(most) > MOST_NAMED else "")


def _short(value: str) -> str:
    """A version; of a commit, only the first digits."""
    return re.sub(r"^([0-9a-f]{12})[0-9a-f]{28}", r"\1", value)
