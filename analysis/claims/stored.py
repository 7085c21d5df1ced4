"""Findings as JSON, so that a study is evaluated only once: numbers only, checked against the dataset when they are read.

Whoever can write the file can also write the right key, so nothing in it is trusted: networks, variables, steps or claims that the
dataset does not have are refused, and the findings are computed anew.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import analysis
from analysis.claims.c1_test_accuracy import ASKED
from analysis.claims.finding import LEVEL, NOT_APPLICABLE, Finding, Verdict
from analysis.claims.findings import GRID, Change, CurveBands, Findings, evaluate, step_curves, summed_up
from analysis.claims.registry import CLAIMS
from analysis.claims.sample import Sample, present
from analysis.statistics.bands import METHODS, Band
from analysis.statistics.intervals import Estimate
from analysis.statistics.oscillation import Oscillation, Periodicity, oscillation_by_tests
from analysis.statistics.phase import PHASES, Cycle
from analysis.statistics.trend import Difference, Trend
from study import config, harmonics
from study.files.untrusted import MEBIBYTE, Refused
from study.record.network_record import versions
from study.schema import CLASS_NAMES, SOURCE, SOURCES, Source, metric_name, role_of

FILE = "findings.json"
LARGEST = 64 * MEBIBYTE  # 999 networks have 3
CODE = ("claims", "statistics")  # folders of this package whose code determines the findings

Number = Annotated[float, Field(gt=-1e12, lt=1e12)]  # more would run off the page
Numbers = list[Number | None]  # None for what is not finite
Count = Annotated[int, Field(ge=0, lt=2**63)]
Name = Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
Few = Annotated[list[Number], Field(max_length=1000)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class _Finding(_Part):
    claim: Name
    hidden_size: Count
    value: Number | None
    lower: Number | None
    upper: Number | None
    n: Count
    verdict: Verdict
    p: Number | None
    numbers: Annotated[dict[Name, Number | Few], Field(max_length=100)]


class _Band(_Part):
    mean: Numbers
    lower: Numbers
    upper: Numbers
    critical: Number
    n: Count


class _CurveBands(_Part):
    variable: Name
    source: Source
    hidden_size: Count
    steps: list[int]
    band: _Band


class _Oscillation(_Part):
    hidden_size: Count
    period: Numbers
    p: list[Number]
    amplitude: list[Number]
    sustained: list[Number]
    coherence: list[Number]


class _Cycle(_Part):
    hidden_size: Count
    seeds: list[Count]
    curves: list[list[Number]]
    band: _Band | None


class _Pair(_Part):
    sizes: tuple[Count, Count]
    estimate: Number | None
    p_adjusted: Number | None


class _Change(_Part):
    variable: Name
    source: Source
    slope: Number | None
    p: Number | None
    n: Count
    pairs: list[_Pair]


class _Findings(_Part):
    key: str
    ledger: list[_Finding]
    bands: list[_CurveBands]
    oscillations: list[_Oscillation]
    cycles: list[_Cycle]
    trends: list[_Change]


def current_or_new(dataset: xr.Dataset, stored: bytes | None) -> Findings:
    """The findings on a dataset: those `stored`, if the same code made them from the same numbers, else computed anew."""
    try:
        return evaluate(dataset) if stored is None else restored(dataset, stored)
    except Refused:
        return evaluate(dataset)


def as_json(dataset: xr.Dataset, findings: Findings) -> bytes:
    """Findings on a dataset, to be stored. They are checked when they are read; if they are refused, they are computed anew."""
    return (
        _Findings.model_construct(
            key=_key(dataset),
            ledger=[
                _Finding.model_construct(
                    claim=one.claim,
                    hidden_size=one.hidden_size,
                    value=_plain(one.estimate.value),
                    lower=_plain(one.estimate.lower),
                    upper=_plain(one.estimate.upper),
                    n=one.estimate.n,
                    verdict=one.verdict,
                    p=_plain(one.p),
                    numbers={name: list(value) if isinstance(value, tuple) else value for name, value in one.numbers.items()},
                )
                for one in findings.ledger
            ],
            bands=[
                _CurveBands.model_construct(
                    variable=one.variable,
                    source=one.source,
                    hidden_size=one.hidden_size,
                    steps=one.steps.astype(int).tolist(),
                    band=_band(one.band),
                )
                for one in findings.bands
            ],
            oscillations=[
                _Oscillation.model_construct(
                    hidden_size=size,
                    period=[_plain(test.period) for test in one.tests],
                    p=[float(test.p) for test in one.tests],
                    amplitude=[float(test.amplitude) for test in one.tests],
                    sustained=[float(test.sustained) for test in one.tests],
                    coherence=[float(test.coherence) for test in one.tests],
                )
                for size, one in findings.oscillations.items()
            ],
            cycles=[
                _Cycle.model_construct(
                    hidden_size=size,
                    seeds=one.seeds.tolist(),
                    curves=one.curves.tolist(),
                    band=_band(one.band) if one.band else None,
                )
                for size, one in findings.cycles.items()
            ],
            trends=[
                _Change.model_construct(
                    variable=one.variable,
                    source=one.source,
                    slope=_plain(one.trend.slope),
                    p=_plain(one.trend.p),
                    n=one.trend.n,
                    pairs=[
                        _Pair.model_construct(sizes=pair.sizes, estimate=_plain(pair.estimate), p_adjusted=_plain(pair.p_adjusted))
                        for pair in one.pairs
                    ],
                )
                for one in findings.trends
            ],
        )
        .model_dump_json()
        .encode()
    )


def restored(dataset: xr.Dataset, text: bytes) -> Findings:
    """Findings that were stored; raises `Refused` where this code did not make them from this dataset."""
    try:
        stored = _Findings.model_validate_json(text)
    except ValidationError:
        raise Refused("holds no findings") from None
    _only_if(stored.key == _key(dataset))
    networks = {int(size): present(dataset, int(size)) for size in dataset.hidden_size.values}
    networks = {size: sample for size, sample in networks.items() if sample.sizes["seed"]}
    for part in (stored.ledger, stored.bands, stored.oscillations, stored.cycles):
        _only_if({one.hidden_size for one in part} <= set(networks))
    _only_once((one.claim, one.hidden_size) for one in stored.ledger)
    _only_if({one.claim for one in stored.ledger} <= set(CLAIMS))
    for one in stored.ledger:
        limits = [value for value in (one.lower, one.value, one.upper) if value is not None]
        counted = networks[one.hidden_size].sizes
        beside = counted.get("length", 0) * counted.get("length_seed", 0)
        _only_if(limits == sorted(limits) and one.n <= counted["seed"] + beside)
        _only_if(CLAIMS[one.claim].power != "share" or all(0 <= value <= 1 for value in limits))
        _only_if(one.p is None or 0 <= one.p <= 1)
    _only_once((one.variable, one.source, one.hidden_size) for one in stored.bands)
    _only_if([one.hidden_size for one in stored.oscillations] == list(networks))
    _only_once(one.hidden_size for one in stored.cycles)
    _only_once((one.variable, one.source) for one in stored.trends)
    for one in stored.trends:
        _variable(dataset, one.variable, one.source, "number")
        _only_if({size for pair in one.pairs for size in pair.sizes} <= set(dataset.hidden_size.values.tolist()))
        _only_once(pair.sizes for pair in one.pairs)
    return summed_up(
        dataset,
        [
            Finding(
                one.claim,
                one.hidden_size,
                Estimate(_number(one.value), _number(one.lower), _number(one.upper), one.n),
                one.verdict,
                _number(one.p),
                one.numbers,
                reason=CLAIMS[one.claim].reason(Sample(networks[one.hidden_size])) if one.verdict == NOT_APPLICABLE else "",
            )
            for one in stored.ledger
        ],
        [_curve_bands(networks[one.hidden_size], one) for one in stored.bands],
        {one.hidden_size: _oscillation(networks[one.hidden_size], one) for one in stored.oscillations},
        {one.hidden_size: _cycle(networks[one.hidden_size], one) for one in stored.cycles},
        [
            Change(
                one.variable,
                one.source,
                Trend(_number(one.slope), _number(one.p), one.n),
                [Difference(pair.sizes, _number(pair.estimate), _number(pair.p_adjusted)) for pair in one.pairs],
            )
            for one in stored.trends
        ],
    )


def _curve_bands(networks: xr.Dataset, stored: _CurveBands) -> CurveBands:
    variable = _variable(networks, stored.variable, stored.source, "curve")
    curves = step_curves(variable, stored.source)
    steps = curves[curves.dims[1]].values
    _only_if(set(stored.steps) <= set(steps.tolist()))
    _only_once(stored.steps)
    band = _checked_band(stored.band, len(stored.steps))
    metric = metric_name(variable, stored.source)
    return CurveBands(stored.variable, stored.source, stored.hidden_size, np.array(stored.steps, steps.dtype), band, metric)


def _variable(dataset: xr.Dataset, name: str, source: Source, role: str) -> xr.DataArray:
    """A variable of this role that can be of this source; raises `Refused` where there is none."""
    variable = dataset.data_vars.get(name)
    _only_if(variable is not None and role_of(variable, GRID) == role)
    assert variable is not None
    _only_if(source == SOURCES[0] or SOURCE in variable.dims)
    return variable


def _checked_band(stored: _Band, points: int) -> Band:
    mean, lower, upper = (np.array(list(map(_number, values))) for values in (stored.mean, stored.lower, stored.upper))
    _only_if(len(mean) == len(lower) == len(upper) == points)
    return Band(mean, lower, upper, stored.critical, stored.n, LEVEL, METHODS["beta"])


def _oscillation(networks: xr.Dataset, stored: _Oscillation) -> Oscillation:
    columns = [list(map(_number, stored.period)), stored.p, stored.amplitude, stored.sustained, stored.coherence]
    _only_if({len(column) for column in columns} == {networks.sizes["seed"]})
    _only_if(all(0 < p <= 1 for p in stored.p))
    return oscillation_by_tests(networks.accuracy_appended.values, [Periodicity(*row) for row in zip(*columns, strict=True)])


def _cycle(networks: xr.Dataset, stored: _Cycle) -> Cycle:
    _only_if(set(stored.seeds) <= set(networks.seed.values.tolist()) and len(stored.seeds) == len(stored.curves) > 0)
    _only_once(stored.seeds)
    _only_if(all(len(curve) == PHASES for curve in stored.curves))
    band = _checked_band(stored.band, PHASES) if stored.band else None
    return Cycle(np.array(stored.seeds, networks.seed.dtype), np.array(stored.curves), band)


def _band(band: Band) -> _Band:
    mean, lower, upper = ([_plain(value) for value in values.tolist()] for values in (band.mean, band.lower, band.upper))
    return _Band.model_construct(mean=mean, lower=lower, upper=upper, critical=float(band.critical), n=band.n)


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _only_if(true: bool) -> None:
    if not true:
        raise Refused("does not fit the study")


def _only_once(names: Iterable[Hashable]) -> None:
    names = list(names)
    _only_if(len(set(names)) == len(names))


def _key(dataset: xr.Dataset) -> str:
    """The key of the findings: a digest of the dataset's numbers, the library versions, and the code of statistics and claims."""
    digest = hashlib.sha256(json.dumps(versions() | {"commit": ""}, sort_keys=True).encode())
    digest.update(json.dumps([str(dataset.attrs.get(name)) for name in ("config", "data_digest", CLASS_NAMES, ASKED)]).encode())
    for text in _code():
        digest.update(text)
    for name, variable in sorted(dataset.variables.items(), key=lambda item: str(item[0])):
        values = np.ascontiguousarray(variable.values != "" if name == "run_id" else variable.values)
        told = {mark: variable.attrs[mark] for mark in ("role", "metric", "valid_min", "valid_max") if mark in variable.attrs}
        digest.update(json.dumps([str(name), variable.dims, values.shape, values.dtype.str, told], default=str).encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _code() -> list[bytes]:
    """The text of each module that contributes to findings, including the modules of a user's own claims."""
    here = Path(analysis.__file__).parent
    files = {file for folder in CODE for file in (here / folder).glob("*.py")} | {Path(harmonics.__file__), Path(config.__file__)}
    for claim in CLAIMS.values():
        file = getattr(sys.modules.get(claim.judge.__module__), "__file__", None)
        files |= {Path(file)} if file else set()
    return sorted(file.read_bytes() for file in files)
