"""Studies whose artifacts were moved to another folder."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
import torch
from conftest import tracked_in
from mlflow.utils.file_utils import local_file_uri_to_path
from places import Place, store_in

from analysis.dataset import runs
from study.terminal.errors import InputError
from study.tracking.relocation import relocate, roots

pytestmark = pytest.mark.slow
ODD = "a#b?c%25d e"  # each of which an address has to quote


def _dump(store: str) -> list[str]:
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as database:
        return list(database.iterdump())


@pytest.fixture
def copied(undisturbed, tmp_path) -> Place:
    """A copy of a finished study's database, whose artifacts are where they were."""
    shutil.copy(undisturbed.folder / "mlflow.db", tmp_path / "mlflow.db")
    return Place(tmp_path, store_in(tmp_path))


@pytest.fixture
def pointed(copied):
    """MLflow points at the copy."""
    with tracked_in(copied.store):
        yield copied


def test_a_study_that_was_moved_is_analysed_and_reused(copied, undisturbed, tmp_path):
    # MLflow itself loads no model from a path with a percent sign.
    old, new = undisturbed.folder / "artifacts", tmp_path / "new place" / ODD.replace("%25", "")
    shutil.copytree(old, new)
    listed = copied.popen(["python", "-m", "study", "relocate"])
    assert listed.wait() == 0, listed.output
    assert f"{old}: 5 runs; 4 of 4 complete networks are there\n" in listed.output
    done = copied.popen(["python", "-m", "study", "relocate", f"{old}/", os.path.relpath(new)])
    assert done.wait() == 0, done.output
    assert "1 experiments, 5 runs, 4 logged models; 4 of 4 complete networks are there" in done.output
    for run in copied.runs():
        assert Path(local_file_uri_to_path(run.info.artifact_uri)) == new / run.info.run_id / "artifacts"
    [study] = copied.studies()
    network = copied.networks(study)[0]
    weights = runs.weights(network.info.run_id, copied.client)
    model = copied.client.get_logged_model(network.outputs.model_outputs[0].model_id)
    images = torch.rand(3, 28, 28)
    *_, last = weights.rows(images)
    assert (mlflow.pyfunc.load_model(model.artifact_location).predict(images.numpy()) == weights.predict(last).numpy()).all()
    analysed = copied.start(module="analysis", command=("--study", "latest"))
    assert analysed.wait() == 0, analysed.output
    assert (new / study.info.run_id / "artifacts" / "analysis" / "dataset.nc").exists()
    assert not (old / study.info.run_id / "artifacts" / "analysis").exists()
    assert json.loads(copied.dataset().attrs["missing"]) == {}
    again = copied.run()
    assert "4 networks expected: 0 trained, 0 re-measured, 4 reused, 0 failed" in again.output


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("name", ["moved", ODD])
def test_there_and_back_again_is_where_it_was(plain, name, pointed, undisturbed, tmp_path):
    old, new = undisturbed.folder / "artifacts", tmp_path / name
    if plain:  # as MLflow writes the places of its default store
        with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
            for table, column in (
                ("runs", "artifact_uri"),
                ("experiments", "artifact_location"),
                ("logged_models", "artifact_location"),
            ):
                database.execute(f"UPDATE {table} SET {column} = replace({column}, 'file://', '')")
            database.commit()
    new.symlink_to(old)
    before = _dump(pointed.store)
    moved = relocate(str(old), new)
    assert moved.rewritten == {"experiments": 1, "runs": 5, "logged models": 4}
    assert {root.place for root in roots() if root.runs} == {str(new)}
    there = _dump(pointed.store)
    with pytest.raises(InputError, match=r"this store has no artifacts there \(10 locations are below"):
        relocate(str(old), new)
    assert _dump(pointed.store) == there
    assert relocate(str(new), old).rewritten == moved.rewritten
    if not plain or name == "moved":
        assert _dump(pointed.store) == before
    assert [root.there for root in roots() if root.runs] == [4]


def test_a_folder_inside_the_old_one_is_moved_to_once(pointed, undisturbed):
    old = undisturbed.folder / "artifacts"
    inside = old / "deeper"
    inside.symlink_to(old)
    try:
        relocate(str(old), inside)
        assert {root.place for root in roots() if root.runs} == {str(inside)}
        with pytest.raises(InputError, match="this store has no artifacts there"):
            relocate(str(old), inside)
    finally:
        inside.unlink()


def test_names_are_compared_whole_and_nothing_is_changed_where_the_artifacts_are_not(pointed, undisturbed, tmp_path):
    old, before = undisturbed.folder / "artifacts", _dump(pointed.store)
    empty = tmp_path / "empty"
    empty.mkdir()
    for wrong, new, words in (
        (str(old)[:-1], empty, f"this store has no artifacts there; its artifacts are in: .*{old}"),
        (str(old), tmp_path / "nowhere", "expected the folder that holds the artifacts now"),
        (str(old), empty, "holds the artifacts of 0 of 4 complete networks, and nothing was changed"),
    ):
        with pytest.raises(InputError, match=words):
            relocate(wrong, new)
    assert _dump(pointed.store) == before
    assert relocate(str(old), empty, incomplete=True).there == 0


@pytest.mark.parametrize(
    ("store", "words"),
    [
        (
            "http://me:hunter2@127.0.0.1:9",
            "http://127.0.0.1:9 is not a database: set MLFLOW_TRACKING_URI to the server's own database",
        ),
        ("sqlite:////nowhere/mlflow.db", "is not there: set MLFLOW_TRACKING_URI to where the database is now"),
    ],
)
def test_another_store_is_refused(store, words, tmp_path):
    with tracked_in(store), pytest.raises(InputError, match=words):
        relocate("/old", tmp_path)


def test_a_database_that_is_none_of_mlflow_s_is_named(tmp_path):
    for content, words in ((b"", "is not a database of MLflow"), (b"not a database" * 100, "failed .*file is not a database")):
        (tmp_path / "other.db").write_bytes(content)
        with tracked_in(f"sqlite:///{tmp_path / 'other.db'}"), pytest.raises(InputError, match=words):
            roots()
