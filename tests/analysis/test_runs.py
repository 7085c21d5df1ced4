"""Pulling a real study's runs into one dataset."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from analysis.claims.findings import evaluate, markdown, representatives
from analysis.dataset import provenance, records, runs
from study.networks.network import accuracy
from study.record.network_record import MEASUREMENTS, RECORD_VERSION, read_measurements, write_measurements
from study.terminal.errors import InputError
from study.tracking.store import fetch


def test_a_study_is_one_labelled_dataset(real_study, tmp_path):
    dataset = runs.load(real_study.run_id, real_study.client)
    assert dataset.accuracy_appended.dims == ("hidden_size", "seed", "blank_rows")
    assert dataset.pca90_by_label.sizes == {"hidden_size": 2, "seed": 7, "time_step": 28, "label": 10}
    assert dataset.hidden_size.values.tolist() == [8, 16]
    assert not dataset.accuracy_blanked.isnull().any()
    assert json.loads(dataset.attrs["missing"]) == {}
    assert list(json.loads(dataset.attrs["versions"])["torch"].values()) == [{"8": "0-6", "16": "0-6"}]
    assert json.loads(dataset.attrs["versions"])["device"] == {"cpu": {"8": "0-6", "16": "0-6"}}
    assert provenance.mixed(dataset) == {}
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


def test_a_dataset_opens_as_tables_without_this_project(real_study, tmp_path):
    dataset = runs.load(real_study.run_id, real_study.client)
    runs.save_tables(dataset, tmp_path)
    networks = pd.read_csv(tmp_path / "networks.csv")
    assert len(networks) == 14
    assert networks.test_accuracy.tolist() == dataset.test_accuracy.values.ravel().tolist()
    steps = pd.read_csv(tmp_path / "by_time_step_label.csv")
    assert len(steps) == 14 * 28 * 10
    assert {"hidden_size", "seed", "time_step", "label", "pca90_by_label"} <= set(steps.columns)


def test_networks_of_different_size_have_room_in_one_dataset(real_study):
    spectra = runs.load(real_study.run_id, real_study.client).eigenvalue_real_by_epoch
    assert spectra.sizes == {"hidden_size": 2, "seed": 7, "epoch_from_0": 4, "mode": 16}
    assert np.isnan(spectra.sel(hidden_size=8)[..., 8:]).all()
    assert np.isfinite(spectra.sel(hidden_size=8)[..., :8]).all()
    assert np.isfinite(spectra.sel(hidden_size=16)).all()


def test_networks_of_another_regime_are_refused_with_what_differs(real_study):
    found = runs.find(real_study.client, real_study.run_id)
    altered = dataclasses.replace(found, config=found.config | {"epochs": 30})
    with pytest.raises(InputError, match="has epochs=3 where the study has 30"):
        runs._check_regime(altered, runs._by_place(altered)[0])


def test_records_of_another_version_or_other_data_are_left_out_with_the_reason(tmp_path):
    files = {}
    for seed, (version, digest) in enumerate([(RECORD_VERSION, "a"), (RECORD_VERSION, "a"), (1, "a"), (RECORD_VERSION, "b")]):
        files[8, seed] = tmp_path / f"{seed}.nc"
        record = xr.Dataset({"test_accuracy": 0.5}, attrs={"record_version": str(version), "data_digest": digest})
        write_measurements(record, files[8, seed])
    dataset, bad = records.stack(files, [8], [0, 1, 2, 3])
    assert set(bad) == {(8, 2), (8, 3)}
    assert "data set's digest is b where a is expected" in bad[8, 3]
    assert f"record version is 1 where {RECORD_VERSION} is expected" in bad[8, 2]
    assert dataset.test_accuracy.values.tolist()[0][:2] == [0.5, 0.5]
    assert int(dataset.test_accuracy.notnull().sum()) == 2


@pytest.fixture(scope="module")
def made_differently(real_study, tmp_path_factory):
    """A real study of which one network was made by another torch, two on a GPU, and one record does not say by what."""
    scratch = tmp_path_factory.mktemp("records")
    found = runs.find(real_study.client, real_study.run_id)
    files = {}
    for place, run in runs._by_place(found)[0].items():
        record = read_measurements(fetch(real_study.client, run, scratch) / MEASUREMENTS)
        versions, config = (json.loads(record.attrs[name]) for name in ("versions", "config"))
        if place == (16, 3):
            record.attrs["versions"] = json.dumps(versions | {"torch": "2.12.1", "commit": "0" * 40 + "+changes"})
        if place in ((8, 1), (8, 2)):
            record.attrs["config"] = json.dumps(config | {"device": "cuda"})
        if place == (16, 4):
            record.attrs["versions"] = "{}"
        files[place] = scratch / f"{place}.nc"
        write_measurements(record, files[place])
    dataset, bad = records.stack(files, [8, 16], list(range(7)))
    assert bad == {}
    whole = runs.load(real_study.run_id, real_study.client)
    return dataset.assign(run_id=whole.run_id).assign_attrs(whole.attrs | dataset.attrs)


def test_networks_made_by_different_versions_or_devices_are_said_to_be(made_differently):
    torch = provenance.versions(made_differently)["torch"]
    assert torch["2.12.1"] == {"16": "3"}
    assert torch["unknown"] == {"16": "4"}
    assert {"8": "0-6", "16": "0-2,5,6"} in torch.values()
    assert provenance.mixed(made_differently)["device"] == {"cpu": 12, "cuda": 2}
    found = evaluate(made_differently)
    [versions, devices] = [line for line in found.cautions if "networks were made" in line]
    assert "2.12.1 (1 network)" in versions
    assert "(12 networks)" in versions
    assert "commit" in versions
    assert "000000000000+changes (1 network)" in versions
    assert "device cpu (12 networks), cuda (2 networks)" in devices
    assert "cuda &#40;2 networks&#41;" in markdown(made_differently, found)


@pytest.mark.parametrize("stored", [None, 3, "", "nonsense", "[1]", "[" * 100_000, "3", '{"torch": {"a": 1}}'])
def test_a_record_that_does_not_say_what_made_it_is_of_unknown_versions(stored):
    made = provenance.made_by({"versions": stored, "config": stored})
    assert set(made) == set(provenance.NAMES)
    assert made["device"] == provenance.UNKNOWN
    assert all(isinstance(value, str) for value in made.values())


def test_versions_that_differ_between_studies_are_said_to(made_differently, real_study, monkeypatch):
    one = runs.load(real_study.run_id, real_study.client)
    other = made_differently.assign_attrs(config=json.dumps(runs.configuration(one) | {"learning_rate": 0.5}))
    monkeypatch.setattr(runs, "load", lambda study, client: {"one": one, "other": other}[study])
    with pytest.warns(UserWarning, match="networks were made") as said:
        sweep = runs.load_sweep(["one", "other"], "learning_rate", real_study.client)
    assert "device cpu (26 networks), cuda (2 networks)" in str(said[1].message)
    assert json.loads(json.loads(sweep.attrs["versions"])[1])["device"]["cuda"] == {"8": "1,2"}


def test_studies_that_differ_in_one_setting_are_kept_apart_along_it(real_study, monkeypatch):
    one = runs.load(real_study.run_id, real_study.client)
    made = {rate: one.assign_attrs(config=json.dumps(runs.configuration(one) | {"learning_rate": rate})) for rate in (1e-3, 3e-3)}
    monkeypatch.setattr(runs, "load", lambda study, client: made[float(study)])
    sweep = runs.load_sweep(["1e-3", "3e-3"], "learning_rate", real_study.client)
    assert sweep.test_accuracy.sizes == {"learning_rate": 2, "hidden_size": 2, "seed": 7}
    assert sweep.learning_rate.values.tolist() == [1e-3, 3e-3]
    assert sweep.pca90.attrs["metric"] == "pca90/whole"
    with pytest.raises(InputError, match="also differ in learning_rate"):
        runs.load_sweep(["1e-3", "3e-3"], "epochs", real_study.client)
    with pytest.raises(InputError, match="expected a different value for each"):
        runs.load_sweep(["1e-3", "1e-3"], "learning_rate", real_study.client)
    with pytest.raises(InputError, match="over=seed"):
        runs.load_sweep(["1e-3", "3e-3"], "seed", real_study.client)


def test_an_incomplete_network_is_missing_with_the_reason(own_tags):
    client = own_tags.client
    victim = runs.find(client, own_tags.run_id).networks[0]
    client.delete_tag(victim.info.run_id, "complete")
    dataset = runs.load(own_tags.run_id, client)
    place = {name: int(victim.data.params[name]) for name in ("hidden_size", "seed")}
    assert np.isnan(dataset.accuracy_blanked.sel(place)).all()
    assert dataset.run_id.sel(place).item() == ""
    assert json.loads(dataset.attrs["missing"]) == {
        f"H={place['hidden_size']} seed={place['seed']}": "its run is finished and incomplete"
    }
    assert int(dataset.test_accuracy.count()) == 13


def test_what_is_no_study_is_refused(real_study):
    with pytest.raises(InputError, match="no such run"):
        runs.load("nothing", real_study.client)
    network = runs.find(real_study.client, real_study.run_id).networks[0]
    with pytest.raises(InputError, match="is not a study"):
        runs.load(network.info.run_id, real_study.client)
