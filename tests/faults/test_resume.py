"""The same command again, and larger grids: what is stored is taken as it is."""

from __future__ import annotations

import json
import shutil

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from study.config import StudyConfig
from study.networks.kernels import CHOICE, KERNELS, LIBRARY_NAMES, fastest
from study.tracking import StudyRun
from study.tracking.store import fetch


@pytest.mark.slow
def test_a_larger_grid_reuses_what_a_smaller_one_trained(place):
    first = place.run(seeds="0-1", epochs="1")
    assert "2 networks expected: 2 trained, 0 re-measured, 0 reused, 0 failed" in first.output
    second = place.run(seeds="0-2", epochs="1", hidden_sizes="8,12")
    assert "6 networks expected: 4 trained, 0 re-measured, 2 reused, 0 failed" in second.output
    larger, smaller = place.studies()
    networks = {(run.data.params["hidden_size"], run.data.params["seed"]): run for run in place.networks(larger)}
    assert set(networks) == {(size, seed) for size in ("8", "12") for seed in "012"}
    originals = {run.data.params["seed"]: run for run in place.networks(smaller)}
    assert set(originals) == {"0", "1"}  # a finished study keeps its own
    copy, original = networks["12", "1"], originals["1"]
    assert copy.data.tags["reused_from"] == original.info.run_id
    assert copy.data.tags["digests"] == original.data.tags["digests"]
    assert copy.data.metrics == original.data.metrics
    assert copy.info.start_time == original.info.start_time
    history = [
        [(p.step, p.value) for p in place.client.get_metric_history(run.info.run_id, "appended/accuracy")]
        for run in (copy, original)
    ]
    assert history[0] == history[1]
    assert copy.outputs.model_outputs[0].model_id == original.outputs.model_outputs[0].model_id
    assert {run.data.tags[MLFLOW_PARENT_RUN_ID] for run in networks.values()} == {larger.info.run_id}
    assert larger.data.metrics["networks/reused"] == 2
    assert int(place.dataset().test_accuracy.count()) == 6


def test_a_stopped_study_hands_its_networks_to_the_one_that_goes_on(place, undisturbed):
    study = place.start()
    study.until(lambda: place.runs("tags.kind = 'network' and tags.complete = 'true'"))
    study.kill()
    complete = {run.info.run_id for run in place.runs("tags.complete = 'true'")}
    assert place.run().process.returncode == 0
    new, old = place.studies()
    assert old.info.status == "KILLED"
    assert old.data.tags["superseded_by"] == new.info.run_id
    assert not [run for run in place.networks(old) if run.data.tags.get("complete") == "true"]
    networks = place.networks(new)
    assert len(networks) == 4
    assert complete <= {run.info.run_id for run in networks}
    assert {run.data.tags.get("moved_from") for run in networks if run.info.run_id in complete} == {old.info.run_id}
    assert place.dataset().identical(undisturbed.dataset())


@pytest.mark.slow
def test_resume_never_trains_all_afresh(place):
    place.run(seeds="0", epochs="1")
    again = place.run(seeds="0", epochs="1", resume="never")
    assert "1 networks expected: 1 trained, 0 re-measured, 0 reused, 0 failed" in again.output
    networks = place.runs("tags.kind = 'network'")
    assert len(networks) == 2
    assert len({run.data.tags["training_key"] for run in networks}) == 1


@pytest.mark.slow
def test_a_study_goes_on_with_the_kernels_it_began_with(place):
    """Whatever is faster on the machine that goes on; other kernels are for whoever asks for them."""
    other = "torch" if fastest() == "numpy" else "numpy"
    place.run(seeds="0", epochs="1", kernels=other)
    shutil.copy(CHOICE, place.folder / "cache")  # what is faster here was measured once
    second = place.run(seeds="0-1", epochs="1", kernels="auto")
    assert f"made with {LIBRARY_NAMES[other]}'s kernels: it goes on with these" in second.output
    assert f"with {LIBRARY_NAMES[other]}'s kernels, 1 at a time; 1 are stored already" in second.output
    assert "2 networks expected: 1 trained, 0 re-measured, 1 reused, 0 failed" in second.output
    assert {run.data.params["kernels"] for run in place.networks(place.studies()[0])} == {other}
    made_by = json.loads(place.dataset().attrs["versions"])["kernels"]
    assert list(made_by) == [KERNELS[other].in_words()]
    third = place.run(seeds="0", epochs="1", kernels=fastest())
    assert "1 networks expected: 1 trained, 0 re-measured, 0 reused, 0 failed" in third.output
    assert len({run.data.tags["training_key"] for run in place.runs("tags.kind = 'network'")}) == 3


def test_a_study_that_a_new_store_does_not_know_has_one_run_there_however_often_it_is_synced(place, source):
    config = StudyConfig(seeds="0", hidden_sizes="12")
    study, again = (StudyRun.reopened(place.client, "ab" * 16, config, source) for _ in range(2))
    assert study.run_id == again.run_id
    assert place.client.get_run(study.run_id).data.tags["synced_from"] == "ab" * 16


def test_a_store_that_does_not_answer_is_no_damage(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = undisturbed.networks(undisturbed.studies()[0])[0]
    run.info._artifact_uri = "mlflow-artifacts:/0/run/artifacts"
    with pytest.raises(MlflowException):
        fetch(MlflowClient("http://127.0.0.1:9"), run, tmp_path)
