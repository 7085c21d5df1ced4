"""Stores in odd places, and stores whose artifacts are not where their runs say: what cannot be reached is not trained again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mlflow import MlflowClient
from places import Place, store_in

from analysis.dataset import runs
from study.files import artifact_paths
from study.terminal.errors import InputError, StudyError
from study.tracking.store import DamagedRecordError, UnreachableError, checked_location, fetch, stored_content

ONE = {"seeds": "0", "epochs": "1", "train_images": "400"}
NAMES = ("plain", "a#b", "a?b", "a%25b", "a%b", "a b", "aü漢", "a;b=c&d", "a:b")


def test_artifacts_are_looked_for_where_mlflow_puts_them(tmp_path):
    client = MlflowClient(store_in(tmp_path))
    for name in NAMES:
        folder = tmp_path / name / "artifacts"
        for kind, location in (("address", folder.as_uri()), ("bare address", f"file://{folder}"), ("path", str(folder))):
            run = client.create_run(client.create_experiment(f"{name} as {kind}", artifact_location=location))
            client.log_text(run.info.run_id, f"{name} as {kind}", "study.json")
            assert (artifact_paths.local_root(run.info.artifact_uri) / "study.json").read_text() == f"{name} as {kind}"
            assert stored_content(client, run, "study.json", 1000) == f"{name} as {kind}".encode()
            experiment = client.get_experiment(run.info.experiment_id)
            place = artifact_paths.location(run.info.artifact_uri, run.info.run_id)
            assert artifact_paths.local_root(place) == artifact_paths.local_root(experiment.artifact_location)
            checked_location(client, run.info.experiment_id)
    assert artifact_paths.local_root("s3://bucket/a") is None
    assert artifact_paths.local_root("mlflow-artifacts:/0/a") is None


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Place:
    """A finished study of one network, its artifacts at a place that an address would be cut at."""
    folder = tmp_path_factory.mktemp("odd")
    MlflowClient(store_in(folder)).create_experiment("hidden-orbits", artifact_location=(folder / "a#b?c%25 ü" / "art").as_uri())
    place = Place(folder, store_in(folder))
    study = place.run(**ONE)
    assert study.process.returncode == 0, study.output
    return place


@pytest.mark.slow
def test_networks_at_an_odd_place_are_taken_as_they_are(odd):
    again = odd.run(**ONE)
    assert "1 networks expected: 0 trained, 0 re-measured, 1 reused, 0 failed" in again.output
    assert int(odd.dataset().test_accuracy.count()) == 1


@pytest.mark.slow
def test_networks_whose_artifacts_were_moved_are_neither_trained_again_nor_missing(odd, tmp_path):
    place, before = odd.folder / "a#b?c%25 ü", len(odd.runs())
    place.rename(tmp_path / "moved")
    try:
        refused = odd.run(**ONE)
        assert refused.process.returncode == 1
        [line] = refused.output.splitlines()
        assert line.startswith("error: the artifacts of 1 stored networks (1 in all) cannot be reached: file://")
        for words in ("a%23b%3Fc%2525", "is not there or empty", "python -m study relocate", "resume=never"):
            assert words in line
        other = odd.run(**ONE | {"seeds": "5"})  # would be written to where the store was
        assert other.process.returncode == 2
        assert other.output.startswith("error: the artifacts of experiment hidden-orbits cannot be reached: file://")
        assert other.output.count("\n") == 1
        with pytest.raises(StudyError, match="are not reachable"):
            runs.load("latest", odd.client)
        assert len(odd.runs()) == before
        assert not place.exists()
        place.mkdir()  # as a disk that is not mounted leaves it
        assert odd.run(**ONE).process.returncode == 1
    finally:
        if place.exists():
            place.rmdir()
        (tmp_path / "moved").rename(place)
    assert int(odd.dataset().test_accuracy.count()) == 1


@pytest.mark.slow
def test_a_folder_of_one_run_that_is_gone_while_others_are_there_is_a_missing_artifact(odd, tmp_path):
    run = odd.networks(odd.studies()[0])[0]
    folder = artifact_paths.local_root(run.info.artifact_uri).parent
    folder.rename(tmp_path / "aside")
    try:
        with pytest.raises(DamagedRecordError, match="is missing"):
            fetch(odd.client, run, tmp_path)
    finally:
        (tmp_path / "aside").rename(folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["link", "FIFO", "folder"])
def test_an_artifact_that_is_no_ordinary_file_is_damaged_and_blocks_nothing(kind, odd, tmp_path):
    run = odd.networks(odd.studies()[0])[0]
    file = artifact_paths.local_root(run.info.artifact_uri) / "measurements.nc"
    file.rename(tmp_path / "aside")
    try:
        if kind == "link":
            file.symlink_to(tmp_path / "aside")
        elif kind == "FIFO":
            os.mkfifo(file)
        else:
            file.mkdir()
        with pytest.raises(DamagedRecordError, match=f"is a {kind}" if kind in ("link", "folder") else "is not an ordinary file"):
            fetch(odd.client, run, tmp_path)
    finally:
        if kind == "folder":
            file.rmdir()
        (tmp_path / "aside").rename(file)


@pytest.mark.slow
def test_a_disk_that_fails_is_no_damage(odd, tmp_path, monkeypatch):
    run = odd.networks(odd.studies()[0])[0]

    def failing(path: Path, *arguments: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(UnreachableError, match=r"cannot be read \(Input/output error\)"):
        fetch(odd.client, run, tmp_path)


def test_an_experiment_whose_artifacts_cannot_be_written_is_refused(tmp_path):
    client = MlflowClient(store_in(tmp_path))
    (tmp_path / "file").touch()
    blocked = client.create_experiment("blocked", artifact_location=str(tmp_path / "file" / "artifacts"))
    with pytest.raises(InputError, match=r"belong in .*file/artifacts, which cannot be written to \(no file can be created"):
        checked_location(client, blocked)
    new = client.create_experiment("new", artifact_location=str(tmp_path / "new" / "artifacts"))
    checked_location(client, new)
    assert not (tmp_path / "new").exists()
