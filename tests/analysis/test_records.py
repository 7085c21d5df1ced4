"""Records of many networks as one dataset: odd ones are left out and named, whichever is read first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from earlier import as_written_earlier

from analysis.claims.findings import evaluate
from analysis.dataset import records
from study.record.network_record import RECORD_VERSION, write_measurements
from study.schema import labelled, of_source
from study.terminal.errors import StudyError

SEEDS = range(8)


def _record(seed: int, blank: int = 60) -> xr.Dataset:
    """What every record holds, and the probes, of an imagined network of 8 units."""
    random = np.random.default_rng(seed)
    shown, steps = {"rows_shown": np.arange(1, 28)}, {"time_step": np.arange(1, 29)}
    curve = np.linspace(0.1, 0.9, 28) + 0.02 * random.random(28)
    arrays = [
        labelled("accuracy_blanked", curve[:27], shown, "blanked", role="curve", metric="blanked/accuracy", share=True),
        labelled("accuracy_truncated", 0.5 * curve[:27], shown, "truncated", role="curve", metric="truncated/accuracy", share=True),
        labelled(
            "accuracy_appended",
            0.5 + 0.1 * random.random(blank + 1),
            {"blank_rows": np.arange(blank + 1)},
            "appended",
            role="curve",
            metric="appended/accuracy",
            share=True,
        ),
        labelled("test_accuracy", 0.5 + 0.01 * random.random(), {}, "accuracy", role="number", share=True),
        labelled("pca90", random.integers(1, 8, 28), steps, "dimensions", units="components", role="curve", metric="pca90/whole"),
        labelled(
            "pca90_by_label",
            random.integers(1, 8, (28, 10)),
            steps | {"label": np.arange(10)},
            "dimensions",
            units="components",
            role="curve",
            metric="pca90/by_label_mean",
        ),
        labelled("peak_dimension", 7, {}, "peak", units="components", role="number"),
        labelled(
            "probe_accuracy",
            np.stack([curve, curve + 0.01]),
            {"source": ["trained", "pixels"]} | steps,
            "probe",
            role="curve",
            metric="probe/accuracy",
            share=True,
        ),
        labelled("readout_accuracy", 0.8 * curve, steps, "readout", role="curve", metric="readout/accuracy", share=True),
        labelled("spectrum_of_r", random.random(8), {"mode": np.arange(1, 9)}, "a spectrum"),
    ]
    attributes = {
        "record_version": str(RECORD_VERSION),
        "data_digest": "d" * 64,
        "versions": "{}",
        "measured": "experiments dimensionality probes",
    }
    return xr.Dataset({array.name: array for array in arrays}, attrs=attributes)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A folder with the records, to be read only."""
    folder = tmp_path_factory.mktemp("records")
    for seed in SEEDS:
        write_measurements(_record(seed), folder / f"{seed}.nc")
    return folder


@pytest.fixture
def files(written, tmp_path) -> dict[records.Place, Path]:
    return {(8, seed): Path(shutil.copy(written / f"{seed}.nc", tmp_path)) for seed in SEEDS}


def _stacked(files: dict[records.Place, Path]) -> tuple[xr.Dataset, dict[records.Place, str]]:
    dataset, bad = records.stack(files, [8], list(SEEDS), records.GROUPS[0])
    ids = [["" if (8, seed) in bad else "f" * 32 for seed in SEEDS]]
    dataset["run_id"] = (("hidden_size", "seed"), np.array(ids, dtype=object).astype(str))
    return dataset.assign_attrs(missing="{}", config="{}"), bad


def _seeds_from_5(record: xr.Dataset) -> xr.Dataset:
    return record.assign_coords(blank_rows=record.blank_rows + 5)


def _steps_in_another_order(record: xr.Dataset) -> xr.Dataset:
    return record.assign_coords(time_step=record.time_step.values[::-1])


def _with_missing_values(record: xr.Dataset) -> xr.Dataset:
    record["accuracy_blanked"][3] = np.nan
    return record.assign(accuracy_blanked=record.accuracy_blanked.assign_attrs(missing="it is said to be possible"))


def _unexplained(record: xr.Dataset) -> xr.Dataset:
    record["spectrum_of_r"][3] = np.nan
    return record


def _called(name: str) -> Callable[[xr.Dataset], xr.Dataset]:
    return lambda record: record.assign({name: 7.0})


ODD: dict[str, tuple[Callable[[xr.Dataset], xr.Dataset], str]] = {
    "a variable called seed": (_called("seed"), "called seed"),
    "a variable called hidden_size": (_called("hidden_size"), "called hidden_size"),
    "a variable called run_id": (_called("run_id"), "called run_id"),
    "a dimension called seed": (lambda record: record.rename(mode="seed"), "called seed"),
    "a missing curve": (lambda record: record.drop_vars("accuracy_appended"), "lacks accuracy_appended"),
    "half of a pair": (lambda record: record.drop_vars("readout_accuracy"), "lacks readout_accuracy"),
    "a number for a curve": (lambda record: record.assign(pca90=3), "pca90 is over no dimension, not over time_step"),
    "a curve for a number": (lambda record: record.assign(test_accuracy=record.pca90), "test_accuracy is over time_step"),
    "other labels": (_seeds_from_5, "labels along blank_rows do not count from 0"),
    "labels in another order": (_steps_in_another_order, "labels along time_step do not count from 1"),
    "fewer labels": (lambda record: _record(0, blank=50), "labels along blank_rows are not those of most"),
    "a value that is missing": (_with_missing_values, "accuracy_blanked holds values that are not finite"),
    "a value that is missing without a word": (_unexplained, "spectrum_of_r that are not finite"),
    "a variable over other dimensions": (
        lambda record: record.assign(spectrum_of_r=record.pca90),
        "in most other networks over mode",
    ),
    "more modes than units": (
        lambda record: record.assign(spectrum_of_r=("mode", np.zeros(9)), mode=np.arange(1, 10)),
        "more than the 8 hidden units",
    ),
    "a share above 1": (lambda record: record.assign(test_accuracy=record.test_accuracy + 3), "test_accuracy beyond its limits"),
    "another version": (lambda record: record.assign_attrs(record_version="1"), "record version is 1 where"),
    "another version of a measurement": (
        lambda record: record.assign_attrs(measured="experiments dimensionality probes:2"),
        "version of the measurement probes is 2 where 1 is expected",
    ),
    "measurements that cannot be read": (
        lambda record: record.assign_attrs(measured="probes:first"),
        "names measurements in words that cannot be read",
    ),
    "other data": (
        lambda record: record.assign_attrs(data_digest="e" * 64),
        "data set's digest is eeeeeeeeeeee where dddddddddddd",
    ),
}


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_record_is_left_out_and_named_and_the_analysis_goes_on_with_the_others(odd, seed, files):
    change, words = ODD[odd]
    record = _record(seed)
    if "mode" in odd:
        record = record.drop_dims("mode")
    write_measurements(change(record), files[8, seed])
    dataset, bad = _stacked(files)
    assert list(bad) == [(8, seed)]
    assert words in bad[8, seed] and "\n" not in bad[8, seed]
    assert int(dataset.test_accuracy.count()) == len(SEEDS) - 1
    assert dataset.blank_rows.values.tolist() == list(range(61))
    assert {finding.estimate.n for finding in evaluate(dataset).ledger if finding.claim == "C1"} == {len(SEEDS) - 1}


def test_a_text_for_a_number_is_left_out_too(files):
    with h5py.File(files[8, 0], "r+") as record:
        record["text"] = "a text"
    _, bad = _stacked(files)
    assert "text in a type that is no plain number" in bad[8, 0]


def test_what_was_measured_on_some_networks_only_is_missing_on_the_others_for_a_reason(files):
    for seed in (1, 2):
        record = _record(seed).drop_vars(["probe_accuracy", "readout_accuracy", "source"])
        write_measurements(record.assign_attrs(measured="experiments dimensionality"), files[8, seed])
    dataset, bad = _stacked(files)
    assert not bad
    assert int(of_source(dataset.probe_accuracy).notnull().any("time_step").sum()) == len(SEEDS) - 2
    assert dataset.probe_accuracy.attrs["missing"] == (
        "it is not measured of this source; or the network is one of 2 that were measured without probes (H=8 seed=1, H=8 seed=2)"
    )
    assert "missing" not in dataset.pca90.attrs
    assert json.loads(dataset.attrs["not_measured"]) == {"probes": ["H=8 seed=1", "H=8 seed=2"]}
    [probes] = [finding for finding in evaluate(dataset).ledger if finding.claim == "C7"]
    assert probes.estimate.n == len(SEEDS) - 2


def test_a_measurement_that_the_set_has_now_and_no_record_has_is_told(files):
    for seed in SEEDS:  # as they were written before records named their measurements
        write_measurements(as_written_earlier(_record(seed)), files[8, seed])
    dataset, bad = records.stack(files, [8], list(SEEDS), records.GROUPS[0], ["probes", "attractors"])
    assert not bad
    assert list(json.loads(dataset.attrs["not_measured"])) == ["attractors"]


def test_a_dataset_beyond_memory_is_refused_in_one_line(files):
    with pytest.raises(StudyError, match=r"a dataset of 1,000,000,000 networks takes .* GiB of memory"):
        records.stack(files, range(8, 8 + 10_000), range(100_000))
