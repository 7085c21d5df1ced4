"""Where an analysis takes images from: never from a path that a study names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from places import ROOT, new_place, write_data_set

from analysis import study_analysis
from analysis.claims import stored
from analysis.claims.findings import evaluate
from analysis.states import degeneracy, embedding, similarity
from analysis.study_analysis import analyse, log_states, of_records
from reports.text.content import content
from study.data import places
from study.networks.network import RecurrentNetwork
from study.terminal.errors import InputError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory, train_images, test_images):
    """A study, with its report, of a data set of its own in `folder/data`: the first images of MNIST."""
    place = new_place(tmp_path_factory.mktemp("place"))
    folder = write_data_set(place.folder / "data", train_images.first(600), test_images.first(100))
    study = place.start(
        command=("run",),
        data_dir=str(folder),
        seeds="0-1",
        hidden_sizes="4",
        epochs="2",
        train_images="600",
        measurements="standard",
        out=str(place.folder / "report.pdf"),
    )
    study.wait()
    assert study.process.returncode == 0, study.output
    assert "left out" not in study.output
    return place


@pytest.fixture
def nothing_stored(monkeypatch):
    """As if no picture and no similarity were stored yet."""
    monkeypatch.setattr(study_analysis, "FOLDER", "elsewhere")


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "CACHE", tmp_path / "cache")


def _artifacts(place) -> Path:
    [study] = place.studies()
    return Path(study.info.artifact_uri.removeprefix("file://"))


def test_a_study_hands_its_own_data_on_to_the_analysis(place):
    assert (_artifacts(place) / "analysis" / "embedding-4.nc").exists()
    assert (_artifacts(place) / "analysis" / "similarity-4.nc").exists()
    assert (_artifacts(place) / "analysis" / "degeneracy-4.nc").exists()


def test_what_is_stored_needs_no_images(place, tmp_path):
    found = analyse(place.client, "latest", data_dir=tmp_path)
    assert (list(found.embeddings), list(found.similarities), list(found.degeneracies), found.left_out) == ([4], [4], [4], ())


@pytest.mark.parametrize("folder", ["nowhere", ROOT / "data"])
def test_without_the_study_s_images_verdicts_remain_and_the_rest_is_named(folder, place, nothing_stored, tmp_path, own_cache):
    found = analyse(place.client, "latest", data_dir=tmp_path / folder)
    assert (found.embeddings, found.similarities, found.degeneracies) == ({}, {}, {})
    [line] = found.left_out
    names = "the embedding of hidden states at H=4, the similarities of networks at H=4, the degeneracy of networks at H=4"
    assert line.startswith(f"left out: {names}: ")
    assert ("is not the study's data set" if folder != "nowhere" else "no data set mnist under data_dir=") in line
    assert "--data-dir" in line
    assert found.findings.ledger
    assert any("Left out: the embedding of hidden states" in warning for warning in content(found, {})["warnings"])
    assert not (tmp_path / "cache").exists()


def test_no_path_that_a_study_names_is_followed(place, nothing_stored, tmp_path, own_cache):
    hostile = tmp_path / "hostile"
    (hostile / "mnist").mkdir(parents=True)
    os.mkfifo(hostile / "mnist" / "SHA256SUMS")
    stored = _artifacts(place) / "study.json"
    genuine = stored.read_text()
    try:
        stored.write_text(json.dumps(json.loads(genuine) | {"data_dir": str(hostile)}))
        [line] = analyse(place.client, "latest", data_dir=tmp_path).left_out
        assert f"no data set mnist under data_dir={tmp_path}: " in line
        stored.write_text(json.dumps(json.loads(genuine) | {"data_dir": str(tmp_path), "dataset": "hostile/mnist"}))
        with pytest.raises(InputError, match="has dataset=mnist where the study has own: expected networks with the same settings"):
            analyse(place.client, "latest", data_dir=place.folder / "data")
    finally:
        stored.write_text(genuine)


def test_weights_of_another_size_are_left_out(place, nothing_stored, own_cache, monkeypatch):
    monkeypatch.setattr(study_analysis.runs, "weights", lambda run_id, client: RecurrentNetwork.initial(0, 5, 28, 10))
    found = analyse(place.client, "latest", data_dir=place.folder / "data")
    assert found.left_out
    assert all("has 5 hidden units" in line for line in found.left_out)


def test_a_study_is_evaluated_once(place, tmp_path, monkeypatch):
    """By the analysis that the study itself ran: report, figures, comparison and power read what it stored."""
    dataset = of_records(place.client, "latest").dataset
    expected = evaluate(dataset).table()

    def again(_):
        raise AssertionError("evaluated again")

    monkeypatch.setattr(stored, "evaluate", again)
    for found in (analyse(place.client, "latest", data_dir=tmp_path), of_records(place.client, "latest")):
        assert found.findings.table().equals(expected)


@pytest.mark.parametrize("kind", ["garbage", "fifo", "link", "folder", "none", "large"])
def test_stored_findings_that_are_no_file_of_ours_are_made_anew(kind, place, tmp_path, monkeypatch):
    file = _artifacts(place) / "analysis" / "findings.json"
    kept = file.read_bytes()
    expected = of_records(place.client, "latest").findings.table()
    file.unlink()
    if kind == "garbage":
        file.write_bytes(os.urandom(1000))
    elif kind == "fifo":
        os.mkfifo(file)
    elif kind == "link":
        (tmp_path / "elsewhere").write_bytes(kept)
        file.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        file.mkdir()
    elif kind == "large":
        file.write_bytes(kept)
        monkeypatch.setattr(stored, "LARGEST", len(kept) - 1)
    evaluations = []
    monkeypatch.setattr(stored, "evaluate", lambda dataset: evaluations.append(1) or evaluate(dataset))
    try:
        assert of_records(place.client, "latest").findings.table().equals(expected)
        assert evaluations == [1]
    finally:
        file.rmdir() if kind == "folder" else file.unlink(missing_ok=True)
        file.write_bytes(kept)


def test_what_is_computed_ahead_is_not_computed_again(place, nothing_stored, monkeypatch, own_cache):
    """By whichever command computes it: the picture and the pairs of a hidden size are stored and found again."""
    assert log_states(place.client, "latest", 4, place.folder / "data") == ["degeneracy-4.nc", "embedding-4.nc", "similarity-4.nc"]
    for module, name in ((embedding, "embed"), (similarity, "similarity"), (degeneracy, "degeneracy")):
        monkeypatch.setattr(module, name, lambda *arguments: pytest.fail("computed again"))
    found = analyse(place.client, "latest", data_dir=ROOT / "nowhere")
    assert (list(found.embeddings), list(found.similarities), list(found.degeneracies), found.left_out) == ([4], [4], [4], ())


def test_a_size_that_a_study_does_not_have_is_refused(place):
    with pytest.raises(InputError, match=r"hidden_size=5: study [0-9a-f]{32} has no network of this size; expected 4"):
        log_states(place.client, "latest", 5, place.folder / "data")
