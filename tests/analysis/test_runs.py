"""Pulling a real study's runs into one dataset."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from analysis import runs
from analysis.embedding import representatives
from study.errors import InputError
from study.network import accuracy


def test_a_study_is_one_labelled_dataset(real_study, tmp_path):
    dataset = runs.load(real_study.run_id, real_study.client)
    assert dataset.accuracy_appended.dims == ("hidden_size", "seed", "blank_rows")
    assert dataset.pca90_by_digit.sizes == {"hidden_size": 2, "seed": 7, "time_step": 28, "digit": 10}
    assert dataset.hidden_size.values.tolist() == [8, 16]
    assert not dataset.accuracy_blanked.isnull().any()
    assert json.loads(dataset.attrs["missing"]) == {}
    assert json.loads(dataset.attrs["versions"])["torch"]
    assert runs.load("latest", real_study.client).identical(dataset)
    dataset.to_netcdf(tmp_path / "dataset.nc", engine="h5netcdf")
    assert xr.load_dataset(tmp_path / "dataset.nc").equals(dataset)
    table = runs.table(dataset, "test_accuracy")
    assert len(table) == 14
    assert {"hidden_size", "seed", "test_accuracy"} <= set(table.columns)


def test_stored_weights_are_the_measured_network(real_study, test_images):
    dataset = runs.load(real_study.run_id, real_study.client)
    chosen = representatives(dataset)
    assert set(chosen) == {8, 16}
    size, seed = 16, chosen[16]
    one = dataset.sel(hidden_size=size, seed=seed)
    network = runs.weights(str(one.run_id.item()), real_study.client)
    assert float(accuracy(network, test_images)) == float(one.test_accuracy)


def test_an_incomplete_network_is_missing_with_the_reason(real_study):
    client = real_study.client
    found = runs.find(client, real_study.run_id)
    victim = found.networks[0]
    client.delete_tag(victim.info.run_id, "complete")
    try:
        dataset = runs.load(real_study.run_id, client)
    finally:
        client.set_tag(victim.info.run_id, "complete", "true")
    place = {name: int(victim.data.params[name]) for name in ("hidden_size", "seed")}
    assert np.isnan(dataset.accuracy_blanked.sel(place)).all()
    assert dataset.run_id.sel(place).item() == ""
    assert json.loads(dataset.attrs["missing"]) == {
        f"H={place['hidden_size']} seed={place['seed']}": "its run is finished and not complete"}
    assert int(dataset.test_accuracy.count()) == 13


def test_what_is_no_study_is_refused(real_study):
    with pytest.raises(InputError, match="no such run"):
        runs.load("nothing", real_study.client)
    network = runs.find(real_study.client, real_study.run_id).networks[0]
    with pytest.raises(InputError, match="is no study"):
        runs.load(network.info.run_id, real_study.client)
